"""What has a twin: the handles, the files they go to, and the functions beside them.

A twin has what its handle has; here stands only what cannot be read from the handle.
"""

from __future__ import annotations

from tools.sync_twins.handwritten import CACHED, COLLECTION, LIVE, PEEK, POLL, STEPS
from tools.sync_twins.twin import Twin

TWINS = (
    Twin(
        "holdfast.database.maintenance:Maintained",
        file="maintenance",
        attributes={"config": "EngineConfig"},
        shared=True,
    ),
    Twin(
        "holdfast.database.handle:Database",
        rewrites={
            "It belongs to the event loop it was opened on. Handles of one process on one path "
            "share the\nengine, so opening it again, on another loop or in another thread, is "
            "cheap and right.": "Threads may share it, and it works where an event loop runs too. "
            "Handles of one process on one\npath share the engine, so opening it again is cheap "
            "and right.",
            "`async with` and `await holdfast.open(...)` do.": "`holdfast.sync.open` did.",
            "`await db.snapshot()` gives one to be closed by hand.": "Also to be closed by hand.",
            "`await db.lock(...)` gives it held, to be released by hand.": "`acquire` and "
            "`release` do the same by hand.",
            "`await db.transaction()`\ngives one that has begun, to be committed or rolled back by "
            "hand.": "`begin()`\ngives one to be committed or rolled back by hand.",
            "The changes of keys that match, in commit order, those to come included.": "The "
            "changes of keys that match, in commit order, those to come included.\n\nAny thread "
            "may close it, and so end the wait of another one.",
        },
        extra=COLLECTION,
    ),
    Twin("holdfast.records.verbs:EntryVerbs", file="verbs", first={"get": PEEK}, shared=True),
    Twin("holdfast.records.bulk:EntryBulk", file="verbs", plain=("set_many",), shared=True),
    Twin(
        "holdfast.records.calls:EntryCalls",
        file="calls",
        plain=("set", "modify", "delete"),
        shared=True,
    ),
    Twin(
        "holdfast.records.interface:KeyValueStoreInterface",
        file="entries",
        name="KeyValueStore",
        stands_for=("KeyValueStore",),
    ),
    Twin("holdfast.records.scope:EntryScope", file="entries", hidden=("places",)),
    Twin("holdfast.documents.queries:Queries", file="queries", shared=True),
    Twin("holdfast.documents.searched:Searched", file="queries", shared=True),
    Twin("holdfast.documents.observed:Observed", file="observed", shared=True),
    Twin("holdfast.documents.indexed:Indexed", file="observed", shared=True),
    Twin("holdfast.documents.keyed:Keyed", file="writing", shared=True),
    Twin("holdfast.documents.writing:Writing", file="writing", shared=True),
    Twin("holdfast.documents.matching:Matching", file="writing", shared=True),
    Twin("holdfast.documents.collection:Collection", file="documents"),
    Twin("holdfast.database.scope:Scope", file="moments", extra=COLLECTION),
    Twin("holdfast.documents.transacting:CollectionTransaction", file="documents"),
    Twin(
        "holdfast.documents.live.query:LiveQuery",
        file="live",
        rewrites={
            "Cancelled while it waits (a time-out), it can\nbe asked again, and nothing is lost.": (
                "Interrupted while it waits (Ctrl-C), it can\nbe asked again, and nothing is lost. "
                "Threads that share it get each\nchange once among them."
            )
        },
        extra=LIVE,
    ),
    Twin("holdfast.stores.multistore:MultiStore", file="stores"),
    Twin("holdfast.stores.verbs:Verbs", file="store_verbs", shared=True),
    Twin("holdfast.stores.store:Store", file="stores"),
    Twin("holdfast.stores.batch:StoreBatch", file="store_verbs"),
    Twin("holdfast.stores.transaction:StoreTransaction", file="store_parts"),
    Twin("holdfast.stores.mounts:MountedStore", file="store_parts"),
    Twin(
        "holdfast.stores.versions.saved:SavedStore",
        file="store_parts",
        attributes={"name": "str", "version": "int", "root": "bytes"},
    ),
    Twin(
        "holdfast.database.transaction:Transaction",
        file="moments",
        attributes={"state": "State", "revision": "int"},
        rewrites={"`async with` and `await` do.": "`with` does."},
        extra=COLLECTION,
    ),
    Twin(
        "holdfast.database.snapshot:SnapshotView",
        file="moments",
        attributes={
            "revision": "int",
            "entries": "KeyValueStore",
            "stores": "MultiStore",
            "engine": "Any",
        },
        extra=COLLECTION,
    ),
    Twin("holdfast.database.store_root:StoreRoot", file="store_root"),
    Twin("holdfast.stores.audit.audit:Audit", file="keeping"),
    Twin(
        "holdfast.store.versions.retention:Retention",
        file="keeping",
        attributes={"policies": "Mapping[int, object]"},
    ),
    Twin("holdfast.store.encryption.keys:DataKeys", file="keeping"),
    Twin(
        "holdfast.store.locks.lock:Lock",
        file="keeping",
        rewrites={"`async with` and `await` do.": "`with` does."},
    ),
    Twin(
        "holdfast.store.operation_log:OperationLog", file="keeping", attributes={"dropped": "int"}
    ),
    Twin("holdfast.records.schemas.registry:SchemaRegistry", file="entries"),
    Twin(
        "holdfast.store.feed.watch:Watch",
        file="feed",
        rewrites={
            "Cancelled while it\nwaits (a time-out), it can be asked again, and nothing is lost.": (
                "Interrupted while it\nwaits (Ctrl-C), it can be asked again, and nothing is lost. "
                "Threads that share it get each\nchange once among them."
            )
        },
        extra=POLL,
    ),
    *(
        Twin(f"holdfast.state.areas.{module}", file="state_areas")
        for module in (
            "kv:KV",
            "counter:Counter",
            "batch:BatchArea",
            "bloom:Bloom",
            "dev:Dev",
            "limiter:Limiter",
            "presence:Presence",
        )
    ),
    Twin(
        "holdfast.state.areas.lease:Lease",
        file="state_holding",
        attributes={
            "key": "str",
            "cancel_on_loss": "bool",
            "whole": "str",
            "owner": "str",
            "token": "int",
            "stamp": "bytes",
        },
        without=("__aenter__", "__aexit__"),
    ),
    Twin("holdfast.state.areas.claim:Claim", file="state_holding"),
    Twin(
        "holdfast.state.areas.semaphore:Permit",
        file="state_holding",
        attributes={"key": "str", "cancel_on_loss": "bool", "holder": "str"},
        without=("__aenter__", "__aexit__"),
    ),
    Twin("holdfast.state.areas.semaphore:Semaphore", file="state_holding"),
    Twin(
        "holdfast.state.areas.cache:Cache",
        file="state_areas",
        extra=CACHED,
        without=("through", "at_once", "forget", "tag_keys"),
    ),
    Twin(
        "holdfast.state.events.subscription:Subscription",
        file="state_events",
        attributes=dict.fromkeys(("delivered", "failed", "refused", "dropped", "gaps"), "int")
        | {
            "channel": "str",
            "handler": "Handler",
            "closed": "bool",
            "runtime": "object",
            "ready": "object",
        },
        without=("deliver", "gap", "close"),
    ),
    Twin(
        "holdfast.state.events.area:EventAccessor",
        file="state_events",
        attributes={"channel": "str"},
    ),
    Twin("holdfast.state.events.area:EventDirectory", file="state_events", extra=STEPS),
    Twin(
        "holdfast.state.events.area:EventsArea",
        file="state_events",
        extra=STEPS,
        without=("republish", "plain", "of"),
    ),
    Twin(
        "holdfast.state.streams.consuming:Consumption",
        file="state_streams",
        attributes=dict.fromkeys(("done", "failed", "dead", "interruptions"), "int"),
    ),
    Twin(
        "holdfast.state.streams.group:StreamGroup",
        file="state_streams",
        attributes={"name": "str", "consumer": "str"},
    ),
    Twin(
        "holdfast.state.streams.recurring:Recurrence",
        file="state_streams",
        attributes=dict.fromkeys(("appended", "interruptions"), "int"),
    ),
    Twin("holdfast.state.streams.area:Streams", file="state_streams"),
    Twin("holdfast.state.store:ScopedStore", file="state", extra=CACHED, without=("area",)),
)

