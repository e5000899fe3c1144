"""Write `src/holdfast/sync/`, the sync twins, from the async handles: one file for each view.

    python tools/make_sync.py            write it
    python tools/make_sync.py --check    exit code 1 when it is not what would be written

A twin has the signatures and the docstrings of its handle, read from the living classes. Each
method drives the handle's own coroutine; only what is in TWINS below is written by hand.
"""

import argparse
import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, get_overloads

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src" / "holdfast" / "sync"
sys.path.insert(0, str(ROOT / "src"))


@dataclass(frozen=True)
class Twin:
    """One handle to be twinned.

    Attributes:
        source: module and class of the async handle.
        file: which file of the package it stands in.
        name: of the twin; the handle's own unless given.
        stands_for: further classes that annotations of the handles may name for it.
        attributes: what `__init__` of the handle sets for its users, with types.
        rewrites: sentences of docstrings that are not true of the twin, and what is. Each must
            occur.
        extra: methods that only the twin has.
        plain: coroutines that the twin runs itself, statement by statement: it drives what they
            await, and what they find done at once was never a coroutine.
        first: what the twin tries before it drives the coroutine of a method.
        hidden: attributes that are for other modules, not for users.
        without: methods that the twin does not have.
        shared: it is what other twins inherit, as their handles inherit its handle, and nothing
            that users name.
    """

    source: str
    file: str = "database"
    name: str = ""
    stands_for: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    rewrites: dict[str, str] = field(default_factory=dict)
    extra: str = ""
    plain: tuple[str, ...] = ()
    first: dict[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    shared: bool = False

    @property
    def handle(self) -> type:
        module, _, name = self.source.partition(":")
        handle = getattr(importlib.import_module(module), name)
        assert isinstance(handle, type)
        return handle

    @property
    def twin(self) -> str:
        return self.name or self.handle.__name__

    @property
    def alias(self) -> str:
        """What the generated module calls the async handle."""
        name = self.handle.__name__
        return f"ASYNC_{name}" if name.isupper() else f"Async{name}"

    @property
    def generic(self) -> bool:
        """Whether the handle is one of values of some type."""
        return bool(getattr(self.handle, "__parameters__", ()))

    @property
    def base(self) -> "Twin | None":
        """The twin that this one inherits: of the nearest base of its handle that has one."""
        shared = {one.handle: one for one in TWINS if one.shared}
        return next((shared[one] for one in self.handle.__mro__[1:] if one in shared), None)

    @property
    def owners(self) -> list[type]:
        """The handle and its bases of this project, but for those that the base's twin mirrors."""
        inherited = () if self.base is None else self.base.handle.__mro__
        return [
            one
            for one in self.handle.__mro__
            if one.__module__.partition(".")[0] == "holdfast" and one not in inherited
        ]

    @property
    def iterates(self) -> bool:
        return hasattr(self.handle, "__anext__")


POLL = '''
def poll(self, timeout_s: float = 0) -> Change | None:
    """The next change, or None when none comes within that time.

    Raises:
        StoreClosed: the watch is closed.
    """
    try:
        return self._items.take(timeout_s)
    except TimedOut:
        return None
    except StopIteration:
        raise StoreClosed("the watch is closed; begin another one with `db.watch`") from None
'''

LIVE = '''
def __len__(self) -> int:
    return len(self._inner)

def __bool__(self) -> bool:
    return True  # Also without a result.

def poll(self, timeout_s: float = 0) -> LiveChange[T] | None:
    """The next change, or None when none comes within that time.

    Raises:
        StoreClosed: the handle is closed.
    """
    try:
        return self._items.take(timeout_s)
    except (TimedOut, StopIteration):
        return None
'''

PEEK = """
if version is None and at is None and expect is None:
    found = self._inner.peek(key)
    if found is not NOT_NOW:
        return found
"""

#: Of every handle that has collections: a type checker tells typed ones from plain ones.
COLLECTION = '''
@overload
def collection(self, name: str, *, history: History | None = None) -> Collection[Any]: ...
@overload
def collection(
    self, name: str, type: type[T], *, history: History | None = None
) -> Collection[T]: ...
def collection(
    self, name: str, type: type[Any] | None = None, *, history: History | None = None
) -> Collection[Any]:
    """The collection of that name: typed documents; see `holdfast.Database.collection`.

    Raises:
        InvalidName, InvalidInput: the arguments cannot be.
    """
    kind = dict if type is None else type
    return Collection(self._inner.collection(name, kind, history=history))
'''

#: Of what keeps results: the decorator makes a plain function.
CACHED = '''
def cached(
    self,
    *,
    ttl: Duration,
    key: str | Callable[..., str] | None = None,
    tags: Sequence[str] | Callable[..., Sequence[str]] = (),
    stale: Duration | None = None,
    early: Duration | None = None,
) -> Callable[[Callable[P, R]], DrivenFunction[P, R]]:
    """Keep what a plain function returns; see `holdfast.state.areas.cache.Cache.cached`."""
    from holdfast.state.driven import DrivenFunction

    caching = self._inner.cached(ttl=ttl, key=key, tags=tags, stale=stale, early=early)
    return lambda function: DrivenFunction(caching(function))
'''

#: Of every place in the tree of declared events.
STEPS = '''
def __getitem__(self, name: str) -> Any:
    """The event or group of that name."""
    return _twin_of(self._inner[name])

def __getattr__(self, name: str) -> Any:
    return _twin_of(getattr(self._inner, name))

def __dir__(self) -> list[str]:
    return [*super().__dir__(), *dir(self._inner)]
'''

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
    Twin("holdfast.documents.keyed:Keyed", file="documents", shared=True),
    Twin("holdfast.documents.writing:Writing", file="documents", shared=True),
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
        without=("through", "forget", "tag_keys"),
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
    Twin("holdfast.state.streams.area:Streams", file="state_streams"),
    Twin("holdfast.state.store:ScopedStore", file="state", extra=CACHED, without=("area",)),
)

