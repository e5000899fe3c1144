"""The format row: whether the rows of a database are ours, and whether this Holdfast reads them.

The row holds `holdfast` in plain bytes, then MessagePack: the format's number and the names of the
features that a reader has to know. Code that begins to use a feature that older versions would
misread adds its name in the commit that first uses it.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from holdfast.contract.batch import Draft
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    ReadOnly,
    Unsupported,
)
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.encrypted import encryption_of, keys_wanted

#: The version of `store/layout.py` and of what its rows hold.
FORMAT: Final = 2
#: A standby: it follows another database, and nobody else writes to it.
STANDBY: Final = "standby"
#: The feature of a database whose values are encrypted: only its own layer can read them.
ENCRYPTION: Final = "encryption"
#: The features that this Holdfast knows; a database may use some of them.
FEATURES: Final[frozenset[str]] = frozenset((STANDBY, ENCRYPTION))
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

    Raises:
        NotADatabase: it holds rows that are not ours.
        FormatTooNew: a later Holdfast wrote it, or it uses a feature that is not known here.
        Unsupported: it is of a format that is no longer read.
        DecryptionFailed: it is encrypted, and was opened without its keys.
        ReadOnly: it is a standby, and was not opened for reading only.
    """
    [record] = await engine.read([layout.SYSTEM_FORMAT])
    encrypted = encryption_of(engine) is not None
    if record is not None:
        found = read_format(record, engine.config.url)
        if ENCRYPTION in found.features and not encrypted:
            raise await keys_wanted(engine)
        if STANDBY in found.features and engine.capabilities.writable:
            raise ReadOnly(
                f"{engine.config.url} is a standby, which only `holdfast follow` writes to. Open "
                "it with read_only=True; to write, stop following and run `holdfast promote`"
            )
        return found
    if (await engine.scan(Range(limit=1))).rows:
        raise NotADatabase(
            f"{engine.config.url} holds rows that Holdfast's views did not write; "
            "choose another path, or use the engine directly"
        )
    if engine.capabilities.writable:
        made = Format(features=(ENCRYPTION,) if encrypted else ())
        await engine.transact([layout.SYSTEM_FORMAT], partial(_write, made))
    return Format()


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


def with_feature(stored: bytes, feature: str) -> bytes:
    """The format row with one more feature."""
    found = _decode(stored[len(MARKER) :])
    names = tuple(sorted({*found.features, feature}))
    return write_format(Format(found.number, names))


def _too_new(url: str, number: int) -> FormatTooNew:
    return FormatTooNew(
        f"this Holdfast reads databases of format {FORMAT}; found {number} in {url}. "
        "Open it with the version that wrote it, or a later one",
        found=number,
        supported=FORMAT,
    )


def _write(made: Format, records: list[Record | None], _revision: int) -> Draft | None:
    if records[0] is not None:
        return None  # Another process was faster.
    draft = Draft()
    draft.rows[layout.SYSTEM_FORMAT] = write_format(made)
    return draft