#: What each file is for, in the order in which they may import each other.
PURPOSES = {
    "feed": "The twin of a watch.",
    "verbs": "What entries can do, for their twins.",
    "calls": "The calls on entries that are spelled in their verbs, for their twins.",
    "entries": "The twins of entries and their schemas.",
    "queries": "What a collection answers, for its twins.",
    "observed": "What a collection tells, and its indexes, for its twins.",
    "live": "The twin of live queries.",
    "writing": "What changes the documents of a collection, for its twins.",
    "documents": "The twins of collections and their transactions.",
    "store_verbs": "What every store can do, for the twins of stores.",
    "store_parts": "The twins of transactions, parts and saved versions of stores.",
    "stores": "The twins of named stores.",
    "store_root": "The twin of a folder of stores.",
    "state_areas": "The twins of the areas of state that keep values.",
    "state_holding": "The twins of claims, leases, semaphores and their permits.",
    "state_events": "The twins of events of state.",
    "state_streams": "The twins of streams of state.",
    "state": "The twin of a store of state, and `state_store`.",
    "keeping": "The twins of what keeps, locks, logs and proves.",
    "moments": "The twins of transactions, snapshots and scopes of a database.",
    "maintenance": "What looks after a database, for its twin.",
    "moving": "The twins of `restore`, `follow`, `promote` and `upgrade`.",
    "database": "The twin of the database, and of `open`.",
}

