"""Shapes: what the schema of an event makes of its data, on both sides of the wire.

The judging is that of `holdfast.records.schemas`, so one schema object means the same for an entry
and for an event. A class also makes data whole (defaults) and gives the listener its objects.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import orjson

from holdfast.contract.errors import SerializationFailed
from holdfast.records.schemas.adapting import schema_of
from holdfast.records.schemas.classes import MsgspecSchema, PydanticSchema
from holdfast.records.schemas.schema import Schema


class Shape:
    """A schema that judges and leaves data as it is: JSON Schema, a function."""

    def __init__(self, schema: Schema, kind: type | None = None) -> None:
        self.schema = schema
        #: The class of what listeners get; None: plain data.
        self.kind = kind

    def sent(self, data: Any) -> Any:
        """The data as it is sent, plain.

        Raises:
            SchemaValidationFailed: it does not fit.
        """
        self._judge(data)
        return data

    def received(self, plain: Any) -> Any:
        """The data as the listener gets it.

        Raises:
            SchemaValidationFailed: it does not fit.
        """
        self._judge(plain)
        return plain

    def plain(self, data: Any) -> Any:
        """The data without judgement."""
        return data

    def _judge(self, data: Any) -> None:
        try:
            self.schema.validate(data)
        except RecursionError as error:
            raise SerializationFailed("the data is nested without end") from error


class _MsgspecShape(Shape):
    def plain(self, data: Any) -> Any:
        if isinstance(data, msgspec.Struct) or (
            dataclasses.is_dataclass(data) and not isinstance(data, type)
        ):
            return msgspec.to_builtins(data)
        return data

    def sent(self, data: Any) -> Any:
        return msgspec.to_builtins(self.received(self.plain(data)))

    def received(self, plain: Any) -> Any:
        self._judge(plain)
        return msgspec.convert(plain, self.kind, strict=True)


class _PydanticShape(Shape):
    def __init__(self, schema: Schema, kind: type) -> None:
        from pydantic import TypeAdapter

        super().__init__(schema, kind)
        self._adapter: Any = TypeAdapter(kind)

    def plain(self, data: Any) -> Any:
        if self.kind is not None and isinstance(data, self.kind):
            return self._adapter.dump_python(data, mode="json")
        return data

    def sent(self, data: Any) -> Any:
        return self._adapter.dump_python(self.received(self.plain(data)), mode="json")

    def received(self, plain: Any) -> Any:
        self._judge(plain)
        return self._adapter.validate_json(orjson.dumps(plain), strict=True)


class _StandardShape(Shape):
    """A schema with `~standard`, whose answer is the data made whole."""

    def __init__(self, schema: Schema, given: Any) -> None:
        super().__init__(schema)
        standard = getattr(given, "~standard")
        self._check = standard["validate"] if isinstance(standard, dict) else standard.validate

    def sent(self, data: Any) -> Any:
        self._judge(data)
        answer = self._check(data)
        return answer["value"] if isinstance(answer, dict) else answer.value

    def received(self, plain: Any) -> Any:
        return self.sent(plain)


def shape_of(given: Any) -> Shape | None:
    """The shape for what a caller calls a schema; None stays None: anything goes.

    Raises:
        InvalidInput: it is no schema.
    """
    if given is None:
        return None
    name = getattr(given, "__qualname__", None)
    named = name if name is not None and "<" in name and not isinstance(given, type) else None
    schema = schema_of(given, named)
    if isinstance(schema, MsgspecSchema):
        return _MsgspecShape(schema, schema.kind)
    if isinstance(schema, PydanticSchema):
        return _PydanticShape(schema, schema.kind)
    if hasattr(given, "~standard"):
        return _StandardShape(schema, given)
    return Shape(schema)


def output_type(given: Any) -> type | None:
    """The class of what listeners get for a schema; None: plain data.

    Raises:
        InvalidInput: it is no schema.
    """
    shape = shape_of(given)
    return None if shape is None else shape.kind
