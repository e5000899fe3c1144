"""The rows of one moment, or those that stand in a copy, opened with the keys of a database."""

from __future__ import annotations

from holdfast.contract.engine import Engine, Layer
from holdfast.layers.encrypt.layer import EncryptLayer

__all__ = ["Elsewhere"]


class Elsewhere(EncryptLayer):
    """Reads through the keys of another layer; nothing is written.

    Args:
        layer: its keys; it is open.
        inner: holds rows as they are stored below that layer, with their revisions.
    """

    def __init__(self, layer: EncryptLayer, inner: Engine) -> None:
        Layer.__init__(self, inner)
        self._use(layer.rows, layer.places, layer.keeper)
