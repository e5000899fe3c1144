"""Whether a changed schema of an event still fits those who know the old one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.contract.errors import InvalidInput
from holdfast.state.events.shapes import shape_of

Path = str


def check_compatible(old: Any, new: Any) -> list[str]:
    """What is no longer compatible, one sentence each; empty when it all is.

    Messages of either schema must fit readers of the other: a field that was required stays, no
    field becomes required, and the type of a field does not get narrower.

    Args:
        old: the schema that is in use, as `Events.event` takes it.
        new: the one to take its place.

    Raises:
        InvalidInput: one of them has no form that can be compared (it is a function).
    """
    forms = []
    for given in (old, new):
        shape = shape_of(given)
        form = None if shape is None else shape.schema.form
        if form is None or not ({"type", "properties", "$ref", "anyOf"} & form.keys()):
            raise InvalidInput("schemas are compared by their form; found one that is a function")
        forms.append(form)
    return list(_compare(forms[0], forms[1], forms[0], forms[1], "$", 0))


#: Schemas that hold themselves are followed so far.
_DEPTH_MAX = 20


def _compare(
    old: Any, new: Any, old_root: Any, new_root: Any, path: Path, depth: int
) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    if depth > _DEPTH_MAX or not isinstance(old, dict) or not isinstance(new, dict):
        return
    lost = _types(old, old_root) - _types(new, new_root)
    if lost and _types(new, new_root):
        yield f"{path} no longer takes {', '.join(sorted(lost))}"
        return
    olds, news = old.get("properties", {}), new.get("properties", {})
    old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(old_required - new_required):
        gone = "is gone" if name not in news else "is no longer required"
        yield f"{path}.{name} {gone}, and readers of the old schema need it"
    for name in sorted(new_required - old_required):
        yield f"{path}.{name} is required now, and messages of the old schema lack it"
    for name in sorted(olds.keys() & news.keys()):
        yield from _compare(olds[name], news[name], old_root, new_root, f"{path}.{name}", depth + 1)
    if "items" in old and "items" in new:
        yield from _compare(old["items"], new["items"], old_root, new_root, f"{path}[]", depth + 1)


def _resolved(form: Any, root: Any) -> Any:
    for _ in range(_DEPTH_MAX):
        reference = form.get("$ref") if isinstance(form, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return form
        form = root
        for part in reference[2:].split("/"):
            form = form.get(part, {}) if isinstance(form, dict) else {}
    return form


def _types(form: dict[str, Any], root: Any) -> set[str]:
    found: set[str] = set()
    declared = form.get("type", [])
    found.update([declared] if isinstance(declared, str) else declared)
    for one in (*form.get("anyOf", ()), *form.get("oneOf", ())):
        resolved = _resolved(one, root)
        if isinstance(resolved, dict):
            found |= _types(resolved, root)
    # Whoever takes numbers takes whole ones.
    return found | ({"integer"} if "number" in found else set())