NAMES = {known: twin.twin for twin in TWINS for known in (twin.handle.__name__, *twin.stands_for)}
#: The one twin that is written by hand: an iterator that many threads may share.
NAMES["Walk"] = "Walk"
#: A snapshot about to be taken is taken at once.
NAMES["Opening"] = "SnapshotView"

PREAMBLE = '''# Generated by tools/make_sync.py from the async handles; `make sync` writes it anew.
"""{purpose}"""

from __future__ import annotations

'''

#: What each file is for, in the order in which they may import each other.
PURPOSES = {
    "feed": "The twin of a watch.",
    "verbs": "What entries can do, for their twins.",
    "calls": "The calls on entries that are spelled in their verbs, for their twins.",
    "entries": "The twins of entries and their schemas.",
    "queries": "What a collection answers, for its twins.",
    "observed": "What a collection tells, and its indexes, for its twins.",
    "live": "The twin of live queries.",
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
    "database": "The twin of the database, and of `open` and `restore`.",
}

PACKAGE = '''# Generated by tools/make_sync.py from the async handles; `make sync` writes it anew.
"""Holdfast without an event loop: the same handles, called plainly.

    import holdfast.sync

    with holdfast.sync.open("lmdb:///app") as db:
        db.entries.set("users/active:123", {{"name": "Ada"}}, modified_by="ada")

Each call runs the asynchronous handle's own coroutine in the calling thread, from its start to its
end: no loop, no other thread, so it costs what the coroutine costs. Handles belong to no thread,
and work where a loop runs too, in the cells of a notebook for one. Importing this package loads no
other module than `holdfast` does.
"""

{imports}

__all__ = {names!r}
'''

# The one function; its signature and the start of its docstring come from `holdfast.open`.
OPEN_BODY = """
    database = Database({call})
    try:
        return database.open()
    except BaseException:
        # An interrupt may come when it is open already, and nobody has the handle yet.
        database.close()
        raise
"""
#: What the docstring of `holdfast.open` says that is not true of its twin, and what is.
OPEN_REWRITES = {
    "to be used as `async with holdfast.open(...) as db`": "open: close it, or use it in a `with`"
}

