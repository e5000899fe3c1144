"""Write `src/holdfast/sync/`, the sync twins, from the async handles: one file for each view.

    python tools/make_sync.py            write it
    python tools/make_sync.py --check    exit code 1 when it is not what would be written

A twin has the signatures and the docstrings of its handle, read from the living classes. Each
method drives the handle's own coroutine; only what is in TWINS below is written by hand.
"""

import argparse
import ast
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
from typing import Any

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
        return f"Async{self.handle.__name__}"

    @property
    def generic(self) -> bool:
        """Whether the handle is one of values of some type."""
        return bool(getattr(self.handle, "__parameters__", ()))

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

PEEK = """
if version is None and at is None and expect is None:
    found = self._inner.peek(key)
    if found is not NOT_NOW:
        return found
"""

#: Of every handle that has collections: a type checker tells typed ones from plain ones.
COLLECTION = '''
@overload
def collection(self, name: str, *, history: str | None = None) -> Collection[Any]: ...
@overload
def collection(
    self, name: str, type: type[T], *, history: str | None = None
) -> Collection[T]: ...
def collection(
    self, name: str, type: type[Any] | None = None, *, history: str | None = None
) -> Collection[Any]:
    """The collection of that name: typed documents; see `holdfast.Database.collection`.

    Raises:
        InvalidName, InvalidInput: the arguments cannot be.
    """
    kind = dict if type is None else type
    return Collection(self._inner.collection(name, kind, history=history))
'''

TWINS = (
    Twin(
        "holdfast.database.handle:Database",
        attributes={"config": "EngineConfig"},
        rewrites={
            "It belongs to the event loop it was opened on. Handles of one process on one path "
            "share the\nengine, so opening it again, on another loop or in another thread, is "
            "cheap and right.": "Threads may share it, and it works where an event loop runs too. "
            "Handles of one process on one\npath share the engine, so opening it again is cheap "
            "and right.",
            "`async with` and `await holdfast.open(...)` do.": "`with` does.",
            "The changes of keys that match, in commit order, those to come included.": "The "
            "changes of keys that match, in commit order, those to come included.\n\nAny thread "
            "may close it, and so end the wait of another one.",
        },
        extra=COLLECTION,
    ),
    Twin(
        "holdfast.records.interface:KeyValueStoreInterface",
        file="entries",
        name="KeyValueStore",
        stands_for=("KeyValueStore",),
        plain=("set", "set_many", "modify", "delete"),
        first={"get": PEEK},
    ),
    Twin("holdfast.documents.collection:Collection", file="documents"),
    Twin("holdfast.stores.multistore:MultiStore", file="stores"),
    Twin("holdfast.stores.store:Store", file="stores", stands_for=("Verbs",)),
    Twin("holdfast.stores.batch:StoreBatch", file="stores"),
    Twin("holdfast.stores.transaction:StoreTransaction", file="stores"),
    Twin("holdfast.stores.mounts:MountedStore", file="stores"),
    Twin(
        "holdfast.stores.versions.saved:SavedStore",
        file="stores",
        attributes={"name": "str", "version": "int", "root": "bytes"},
    ),
    Twin(
        "holdfast.database.transaction:Transaction",
        attributes={"state": "State", "revision": "int"},
        extra=COLLECTION,
    ),
    Twin(
        "holdfast.database.snapshot:SnapshotView",
        attributes={"revision": "int", "entries": "KeyValueStore", "stores": "MultiStore"},
        extra=COLLECTION,
    ),
    Twin("holdfast.database.store_root:StoreRoot"),
    Twin("holdfast.stores.audit.audit:Audit"),
    Twin(
        "holdfast.store.versions.retention:Retention",
        attributes={"policies": "Mapping[int, object]"},
    ),
    Twin("holdfast.store.locks.lock:Lock"),
    Twin("holdfast.store.operation_log:OperationLog", attributes={"dropped": "int"}),
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
)

NAMES = {known: twin.twin for twin in TWINS for known in (twin.handle.__name__, *twin.stands_for)}

PREAMBLE = '''# Generated by tools/make_sync.py from the async handles; `make sync` writes it anew.
"""{purpose}"""

from __future__ import annotations

'''