# Packages that are loaded when first needed: imported for type checkers only.
LOADED_LATER = (
    "holdfast.records.schemas",
    "holdfast.documents",
    "holdfast.backups",
    "holdfast.layers.encrypt",
    "holdfast.store.stats",
    "holdfast.state",
    "holdfast.stores.audit",
    "holdfast.stores.merkle",
    "holdfast.stores.versions",
)

# Functions that are no method of a handle: module and name.
FUNCTIONS = (
    ("holdfast.database.restoring", "restore"),
    ("holdfast.database.restoring", "verify_backups"),
    ("holdfast.database.following", "follow"),
    ("holdfast.database.following", "promote"),
    ("holdfast.database.upgrading", "upgrade"),
)

# What the code written by hand above and below names: module and name.
IMPORTS = {
    "AbstractContextManager": "contextlib",
    "P": "holdfast.state.driven",
    "R": "holdfast.state.driven",
    "DrivenFunction": "holdfast.state.driven",
    "Duration": "holdfast.state.checks",
    "Sequence": "collections.abc",
    "Callable": "collections.abc",
    "Iterator": "collections.abc",
    "TracebackType": "types",
    "Any": "typing",
    "Self": "typing",
    "TypeVar": "typing",
    "Generic": "typing",
    "overload": "typing",
    "NOT_NOW": "holdfast.contract.engine",
    "StoreClosed": "holdfast.contract.errors",
    "TimedOut": "holdfast.contract.errors",
    "DrivenIterator": "holdfast.runtime.drive",
    "EngineConfig": "holdfast.contract.config",
    "History": "holdfast.store.keyspaces",
    "drive": "holdfast.runtime.drive",
}

#: What generic handles and methods leave open.
VARIABLES = {"T", "S"}
