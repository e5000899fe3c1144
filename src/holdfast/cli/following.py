"""The commands `follow` and `promote`: a warm standby, and what becomes of it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import holdfast
from holdfast.cli import exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.contract.config import masked

if TYPE_CHECKING:
    from holdfast.backups.following import Round


def follow(
    source: Annotated[str, typer.Argument(metavar="SRC", help="The database to follow.")],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="Its standby; or a directory or URL for backups.")
    ],
    interval: Annotated[
        float, typer.Option("--interval", help="The shortest time between two rounds, seconds.")
    ] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="End as soon as the standby has all there is now.")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Keep DST, a standby on whatever engine, level with SRC until Ctrl-C.

    Or ship backups to DST, a directory or a URL such as s3://bucket/app: a full one, then what is
    newer, again and again. Killed and run again it goes on. Open a standby with ?read_only=true
    meanwhile; `promote` makes a database of its own of it.
    """
    if not 0 < interval < math.inf:
        raise BadUsage(f"--interval is a time above zero; found {interval}")
    opening.config_of(source)
    told = _Told(as_json=as_json)
    try:
        done = opening.run(
            holdfast.follow(
                source,
                _target(target),
                encryption=opening.encryption_of(source),
                interval=interval,
                once=once,
                progress=told.round,
            )
        )
    finally:
        told.end()
    if not as_json:
        shown.line(
            f"{masked(target)} has revision {done.revision}: {_rows(done.written, done.removed)}"
        )
    return exits.OK


def promote(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Make a database of its own of a standby. Stop following first."""
    config = opening.config_of(url)
    done = opening.run(holdfast.promote(config))
    if as_json:
        shown.document(
            {"url": config.url, "revision": done.revision, "followed": done.followed,
             "lineage": done.lineage}
        )  # fmt: skip
        return exits.OK
    shown.line(
        f"{config.url} goes on by itself at revision {done.revision}; it has its source up to "
        f"revision {done.followed}"
    )
    return exits.OK


class _Told:
    """Shows rounds: as lines of JSON, as one line that moves on a terminal, else as lines."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._moves = sys.stderr.isatty() and not as_json
        self._open = False

    def round(self, one: Round) -> None:
        """Show a round."""
        if self._json:
            shown.document(_document(one))
            sys.stdout.flush()
            return
        why = f", all rows compared: {one.reason}" if one.reason else ""
        rows = _rows(one.written, one.removed)
        text = f"revision {one.revision}: {rows} in {one.seconds:.2f} s{why}"
        if self._moves:
            sys.stderr.write(f"\r\x1b[K{text}")
            self._open = True
        elif one.written or one.removed:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line that moved."""
        if self._open:
            sys.stderr.write("\n")
            self._open = False


def _target(target: str) -> str | Path:
    return target if "://" in target else Path(target)


def _rows(written: int, removed: int) -> str:
    return f"{written:,} rows written, {removed:,} removed"


def _document(one: Round) -> dict[str, Any]:
    return {
        "revision": one.revision, "written": one.written, "removed": one.removed,
        "reason": one.reason or None, "complete": one.complete, "seconds": round(one.seconds, 6),
    }  # fmt: skip
