"""`batch`: many values in one round trip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from holdfast.codecs.text import several
from holdfast.contract.errors import InvalidInput
from holdfast.state.adapter import BatchWrite
from holdfast.state.areas.area import Area
from holdfast.state.checks import Duration, ttl_ms
from holdfast.state.limits import BATCH_KEYS_MAX
from holdfast.state.observing import fail
from holdfast.state.telemetry import operation

_COUNT = {"ctx.batch.count": int}
_GET = operation("batch.get", "kv", _COUNT, {"ctx.batch.found": int})
_SET = operation("batch.set", "kv", _COUNT)
_REMOVE = operation("batch.remove", "kv", _COUNT, {"ctx.batch.removed": int})


class BatchEntry(NamedTuple):
    """One write of a batch: `BatchEntry("user:1", {"name": "Ada"}, ttl=60)`."""

    key: str
    value: Any
    ttl: Duration | None = None


class BatchArea(Area):
    """Several of `kv`'s keys at once."""

    area = "kv"

    async def get(self, keys: Sequence[str]) -> list[Any]:
        """The values in the order of their keys, None for each that is missing."""
        keys = several(keys)
        if not keys:
            return []
        _check_count(len(keys))
        whole = [self._key(key) for key in keys]
        seen = (
            self._observer.started(_GET, "", {"ctx.batch.count": len(keys)})
            if self._observer.on
            else None
        )
        try:
            stored = await self._adapter.get_many(whole)
            decode = self._scene.decode
            values = [None if data is None else decode(data) for data in stored]
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, _GET, "", seen)
        if seen is not None:
            seen.success({"ctx.batch.found": len(stored) - stored.count(None)})
        return values

    async def set(
        self,
        entries: Iterable[BatchEntry | tuple[str, Any] | Mapping[str, Any]] | Mapping[str, Any],
    ) -> None:
        """Write all of them or none; of two with one key the later one stands.

        Args:
            entries: values by key; or one entry after the other: a `BatchEntry`, a pair, or as
                `@igniter-js/store` has them `{"key": ..., "value": ..., "ttl": ...}`.

        Raises:
            InvalidInput: an entry is none of these, or there are more than `BATCH_KEYS_MAX`.
            InvalidValue: a `ttl` is no duration above zero.
        """
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        given = list(map(_entry, several(pairs, "pairs", "key, value")))
        if not given:
            return
        _check_count(len(given))
        seen = (
            self._observer.started(_SET, "", {"ctx.batch.count": len(given)})
            if self._observer.on
            else None
        )
        try:
            await self._adapter.set_many([self._write(one) for one in given])
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, _SET, "", seen)
        if seen is not None:
            seen.success()

    async def remove(self, keys: Sequence[str]) -> int:
        """Remove them; how many there were."""
        keys = several(keys)
        if not keys:
            return 0
        _check_count(len(keys))
        whole = list(dict.fromkeys(map(self._key, keys)))
        return await self._observer.run(
            _REMOVE,
            "",
            self._adapter.delete(whole),
            {"ctx.batch.count": len(keys)},
            lambda removed: {"ctx.batch.removed": removed},
        )

    def _write(self, entry: BatchEntry) -> BatchWrite:
        span = self._scene.default_ttl_ms if entry.ttl is None else ttl_ms(entry.ttl)
        return BatchWrite(self._key(entry.key), self._scene.encode(entry.value), span)


def _entry(given: Any) -> BatchEntry:
    """One write as given. Raises InvalidInput."""
    if isinstance(given, BatchEntry):
        return given
    if isinstance(given, tuple | list) and len(given) in (2, 3):
        return BatchEntry(*given)
    if isinstance(given, Mapping):
        try:
            return BatchEntry(**given)
        except TypeError:
            # Its fields are named neither here nor in the error: they are the user's.
            raise InvalidInput(
                "an entry of batch.set that is a mapping has key, value and perhaps ttl; found "
                "other fields, or one of these missing"
            ) from None
    raise InvalidInput(
        "batch.set takes a mapping of values by key, or entries: pairs, BatchEntry or mappings "
        f"with key, value and ttl; found a {type(given).__name__} among them"
    )


def _check_count(count: int) -> None:
    if count > BATCH_KEYS_MAX:
        raise InvalidInput(
            f"a batch holds at most {BATCH_KEYS_MAX} keys; found {count}. Split it",
            limit=BATCH_KEYS_MAX,
        )
