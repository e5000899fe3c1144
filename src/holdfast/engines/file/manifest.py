"""The manifest: which segments make up the database, in their order.

It is replaced as a whole (written beside, flushed, renamed, the directory flushed), so that a crash
leaves the old one or the new one. What it says of the newest revision is a lower bound: a journal
that ends before it has lost something.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from holdfast.contract.errors import FormatTooNew, NotADatabase
from holdfast.engines.file.failures import damaged
from holdfast.engines.file.records import FORMAT_VERSION
from holdfast.engines.file.segment import is_segment

NAME = "manifest.json"
#: Longer than one of a million segments.
_BYTES_MAX = 32 * 2**20
_WHAT = "file database"


@dataclass(frozen=True)
class Manifest:
    """What the manifest says.

    Attributes:
        store: names the database for good; each segment repeats it.
        lineage: of its revisions.
        segments: names of files, the oldest first.
        head: a revision that the journal reaches at least.
        unflushed: the start of the machine since which commits were acknowledged before they were
            flushed; None: there are none, or all of them were flushed.
    """

    store: str
    lineage: str
    segments: tuple[str, ...] = ()
    head: int = 0
    unflushed: str | None = None

    def with_segments(self, segments: tuple[str, ...], head: int) -> Manifest:
        """The same with these segments, once the journal is known to reach the head."""
        return replace(self, segments=segments, head=head)

    def encode(self) -> bytes:
        """The text of the file, with a checksum."""
        said = {"holdfast": _WHAT, "format": FORMAT_VERSION, **asdict(self)}
        return _pretty({**said, "crc": _crc(said)}) + b"\n"


def decode(path: Path, text: bytes) -> Manifest:
    """What the text of the file says.

    Raises:
        NotADatabase: another program wrote it.
        FormatTooNew: a newer Holdfast wrote it.
        IntegrityFailed: it is damaged.
    """
    try:
        said: dict[str, Any] = orjson.loads(text)
    except ValueError:
        if _WHAT.encode() in text or not text.strip(b"\0"):
            raise damaged(path, "it is no JSON") from None
        raise _foreign(path) from None
    if not isinstance(said, dict) or said.get("holdfast") != _WHAT:
        raise _foreign(path)
    crc = said.pop("crc", None)
    if crc is not None and crc != _crc(said):
        raise damaged(
            path, "it does not match its checksum; where it was changed on purpose, remove its crc"
        )
    found = said.pop("format", None)
    if isinstance(found, int) and found > FORMAT_VERSION:
        raise FormatTooNew(
            f"a newer Holdfast wrote {path} in format {found}; this one reads up to "
            f"{FORMAT_VERSION}. Upgrade holdfast",
            found=found,
            supported=FORMAT_VERSION,
        )
    del said["holdfast"]
    try:
        return _verified(path, Manifest(**{**said, "segments": tuple(said["segments"])}))
    except (KeyError, TypeError):
        raise damaged(path, f"it holds {sorted(said)}") from None


def read(path: Path) -> Manifest:
    """The manifest at the path. Raises what `decode` raises, and FileNotFoundError."""
    with path.open("rb", buffering=0) as file:
        text = file.read(_BYTES_MAX)
    return decode(path, text)


def _verified(path: Path, manifest: Manifest) -> Manifest:
    wrong = [name for name in manifest.segments if type(name) is not str or not is_segment(name)]
    texts = (manifest.store, manifest.lineage, manifest.unflushed or "")
    if wrong or any(type(text) is not str for text in texts) or type(manifest.head) is not int:
        raise damaged(path, f"it names no segment with {wrong}" if wrong else "its types are wrong")
    numbers = [int(name.partition(".")[0]) for name in manifest.segments]
    if numbers != sorted(set(numbers)):
        raise damaged(path, "its segments are out of order")
    return manifest


def _pretty(said: dict[str, Any]) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_INDENT_2)


def _crc(said: dict[str, Any]) -> str:
    # Of what it says, not of how it is laid out: who formats it anew changes nothing.
    return f"{crc32(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)):08x}"


def _foreign(path: Path) -> NotADatabase:
    return NotADatabase(
        f"{path} belongs to another program; point the URL at a new or empty directory",
        path=str(path.parent),
    )
