"""Importers: what people have, read without writing to it, item by item."""

from __future__ import annotations

from holdfast.stores.migration.importing.opening import KINDS, guess, open_source
from holdfast.stores.migration.importing.source import Item, Source
from holdfast.stores.migration.importing.writing import (
    Imported,
    import_documents,
    import_entries,
    import_pairs,
)

__all__ = [
    "KINDS",
    "Imported",
    "Item",
    "Source",
    "guess",
    "import_documents",
    "import_entries",
    "import_pairs",
    "open_source",
]