#: How a store of state gets its twin.
STATE_STORE = '''
def state_store(store: Any, service: str | None = None, **settings: Any) -> ScopedStore:
    """A store of state for callers without an event loop.

        with holdfast.sync.open("lmdb:///app") as db:
            store = holdfast.sync.state_store(db, "api")
            store.kv.set("a", 1)

    Args:
        store: an open database, an adapter, a builder, or a store that was built.
        service, settings: those of `holdfast.state.build_store`, where it is no builder or store.

    Raises:
        AdapterRequired, ServiceRequired, ConfigInvalid: it cannot be built.
    """
    from holdfast.state.driven import plain_store

    return ScopedStore(plain_store(store, service, settings))
'''

#: Gives places in the tree of declared events their twins.
TWIN_OF = '''
def _twin_of(found: Any) -> Any:
    """The twin of a place in the tree of declared events."""
    return EventAccessor(found) if hasattr(found, "publish") else EventDirectory(found)
'''

# Packages that are loaded when first needed: imported for type checkers only.
LOADED_LATER = (
    "holdfast.records.schemas",
    "holdfast.documents",
    "holdfast.backups",
    "holdfast.state",
    "holdfast.stores.audit",
    "holdfast.stores.merkle",
    "holdfast.stores.versions",
)

# Functions that are no method of a handle: module and name.
FUNCTIONS = (
    ("holdfast.database.restoring", "restore"),
    ("holdfast.database.restoring", "verify_backups"),
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

WORDS = (
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b([Aa])n asynchronous (?=[aeiou])", r"\1n "),
    (r"\b([Aa])n asynchronous ", r"\1 "),
    (r"\basynchronous ", ""),
    (r"\bholdfast\.open\b", "holdfast.sync.open"),
)

OPTIONAL = re.compile(r"(\w+) \| None")
LISTED = re.compile(r"list\[(\w+)\]")
CALLBACK = re.compile(r"Callable\[\[([\w\[\]]+)\], Awaitable\[(\w+)\]\]")


# --- Text ------------------------------------------------------------------------------------


def spoken(docstring: str | None, rewrites: dict[str, str], used: set[str]) -> str:
    """A docstring as it reads on the twin."""
    text = docstring or ""
    for old, new in rewrites.items():
        if old in text:
            used.add(old)
            text = text.replace(old, new)
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return text


def quoted(text: str) -> str:
    if not text:
        return ""
    # A summary alone stays on its line; longer ones end on a line of their own.
    return f'"""{text}"""' if "\n" not in text else f'"""{text}\n"""'


def typed(annotation: str) -> str:
    """An annotation of an async handle as the twin has it."""
    text = CALLBACK.sub(r"Callable[[\1], \2]", annotation)
    text = re.sub(r"\bAsyncIterator\b", "Iterator", text)
    return re.sub(r"\b\w+\b", lambda word: NAMES.get(word[0], word[0]), text)


def signature(method: Callable[..., Any]) -> str:
    """The parenthesis and the arrow of the twin's method."""
    found = inspect.signature(method)
    parameters = []
    for one in found.parameters.values():
        if isinstance(one.annotation, str):
            one = one.replace(annotation=_Plain(typed(one.annotation)))  # noqa: PLW2901
        if isinstance(one.default, type) and one.default is not one.empty:
            one = one.replace(default=_Plain(one.default.__qualname__))  # noqa: PLW2901
        parameters.append(one)
    result = _Plain(typed(found.return_annotation))
    return str(found.replace(parameters=parameters, return_annotation=result))


class _Plain:
    """An annotation that prints as its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def arguments(method: Callable[..., Any], replaced: dict[str, str]) -> str:
    """The arguments that hand every parameter on."""
    parts = []
    for name, one in inspect.signature(method).parameters.items():
        if name == "self":
            continue
        given = replaced.get(name, name)
        stars = "*" * (one.kind is one.VAR_POSITIONAL) + "**" * (one.kind is one.VAR_KEYWORD)
        parts.append(f"{name}={given}" if one.kind is one.KEYWORD_ONLY else stars + given)
    return ", ".join(parts)


# --- Methods ---------------------------------------------------------------------------------


def twin_of(annotation: str) -> str | None:
    """The twin that an annotation names, also where it says of what: `Collection[T]`."""
    return NAMES.get(annotation.partition("[")[0])


def overloads_text(name: str, method: Callable[..., Any]) -> str:
    """What a type checker is told of a method that answers by its arguments."""
    return "".join(
        f"@overload\ndef {called(name)}{signature(one)}: ...\n" for one in get_overloads(method)
    )


def plain_text(name: str, method: Callable[..., Any], doc: str) -> str:
    """A method of a twin that runs the statements of its handle's coroutine itself."""
    [function] = ast.parse(textwrap.dedent(inspect.getsource(method))).body
    assert isinstance(function, ast.AsyncFunctionDef)
    statements = function.body[1:] if inspect.getdoc(method) else function.body
    lines = [ast.unparse(ast.fix_missing_locations(_Driven().visit(one))) for one in statements]
    body = "\n".join(["inner = self._inner", *lines])
    return defined(called(name), signature(method), doc, body)


class _Driven(ast.NodeTransformer):
    """The code of a coroutine of a handle as that of its twin."""

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("drive", ast.Load()), [node.value], [])

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("inner", node.ctx) if node.id == "self" else node


