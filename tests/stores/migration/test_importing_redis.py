"""Keys of a real Redis come in: every type, expiries, twice, and what changes meanwhile is said."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis

from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import (
    ConnectionFailed,
    IntegrityFailed,
    InvalidInput,
    PermissionDenied,
)
from holdfast.contract.runtime import SystemClock
from holdfast.store.instants import milliseconds
from holdfast.stores.migration.importing import import_entries, open_source
from tests.servers.processes import free_port
from tests.servers.shared import Address
from tests.stores.migration.test_importing import content, opened

pytestmark = [pytest.mark.row("E-113"), pytest.mark.row("E-114")]

_prefixes = count()


class Keys:
    """Keys on the server that other tests use as well: all of them begin alike."""

    def __init__(self, port: int, prefix: str) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client: Any = redis.Redis(port=port)
        self.prefix = prefix
        self.match = f"{prefix}*"

    def all(self) -> list[bytes]:
        return list(self.client.scan_iter(self.match))


@pytest.fixture
def keys(redis_address: Address, worker_id: str) -> Iterator[Keys]:
    made = Keys(redis_address["port"], f"old-{worker_id}-{next(_prefixes)}-")
    yield made
    for key in made.all():
        made.client.delete(key)
    made.client.close()


@pytest.mark.parametrize("text", [False, True])
async def test_every_type_comes_as_a_plain_value(keys: Keys, tmp_path: Path, text: bool) -> None:
    client, prefix = keys.client, keys.prefix
    client.set(f"{prefix}string", "é")
    client.set(f"{prefix}later", "x", px=3_600_000)
    client.hset(f"{prefix}hash", mapping={"a": "1", "b": "2"})
    client.rpush(f"{prefix}list", "b", "a", "b")
    client.sadd(f"{prefix}set", "b", "a")
    client.zadd(f"{prefix}scores", {"two": 2.5, "one": -1})
    now = SystemClock().now_ms()

    def part(value: str) -> str | bytes:
        return value if text else value.encode()

    async with opened(tmp_path) as db:
        with open_source(keys.url, match=keys.match, text=text) as source:
            done = await import_entries(source, db.entries, ["old"])
            again = await import_entries(source, db.entries, ["old"])
        assert (done.items, done.written, again.written) == (6, 6, 0)
        found = await content(db, "old")
        assert {key.removeprefix(prefix): value for key, value in found.items()} == {
            "string": part("é"),
            "later": part("x"),
            "hash": {"a": part("1"), "b": part("2")},
            "list": [part("b"), part("a"), part("b")],
            "set": [part("a"), part("b")],
            "scores": [[part("one"), -1.0], [part("two"), 2.5]],
        }
        later = StoreKey(f"{prefix}later", ["old"])
        expires_at = (await db.entries.get_many([later]))[later].metadata.expires_at
        assert expires_at is not None
        assert abs(milliseconds(expires_at) - now - 3_600_000) < 60_000


async def test_more_keys_than_one_turn_shows_all_come(keys: Keys, tmp_path: Path) -> None:
    keys.client.mset({f"{keys.prefix}{number}": number for number in range(1500)})
    async with opened(tmp_path) as db:
        with open_source(keys.url, match=keys.match) as source:
            done = await import_entries(source, db.entries)
        assert done.written == 1500
        assert len(await content(db)) == 1500


@pytest.mark.parametrize("change", ["set", "delete", "add"])
async def test_a_change_meanwhile_is_said(keys: Keys, tmp_path: Path, change: str) -> None:
    keys.client.mset({f"{keys.prefix}{number}": number for number in range(50)})
    other = f"{keys.prefix}{'new' if change == 'add' else 7}"

    def write(_: int) -> None:
        keys.client.delete(other) if change == "delete" else keys.client.set(other, "other")

    async with opened(tmp_path) as db:
        with open_source(keys.url, match=keys.match) as source:
            with pytest.raises(IntegrityFailed, match="changed while it was imported"):
                await import_entries(source, db.entries, progress=write)
            await import_entries(source, db.entries)
        if change != "delete":
            assert (await content(db))[other] == b"other"


def test_a_stream_is_refused_by_its_name(keys: Keys) -> None:
    keys.client.xadd(f"{keys.prefix}s", {"a": 1})
    with (
        open_source(keys.url, match=keys.match) as source,
        pytest.raises(InvalidInput, match="found a stream"),
    ):
        list(source.items())


def test_bytes_that_are_no_text_are_refused_where_text_was_asked_for(keys: Keys) -> None:
    keys.client.set(f"{keys.prefix}s", b"secret\xff")
    with (
        open_source(keys.url, match=keys.match, text=True) as source,
        pytest.raises(InvalidInput, match="Import values as bytes") as caught,
    ):
        list(source.items())
    assert "secret" not in str(caught.value)


def test_a_key_that_changes_its_type_while_it_is_read_is_read_again(keys: Keys) -> None:
    name = f"{keys.prefix}s"
    keys.client.set(name, "1")
    with open_source(keys.url, match=keys.match) as source:
        many = source._many  # type: ignore[attr-defined]

        def meddling(calls: Any) -> Any:
            replies = many(calls)
            if replies == [b"string"]:  # Of TYPE: now it becomes a list.
                keys.client.delete(name)
                keys.client.rpush(name, "a")
            return replies

        source._many = meddling  # type: ignore[attr-defined]
        assert [item.value for item in source.items()] == [[b"a"]]


def test_a_server_that_is_not_there_and_one_that_refuses(keys: Keys) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        open_source(f"redis://user:secret@127.0.0.1:{free_port()}/0")
    assert "secret" not in str(caught.value)
    with pytest.raises(PermissionDenied) as refused:
        open_source(keys.url.replace("//", "//nobody:secret@"))
    assert "secret" not in str(refused.value)
    with pytest.raises(InvalidInput):
        open_source("redis://127.0.0.1:port/0")
