"""One way from what people call a schema to a `Schema`."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from holdfast.codecs.violations import is_pydantic
from holdfast.contract.errors import InvalidInput
from holdfast.records.schemas.checks import CheckSchema, StandardSchema
from holdfast.records.schemas.classes import MsgspecSchema, PydanticSchema
from holdfast.records.schemas.json_schema import JsonSchema
from holdfast.records.schemas.schema import CHECK, CLASS, Schema, digest_of


def schema_of(given: Any, name: str | None = None) -> Schema:
    """The schema of a dict (JSON Schema), a class, or a function; a `Schema` stays what it is.

    Args:
        given: what.
        name: of a function; others have none.

    Raises:
        InvalidInput: it is none of them, or not a schema.
    """
    if hasattr(given, "~standard"):
        return StandardSchema(given, name)
    if not isinstance(given, type):
        if isinstance(given, Schema):
            return _own(given)
        if callable(given):
            return CheckSchema(given, name)
    if name is not None:
        raise InvalidInput("a name is for functions; other schemas are known by what they say")
    if isinstance(given, dict):
        return JsonSchema(given)
    if isinstance(given, type):
        if is_pydantic(given):
            return PydanticSchema(given)
        if dataclasses.is_dataclass(given) or issubclass(given, msgspec.Struct):
            return MsgspecSchema(given)
    raise InvalidInput(
        "a schema is a JSON Schema as a dict, a msgspec Struct, a dataclass, a pydantic model, or "
        f"a function that raises ValueError; found {_shown(given)}"
    )


def _own(given: Schema) -> Schema:
    """A schema of somebody's own making, whose form has to say that code belongs to it."""
    if isinstance(given, JsonSchema):
        return given
    if digest_of(given.form) != given.digest or not (CHECK in given.form or CLASS in given.form):
        raise InvalidInput(
            f"the form of a schema of your own has {CHECK!r}, a name for its code, and `digest` is "
            "that of the form (see `holdfast.digest`); found another one"
        )
    return given


def _shown(given: Any) -> str:
    return f"the class {given.__qualname__}" if isinstance(given, type) else type(given).__name__
