"""From backup files to the rows of one moment: a full backup, and those that continue it.

Every layer of every file is in the order of keys, and the newest one speaks of each key that there
was. So the rows of its moment come out of one walk over all of them side by side, in memory that
does not grow with the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import IO, TYPE_CHECKING, NamedTuple

from holdfast.backups.framing import END, LAYER, ROWS, End, FrameReader, Head, Item, Layer
from holdfast.backups.places import open_backup, shown
from holdfast.contract.errors import IntegrityFailed, InvalidInput, NotADatabase, VersionNotFound
from holdfast.contract.record import Record
from holdfast.store.instants import milliseconds

if TYPE_CHECKING:
    from pathlib import Path

#: How many backups one restore may be put together from.
CHAIN_MAX = 1_000


class LayerPlace(NamedTuple):
    """A layer, and where in its file the rows begin."""

    layer: Layer
    place: int


class BackupFacts(NamedTuple):
    """What a backup file says of itself, once all its checksums have been compared.

    Attributes:
        name: of the file, as it is opened; errors show `shown`.
        head: what it is of.
        end: what closes it.
        layers: more than one where the backup was broken off and went on later.
    """

    name: str
    head: Head
    end: End
    layers: tuple[LayerPlace, ...]

    @property
    def shown(self) -> str:
        """The name, without the secrets of a URL."""
        return shown(self.name)


def verify_file(stream: IO[bytes], name: str) -> BackupFacts:
    """Read a whole file and compare its checksums.

    Raises:
        NotADatabase, FormatTooNew, IntegrityFailed: it cannot be restored.
    """
    reader = FrameReader(stream, name)
    layers: list[LayerPlace] = []
    while True:
        start = reader.tell()
        frame = reader.frame()
        if frame is None:
            raise IntegrityFailed(
                f"the backup {reader.name} was broken off before its end; run it once more with "
                "the same name, and it goes on from here"
            )
        kind, body = frame
        if kind == LAYER:
            layers.append(LayerPlace(reader.decode(body, Layer), reader.tell()))
        elif kind == END:
            end: End = reader.decode(body, End)
            break
        elif kind != ROWS:
            raise reader.damaged("a frame is of no known kind")
    if reader.frame() is not None:
        raise reader.damaged("something follows its end")
    if not layers or reader.sha256(start).digest() != end.sha256:
        raise reader.damaged("the checksum of the whole file does not match")
    return BackupFacts(name, reader.head, end, tuple(layers))


def verify_path(path: Path | str) -> BackupFacts:
    """The same of a file by its path or URL; NotADatabase also where it cannot be opened."""
    try:
        with open_backup(path) as stream:
            return verify_file(stream, str(path))
    except OSError as error:
        raise _unreadable(str(path), error) from error


def chain_of(files: Sequence[BackupFacts], to: int | datetime | None) -> list[BackupFacts]:
    """The backups to restore from, the full one first.

    Args:
        files: in whatever order.
        to: the newest backup no newer than this revision or instant; None: the newest.

    Raises:
        InvalidInput: they do not belong together, or one is missing.
        VersionNotFound: all of them are newer than `to`.
    """
    if not files or len(files) > CHAIN_MAX:
        raise InvalidInput(f"a restore takes 1 to {CHAIN_MAX} backup files; found {len(files)}")
    known: dict[str, BackupFacts] = {}
    for one in files:
        same = known.setdefault(one.head.id, one)
        if same is not one:
            raise InvalidInput(
                f"{one.shown} is the same backup as {same.shown}; give each of them once"
            )
    full = [one for one in files if one.head.base is None]
    if len(full) != 1:
        raise InvalidInput(
            f"a restore takes one full backup and those that continue it; found {len(full)} full "
            f"ones among {', '.join(one.shown for one in files)}"
        )
    following = {one.head.base: one for one in files if one.head.base is not None}
    chain = [full[0]]
    while (continued := following.pop(chain[-1].head.id, None)) is not None:
        if continued.head.since != chain[-1].end.revision:
            raise IntegrityFailed(
                f"the backup {continued.shown} continues revision {continued.head.since}; "
                f"{chain[-1].shown} is of revision {chain[-1].end.revision}"
            )
        chain.append(continued)
    if len(chain) != len(files):
        strange = sorted(one.shown for one in files if one not in chain)
        raise InvalidInput(
            f"{', '.join(strange)} does not continue any backup of these; give each backup in "
            "between as well, and none of another database"
        )
    if to is None:
        return chain
    wanted = [one for one in chain if no_newer(one, to)]
    if not wanted:
        raise VersionNotFound(
            f"no backup of these is so old; the oldest, {chain[0].shown}, is of revision "
            f"{chain[0].end.revision}"
        )
    return wanted


def chain_at(files: Sequence[BackupFacts], at: int | datetime) -> list[BackupFacts]:
    """The backups that make up the oldest one no older than a revision or instant.

    Raises:
        InvalidInput: they do not belong together, or one is missing.
        VersionNotFound: all of them are older.
    """
    chain = chain_of(files, None)
    for length, one in enumerate(chain, 1):
        if no_older(one, at):
            return chain[:length]
    raise VersionNotFound(
        f"the newest backup of these, {chain[-1].shown}, is older than that: of revision "
        f"{chain[-1].end.revision}. Give a later one, or restore it with `to`"
    )


def no_newer(one: BackupFacts, to: int | datetime) -> bool:
    """Whether a backup is of that moment or one before it. Raises InvalidInput."""
    if isinstance(to, datetime):
        return one.head.made_at_ms <= milliseconds(to)
    return one.end.revision <= to


def no_older(one: BackupFacts, at: int | datetime) -> bool:
    """Whether a backup is of that moment or one after it. Raises InvalidInput."""
    if isinstance(at, datetime):
        return one.head.made_at_ms >= milliseconds(at)
    return one.end.revision >= at


def merged(chain: Sequence[BackupFacts]) -> Iterator[tuple[bytes, Record]]:
    """The rows of the last backup's moment, in the order of keys.

    Raises:
        IntegrityFailed: a row is not where the files say it is.
    """
    with ExitStack() as stack:
        base: _Walk | None = None
        for backup in chain:
            layer: _Walk | None = None
            for place in backup.layers:
                stream = stack.enter_context(_opened(backup))
                layer = _Walk(FrameReader(stream, backup.name), place, layer, base)
            base = layer
        assert base is not None
        rows = 0
        while base.item is not None:
            yield base.item[0], base.record()
            base.step()
            rows += 1
        if rows != chain[-1].end.rows:
            raise IntegrityFailed(
                f"the backup {chain[-1].shown} is of {chain[-1].end.rows} rows; {rows} came "
                "out of it"
            )


def _opened(backup: BackupFacts) -> IO[bytes]:
    try:
        return open_backup(backup.name)
    except OSError as error:  # It went since it was verified.
        raise _unreadable(backup.name, error) from error


def _unreadable(name: str, error: OSError) -> NotADatabase:
    why = error.strerror or type(error).__name__
    return NotADatabase(f"the backup {shown(name)} cannot be read: {why}")


class _Walk:
    """Goes through a layer in the order of keys.

    Args:
        reader: of the file.
        place: of the layer.
        previous: goes through the layer before it in the same file.
        base: goes through the last layer of the backup that this one continues.
    """

    def __init__(
        self, reader: FrameReader, place: LayerPlace, previous: _Walk | None, base: _Walk | None
    ) -> None:
        self._reader = reader
        self._border = place.layer.border
        self._previous = previous
        self._base = base
        self._items = self._read(place)
        self.item: Item | None = next(self._items, None)

    def step(self) -> None:
        """Go to the next key."""
        before = self.item
        self.item = next(self._items, None)
        if before is not None and self.item is not None and self.item[0] <= before[0]:
            raise self._reader.damaged("its keys are out of order")

    def record(self) -> Record:
        """The row of the present key, from whichever layer has it."""
        assert self.item is not None
        key, revision, value = self.item
        if value is not None:
            return Record(value, revision)
        lower = self._previous if key < self._border else self._base
        while lower is not None and lower.item is not None and lower.item[0] < key:
            lower.step()
        if lower is None or lower.item is None or lower.item[:2] != (key, revision):
            raise self._reader.damaged("it refers to a row that is not there")
        return lower.record()

    def _read(self, place: LayerPlace) -> Iterator[Item]:
        reader = self._reader
        reader.seek(place.place)
        while True:
            frame = reader.frame()
            if frame is None or frame[0] != ROWS:
                return
            yield from reader.rows(frame[1])
