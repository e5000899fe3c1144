"""The commands that prove history: seal, verify, receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli import exits, files, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.stores.audit.audit import Head
from holdfast.stores.audit.receipts import Receipt
from holdfast.stores.audit.verifying import Finding

_HASH_BYTES = 32


def seal(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Put every change up to now under one hash, and print it: keep it somewhere else."""

    async def work() -> Head:
        async with opening.for_writing(url, create=False) as db:
            return await db.audit.seal()

    head = opening.run(work())
    if as_json:
        shown.document({"size": head.size, "root": head.root.hex(), "revision": head.revision})
    else:
        shown.line(f"{head.size}:{head.root.hex()}")
    return exits.OK


def verify(
    url: options.Url = "",
    head: Annotated[
        str,
        typer.Option(
            "--head", metavar="SIZE:HASH", help="What `seal` printed once; kept elsewhere."
        ),
    ] = "",
    as_json: options.AsJson = False,
) -> int:
    """Compare every change with what was sealed; name the first revision that does not hold.

    Ends with 1 when one does not. Without --head, whoever rewrote changes and hashes alike is not
    found out.
    """
    known = _head_of(head) if head else None

    async def work() -> Finding:
        async with opening.for_reading(url) as db:
            return await db.audit.verify(known)

    found = opening.run(work())
    if as_json:
        shown.document(
            {
                "holds": found.holds,
                "size": found.size,
                "root": found.root.hex(),
                "revision": found.revision,
                "checked": found.checked,
                "given_up": found.given_up,
                "skipped": found.skipped,
                "wrong_revision": found.wrong_revision,
                "fault": found.fault,
            }
        )
    elif not found.holds:
        shown.line(f"revision {found.wrong_revision} does not hold: {found.fault}")
    else:
        shown.line(
            f"all hold: {found.checked:,} changes up to revision {found.revision} are what was "
            "sealed"
        )
        if found.given_up:
            shown.line(f"{found.given_up:,} more are no longer kept")
        if found.skipped:
            shown.line(f"{found.skipped} times changes were given up before anybody sealed them")
    return exits.OK if found.holds else exits.ABSENT


def receipt(
    revision: Annotated[int, typer.Argument(metavar="REVISION", min=1, help="Of the commit.")],
    url: options.Url = "",
    index: Annotated[
        int, typer.Option("--index", min=0, metavar="N", help="Which change of the commit.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Print the proof that a change is under the present hash, as JSON that anybody can check."""

    async def work() -> Receipt:
        async with opening.for_reading(url) as db:
            return await db.audit.receipt(revision, index)

    text = opening.run(work()).to_json()
    if output is None:
        shown.line(text)
        return exits.OK
    with files.written(output) as stream:
        stream.write(text + "\n")
    if as_json:
        shown.document({"file": str(output), "revision": revision, "index": index})
        return exits.OK
    shown.line(f"written to {output}")
    return exits.OK


def _head_of(text: str) -> Head:
    size, colon, root = text.partition(":")
    try:
        hash = bytes.fromhex(root)
        if colon and size.isascii() and size.isdigit() and len(hash) == _HASH_BYTES:
            return Head(int(size), hash, 0)
    except ValueError:
        pass
    raise BadUsage(f"--head reads SIZE:HASH, as `holdfast seal` prints it; found {text!r}")