def method_text(twin: Twin, name: str, method: Callable[..., Any], doc: str) -> str:
    """A method of a twin: drives the coroutine, iterator or plain method of its handle."""
    if name in twin.plain:
        return plain_text(name, method, doc)
    result = str(inspect.signature(method).return_annotation)
    setup, replaced = callbacks(method)
    call = f"self._inner.{name}({arguments(method, replaced)})"
    if inspect.iscoroutinefunction(method):
        call = f"drive({call})"
    elif result == "Opening":
        call = f"drive({call}.take())"
    setup += twin.first.get(name, "").lstrip()
    managed = re.fullmatch(r"AsyncIterator\[(\w+)\]", result)
    if managed and hasattr(method, "__wrapped__"):
        # Decorated with asynccontextmanager: a block, not an iteration.
        kept = NAMES[managed[1]]
        text = signature(method).replace("Iterator[", "AbstractContextManager[")
        body = f"from holdfast.state.driven import driven\n\nreturn driven({call}, {kept})"
        return defined(called(name), text, doc, setup + body)
    if result == "Self":
        body = f"{call}\nreturn self"
    elif result == "None":
        body = call
    elif "AsyncIterator" in result:
        body = f"return DrivenIterator({call})"
    else:
        body = result_text(result, call)
    if any(twin_of(str(one.annotation)) not in (None, twin.twin) for one in parameters(method)):
        body += "  # noqa: SLF001 - of this module"
    text = defined(called(name), signature(method), doc, setup + body)
    return overloads_text(name, method) + text


