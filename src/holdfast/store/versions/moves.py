"""Moves: which key an identity had until when, and from when.

The versions of a value stand under its identity, whichever key it had. A rename leaves one row at
the key that it leaves and one at the key that it leads to, so that the past of a key is what stood
under that key, and not what stood elsewhere.

    K  number(4)  M  packed key  00  identity(16)  incarnation(4) version(8)  00 left, 01 arrived
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from holdfast.contract.batch import Draft
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.versions.rows import Rows, pack_life

#: Sorts before every further segment of a longer key.
_END_OF_KEY: Final = b"\0"
_LEFT: Final = b"\0"
_ARRIVED: Final = b"\1"


class Move(msgspec.Struct, frozen=True, array_like=True):
    """One side of a rename, as stored.

    Attributes:
        arrived: whether it came to this key, or left it.
        identity, incarnation, version: the last version here, or the first one.
        at_ms: when.
        other: the packed key on the other side.
    """

    arrived: bool
    identity: bytes
    incarnation: int
    version: int
    at_ms: int
    other: bytes


class Stay(NamedTuple):
    """One identity under one key: since a revision and instant (0: it began there), until others.

    Attributes:
        last: (incarnation, version) of the last version here; None: it is here still.
    """

    identity: bytes
    since: tuple[int, int] = (0, 0)
    until: tuple[int, int] | None = None
    last: tuple[int, int] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Move).decode


def move_rows(
    rows: Rows, old: bytes, new: bytes, last: tuple[bytes, int, int], version: int, at_ms: int
) -> list[tuple[bytes, bytes]]:
    """The rows of a rename.

    Args:
        old, new: data keys.
        last: identity, incarnation and version of the last version under the old key.
        version: the first one under the new key.
    """
    identity, incarnation, before = last
    life, next_life = pack_life(incarnation, before), pack_life(incarnation, version)
    here, there = old[layout.REGION_BYTES :], new[layout.REGION_BYTES :]
    left = Move(False, identity, incarnation, before, at_ms, there)
    arrived = Move(True, identity, incarnation, version, at_ms, here)
    return [
        (_of_identity(rows, here, identity) + life + _LEFT, _encode(left)),
        (_of_identity(rows, there, identity) + next_life + _ARRIVED, _encode(arrived)),
    ]


async def stays(engine: Engine, rows: Rows, data_key: bytes, now: bytes | None) -> list[Stay]:
    """Who was under a key, the latest first; `now`: the identity there, living or deleted."""
    moves = []
    prefix = _of_key(rows, data_key[layout.REGION_BYTES :])
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = await engine.scan(rest)
        moves += [(record.revision, read_move(record)) for _, record in page.rows]
        rest = page.resume
    # Of one commit, what left goes before what took its place.
    moves.sort(key=lambda one: (one[0], one[1].arrived))
    found: list[Stay] = []
    since: dict[bytes, tuple[int, int]] = {}
    for revision, move in moves:
        if move.arrived:
            since[move.identity] = (revision, move.at_ms)
        else:
            began = since.pop(move.identity, (0, 0))
            last = (move.incarnation, move.version)
            found.append(Stay(move.identity, began, (revision, move.at_ms), last))
    if now is not None:
        found.append(Stay(now, since.get(now, (0, 0))))
    return found[::-1]


async def forget_moves(
    engine: Engine,
    rows: Rows,
    draft: Draft,
    key: bytes,
    identity: bytes,
    last: tuple[int, int] | None = None,
) -> None:
    """Delete what tells of the renames of an identity whose past goes, from its last key on.

    Args:
        last: incarnation and version of the last version that goes, later renames stay; None:
            all go.
    """
    todo, seen = [key], {key}
    while todo:
        rest: Range | None = Range.prefix(_of_identity(rows, todo.pop(), identity))
        while rest is not None:
            page = await engine.scan(rest)
            for row, record in page.rows:
                try:
                    move = read_move(record)
                except IntegrityFailed:
                    continue  # `check` says so; the rest is not to wait for it.
                if last is not None and (move.incarnation, move.version) > last:
                    continue
                draft.rows[row] = None
                other = move.other
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
            rest = page.resume


def read_move(record: Record) -> Move:
    """The move in a row. Raises IntegrityFailed."""
    try:
        return _decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed("the row of a rename cannot be read; run `holdfast check`") from error


def _of_key(rows: Rows, key: bytes) -> bytes:
    return layout.region(rows.keyspace.number, layout.MOVE) + key + _END_OF_KEY


def _of_identity(rows: Rows, key: bytes, identity: bytes) -> bytes:
    return _of_key(rows, key) + identity
