"""Decisions that make a new document of the one that stands there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from holdfast.codecs.plain import NESTING_MAX
from holdfast.codecs.typed import Typed
from holdfast.contract.errors import InvalidInput
from holdfast.documents.steps import KEEP, REMOVE, Decision, Put, _Act
from holdfast.records.options import WriteOptions
from holdfast.runtime.working import is_coroutine_function
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.entry import Entry

T = TypeVar("T")

#: From the document (None: there is none) to the new one, or `REMOVE`.
Modifier = Callable[[T | None], T | Literal[_Act.REMOVE]]


def checked_change(change: Modifier[T]) -> Modifier[T]:
    """The function of a modify. Raises InvalidInput unless it can be called inside a commit."""
    if not callable(change):
        raise InvalidInput(f"modify calls a function; found a {type(change).__name__}")
    if is_coroutine_function(change):
        raise InvalidInput(
            "the function of modify runs inside the commit and is a plain one; found a coroutine "
            "function. Await what it needs before"
        )
    return change


def modifying(
    values: Values,
    typed: Typed[T],
    change: Modifier[T],
    options: WriteOptions,
    made: list[T | None],
) -> Decision:
    """The decision for what a function makes of the document.

    Args:
        values: how the new one is serialised.
        typed: of the collection.
        change: the function.
        options: who and why, and for how long.
        made: holds the new document once it was decided; None: it was removed.
    """

    def decide(entry: Entry[Any] | None) -> Put | Literal[_Act.KEEP, _Act.REMOVE]:
        changed = change(None if entry is None else typed.from_plain(entry.value))
        if changed is REMOVE:
            made[:] = [None]
            return KEEP if entry is None else REMOVE
        if changed is None:
            _refuse_none(typed, entry)
        put = Put(values.serialize_now(typed.to_plain(changed)), options)
        made[:] = [typed.from_plain(put.document)]
        return put

    return decide


def checked_patch(typed: Typed[Any], changes: Mapping[str, Any]) -> Any:
    """A merge patch in plain values.

    Raises:
        InvalidInput, InvalidValue: it can be one of no document of the type.
    """
    if not isinstance(changes, Mapping):
        raise InvalidInput(
            f"changes is a mapping of names to values; found a {type(changes).__name__}"
        )
    if typed.names is not None:
        for name, value in changes.items():
            if name not in typed.names and value is not None:
                _refuse_name(typed, name)
    return typed.part_to_plain(changes)


def patching(
    values: Values, typed: Typed[T], changes: Any, options: WriteOptions, made: list[T]
) -> Callable[[Entry[Any]], Put]:
    """The decision for what a checked patch makes of a document; see `modifying`."""

    def decide(entry: Entry[Any]) -> Put:
        merged = merge_patch(entry.fresh().value, changes)
        put = Put(values.serialize_now(merged), options)
        made[:] = [typed.from_plain(put.document)]
        return put

    return decide


def merge_patch(document: Any, changes: Mapping[str, Any], _level: int = 1) -> Any:
    """A document after a merge patch (RFC 7386).

    Raises:
        InvalidInput: the patch nests deeper than any document may.
    """
    if _level > NESTING_MAX:
        raise InvalidInput(
            f"a patch has at most {NESTING_MAX} levels of nesting; found more. Store a flatter "
            "value",
            limit=NESTING_MAX,
        )
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = merge_patch(merged.get(name), value, _level + 1)
        else:
            merged[name] = value
    return merged


def _refuse_none(typed: Typed[Any], entry: Entry[Any] | None) -> None:
    """Refuse None where it is no document, or most likely was not meant to be one."""
    if entry is not None and entry.fresh().value is not None:
        raise InvalidInput(
            "the function of modify returns the new document; found None where one stood. Return "
            "it, or REMOVE to remove it"
        )
    if entry is None and not typed.plain:
        raise InvalidInput(
            "the function of modify returns the new document; found None, and none stands there. "
            "Return one to make it, or REMOVE to leave it so"
        )


def _refuse_name(typed: Typed[Any], name: object) -> None:
    from difflib import get_close_matches  # Only somebody who made a mistake waits for it.

    names = sorted(typed.names or ())
    near = get_close_matches(str(name), names, 1)
    meant = f"did you mean {near[0]!r}?" if near else f"It has {', '.join(names)}"
    raise InvalidInput(
        f"a patch of {typed!r} names its fields; found {name!r}, which it has not. {meant}"
    )
