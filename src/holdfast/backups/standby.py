"""What a standby says of itself: whom it follows, how far it is, and who writes to it.

Its format row names the feature `standby`, so that no program writes to it but the follower. A
standby has a lineage of its own from its first day and keeps it when it is promoted: cursors of the
source are refused there, because the source may have gone on after the standby's last round.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from holdfast.backups.walking import PASSING
from holdfast.contract.batch import Batch, CheckKey, Delete, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, IntegrityFailed, InvalidInput, StoreExists
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.format import STANDBY, Format, read_format, write_format

#: Rows in which a standby and its source differ.
OWN = (*PASSING, layout.SYSTEM_FORMAT, layout.SYSTEM_STANDBY)


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """The standby's row.

    Attributes:
        source: lineage of the database that it follows.
        revision: of the source, as of the last round that was taken whole.
        whole: False in the middle of a round that takes several steps.
        follower: who writes to it, 16 bytes; the latest to begin.
        at_ms: when that was.
    """

    source: str
    revision: int
    whole: bool
    follower: bytes
    at_ms: int


class Promoted(NamedTuple):
    """What a standby became.

    Attributes:
        revision: of the commit that made it a database of its own.
        followed: revision of the source up to which it has everything.
        lineage: of the database now.
    """

    revision: int
    followed: int
    lineage: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Standing).decode


def standing_row(standing: Standing, revision: int) -> tuple[bytes, Record]:
    """The row to load."""
    return layout.SYSTEM_STANDBY, Record(_encode(standing), revision)


def format_row(source: Record, url: str) -> tuple[bytes, Record]:
    """The format row of a standby, from that of its source."""
    found = read_format(source, url)
    features = tuple(sorted({*found.features, STANDBY}))
    return layout.SYSTEM_FORMAT, Record(
        write_format(Format(found.number, features)), source.revision
    )


async def standing_of(engine: Engine) -> Standing | None:
    """What the standby says of itself; None: it is none. Raises IntegrityFailed."""
    [record] = await engine.read([layout.SYSTEM_STANDBY])
    if record is None:
        return None
    try:
        return _decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            f"{engine.config.url} is a standby that cannot be read; remove it and follow anew"
        ) from error


async def require_follower(engine: Engine, source: Engine) -> Standing | None:
    """What the standby of that source says; None: nothing stands there yet.

    Raises:
        StoreExists: it is another database.
        Compacted: it follows another database, or this one before a restore.
    """
    standing = await standing_of(engine)
    url = engine.config.url
    if standing is None:
        if await engine.head() or (await engine.scan(Range(limit=1))).rows:
            raise StoreExists(
                f"something stands at {url} that is no standby: give another address, or remove "
                "it first"
            )
        return None
    if standing.source != source.lineage:
        raise Compacted(
            f"{url} follows another database than {source.config.url}, or that one before it was "
            "restored or lost writes: nothing tells what differs. Remove it and follow anew",
            lineage=source.lineage,
        )
    return standing


async def promote(engine: Engine) -> Promoted:
    """Make a database of its own of a standby; the engine is open.

    Raises:
        InvalidInput: it is no standby.
        IntegrityFailed: its last round was broken off in the middle.
    """
    standing = await standing_of(engine)
    [row, marker] = await engine.read([layout.SYSTEM_STANDBY, layout.SYSTEM_FORMAT])
    url = engine.config.url
    if standing is None or row is None:
        raise InvalidInput(
            f"{url} is no standby; give the address that `holdfast follow` writes to"
        )
    if not standing.whole or marker is None:
        raise IntegrityFailed(
            f"the follower of {url} was broken off in the middle of a round of several steps: it "
            "holds some of one moment and some of another. Follow once more, or restore a backup"
        )
    found = read_format(marker, url)
    features = tuple(name for name in found.features if name != STANDBY)
    # Another one that promotes it meanwhile, or a follower that goes on, is noticed.
    receipt = await engine.commit(
        Batch(
            [
                CheckKey(layout.SYSTEM_STANDBY, row.revision),
                CheckKey(layout.SYSTEM_FORMAT, marker.revision),
                Put(layout.SYSTEM_FORMAT, write_format(Format(found.number, features))),
                Delete(layout.SYSTEM_STANDBY),
            ]
        )
    )
    return Promoted(receipt.revision, standing.revision, engine.lineage)