def parameters(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a method."""
    return list(inspect.signature(method).parameters.values())


def callbacks(method: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Coroutine functions around plain callbacks, and by which parameter each is given."""
    setup, replaced = "", {}
    for name, one in inspect.signature(method).parameters.items():
        if OPTIONAL.fullmatch(str(one.annotation)) and twin_of(str(one.annotation).split()[0]):
            setup += f"{name}_inner = None if {name} is None else {name}._inner  # noqa: SLF001\n"
            replaced[name] = f"{name}_inner"
        match = CALLBACK.fullmatch(str(one.annotation))
        if match:
            handle, result = match.groups()
            setup += (
                f"async def awaited(handle: Async{handle}) -> {result}:\n"
                f"    return {name}({twin_of(handle)}(handle))\n\n"
            )
            replaced[name] = "awaited"
        elif twin_of(str(one.annotation)):
            replaced[name] = f"{name}._inner"
    return setup, replaced


def result_text(result: str, call: str) -> str:
    """What the twin returns: twins for what the handle returns of its own kind."""
    optional, listed = OPTIONAL.fullmatch(result), LISTED.fullmatch(result)
    if optional and optional[1] in NAMES:
        return f"found = {call}\nreturn None if found is None else {NAMES[optional[1]]}(found)"
    if listed and listed[1] in NAMES:
        return f"return [{NAMES[listed[1]]}(one) for one in {call}]"
    kept = twin_of(result)
    return f"return {kept}({call})" if kept else f"return {call}"


def called(name: str) -> str:
    """A method's name on the twin."""
    return {
        "__aenter__": "__enter__",
        "__aexit__": "__exit__",
        "__aiter__": "__iter__",
        "__anext__": "__next__",
        "aclose": "close",
    }.get(name, name)


def iterator_method(twin: Twin, name: str, method: Callable[..., Any], doc: str) -> str | None:
    """A method of a twin that is an iterator: those that concern the iteration."""
    begin = "drive(self._inner.begin())\n" if hasattr(twin.handle, "begin") else ""
    bodies = {
        "__aiter__": "return self",
        "__anext__": "return next(self._items)",
        "aclose": "self._items.close()\ndrive(self._inner.aclose())",
        "__aenter__": f"{begin}return self",
        "__aexit__": "self.close()",
    }
    if name not in bodies:
        return None
    return defined(called(name), signature(method), doc, bodies[name])


def property_text(name: str, annotation: str, doc: str) -> str:
    """A property of a twin. A twin made for one is kept, so that it stays the same object."""
    twin = twin_of(annotation)
    body = f"return self._inner.{name}"
    if twin:
        body = (
            f"inner = self._inner.{name}\n"
            f"known = self._{name}\n"
            "if known is None or known._inner is not inner:  # noqa: SLF001 - of this module\n"
            f"    known = self._{name} = {twin}(inner)\n"
            "return known"
        )
    return "@property\n" + defined(name, f"(self) -> {typed(annotation)}", doc, body)


def defined(name: str, signature_text: str, doc: str, body: str) -> str:
    inside = "\n".join(part for part in (quoted(doc), body) if part)
    return f"def {name}{signature_text}:\n{textwrap.indent(inside, '    ')}\n"


# --- Classes ---------------------------------------------------------------------------------


def members(twin: Twin) -> Iterator[tuple[str, Any]]:
    """What users of the handle may call, in the order of the source; not what the twin inherits."""
    seen = set()
    for owner in twin.owners:
        for name, member in vars(owner).items():
            shown = (not name.startswith("_") or name in SPECIAL) and name not in AT_ONCE
            if shown and name not in seen and callable_or_property(member):
                seen.add(name)
                yield name, member


def inherited(handle: type, name: str) -> str | None:
    """What a base says of a method that says nothing itself."""
    return next(
        (doc for one in handle.__mro__ if (doc := getattr(vars(one).get(name), "__doc__", None))),
        None,
    )


#: What does a verb at once is for decorators, not for callers.
AT_ONCE = ("peek", "write_now")
SPECIAL = ("__aenter__", "__aexit__", "__aiter__", "__anext__", "__repr__", "__call__")
PROPERTIES = (property, functools.cached_property)


def callable_or_property(member: Any) -> bool:
    return isinstance(member, PROPERTIES) or inspect.isfunction(member)


def getter(member: Any) -> Callable[..., Any]:
    """The function behind a property."""
    found = member.func if isinstance(member, functools.cached_property) else member.fget
    assert inspect.isfunction(found)
    return found


def class_text(twin: Twin) -> str:
    """A whole twin."""
    _require_all_attributes(twin)
    used: set[str] = set()

    def say(doc: str | None) -> str:
        return spoken(inspect.cleandoc(doc) if doc else None, twin.rewrites, used)

    # How the handle is made is no concern of who has a twin.
    purpose = re.sub(r"\n\n    Args:(\n        .*)+", "", twin.handle.__doc__ or "")
    texts = [quoted(say(purpose)), "", initializer(twin)]
    for name, annotation in twin.attributes.items():
        texts.append(property_text(name, annotation, ""))
    for name, member in members(twin):
        if name in twin.without:
            continue
        doc = say(member.__doc__ or inherited(twin.handle, name))
        if isinstance(member, PROPERTIES):
            texts.append(property_text(name, property_type(member), doc))
        else:
            if f"def {name}(" in twin.extra:
                continue  # Written by hand.
            text = iterator_method(twin, name, member, doc) if twin.iterates else None
            texts.append(text or method_text(twin, name, member, doc))
    texts.append(twin.extra.strip() + "\n")
    stale = twin.rewrites.keys() - used
    if stale:
        raise SystemExit(f"make_sync: {twin.source} no longer says {sorted(stale)}; see TWINS")
    return f"class {twin.twin}{bases_text(twin)}:\n" + textwrap.indent("\n".join(texts), "    ")


def bases_text(twin: Twin) -> str:
    if twin.base is None:
        return "(Generic[T])" if twin.generic else ""
    if not twin.base.generic:
        return f"({twin.base.twin})"
    return f"({twin.base.twin}[{'T' if twin.generic else 'Any'}])"


def initializer(twin: Twin) -> str:
    """`__init__` of a twin: what it stands for, and the twins it has made."""
    inner = f"{twin.alias}[T]" if twin.generic else twin.alias
    lines = ["self._inner = inner"]
    if twin.base is not None:
        lines = ["super().__init__(inner)", f"self._inner: {inner} = inner"]
    if twin.iterates:
        lines.append("self._items = DrivenIterator(inner)")
    types = dict(twin.attributes)
    for name, member in members(twin):
        if isinstance(member, PROPERTIES):
            types[name] = property_type(member)
    lines += [
        f"self._{name}: {typed(type_)} | None = None"
        for name, type_ in types.items()
        if twin_of(type_)
    ]
    return defined("__init__", f"(self, inner: {inner}) -> None", "", "\n".join(lines))


def property_type(member: Any) -> str:
    return str(inspect.signature(getter(member)).return_annotation)


def _require_all_attributes(twin: Twin) -> None:
    """Refuse when the handle has a public attribute that the table does not know."""
    set_there = {
        target.attr
        for owner in twin.owners
        for target in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(owner))))
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and not target.attr.startswith("_")
    }
    set_there -= set(twin.hidden)
    if set_there != twin.attributes.keys():
        raise SystemExit(
            f"make_sync: {twin.source} sets {sorted(set_there)}; TWINS lists "
            f"{sorted(twin.attributes)}"
        )