#: What each file is for, in the order in which they may import each other.
PURPOSES = {
    "feed": "The twin of a watch.",
    "entries": "The twins of entries and their schemas.",
    "documents": "The twin of collections.",
    "stores": "The twins of named stores.",
    "database": "The twins of the database, its transactions and snapshots, and `open`.",
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
    used = components if components is not None else system_components()
    return Database({call})
"""

# Packages that are loaded when first needed: imported for type checkers only.
LOADED_LATER = (
    "holdfast.records.schemas",
    "holdfast.documents",
    "holdfast.stores.audit",
    "holdfast.stores.merkle",
    "holdfast.stores.versions",
)

# What the code written by hand above and below names: module and name.
IMPORTS = {
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
    "system_components": "holdfast.runtime.system",
    "DrivenIterator": "holdfast.runtime.drive",
    "drive": "holdfast.runtime.drive",
}

WORDS = (
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b([Aa])n asynchronous (?=[aeiou])", r"\1n "),
    (r"\b([Aa])n asynchronous ", r"\1 "),
    (r"\basynchronous ", ""),
    (r"\bholdfast\.open\b", "holdfast.sync.open"),
)

CALLBACK = re.compile(r"Callable\[\[(\w+)\], Awaitable\[(\w+)\]\]")


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
    kept = twin_of(result)
    setup += twin.first.get(name, "").lstrip()
    if result == "Self":
        body = f"{call}\nreturn self"
    elif result == "None":
        body = call
    elif "AsyncIterator" in result:
        body = f"return DrivenIterator({call})"
    else:
        body = f"return {kept}({call})" if kept else f"return {call}"
    if any(twin_of(str(one.annotation)) not in (None, twin.twin) for one in parameters(method)):
        body += "  # noqa: SLF001 - of this module"
    return defined(called(name), signature(method), doc, setup + body)


def parameters(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a method."""
    return list(inspect.signature(method).parameters.values())


def callbacks(method: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Coroutine functions around plain callbacks, and by which parameter each is given."""
    setup, replaced = "", {}
    for name, one in inspect.signature(method).parameters.items():
        match = CALLBACK.fullmatch(str(one.annotation))
        if match:
            handle, result = match.groups()
            setup += (
                f"async def awaited(handle: Async{handle}) -> {result}:\n"
                f"    return {name}({NAMES[handle]}(handle))\n\n"
            )
            replaced[name] = "awaited"
        elif twin_of(str(one.annotation)):
            replaced[name] = f"{name}._inner"
    return setup, replaced


def called(name: str) -> str:
    """A method's name on the twin."""
    return {
        "__aenter__": "__enter__",
        "__aexit__": "__exit__",
        "__aiter__": "__iter__",
        "__anext__": "__next__",
        "aclose": "close",
    }.get(name, name)


def iterator_method(name: str, method: Callable[..., Any], doc: str) -> str | None:
    """A method of a twin that is an iterator: those that concern the iteration."""
    bodies = {
        "__aiter__": "return self",
        "__anext__": "return next(self._items)",
        "aclose": "self._items.close()\ndrive(self._inner.aclose())",
        "__aenter__": "return self",
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


def members(handle: type) -> Iterator[tuple[str, Any]]:
    """What users of the handle may call, in the order of the source."""
    seen = set()
    for owner in own_classes(handle):
        for name, member in vars(owner).items():
            shown = (not name.startswith("_") or name in SPECIAL) and name not in AT_ONCE
            if shown and name not in seen and callable_or_property(member):
                seen.add(name)
                yield name, member


def own_classes(handle: type) -> list[type]:
    """The handle and its bases, as far as they are this project's."""
    return [one for one in handle.__mro__ if one.__module__.partition(".")[0] == "holdfast"]


#: What does a verb at once is for decorators, not for callers.
AT_ONCE = ("peek", "write_now")
SPECIAL = ("__aenter__", "__aexit__", "__aiter__", "__anext__", "__repr__")


def callable_or_property(member: Any) -> bool:
    return isinstance(member, property) or inspect.isfunction(member)


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
    for name, member in members(twin.handle):
        doc = say(member.__doc__)
        if isinstance(member, property):
            texts.append(property_text(name, property_type(member), doc))
        else:
            if f"def {name}(" in twin.extra:
                continue  # Written by hand.
            text = iterator_method(name, member, doc) if twin.iterates else None
            texts.append(text or method_text(twin, name, member, doc))
    texts.append(twin.extra.strip() + "\n")
    stale = twin.rewrites.keys() - used
    if stale:
        raise SystemExit(f"make_sync: {twin.source} no longer says {sorted(stale)}; see TWINS")
    bases = "(Generic[T])" if twin.generic else ""
    return f"class {twin.twin}{bases}:\n" + textwrap.indent("\n".join(texts), "    ")


def initializer(twin: Twin) -> str:
    """`__init__` of a twin: what it stands for, and the twins it has made."""
    lines = ["self._inner = inner"]
    if twin.iterates:
        lines.append("self._items = DrivenIterator(inner)")
    types = dict(twin.attributes)
    for name, member in members(twin.handle):
        if isinstance(member, property):
            types[name] = property_type(member)
    lines += [
        f"self._{name}: {twin_of(type_)} | None = None"
        for name, type_ in types.items()
        if twin_of(type_)
    ]
    inner = f"{twin.alias}[T]" if twin.generic else twin.alias
    return defined("__init__", f"(self, inner: {inner}) -> None", "", "\n".join(lines))


def property_type(member: property) -> str:
    assert member.fget is not None
    return str(inspect.signature(member.fget).return_annotation)


def _require_all_attributes(twin: Twin) -> None:
    """Refuse when the handle has a public attribute that the table does not know."""
    set_there = {
        target.attr
        for owner in own_classes(twin.handle)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(owner))))
        for target in ast.walk(node)
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
        and not target.attr.startswith("_")
    }
    if set_there != twin.attributes.keys():
        raise SystemExit(
            f"make_sync: {twin.source} sets {sorted(set_there)}; TWINS lists "
            f"{sorted(twin.attributes)}"
        )


