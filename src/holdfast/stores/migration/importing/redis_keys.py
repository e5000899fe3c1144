"""Keys of a Redis server: strings, hashes, lists, sets and sorted sets as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    DriverMissing,
    IntegrityFailed,
    InvalidInput,
    PermissionDenied,
    ValueTooLarge,
)
from holdfast.contract.runtime import Clock
from holdfast.stores.migration.importing.source import Item, Source, shown

#: How many keys one turn of SCAN and one pipeline look at.
KEYS: Final = 200
#: The most members of one list, hash or set.
MEMBERS_MAX: Final = 1_000_000
#: How often a key that changes its type while it is read is read again.
ATTEMPTS: Final = 3
#: What PTTL says of a key that does not expire, and of one that is not there.
_NO_EXPIRY, _ABSENT = -1, -2

#: Keys are read together up to that many bytes of strings and members of others.
PORTION: Final = 1_000_000

_SIZES: Final = {
    b"string": "STRLEN", b"hash": "HLEN", b"list": "LLEN", b"set": "SCARD", b"zset": "ZCARD",
}  # fmt: skip
_READS: Final[dict[bytes, tuple[str, tuple[Any, ...]]]] = {
    b"string": ("GET", ()),
    b"hash": ("HGETALL", ()),
    b"list": ("LRANGE", (0, -1)),
    b"set": ("SMEMBERS", ()),
    b"zset": ("ZRANGE", (0, -1, "WITHSCORES")),
}


class RedisSource(Source):
    """The keys of one database of a Redis or Valkey server.

    A string is bytes, a hash a dict of bytes, a list a list, a set a list in the order of bytes,
    and a sorted set a list of [member, score] in its order. Expiries are kept. SCAN may show a key
    twice, and may miss one that is written meanwhile: what is read again afterwards tells.

    Args:
        url: `redis://user:password@host:port/database`; never repeated in messages.
        clock: counts expiries from now.
        match: a pattern of keys as SCAN has it; empty: all.
        text: strings and members are text in UTF-8; False: bytes.

    Raises:
        DriverMissing: the package `redis` is not installed.
        InvalidInput: the URL is none.
        ConnectionFailed: no server answers there.
        PermissionDenied: the server does not let this user in.
    """

    kind = "redis"

    def __init__(self, url: str, clock: Clock, *, match: str = "", text: bool = False) -> None:
        try:
            import redis
        except ModuleNotFoundError as error:
            raise DriverMissing(
                "the importer of Redis keys needs the package redis; it is not installed. Next: "
                "pip install 'holdfast-db[redis]'",
                driver="redis",
            ) from error
        self._redis = redis
        self._clock, self._match, self._text = clock, match or None, text
        try:
            self._client: Any = redis.Redis.from_url(url)
        except ValueError:
            raise InvalidInput(
                "a URL redis://user:password@host:port/database was wanted; found another. "
                "Percent-encode what is special in the password"
            ) from None
        try:
            self._call(self._client.ping)
        except BaseException:
            self._client.close()
            raise

    def items(self) -> Iterator[Item]:
        keys = self._call(lambda: self._client.scan_iter(self._match, KEYS))
        while some := self._call(lambda: list(islice(keys, KEYS))):
            yield from self._read(list(dict.fromkeys(some)), ATTEMPTS)

    def look(self) -> object:
        # A server counts no changes of one database: only reading again tells.
        return None

    def close(self) -> None:
        self._client.close()

    def _read(self, keys: list[bytes], attempts: int) -> Iterator[Item]:
        """The items of some keys. Those that went meanwhile are no items."""
        kinds = self._many(("TYPE", key) for key in keys)
        present = [(key, kind) for key, kind in zip(keys, kinds, strict=True) if kind != b"none"]
        again: list[bytes] = []
        for some in _portions(self._sized(present)):
            calls: list[tuple[Any, ...]] = []
            for key, kind, _ in some:
                verb, more = _READS[kind]
                calls += [("PTTL", key), (verb, key, *more)]
            now = self._clock.now_ms()
            replies = iter(self._many(calls))
            for (key, kind, size), left, found in zip(some, replies, replies, strict=True):
                if isinstance(found, Exception) or found is None:
                    again.append(key)
                elif left != _ABSENT:
                    expires = None if left == _NO_EXPIRY else now + left
                    value = self._value(key, kind, found)
                    yield Item(self._part(key, key), value, expires, size=size)
        if again and attempts <= 1:
            raise IntegrityFailed(
                f"the key {shown(again[0])} changed its type while it was read, {ATTEMPTS} times. "
                "Stop who writes there, and do it again: what is copied already is left alone",
                key=shown(again[0]),
            )
        if again:
            yield from self._read(again, attempts - 1)

    def _sized(self, present: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes, int]]:
        """The keys with their types and sizes: bytes of a string, members of others."""
        for key, kind in present:
            if kind not in _READS:
                raise InvalidInput(
                    f"strings, hashes, lists, sets and sorted sets can be imported; found a "
                    f"{kind.decode()} under the key {shown(key)}. Leave it out by a pattern "
                    "(match=, --match)",
                    key=shown(key),
                )
        found = self._many((_SIZES[kind], key) for key, kind in present)
        # One that has another type by now is read again.
        sizes = [size if isinstance(size, int) else 0 for size in found]
        for (key, kind), size in zip(present, sizes, strict=True):
            if size > MEMBERS_MAX and kind != b"string":
                raise ValueTooLarge(
                    f"a value of at most {MEMBERS_MAX:,} members was wanted; found {size:,} under "
                    f"the key {shown(key)}. Leave it out by a pattern, and import its parts",
                    limit=MEMBERS_MAX,
                    found=size,
                )
        return [(*one, size) for one, size in zip(present, sizes, strict=True)]

    def _value(self, key: bytes, kind: bytes, found: Any) -> Any:
        part = self._part
        if kind == b"string":
            return part(key, found)
        if kind == b"hash":
            # HGETALL of a raw pipeline may be a dict or a flat list, by the protocol.
            pairs = found.items() if isinstance(found, dict) else _twos(found)
            return {self._name(key, name): part(key, value) for name, value in pairs}
        if kind == b"list":
            return [part(key, one) for one in found]
        if kind == b"set":
            return [part(key, one) for one in sorted(found)]
        return [[part(key, one[0]), float(one[1])] for one in _scored(found)]

    def _part(self, key: bytes, found: bytes) -> str | bytes:
        return self._name(key, found) if self._text else found

    def _name(self, key: bytes, found: bytes) -> str:
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise InvalidInput(
                f"text in UTF-8 was wanted under the key {shown(key)}; found other bytes. Import "
                "values as bytes, or leave it out by a pattern; names in a hash are always text",
                key=shown(key),
            ) from None

    def _many(self, calls: Any) -> list[Any]:
        """The replies to some commands; that a key has another type by now is one of them."""
        with self._client.pipeline(transaction=False) as pipeline:
            count = 0
            for call in calls:
                pipeline.execute_command(*call)
                count += 1
            replies = self._call(lambda: pipeline.execute(raise_on_error=False)) if count else []
        for reply in replies:
            if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
                raise _refused(reply)
        return list(replies)

    def _call(self, work: Any) -> Any:
        errors = self._redis.exceptions
        try:
            return work()
        except (errors.AuthenticationError, errors.NoPermissionError) as error:
            raise _refused(error) from None
        except (errors.ConnectionError, errors.TimeoutError) as error:
            which = ConnectionFailed if work == self._client.ping else ConnectionLost
            raise which(
                f"a Redis server was wanted; it does not answer ({type(error).__name__}). Check "
                "host, port and network, and do it again: what is copied already is left alone"
            ) from None
        except errors.ResponseError as error:
            raise _refused(error) from None


def _portions(
    sized: list[tuple[bytes, bytes, int]],
) -> Iterator[list[tuple[bytes, bytes, int]]]:
    """Keys in groups whose values are in memory together; a big one is alone."""
    some: list[tuple[bytes, bytes, int]] = []
    weight = 0
    for one in sized:
        if some and weight + one[2] > PORTION:
            yield some
            some, weight = [], 0
        some.append(one)
        weight += one[2]
    if some:
        yield some


def _refused(error: Exception) -> PermissionDenied:
    # What a server says begins with a code, and may go on with what was sent.
    return PermissionDenied(
        f"the Redis server refused to be read ({str(error).partition(' ')[0]}). The user of "
        "the URL needs the commands SCAN, TYPE, PTTL, the reads of each type and their sizes"
    )


def _twos(flat: list[Any]) -> Iterator[tuple[Any, Any]]:
    one = iter(flat)
    return zip(one, one, strict=True)


def _scored(found: list[Any]) -> Any:
    return found if not found or isinstance(found[0], list | tuple) else _twos(found)
