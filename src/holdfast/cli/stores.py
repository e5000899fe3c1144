"""The commands `stores ...`: named stores of plain bytes."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage

app = typer.Typer(help="Named stores of plain bytes.")

#: How much of a value a line shows, in bytes.
VALUE_BYTES_SHOWN_MAX = 40

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")

Name = Annotated[str, typer.Argument(metavar="STORE", help="The name of a store.")]


def list_(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """List the stores: how each keeps its values, and how many keys it has."""

    async def work() -> list[dict[str, Any]]:
        async with opening.for_reading(url) as db:
            found = []
            for name in await db.stores.list():
                store = await db.stores.get(name)
                found.append({"name": name, "kind": store.config.kind, "keys": await store.count()})
            return found

    found = opening.run(work())
    if as_json:
        for one in found:
            shown.document(one)
    elif found:
        rows = [[one["name"], one["kind"], one["keys"]] for one in found]
        shown.table(None, ["store", "kind", "keys"], rows, right="keys")
    else:
        shown.note("the database has no stores")
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
    """Print the keys of STORE with the beginning of their values.

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


def get(
    name: Name,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Text, or 0x and hexadecimal digits.")],
    url: options.Url = "",
    as_json: options.AsJson = False,
) -> int:
    """Write the value of KEY in STORE as it is; with --json as hexadecimal digits."""
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


COMMANDS = ((list_, "list"), (keys, "keys"), (get, "get"))


def _bytes_of(text: str) -> bytes:
    """The bytes of a key as people write it."""
    if not text.startswith("0x"):
        return text.encode("utf-8", "surrogateescape")
    if not _HEX.fullmatch(text[2:]):
        raise BadUsage(f"0x is followed by pairs of hexadecimal digits; found {text!r}")
    return bytes.fromhex(text[2:])


def _text_of(data: bytes) -> str:
    """Bytes as people read them; what is printed, the commands read."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    return text if text.isprintable() and not text.startswith("0x") else f"0x{data.hex()}"
