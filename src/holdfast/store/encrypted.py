"""Whether a database is encrypted, asked of its engine; without loading a cipher to find out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec

from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import DecryptionFailed
from holdfast.contract.record import Range
from holdfast.store import layout

if TYPE_CHECKING:
    from holdfast.layers.encrypt.layer import EncryptLayer


def encryption_of(engine: Engine) -> EncryptLayer | None:
    """The layer that encrypts, among those above an engine; None: there is none."""
    module = sys.modules.get("holdfast.layers.encrypt.layer")
    if module is None:
        return None  # Nobody made one in this process.
    while isinstance(engine, Layer):
        if isinstance(engine, module.EncryptLayer):
            return cast("EncryptLayer", engine)
        engine = engine.inner
    return None


def below_encryption(engine: Engine) -> Engine:
    """The engine as backups read it: rows as they are stored, where they are encrypted."""
    layer = encryption_of(engine)
    return engine if layer is None else layer.inner


def opened_elsewhere(engine: Engine) -> Callable[[Engine], Engine] | None:
    """What opens rows as they are stored, of a moment or in a copy; None: they are in the clear."""
    layer = encryption_of(engine)
    if layer is None:
        return None
    from holdfast.layers.encrypt.elsewhere import Elsewhere

    return partial(Elsewhere, layer)


async def keys_wanted(engine: Engine) -> DecryptionFailed:
    """What to say of an encrypted database that was opened without keys: which ones it wants."""
    page = await engine.scan(Range.prefix(layout.SYSTEM_ENCRYPTION + b" key "))
    names: dict[str, list[int]] = {}
    for _, record in page.rows:
        # As `layers.encrypt.ring.DataKey` stores it; that module wants the cipher's library.
        key: Any = msgspec.msgpack.decode(record.value)
        if key[3] != "destroyed":
            names.setdefault(key[1], []).append(key[2])
    told = ", ".join(f"{name} {max(versions)}" for name, versions in sorted(names.items()))
    return DecryptionFailed(
        f"{engine.config.url} is encrypted, and was opened without its keys ({told or 'none'}). "
        "Open it with `encryption=`, or `?encryption=file:PATH` in its URL",
        versions=names,
    )
