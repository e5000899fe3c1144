"""Classes as schemas: msgspec Structs, dataclasses and whatever msgspec converts to; pydantic.

A value fits when it would convert strictly, without turning one type into another; it is stored
as it was given. The stored form is the JSON Schema of the class, with its name: the class itself
has to be registered in each process that writes. What only describes (docstrings, examples) does
not count, so that rewording a docstring makes no other schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.codecs.violations import msgspec_violations, pydantic_violations
from holdfast.contract.errors import InvalidInput
from holdfast.records.schemas.schema import CLASS, Form, as_read, digest_of, refuse

#: Keywords that only describe.
_DESCRIBING = ("description", "examples")
#: Keywords whose dict holds schemas by name, and not keywords.
_BY_NAME = ("properties", "$defs", "patternProperties", "dependentSchemas")


class _ClassSchema:
    """What both kinds share."""

    def __init__(self, kind: type, form: Form) -> None:
        self.kind = kind
        self.form: Form = {**_without_descriptions(form), CLASS: kind.__qualname__}
        self.digest = digest_of(self.form)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.__qualname__}, {self.digest[:12]})"


class MsgspecSchema(_ClassSchema):
    """A msgspec Struct or a dataclass.

    Fields that the class does not know are let through unless it forbids them
    (`forbid_unknown_fields`). Patterns of `msgspec.Meta` run on Python's `re`: keep them simple.
    """

    def __init__(self, kind: type) -> None:
        super().__init__(kind, _derived(kind, msgspec.json.schema))

    def validate(self, value: Any) -> None:
        try:
            try:
                msgspec.convert(value, self.kind, strict=True)
            except msgspec.ValidationError:
                # Keys that are a subclass of str are str once they are stored.
                msgspec.convert(as_read(value), self.kind, strict=True)
        except msgspec.ValidationError as error:
            refuse(self, msgspec_violations(error))


class PydanticSchema(_ClassSchema):
    """A pydantic model, or a pydantic dataclass.

    Judged strictly, with the types of JSON for dates, enums and the like; a value that holds bytes
    with those of Python.
    """

    def __init__(self, kind: type) -> None:
        from pydantic import TypeAdapter

        self._adapter: Any = TypeAdapter(kind)
        super().__init__(kind, _derived(kind, lambda _: self._adapter.json_schema()))

    def validate(self, value: Any) -> None:
        import orjson
        from pydantic import ValidationError

        try:
            try:
                text = orjson.dumps(value)
            except TypeError:
                # Bytes, which JSON has not.
                self._adapter.validate_python(value, strict=True)
            else:
                self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            refuse(self, pydantic_violations(error))


def _derived(kind: type, derive: Callable[[type], Form]) -> Form:
    try:
        return derive(kind)
    except (TypeError, NameError, RuntimeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"a class whose fields have types that JSON can hold was wanted; {kind.__qualname__} "
            f"has no JSON Schema: {error}. Register a function that checks values instead"
        ) from error


def _without_descriptions(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_descriptions(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for keyword, inside in schema.items():
        if keyword in _BY_NAME and isinstance(inside, dict):
            kept[keyword] = {name: _without_descriptions(one) for name, one in inside.items()}
        elif keyword not in _DESCRIBING:
            # Defaults, enums and constants are data, whatever their keys are called.
            data = keyword in ("default", "enum", "const")
            kept[keyword] = inside if data else _without_descriptions(inside)
    return kept
