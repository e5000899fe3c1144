"""A dump of MongoDB: files of `mongodump`, each the documents of a collection as BSON."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

from holdfast.codecs.canonical import canonical_json
from holdfast.contract.errors import DriverMissing, IntegrityFailed, InvalidInput
from holdfast.stores.migration.importing.source import Item, Source, foreign, looks

#: The biggest document: what MongoDB allows, and room for its own ones.
DOCUMENT_BYTES_MAX: Final = 16 * 1024 * 1024 + 16 * 1024
#: A document begins with how many bytes it has.
LENGTH_BYTES: Final = 4
#: The smallest: a length and a zero.
DOCUMENT_BYTES_MIN: Final = 5
_ENDINGS: Final = (".bson", ".bson.gz")
_ARCHIVE: Final = bytes.fromhex("6de29981")
_GZIP: Final = b"\x1f\x8b"


def collections_of(place: Path) -> dict[str, Path]:
    """The files of a dump by the names of their collections, without those of the server."""
    files = [place] if place.is_file() else place.rglob("*.bson*") if place.is_dir() else []
    found: dict[str, Path] = {}
    for file in sorted(files):
        ending = next((one for one in _ENDINGS if file.name.endswith(one)), None)
        name = file.name.removesuffix(ending or "")
        if ending is None or name.startswith("system.") or name == "oplog":
            continue
        if name in found:
            raise InvalidInput(
                f"a dump of one database was wanted at {place}; found the collection {name} twice. "
                "Name the folder of the database, or the file"
            )
        found[name] = file
    return found


class BsonSource(Source):
    """A file of `mongodump`, or its folder of one database; compressed by --gzip or not.

    The key of a document is its `_id` as text, which stays in it as well. An ObjectId is its
    hexadecimal digits; instants, UUIDs, decimals and bytes are what they are; types that only
    MongoDB has are objects as its Extended JSON spells them.

    Args:
        place: the file or folder.
        table: which collection; empty: all, each of them named where there are several.

    Raises:
        DriverMissing: the package `pymongo`, which decodes BSON, is not installed.
        InvalidInput: nothing of a dump is there, or no such collection.
    """

    kind = "mongodb"

    def __init__(self, place: Path, *, table: str = "") -> None:
        try:
            from holdfast.stores.migration.importing.bson_values import Decoder
        except ModuleNotFoundError as error:
            raise DriverMissing(
                "the importer of MongoDB dumps needs the package pymongo, which decodes BSON; it "
                "is not installed. Next: pip install pymongo",
                driver="pymongo",
            ) from error
        self._decoder = Decoder()
        found = collections_of(place)
        if not found:
            foreign(self.kind, place, "no file that ends with .bson or .bson.gz")
        if table and table not in found:
            raise InvalidInput(
                f"a collection {table!r} was wanted; found {', '.join(sorted(found))}. Name one of "
                "these"
            )
        self._files = {table: found[table]} if table else found

    def items(self) -> Iterator[Item]:
        named = len(self._files) > 1
        for name, file in self._files.items():
            for position, content in _documents(file):
                document = self._decoder.decode(content, file, position)
                if "_id" not in document:
                    raise InvalidInput(
                        f"a document with an _id was wanted in {file} at the byte {position}; "
                        "found one without: it is no dump of a collection"
                    )
                yield Item(
                    _key(document["_id"]), document, None, name if named else "", len(content)
                )

    def look(self) -> object:
        return looks(self._files.values())


def _key(identity: Any) -> str:
    if isinstance(identity, str):
        return identity
    if isinstance(identity, int | UUID) and not isinstance(identity, bool):
        return str(identity)
    if isinstance(identity, datetime):
        return identity.isoformat()
    try:
        return canonical_json(identity).decode()
    except ValueError:
        return repr(identity)


def _documents(file: Path) -> Iterator[tuple[int, bytes]]:
    """The documents of a file with where they begin, one at a time in memory."""
    with file.open("rb") as stream:
        start = stream.read(len(_ARCHIVE))
        stream.seek(0)
        if start == _ARCHIVE:
            foreign("mongodb", file, "an archive; dump again without --archive")
        if not start.startswith(_GZIP):
            yield from _split(file, stream)
            return
        with gzip.open(stream) as unpacked:
            try:
                yield from _split(file, unpacked)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                raise IntegrityFailed(
                    f"the file {file} was wanted as gzip; it is truncated or damaged. Copy it "
                    "again; what came before is copied, and is left alone then",
                    path=str(file),
                ) from None


def _split(file: Path, stream: IO[bytes] | gzip.GzipFile) -> Iterator[tuple[int, bytes]]:
    position = 0
    while head := stream.read(LENGTH_BYTES):
        size = int.from_bytes(head, "little") if len(head) == LENGTH_BYTES else DOCUMENT_BYTES_MIN
        if not DOCUMENT_BYTES_MIN <= size <= DOCUMENT_BYTES_MAX:
            raise IntegrityFailed(
                f"a document of {DOCUMENT_BYTES_MIN} to {DOCUMENT_BYTES_MAX} bytes was wanted in "
                f"{file} at the byte {position}; found {size}: the file is damaged, or no BSON",
                path=str(file),
            )
        content = head + stream.read(size - LENGTH_BYTES)
        if len(content) != size:
            raise IntegrityFailed(
                f"a document of at least {size} bytes was wanted in {file} at the byte {position}; "
                f"the file ends after {len(content)}: it is truncated. Copy it again; what came "
                "before is copied, and is left alone then",
                path=str(file),
            )
        yield position, content
        position += size
