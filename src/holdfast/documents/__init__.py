"""Documents: collections of typed values with queries, indexes, transactions and live results.

    from holdfast.documents import F

    cities = db.collection("cities", type=City)
    big = await cities.find_many(F.population > 2_000_000, order_by=-F.population)

What a pipeline of `aggregate` is made of is in `holdfast.documents.aggregate`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.documents.caching import CacheConfig
    from holdfast.documents.collection import Collection
    from holdfast.documents.levels import (
        BatchStorage,
        IndexedStorage,
        ObservableStorage,
        QueryableStorage,
        Storage,
        TransactionalStorage,
        level_of,
    )
    from holdfast.documents.live.query import LiveQuery
    from holdfast.documents.query import Box, F, Field, Point, Query
    from holdfast.documents.results import (
        BatchFailure,
        BatchResult,
        IndexFacts,
        LiveChange,
        QueryResult,
        ResultPage,
    )
    from holdfast.documents.serialization import DocumentSerializer, SerializationConfig
    from holdfast.documents.steps import REMOVE
    from holdfast.documents.transacting import CollectionTransaction

__all__ = [
    "REMOVE",
    "BatchFailure",
    "BatchResult",
    "BatchStorage",
    "Box",
    "CacheConfig",
    "Collection",
    "CollectionTransaction",
    "DocumentSerializer",
    "F",
    "Field",
    "IndexFacts",
    "IndexedStorage",
    "LiveChange",
    "LiveQuery",
    "ObservableStorage",
    "Point",
    "Query",
    "QueryResult",
    "QueryableStorage",
    "ResultPage",
    "SerializationConfig",
    "Storage",
    "TransactionalStorage",
    "level_of",
]

#: Where the names above are. They are loaded when first asked for: programs without documents, and
#: the modules in here that need one of the others, do not pay for all.
_HOME = {
    **dict.fromkeys(("Box", "F", "Field", "Point", "Query"), "query"),
    **dict.fromkeys(
        (
            "BatchStorage",
            "IndexedStorage",
            "ObservableStorage",
            "QueryableStorage",
            "Storage",
            "TransactionalStorage",
            "level_of",
        ),
        "levels",
    ),
    **dict.fromkeys(
        ("BatchFailure", "BatchResult", "IndexFacts", "LiveChange", "QueryResult", "ResultPage"),
        "results",
    ),
    **dict.fromkeys(("DocumentSerializer", "SerializationConfig"), "serialization"),
    "CacheConfig": "caching",
    "Collection": "collection",
    "CollectionTransaction": "transacting",
    "LiveQuery": "live.query",
    "REMOVE": "steps",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