# --- The module ------------------------------------------------------------------------------


def open_text() -> str:
    opening = importlib.import_module("holdfast.database.open").open
    doc = spoken(inspect.cleandoc(opening.__doc__ or ""), {}, set())
    call = f"open_async({arguments(opening, {'components': 'used'})})"
    body = OPEN_BODY.format(call=call).strip("\n")
    return f"def open{signature(opening)}:\n" + textwrap.indent(quoted(doc), "    ") + f"\n{body}\n"


def origins() -> dict[str, str]:
    """Where the names in signatures of the handles come from: name to module."""
    found = dict(IMPORTS)
    opening = importlib.import_module("holdfast.database.open")
    mentions = [(opening, str(inspect.signature(opening.open)))]
    for twin in TWINS:
        own = sys.modules[twin.handle.__module__]
        mentions += [(own, " ".join(twin.attributes.values()))]
        for _, member in members(twin.handle):
            function = member.fget if isinstance(member, property) else member
            assert function is not None
            module = sys.modules[function.__module__]
            mentions.append((module, str(inspect.signature(function))))
            if function.__name__ in twin.plain:
                mentions.append((module, inspect.getsource(function)))
    for module, text in mentions:
        known = dict.fromkeys(vars(module), module.__name__) | imported(module)
        for name in set(re.findall(r"\w+", text)) & known.keys() - {"T"}:
            if found.setdefault(name, known[name]) != known[name]:
                raise SystemExit(
                    f"make_sync: signatures mean two things by {name}: that of {found[name]} "
                    f"and that of {known[name]}; rename one"
                )
    return found


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
    elsewhere = {twin.twin: twin.file for twin in TWINS if twin.file != file}
    known = origins()
    lines = {
        f"from {twin.handle.__module__} import {twin.handle.__name__} as {twin.alias}"
        for twin in TWINS
        if twin.alias in names
    }
    lines |= {
        f"from holdfast.sync.{elsewhere[name]} import {name}" for name in names & elsewhere.keys()
    }
    others = names - here - elsewhere.keys() - {"T"}
    lines |= {f"from {known[name]} import {name}" for name in others if name in known}
    if "open_async" in names:
        lines.add("from holdfast.database.open import open as open_async")
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
            parts.insert(0, open_text())
        code = "\n\n".join(parts)
        variable = re.search(r"\bT\b", code) is not None
        text = PREAMBLE.format(purpose=purpose) + imports_text(
            code + ("\nTypeVar" if variable else ""), file
        )
        text += ('\nT = TypeVar("T")\n' if variable else "") + "\n\n" + code
        path = TARGET / f"{file}.py"
        written[path] = ruff(
            ruff(text, path, "check", "--select", "I", "--fix", "--quiet"), path, "format"
        )
    names = {twin.twin: twin.file for twin in TWINS} | {"open": "database"}
    imports = "\n".join(f"from holdfast.sync.{names[name]} import {name}" for name in sorted(names))
    text = PACKAGE.format(imports=imports, names=sorted(names))
    path = TARGET / "__init__.py"
    written[path] = ruff(
        ruff(text, path, "check", "--select", "I", "--fix", "--quiet"), path, "format"
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