# --- The module ------------------------------------------------------------------------------


def open_text() -> str:
    opening = importlib.import_module("holdfast.database.open").open
    used: set[str] = set()
    doc = spoken(inspect.cleandoc(opening.__doc__ or ""), OPEN_REWRITES, used)
    if used != OPEN_REWRITES.keys():
        raise SystemExit("make_sync: holdfast.open no longer says what OPEN_REWRITES expects")
    call = f"open_async({arguments(opening, {})})"
    body = OPEN_BODY.format(call=call).strip("\n")
    return f"def open{signature(opening)}:\n" + textwrap.indent(quoted(doc), "    ") + f"\n{body}\n"


def function_text(module: str, name: str) -> str:
    """The twin of a function."""
    function = getattr(importlib.import_module(module), name)
    doc = spoken(inspect.cleandoc(function.__doc__ or ""), {}, set())
    body = f"return drive({name}_async({arguments(function, {})}))"
    return f"def {name}{signature(function)}:\n" + textwrap.indent(
        f"{quoted(doc)}\n{body}\n", "    "
    )


@functools.cache
def origins() -> dict[str, str]:
    """Where the names in signatures of the handles come from: name to module."""
    found = dict(IMPORTS)
    opening = importlib.import_module("holdfast.database.open")
    mentions = [(opening, str(inspect.signature(opening.open)))]
    for module_name, name in FUNCTIONS:
        module = importlib.import_module(module_name)
        mentions.append((module, str(inspect.signature(getattr(module, name)))))
    for twin in TWINS:
        own = sys.modules[twin.handle.__module__]
        mentions += [(own, " ".join(twin.attributes.values()))]
        for _, member in members(twin):
            function = getter(member) if isinstance(member, PROPERTIES) else member
            module = sys.modules[function.__module__]
            mentions.append((module, str(inspect.signature(function))))
            if function.__name__ in twin.plain:
                mentions.append((module, inspect.getsource(function)))
    for module, text in mentions:
        known = dict.fromkeys(vars(module), module.__name__) | imported(module)
        for name in set(re.findall(r"\w+", text)) & known.keys() - VARIABLES:
            if found.setdefault(name, known[name]) != known[name]:
                raise SystemExit(
                    f"make_sync: signatures mean two things by {name}: that of {found[name]} "
                    f"and that of {known[name]}; rename one"
                )
    return found


