"""The commands `stores ...`: named stores of bytes, and their versions."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage

app = typer.Typer(help="Named stores of bytes, and their versions.")

#: How much of a value a line shows, in bytes.
VALUE_BYTES_SHOWN_MAX = 40

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the store.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Text, or 0x and hex digits.")]
Version = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="A saved version.")]


class Kind(StrEnum):
    """Kinds of store."""

    PLAIN = "plain"
    IAVL = "iavl"


def list_(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """List the stores with their kinds, keys and versions."""

    async def work() -> list[dict[str, Any]]:
        async with opening.for_reading(url) as db:
            found = []
            for name in await db.stores.list():
                store = await db.stores.get(name)
                found.append(
                    {
                        "name": name,
                        "kind": store.config.kind,
                        "keys": await store.count(),
                        "versions": await store.list_versions(),
                    }
                )
            return found

    found = opening.run(work())
    if as_json:
        for one in found:
            shown.document(one)
    elif found:
        rows = [(one["name"], one["kind"], one["keys"], _span(one["versions"])) for one in found]
        shown.table(None, ["store", "kind", "keys", "versions"], rows, right="keys")
    else:
        shown.note("the database has no stores")
    return exits.OK


def create(
    name: Name,
    url: options.Url = "",
    kind: Annotated[Kind, typer.Option("--kind", help="iavl keeps versions.")] = Kind.PLAIN,
    fast_index: Annotated[
        bool,
        typer.Option("--fast-index", help="Of kind iavl: keep the newest values beside the tree."),
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Make an empty store."""

    async def work() -> None:
        async with opening.for_writing(url) as db:
            config = {"kind": kind.value, "fast_index": fast_index}
            await db.stores.create(name, config=config)

    opening.run(work())
    if as_json:
        shown.document({"name": name, "kind": kind.value})
        return exits.OK
    shown.line(f"made the store {name}")
    return exits.OK


def keys(
    name: Name,
    url: options.Url = "",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="KEY", help="Only keys that begin so.")
    ] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Last key first.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="At most N keys.")
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Print the keys of the store NAME with the beginning of their values.

    A key is printed as text where it is one, and as 0x and hexadecimal digits where it is none.
    """
    begins = _bytes_of(prefix) if prefix else b""

    async def work() -> None:
        async with opening.for_reading(url) as db:
            store = await db.stores.get(name)
            pairs = store.prefix(begins, not reverse, limit=limit)
            async for key, value in pairs:
                if as_json:
                    shown.document({"key": _text_of(key), "bytes": len(value)})
                else:
                    more = "…" if len(value) > VALUE_BYTES_SHOWN_MAX else ""
                    text = _text_of(value[:VALUE_BYTES_SHOWN_MAX])
                    shown.stream_line(shown.safe(f"{_text_of(key)}  {text}{more}"))

    opening.run(work())
    return exits.OK


def get(name: Name, key: Key, url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Write the value of KEY in the store NAME as it is; with --json as hexadecimal digits."""
    wanted = _bytes_of(key)

    async def work() -> bytes:
        async with opening.for_reading(url) as db:
            return await (await db.stores.get(name)).get(wanted)

    value = opening.run(work())
    if as_json:
        shown.document({"key": _text_of(wanted), "hex": value.hex(), "bytes": len(value)})
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(value)
        if sys.stdout.isatty():
            print()
    return exits.OK


def set_(
    name: Name,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Text, or 0x and hex digits.")],
    url: options.Url = "",
    by: options.By = None,
    comment: options.Comment = None,
    as_json: options.AsJson = False,
) -> int:
    """Put a value under a key."""

    async def work() -> int:
        async with opening.for_writing(url, create=False) as db:
            store = await db.stores.get(name)
            return await store.set(
                _bytes_of(key), _bytes_of(value), modified_by=by, comment=comment
            )

    revision = opening.run(work())
    if as_json:
        shown.document({"revision": revision})
        return exits.OK
    shown.line(f"revision {revision}")
    return exits.OK


def save(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Of the store; left out: all together.")
    ] = "",
    url: options.Url = "",
    as_json: options.AsJson = False,
) -> int:
    """Save a version of a store, or of all under one hash; print its number and root hash."""

    async def work() -> tuple[int, bytes]:
        async with opening.for_writing(url, create=False) as db:
            if not name:
                together = await db.stores.save_version()
                return together.number, together.root
            saved = await (await db.stores.get(name)).save_version()
            return saved.number, saved.root

    number, root = opening.run(work())
    if as_json:
        shown.document({"version": number, "root": root.hex()})
    else:
        shown.line(f"version {number} {root.hex()}")
    return exits.OK


def versions(name: Name, url: options.Url = "", as_json: options.AsJson = False) -> int:
    """List the saved versions of a store with their root hashes."""

    async def work() -> list[dict[str, Any]]:
        async with opening.for_reading(url) as db:
            store = await db.stores.get(name)
            return [
                {"version": number, "root": (await store.root(number)).root.hex()}
                for number in await store.list_versions()
            ]

    found = opening.run(work())
    if as_json:
        shown.document(found)
        return exits.OK
    for one in found:
        shown.line(f"version {one['version']} {one['root']}")
    if not found:
        shown.line("no version is saved")
    return exits.OK


def diff(
    name: Name, before: Version, after: Version, url: options.Url = "",
    as_json: options.AsJson = False,
) -> int:  # fmt: skip
    """Show what leads from one saved version to another."""

    async def work() -> list[dict[str, Any]]:
        async with opening.for_reading(url) as db:
            store = await db.stores.get(name)
            return [
                {
                    "key": _text_of(one.key),
                    "before": None if one.before is None else _text_of(one.before),
                    "after": None if one.after is None else _text_of(one.after),
                }
                async for one in store.diff(before, after)
            ]

    found = opening.run(work())
    if as_json:
        shown.document(found)
        return exits.OK
    rows = [
        (one["key"], "(absent)" if one["before"] is None else one["before"],
         "(absent)" if one["after"] is None else one["after"])
        for one in found
    ]  # fmt: skip
    shown.table(None, ["key", f"version {before}", f"version {after}"], rows)
    return exits.OK


def index(
    name: Name,
    url: options.Url = "",
    drop: Annotated[
        bool, typer.Option("--drop", help="Give the fast index up, and remove its rows.")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Make the fast index of a store of kind iavl, or make it anew; it is kept from then on."""

    async def work() -> int:
        async with opening.for_writing(url, create=False) as db:
            store = await db.stores.get(name)
            return await (store.drop_index() if drop else store.build_index())

    rows = opening.run(work())
    if as_json:
        shown.document({"name": name, "fast_index": not drop, "rows": rows})
        return exits.OK
    shown.line(f"{name}: {rows:,} rows of the fast index {'removed' if drop else 'written'}")
    return exits.OK


COMMANDS = (
    (list_, "list"),
    (create, "create"),
    (keys, "keys"),
    (get, "get"),
    (set_, "set"),
    (save, "save"),
    (versions, "versions"),
    (diff, "diff"),
    (index, "index"),
)


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "none"
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _bytes_of(text: str) -> bytes:
    if not text.startswith("0x"):
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise BadUsage("a key or value is text, or 0x and hex digits") from None
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise BadUsage(f"0x is followed by hex digits, two for each byte; found {text!r}") from None


def _text_of(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    return text if text.isprintable() and not text.startswith("0x") else f"0x{data.hex()}"
