"""The format row: whether the rows of a database are ours, and whether this Holdfast reads them.

The row holds `holdfast` in plain bytes, then MessagePack: the format's number and the names of the
features that a reader has to know. Code that begins to use a feature that older versions would
misread adds its name in the commit that first uses it.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

import msgspec

from holdfast.contract.batch import Draft
from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import (
    ConfigInvalid,
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    ReadOnly,
    Unsupported,
)
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.encrypted import keys_wanted

#: The version of `store/layout.py` and of what its rows hold.
FORMAT: Final = 2
#: A standby: it follows another database, and nobody else writes to it.
STANDBY: Final = "standby"
#: The feature of a database whose values are encrypted: only its own layer can read them.
ENCRYPTION: Final = "encryption"
#: The feature of a database that the layer `compress` was above: values may be packed by it.
COMPRESS: Final = "compress"
#: The features that this Holdfast knows; a database may use some of them.
FEATURES: Final[frozenset[str]] = frozenset((STANDBY, ENCRYPTION, COMPRESS))
#: What the format row begins with.
MARKER: Final = b"holdfast"
#: What format 1 had in its place.
_FORMAT_1: Final = (1).to_bytes(2, "big")


class _Number(msgspec.Struct, frozen=True, array_like=True):
    """The first field of every format row."""

    number: int


class Format(msgspec.Struct, frozen=True, array_like=True):
    """What the format row says.

    Attributes:
        number: of the format.
        features: names of what a reader has to know.
    """

    number: int = FORMAT
    features: tuple[str, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Format).decode
_decode_number = msgspec.msgpack.Decoder(_Number).decode


async def require_format(engine: Engine) -> Format:
    """What the database says of itself; a new one is made ours.

    A database that gets the layer `compress` later says so from then on, before the layer packs
    its first value. One that is opened for reading only stays as it is.

    Raises:
        NotADatabase: it holds rows that are not ours.
        FormatTooNew: a later Holdfast wrote it, or it uses a feature that is not known here.
        Unsupported: it is of a format that is no longer read.
        DecryptionFailed: it is encrypted, and was opened without its keys.
        ConfigInvalid: its values may be packed by the layer `compress`, which is not there.
        ReadOnly: it is a standby, and was not opened for reading only.
    """
    url, writable = engine.config.url, engine.capabilities.writable
    understood = features_above(engine)
    record = await _stored(engine)
    if record is None and (await engine.scan(Range(limit=1))).rows:
        record = await _stored(engine)  # Another process may just have made it.
        if record is None:
            raise _not_ours(url)
    if record is None and writable:
        made = Format(features=tuple(sorted(understood)))
        await engine.transact([layout.SYSTEM_FORMAT], partial(_made, made))
        record = await _stored(engine)  # Ours, or that of a process that was faster.
    if record is None:
        return Format()
    found = read_format(record, url)
    if ENCRYPTION in found.features and ENCRYPTION not in understood:
        raise await keys_wanted(engine)
    if COMPRESS in found.features and COMPRESS not in understood:
        raise ConfigInvalid(
            f"{url} holds values that the layer compress may have packed, and was opened without "
            "it. Open it with `?layers=compress` in its URL, or layers=['compress']; to do without "
            "the layer, copy it from there: `await db.copy_to(address)`",
            parameter="layers",
        )
    if STANDBY in found.features and writable:
        raise ReadOnly(
            f"{url} is a standby, which only `holdfast follow` writes to. Open "
            "it with read_only=True; to write, stop following and run `holdfast promote`"
        )
    if COMPRESS in understood and COMPRESS not in found.features and writable:
        await engine.transact([layout.SYSTEM_FORMAT], _compressed)
        found = Format(found.number, tuple(sorted({*found.features, COMPRESS})))
    return found


async def stored_format(engine: Engine) -> int | None:
    """The number of the format of the rows, which is read as it stands; None: no view wrote any.

    Raises as `require_format`, except what concerns layers, keys and standbys: the format row is
    in plain bytes under all of them.
    """
    url = engine.config.url
    record = await _stored(engine)
    if record is None and (await engine.scan(Range(limit=1))).rows:
        record = await _stored(engine)  # Another process may just have made it.
        if record is None:
            raise _not_ours(url)
    return None if record is None else read_format(record, url).number


def features_above(engine: Engine) -> frozenset[str]:
    """The features that the layers above an engine bring with them, and can read."""
    found: set[str] = set()
    while isinstance(engine, Layer):
        found.add(engine.feature)
        engine = engine.inner
    return FEATURES.intersection(found)


def read_format(record: Record, url: str) -> Format:
    """The format in its row, if this Holdfast reads it. Raises as `require_format`."""
    value = record.value
    if value == _FORMAT_1:
        raise Unsupported(
            f"{url} is of format 1, which is no longer read. With the Holdfast that wrote it: "
            "`holdfast export` to a file; then `holdfast import` that file here, into a new "
            "database. Nothing was changed",
            found=1,
            supported=FORMAT,
        )
    if not value.startswith(MARKER):
        raise IntegrityFailed(f"the format row of {url} cannot be read; run `holdfast check`")
    try:
        # The number first: what stands behind it is the business of that format.
        number = _decode_number(value[len(MARKER) :]).number
        if number > FORMAT:
            raise _too_new(url, number)
        found = _decode(value[len(MARKER) :])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            f"the format row of {url} cannot be read; run `holdfast check`"
        ) from error
    unknown = sorted(set(found.features) - FEATURES)
    if unknown:
        raise FormatTooNew(
            f"{url} uses features that this Holdfast does not know: {', '.join(unknown)}. "
            "Open it with the version that wrote it, or a later one",
            found=found.number,
            supported=FORMAT,
            features=unknown,
        )
    return found


def write_format(format: Format) -> bytes:
    """The row that says this."""
    return MARKER + _encode(format)


def with_features(
    stored: bytes, *, add: AbstractSet[str], drop: AbstractSet[str] = frozenset()
) -> bytes:
    """The format row with more features, or fewer."""
    found = _decode(stored[len(MARKER) :])
    return write_format(Format(found.number, tuple(sorted({*found.features} - drop | add))))


def _not_ours(url: str) -> NotADatabase:
    return NotADatabase(
        f"{url} holds rows that Holdfast's views did not write; "
        "choose another path, or use the engine directly"
    )


def _too_new(url: str, number: int) -> FormatTooNew:
    return FormatTooNew(
        f"this Holdfast reads databases of format {FORMAT}; found {number} in {url}. "
        "Open it with the version that wrote it, or a later one",
        found=number,
        supported=FORMAT,
    )


async def _stored(engine: Engine) -> Record | None:
    [record] = await engine.read([layout.SYSTEM_FORMAT])
    return record


def _made(made: Format, records: list[Record | None], _revision: int) -> Draft | None:
    """Write the row of a new database."""
    return _written(write_format(made)) if records[0] is None else None


def _compressed(records: list[Record | None], _revision: int) -> Draft | None:
    """Add the feature of the layer `compress`, unless another process did or the row is gone."""
    if records[0] is None:
        return None
    stored = with_features(records[0].value, add={COMPRESS})
    return None if stored == records[0].value else _written(stored)


def _written(stored: bytes) -> Draft:
    draft = Draft()
    draft.rows[layout.SYSTEM_FORMAT] = stored
    return draft