@functools.cache
def imported(module: ModuleType) -> dict[str, str]:
    return {
        alias.name: node.module
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def imports_text(code: str, file: str) -> str:
    """The imports that the code of a file needs."""
    tree = ast.parse("from __future__ import annotations\n" + code)
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - parameters
    here = {twin.twin for twin in TWINS if twin.file == file}
    elsewhere = {twin.twin: twin.file for twin in TWINS if twin.file != file} | {"Walk": "walk"}
    known = origins()
    lines = {
        f"from {twin.handle.__module__} import {twin.handle.__name__} as {twin.alias}"
        for twin in TWINS
        if twin.alias in names
    }
    lines |= {
        f"from holdfast.sync.{elsewhere[name]} import {name}" for name in names & elsewhere.keys()
    }
    others = names - here - elsewhere.keys() - VARIABLES
    lines |= {f"from {known[name]} import {name}" for name in others if name in known}
    if "open_async" in names:
        lines.add("from holdfast.database.open import open as open_async")
    lines |= {
        f"from {module} import {name} as {name}_async"
        for module, name in FUNCTIONS
        if f"{name}_async" in names
    }
    later = {line for line in lines if line.split()[1].startswith(LOADED_LATER)}
    text = "\n".join(sorted(lines - later)) + "\n"
    if later:
        text += "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        text += textwrap.indent("\n".join(sorted(later)), "    ") + "\n"
    return text


def generate() -> dict[Path, str]:
    """The text of each module."""
    written = {}
    for file, purpose in PURPOSES.items():
        parts = [class_text(twin) for twin in TWINS if twin.file == file]
        if file == "database":
            parts[:0] = [open_text(), *(function_text(*one) for one in FUNCTIONS)]
        parts += {"state": [STATE_STORE], "state_events": [TWIN_OF]}.get(file, [])
        code = "\n\n".join(parts)
        used = [one for one in sorted(VARIABLES) if re.search(rf"\b{one}\b", code)]
        text = PREAMBLE.format(purpose=purpose) + imports_text(
            code + ("\nTypeVar" if used else ""), file
        )
        text += "".join(f'\n{one} = TypeVar("{one}")' for one in used) + "\n\n\n" + code
        path = TARGET / f"{file}.py"
        written[path] = ruff(
            ruff(text, path, "check", "--select", "I", "--fix", "--quiet"), path, "format"
        )
    names = {twin.twin: twin.file for twin in TWINS if not twin.shared} | {
        "open": "database", "Walk": "walk", "state_store": "state",
    }  # fmt: skip
    names |= {name: "database" for _, name in FUNCTIONS}
    imports = "\n".join(f"from holdfast.sync.{names[name]} import {name}" for name in sorted(names))
    text = PACKAGE.format(imports=imports, names=sorted(names))
    path = TARGET / "__init__.py"
    written[path] = ruff(
        ruff(text, path, "check", "--select", "I,RUF022", "--fix", "--quiet"), path, "format"
    )
    return written


def ruff(text: str, path: Path, *command: str) -> str:
    """The text through one command of ruff."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"make_sync: ruff {command[0]} failed\n{done.stdout}{done.stderr}\n{text}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Write src/holdfast/sync/.")
    parser.add_argument("--check", action="store_true", help="only say whether it is fresh")
    wanted = parser.parse_args()
    texts = generate()
    if not wanted.check:
        TARGET.mkdir(exist_ok=True)
        for path, text in texts.items():
            path.write_text(text)
        return 0
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(ROOT)
        print(f"{name} is not what its sources say; run `make sync` and commit it")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
