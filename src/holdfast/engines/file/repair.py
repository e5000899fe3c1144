"""Mending a damaged journal: what is sound is written anew, what is not is named and set aside.

Nothing is lost by it: the files as they were found stay in a directory of their own. The revisions
begin a new lineage, because what was given up may have been acknowledged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.contract.errors import IntegrityFailed, StoreNotFound
from holdfast.contract.files import flush_directory
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.file_failures import translated
from holdfast.engines.embedded.lock import Lock
from holdfast.engines.embedded.open_file import OpenFile
from holdfast.engines.file.config import FileConfig
from holdfast.engines.file.index import (
    Index,
    Kept,
    at_in,
    length_in,
    place_of,
    segment_in,
)
from holdfast.engines.file.manifest import Manifest
from holdfast.engines.file.place import Place
from holdfast.engines.file.records import FORMAT_VERSION, Commit, Found, Header, Row, Unsound
from holdfast.engines.file.replay import Replay
from holdfast.engines.file.segment import FORMATS, Segment, name_of

#: Rows of one commit in the journal that is written anew.
ROWS_MAX = 1000
#: Records given up that are told one by one.
TOLD_MAX = 100


@dataclass
class Salvage:
    """What could be read.

    Attributes:
        index: what the sound records say.
        segments: that they stand in, by number.
        told: what was found and given up, for people.
        given_up: how many records.
    """

    index: Index = field(default_factory=Index)
    segments: dict[int, Segment] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    given_up: int = 0

    def tell(self, segment: Segment, found: Found, why: str) -> None:
        """Note that a record is given up."""
        self.given_up += 1
        if len(self.told) < TOLD_MAX:
            self.told.append(
                f"given up: {segment.path.name}, the {segment.format.unit} {found.number} (at byte "
                f"{found.at}, {found.length} bytes): it {why}"
            )


def repair(config: FileConfig, components: Components) -> list[str]:
    """Mend the database; what was done, a line each. Nothing is done where nothing is wrong.

    Raises:
        StoreNotFound: there is no database.
        StoreLocked: it is open.
        NotADatabase: something else is there.
    """
    place = Place(config.path)
    if not place.directory.is_dir() or not (place.manifest.exists() or place.segments()):
        raise StoreNotFound(f"there is no database at {place.directory}", path=str(place.directory))
    lock = Lock(place.lock, "file", writes=True)
    try:
        with translated(place.directory):
            lock.take(config.lock_timeout, components.clock.now_ms())
            told: list[str] = []
            manifest = _manifest(place, told)
            names = place.segments()
            if manifest is not None:
                names = sorted({*names, *manifest.segments})
                told += [
                    f"given up: {name}, which is listed and not there"
                    for name in manifest.segments
                    if not (place.directory / name).exists()
                ]
            segments = [
                Segment(place.directory / name, OpenFile(place.directory / name, "rb"))
                for name in names
                if (place.directory / name).exists()
            ]
            if manifest is not None and not told and _sound(manifest, segments):
                return []
            return told + _mend(place, config, components, manifest, segments)
    finally:
        lock.close()


def _manifest(place: Place, told: list[str]) -> Manifest | None:
    try:
        manifest = place.read_manifest()
    except IntegrityFailed as error:
        told.append(f"given up: {error}")
        return None
    if manifest is None:
        told.append(f"made anew: {place.manifest.name}, which was missing")
    return manifest


def _sound(manifest: Manifest, segments: list[Segment]) -> bool:
    listed = [segment for segment in segments if segment.path.name in manifest.segments]
    index = Index()
    replay = Replay(index, manifest.store)
    for segment in listed:
        last = segment is listed[-1]
        replay.take(segment, last=last, lossy=manifest.unflushed is not None)
    behind = [one for one in segments if listed and one.number > listed[-1].number]
    return (
        not replay.damage
        and (index.head >= manifest.head or manifest.unflushed is not None)
        and not any(_commits(one) for one in behind)
    )


def _commits(segment: Segment) -> bool:
    walk = segment.format.walk(segment.read, 0, segment.length)
    return any(type(found.record) is Commit for found in walk)


def _mend(
    place: Place,
    config: FileConfig,
    components: Components,
    manifest: Manifest | None,
    segments: list[Segment],
) -> list[str]:
    salvage = Salvage()
    for segment in _in_order(segments, manifest.store if manifest else None, salvage):
        _take(segment, salvage)
    if manifest is not None and salvage.index.head < manifest.head:
        salvage.told.append(
            f"missing: what was committed from revision {salvage.index.head + 1} to {manifest.head}"
        )
    head = max(salvage.index.head, manifest.head if manifest else 0)
    aside = _set_aside(place, [segment.path for segment in segments])
    number = 1 + max((segment.number for segment in segments), default=0)
    store = manifest.store if manifest else components.ids.new().hex()
    name = _write_anew(place, config, number, store, head, salvage)
    place.write_manifest(Manifest(store, components.ids.new().hex(), (name,), head))
    for segment in segments:
        segment.path.unlink()
    flush_directory(place.directory)
    told = salvage.told
    if salvage.given_up > TOLD_MAX:
        told.append(f"... and {salvage.given_up - TOLD_MAX} more records")
    told.append(
        f"kept: {len(salvage.index.records)} rows up to revision {head}, written anew to {name}; "
        "where a record was given up, its key has what it had before. Watchers begin anew (the "
        "lineage changed)"
    )
    told.append(f"set aside: the files as they were found, in {aside}")
    return told


def _in_order(segments: list[Segment], store: str | None, salvage: Salvage) -> Iterator[Segment]:
    """The segments in the order that they were written in, whatever their names are now."""
    ordered: list[tuple[int, Segment]] = []
    for segment in segments:
        walk = segment.format.walk(segment.read, 0, segment.length)
        first = next(walk, None)
        number = segment.number
        if first is not None and type(first.record) is Header:
            header = first.record
            if store is not None and header.store != store:
                salvage.tell(segment, first, "belongs to another database; so does the whole file")
                continue
            if header.segment != number:
                salvage.told.append(
                    f"put in order: {segment.path.name} is segment {header.segment}"
                )
                number = header.segment
        ordered.append((number, segment))
    ordered.sort(key=lambda pair: (pair[0], pair[1].number))
    for _, segment in ordered:
        yield segment


def _take(segment: Segment, salvage: Salvage) -> None:
    """Take in what is sound: rows count even where others of their commit do not."""
    index = salvage.index
    salvage.segments[segment.number] = segment
    open_rows: list[tuple[Row, Kept, Found]] = []
    for found in segment.format.walk(segment.read, 0, segment.length):
        record = found.record
        if isinstance(record, Unsound):
            salvage.tell(segment, found, record.why)
        elif type(record) is Row:
            place = place_of(segment.number, found.at, found.length)
            open_rows.append((record, (place, record.revision), found))
        elif type(record) is Commit:
            for row, kept, _ in open_rows:
                if row.value is None:
                    index.records.pop(row.key, None)
                else:
                    index.records[row.key] = kept
            open_rows.clear()
            index.head = max(index.head, record.revision)
    for _, _, found in open_rows:
        salvage.tell(segment, found, "follows the last commit: it was never acknowledged")


def _set_aside(place: Place, paths: list[Path]) -> Path:
    """Give the files a second name in a directory of their own."""
    number = 1
    while (aside := place.directory / f"damaged-{number}").exists():
        number += 1
    aside.mkdir(mode=0o700)
    for path in [*paths, place.manifest]:
        if path.exists():
            os.link(path, aside / path.name)
    flush_directory(aside)
    flush_directory(place.directory)
    return aside


def _write_anew(
    place: Place, config: FileConfig, number: int, store: str, head: int, salvage: Salvage
) -> str:
    """Write the rows to a new segment, which becomes the only one."""
    format = FORMATS[config.format]
    path = place.directory / name_of(number, format)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    target = Segment(path, OpenFile(beside, "x+b"))
    at = 0

    def write(parts: list[bytes]) -> None:
        nonlocal at
        data = b"".join(parts)
        target.write(at, data)
        at += len(data)

    write([format.encode(Header(FORMAT_VERSION, number, store, head))])
    parts: list[bytes] = []
    for key in sorted(salvage.index.records):
        place_, _ = salvage.index.records[key]
        source = salvage.segments[segment_in(place_)]
        row = source.format.row(source.read(at_in(place_), length_in(place_)))
        parts.append(format.encode(row))
        if len(parts) == ROWS_MAX:
            write([*parts, format.encode(Commit(head, head, len(parts)))])
            parts = []
    write([*parts, format.encode(Commit(head, head, len(parts)))])
    os.fsync(target.file.fileno())
    beside.replace(path)
    flush_directory(place.directory)
    target.file.close()
    return path.name
