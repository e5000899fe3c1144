"""Payloads: one object put together from the values of several keys, all of one moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal, get_args

import msgspec

from holdfast.codecs.text import StoreKey
from holdfast.codecs.violations import is_pydantic, msgspec_violations, pydantic_violations
from holdfast.contract.errors import InvalidInput, KeyNotFound, SchemaValidationFailed
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.store.versions.entry import Entry

#: Keys by field; a mapping in place of a key makes a nested object.
Mapped = Mapping[str, Any]
#: What can become of a field whose key has no entry.
Absent = Literal["raise", "default", "omit"]
MISSING: tuple[Absent, ...] = get_args(Absent)

#: How deep mappings may stand in each other.
DEPTH_MAX = 32


async def form_payload(
    store: KeyValueStoreInterface,
    mapping: Mapped,
    *,
    into: Any = dict,
    missing: str = "raise",
    default: object = None,
) -> Any:
    """The object of a mapping; see `Database.create_payload`."""
    if missing not in MISSING:
        raise InvalidInput(f"missing is one of {', '.join(MISSING)}; found {missing!r}")
    _require_class(into)
    keys = _checked(mapping, "", 1)
    entries = await store.get_many(set(_keys(keys)))
    fields = _filled(keys, entries, missing, default, "")
    return fields if into is dict else _made(into, fields)


def _checked(mapping: object, path: str, depth: int) -> dict[str, Any]:
    """The mapping with its keys read, as dicts. Raises InvalidInput, InvalidKey."""
    if not isinstance(mapping, Mapping):
        raise InvalidInput(
            f"a payload is described by a mapping of fields to keys; found "
            f"{type(mapping).__name__}{_at(path)}"
        )
    if depth > DEPTH_MAX:
        raise InvalidInput(f"payloads nest at most {DEPTH_MAX} deep; found more{_at(path)}")
    checked: dict[str, Any] = {}
    for field, given in mapping.items():
        if not isinstance(field, str):
            raise InvalidInput(f"a field is a str; found {type(field).__name__}{_at(path)}")
        below = f"{path}.{field}" if path else field
        if isinstance(given, str):
            checked[field] = StoreKey.of(given)
        else:
            checked[field] = _checked(given, below, depth + 1)
    return checked


def _keys(checked: dict[str, Any]) -> list[StoreKey]:
    keys = []
    for given in checked.values():
        keys += [given] if isinstance(given, StoreKey) else _keys(given)
    return keys


def _filled(
    checked: dict[str, Any],
    entries: Mapping[StoreKey, Entry[Any]],
    missing: str,
    default: object,
    path: str,
) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for field, key in checked.items():
        below = f"{path}.{field}" if path else field
        if not isinstance(key, StoreKey):
            filled[field] = _filled(key, entries, missing, default, below)
        elif key in entries:
            # A copy: two fields may come from one key.
            filled[field] = deepcopy(entries[key].value)
        elif missing == "default":
            filled[field] = deepcopy(default)
        elif missing == "raise":
            raise KeyNotFound(
                f"the field {below!r} of the payload comes from {str(key)!r}, which has no entry. "
                "Write it, or pass missing='default' or missing='omit'",
                key=str(key),
                field=below,
            )
    return filled


def _require_class(into: Any) -> None:
    kinds = isinstance(into, type) and (
        into is dict
        or dataclasses.is_dataclass(into)
        or issubclass(into, msgspec.Struct)
        or is_pydantic(into)
    )
    if not kinds:
        raise InvalidInput(
            "a payload is made into dict, a dataclass, a msgspec Struct or a pydantic model; "
            f"found {getattr(into, '__qualname__', type(into).__name__)}"
        )


def _made(into: Any, fields: dict[str, Any]) -> Any:
    """The object of a class. Raises SchemaValidationFailed."""
    if is_pydantic(into):
        import pydantic

        try:
            return pydantic.TypeAdapter(into).validate_python(fields)
        except pydantic.ValidationError as error:
            violations = pydantic_violations(error)
    else:
        try:
            return msgspec.convert(fields, into, strict=True)
        except msgspec.ValidationError as error:
            violations = msgspec_violations(error)
    told = "; ".join(f"{path}: {message}" for path, message in violations[:3])
    raise SchemaValidationFailed(
        f"the payload does not make a {into.__qualname__}: {told}. Map the fields to other keys, "
        "or pass another `missing`",
        violations=violations,
    )


def _at(path: str) -> str:
    return f" at the field {path!r}" if path else ""
