"""The reference page of a module, for `tools/make_reference.py`."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from holdfast.contract.errors import ErrorCode, StoreError
from tools.reference_text import WRITTEN_BY, code, default, markdown, signature, summary, table

ROOT = Path(__file__).parents[1]


# --- What a module offers --------------------------------------------------------------------


def offered(module: ModuleType) -> dict[str, Any]:
    """The public classes and functions of a module, in the order of the source."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    return {
        name: member
        for name, member in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(member) or inspect.isfunction(member))
        and member.__module__ == module.__name__
    }


def constants(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Public names that are assigned and explained with `#:`: name to (source, explanation)."""
    source = inspect.getsource(module)
    lines = source.splitlines()
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target: ast.expr = node.targets[0]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target = node.target
        else:
            continue
        if not isinstance(target, ast.Name) or target.id.startswith("_"):
            continue
        text = explanation(lines, node.lineno - 1)
        if text:
            assert node.value is not None
            found[target.id] = (ast.unparse(node.value), text)
    return found


def explanation(lines: list[str], line: int) -> str:
    """What the `#:` comment above a line says."""
    said: list[str] = []
    while line > 0 and lines[line - 1].strip().startswith("#:"):
        line -= 1
        said.insert(0, lines[line].strip()[2:].strip())
    return " ".join(said)


def handed_out(offer: dict[str, Any]) -> dict[str, type]:
    """Classes of Holdfast that the classes offered return, theirs too, but do not name."""
    found: dict[str, type] = {}
    rest = [member for member in offer.values() if inspect.isclass(member)]
    while rest:
        for name, kind in returned(rest.pop(0)).items():
            known = (one for one in offer.values() if inspect.isclass(one))
            if name not in found and not any(kind in one.__mro__ for one in known):
                found[name] = kind
                rest.append(kind)
    return dict(sorted(found.items()))


def returned(owner: type) -> dict[str, type]:
    """The classes that the return annotations of a class name."""
    found = {}
    for _, member in members(owner):
        function = member.fget if isinstance(member, property) else member
        assert function is not None
        annotation = inspect.signature(function).return_annotation
        for name in re.findall(r"\b[A-Z]\w+", str(annotation)):
            kind = resolved(name, sys.modules[function.__module__])
            if inspect.isclass(kind) and kind.__module__.startswith("holdfast."):
                found[name] = kind
    return found


def resolved(name: str, module: ModuleType) -> Any:
    """What a name means in a module, imports for type checkers alone included."""
    if hasattr(module, name):
        return getattr(module, name)
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if alias.name == name:
                    return getattr(importlib.import_module(node.module), name)
    return None


def members(owner: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class, inherited ones of Holdfast too."""
    seen = set()
    # A decorator and an adapter have a whole interface; the page has what they say themselves.
    alone = owner.__module__.startswith("holdfast.records.decorators") or any(
        base.__name__ == "StateAdapter" for base in owner.__mro__[1:]
    )
    for base in (owner,) if alone else owner.__mro__:
        if not base.__module__.startswith("holdfast") or (base is StoreError is not owner):
            continue
        for name, member in vars(base).items():
            inner = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if alone and inner.__doc__ is None:
                continue
            callable_ = inspect.isfunction(inner) or isinstance(member, property)
            if callable_ and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, inner


# --- One module's page -----------------------------------------------------------------------


def module_page(name: str) -> str:
    """The reference of a module."""
    module = importlib.import_module(name)
    offer = offered(module)
    parts = [f"# `{name}`", WRITTEN_BY, markdown(module.__doc__), source_link(module)]
    rows = [
        (f"[`{one}`](#{one.lower()})", summary(inspect.getdoc(member)))
        for one, member in offer.items()
        if documented(member)
    ]
    if rows:
        parts.append(table(("name", "what it is"), rows))
    parts.append(constant_table(module, offer))
    parts += [member_section(one, member) for one, member in offer.items() if documented(member)]
    if name == "holdfast":
        parts.append("## Handed out\n\nWhat the classes above return; used, but not imported.")
        parts += [member_section(one, kind) for one, kind in handed_out(offer).items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def documented(member: Any) -> bool:
    return inspect.isclass(member) or inspect.isfunction(member)


def source_link(module: ModuleType) -> str:
    file = Path(inspect.getfile(module)).relative_to(ROOT)
    return f"Source: [`{file}`](../../{file})"


def constant_table(module: ModuleType, offer: dict[str, Any]) -> str:
    """What the module assigns, and what it lists of constants of others."""
    rows = [
        (f"`{name}`", f"`{one_line(source)}`", text.replace("|", r"\|"))
        for name, (source, text) in constants(module).items()
    ]
    for name, member in offer.items():
        if not documented(member):
            rows.append((f"`{name}`", f"`{default(member)}`", origin_of(name, module)))
    return table(("constant", "value", "meaning"), rows) if rows else ""


def origin_of(name: str, module: ModuleType) -> str:
    """The explanation of a constant where it is made."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if alias.name == name:
                    return constants(importlib.import_module(node.module))[name][1]
    raise SystemExit(f"make_reference: nothing says what {module.__name__}.{name} is")


def one_line(source: str) -> str:
    return re.sub(r"\s+", " ", source).replace("|", r"\|")


def member_section(name: str, member: Any) -> str:
    if inspect.isclass(member):
        return class_section(name, member)
    return f"## `{name}`\n\n{code(signature(name, member))}\n\n{markdown(member.__doc__)}"


def class_section(name: str, owner: type) -> str:
    """A class: what it is, its fields or members, then each method."""
    doc = inspect.getdoc(owner) or ""
    parts = [f"## `{name}`"]
    if re.search(r"^Args:", doc, re.MULTILINE):
        parts.append(code(signature(name, owner)))
    parts.append(markdown(doc))
    parts.append(values_of(owner))
    promises = [one for one, _ in members(owner) if one.startswith("test_")]
    if promises:
        # Their names are the promises; arguments come from pytest.
        parts.append("**Promises**")
        parts.append("\n".join(f"- {one[5:].replace('_', ' ')}" for one in promises))
    for one, member in members(owner):
        if one.startswith("test_"):
            continue
        parts.append(f"### `{name}.{one}`")
        # Of the class, so that what a base says counts where a method says nothing itself.
        text = markdown(inspect.getdoc(getattr(owner, one)))
        if isinstance(member, property):
            assert member.fget is not None
            kind = inspect.signature(member.fget).return_annotation
            parts.append(code(f"{one}: {kind}"))
        else:
            static = isinstance(inspect.getattr_static(owner, one), staticmethod)
            parts.append(code(signature(one, member, bound=not static)))
        parts.append(text)
    return "\n\n".join(part for part in parts if part)


def values_of(owner: type) -> str:
    """The members of an enumeration, or the fields of a value."""
    if issubclass(owner, ErrorCode):
        return "See [the errors](../errors.md)."
    if issubclass(owner, Enum):
        rows = [(f"`{one.name}`", f"`{one.value!r}`") for one in owner]
        return table(("member", "value"), rows)
    if is_dataclass(owner):
        shown = [
            (one.name, str(one.type), "" if one.default is MISSING else default(one.default))
            for one in fields(owner)
        ]
    elif issubclass(owner, tuple) and hasattr(owner, "_fields"):
        kinds, given = owner.__annotations__, getattr(owner, "_field_defaults", {})
        shown = [
            (
                one,
                getattr(kinds[one], "__forward_arg__", str(kinds[one])),
                default(given[one]) if one in given else "",
            )
            for one in owner._fields
        ]
    else:
        return ""
    return table(
        ("field", "type", "default"),
        [
            (f"`{name}`", f"`{kind}`".replace("|", r"\|"), f"`{given}`" if given else "")
            for name, kind, given in shown
            if not name.startswith("_")
        ],
    )
