"""A whole twin: its class, what it is made of and what it inherits."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap

from tools.sync_twins.lookup import (
    PROPERTIES,
    base_of,
    inherited,
    members,
    owners_of,
    property_type,
    twin_of,
)
from tools.sync_twins.methods import iterator_method, method_text, property_text
from tools.sync_twins.twin import Twin
from tools.sync_twins.wording import defined, quoted, spoken, typed


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
        raise SystemExit(
            f"make_sync: {twin.source} no longer says {sorted(stale)}; see declarations.py"
        )
    return f"class {twin.twin}{bases_text(twin)}:\n" + textwrap.indent("\n".join(texts), "    ")


def bases_text(twin: Twin) -> str:
    base = base_of(twin)
    if base is None:
        return "(Generic[T])" if twin.generic else ""
    if not base.generic:
        return f"({base.twin})"
    return f"({base.twin}[{'T' if twin.generic else 'Any'}])"


def initializer(twin: Twin) -> str:
    """`__init__` of a twin: what it stands for, and the twins it has made."""
    inner = f"{twin.alias}[T]" if twin.generic else twin.alias
    lines = ["self._inner = inner"]
    if base_of(twin) is not None:
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


def _require_all_attributes(twin: Twin) -> None:
    """Refuse when the handle has a public attribute that the table does not know."""
    set_there = {
        target.attr
        for owner in owners_of(twin)
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
            f"make_sync: {twin.source} sets {sorted(set_there)}; its declaration lists "
            f"{sorted(twin.attributes)}"
        )
