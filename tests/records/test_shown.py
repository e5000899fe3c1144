"""How entries show themselves: their value, bounded; unpacked, as a dict, and in notebooks."""

from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Conflict, Entry
from tests.store.scene import Scene, listed


async def test_an_entry_shows_its_key_its_value_and_its_version(scene: Scene) -> None:
    async with scene.open() as db:
        entry = await db.entries.set("users:1", {"name": "Ada", "tags": ["x", 1, None]})
        assert repr(entry).startswith(
            "Entry('users:1', {'name': 'Ada', 'tags': ['x', 1, None]}, version=1, revision="
        )
        assert entry.version == entry.metadata.version == 1
        await db.entries.set("users:1", 2)
        [past] = await listed(db.entries.history("users:1"))
        assert repr(past).startswith("PastVersion('users:1', {'name': 'Ada'")


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000_000, b"\0" * 200_000, list(range(100_000)), {str(n): n for n in range(100_000)},
     [["deep"] * 1000] * 1000, {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
async def test_however_big_the_value_what_is_shown_is_short(scene: Scene, value: Any) -> None:
    async with scene.open() as db:
        await db.entries.set("a", value)
        entry = await db.entries.require("a")
        assert len(repr(entry)) < 300
        assert entry.value == value
        assert len(repr(entry)) < 300
        assert len(entry._repr_html_()) < 20_000


async def test_a_look_leaves_the_entry_as_it_was(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", {"n": 1})
        entry = await db.entries.require("a")
        before = entry.bytes_held
        assert "{'n': 1}" in repr(entry)
        assert entry.unread() is entry
        assert entry.bytes_held == before


async def test_an_entry_unpacks_into_key_and_value(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({"a": 1, "b": 2})
        found = {}
        async for key, value in db.entries.items():
            found[str(key)] = value
        assert found == {"a": 1, "b": 2}
        assert dict([entry async for entry in db.entries.items()]) == found  # type: ignore[arg-type]
        key, value = await db.entries.require("a")
        assert (str(key), value) == ("a", 1)


async def test_an_entry_becomes_a_dict_under_the_public_names(scene: Scene) -> None:
    async with scene.open() as db:
        entry = await db.entries.set(
            "a:b", [1], modified_by="ada", comment="why", tags=["t"], ttl=60
        )
        told = entry.to_dict()
        assert (told["key"], told["value"]) == ("a:b", [1])
        metadata = told["metadata"]
        assert list(metadata) == [
            "version", "incarnation", "revision", "created_at", "updated_at", "expires_at",
            "modified_by", "comment", "tags", "data_hash", "schema_hash",
        ]  # fmt: skip
        assert metadata == {name: getattr(entry.metadata, name) for name in metadata}
        assert metadata["updated_at"] == datetime.fromtimestamp(scene.clock.now_ms() / 1000, UTC)
        shown = repr(entry.metadata)
        for name, fact in metadata.items():
            if not isinstance(fact, datetime):
                assert f"{name}={fact!r}" in shown
        for private in ("_ms", "_kept", "digest", "identity", "_revision"):
            assert private not in shown.replace("data_hash", "")


async def test_notebooks_show_a_table_in_which_nothing_is_markup(scene: Scene) -> None:
    async with scene.open() as db:
        entry = await db.entries.set("<b>", "<script>", modified_by="<i>", tags=["<u>"])
        shown = entry._repr_html_()
        assert shown.startswith("<table>")
        assert "&lt;script&gt;" in shown
        assert "<script>" not in shown.replace("<table>", "")
        assert "&lt;i&gt;" in entry.metadata._repr_html_()


async def test_what_a_walk_gives_is_a_list_that_notebooks_show_as_a_table(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"n:{number:03}": number for number in range(150)})
        await db.entries.set("n:000", "<b>", modified_by="ada")
        found = await db.entries.items("n:+").to_list()
        assert [entry.value for entry in found[1:]] == list(range(1, 150))
        shown = found._repr_html_()
        assert shown.count("<tr>") == 101
        assert "and 50 more" in shown
        assert "&lt;b&gt;" in shown
        assert "<td>ada</td>" in shown
        walk = db.entries.keys("n:+", limit=2)
        keys = await walk.to_list()
        assert keys == ["n:000", "n:001"]
        assert "<td>n:001</td>" in keys._repr_html_()
        assert await db.entries.items("n:+", limit=1, after=walk.cursor).to_list() == found[2:3]
        assert "nothing" in (await db.entries.items("none:+").to_list())._repr_html_()
        past = await db.entries.history("n:000").to_list()
        assert "<td>0</td>" in past._repr_html_()


async def test_what_is_not_there_or_not_known_yet_is_shown_as_that(scene: Scene) -> None:
    async with scene.open() as db:
        await db.retention.keep("n", values="none")
        await db.entries.set("n:a", 1)
        await db.entries.set("n:a", 2)
        await db.compact()
        [past] = await listed(db.entries.history("n:a"))
        assert "<VersionNotFound>" in repr(past)
        async with db.transaction() as tx:
            entry = await tx.entries.set("b", 1)
            assert "revision=pending" in repr(entry)
            assert "revision=None" in repr(entry.metadata)

        class Hostile:
            def __repr__(self) -> str:
                raise RuntimeError

        import msgspec

        odd: Entry[Any] = msgspec.structs.replace(entry, _value=Hostile())
        assert "<" in repr(odd)


async def test_errors_name_the_entry_that_won_and_do_not_show_its_value(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", "secret value")
        with pytest.raises(Conflict) as caught:
            await db.entries.set("a", 1, if_absent=True)
        assert caught.value.current.value == "secret value"
        for told in (repr(caught.value), str(caught.value)):
            assert "secret" not in told
        assert "current=<Entry>" in repr(caught.value)
