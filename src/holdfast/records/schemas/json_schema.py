"""JSON Schema: 2020-12, and the older drafts by their `$schema`, by the library jsonschema-rs.

It compiles a schema once and judges a value of 1 KB in half a microsecond. Patterns run on an
engine whose time is linear in the text, so none can stall a loop; what only a backtracking engine
has (look-around, back references) is refused. Nothing is ever fetched: a `$ref` that leads out of
the schema is refused, one that leads back into it may recurse. `format` is enforced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from holdfast.codecs.plain import JSON_RULES
from holdfast.codecs.violations import Violation, path_of
from holdfast.contract.errors import DriverMissing, InvalidInput, SerializationFailed
from holdfast.records.schemas.schema import (
    CHECK,
    CLASS,
    Form,
    as_read,
    digest_of,
    refuse,
)

#: How the value is called in messages, in place of what it holds.
_MASK = "the value"
_ELSEWHERE = re.compile(r"Resource '([^']+)' is not present")


class JsonSchema:
    """A JSON Schema.

    Args:
        form: the schema, a dict. Without `$schema` it is of draft 2020-12.

    Raises:
        InvalidInput: it is no schema, or refers to something outside itself.
        DriverMissing: jsonschema-rs is not installed.
    """

    def __init__(self, form: Form) -> None:
        if not isinstance(form, dict):
            raise InvalidInput(f"a JSON Schema is a dict; found {type(form).__name__}")
        for reserved in (CLASS, CHECK):
            if reserved in form:
                raise InvalidInput(
                    f"{reserved!r} in a schema names code, which a JSON Schema has not; leave it "
                    "out, or register the class or function itself"
                )
        self.digest = digest_of(form)
        # A copy: the caller's dict may change, a registered schema does not.
        self.form: Form = as_read(form)
        validator = compiled(self.form)
        self._is_valid = validator.is_valid
        self._errors = validator.iter_errors

    def __repr__(self) -> str:
        return f"JsonSchema({self.digest[:12]})"

    def validate(self, value: Any) -> None:
        try:
            if self._is_valid(value):
                return
        except ValueError:
            # Something that JSON does not know, in the value as it is or as it will be read.
            value = as_read(value)
            try:
                if self._is_valid(value):
                    return
            except ValueError:
                refuse(self, [_foreign(value)])
        refuse(self, self._violations(value))

    def _violations(self, value: Any) -> Iterator[Violation]:
        for error in self._errors(value):
            yield path_of(error.instance_path), error.message


def compiled(form: Form) -> Any:
    """A validator of the library, which knows nothing but this schema."""
    try:
        import jsonschema_rs
    except ImportError as error:
        raise DriverMissing(
            "JSON Schemas are judged by jsonschema-rs; found it not installed. Install it with "
            "`pip install 'holdfast-db[schema]'`",
            driver="jsonschema-rs",
        ) from error
    try:
        return jsonschema_rs.validator_for(
            form,
            validate_formats=True,
            mask=_MASK,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except jsonschema_rs.ValidationError as error:
        raise _no_schema(error) from None
    except ValueError as error:
        raise InvalidInput(f"a schema is plain JSON: {error}") from None


def _no_schema(error: Any) -> InvalidInput:
    elsewhere = _ELSEWHERE.search(error.message)
    if elsewhere:
        return InvalidInput(
            f"a schema refers to nothing but itself, and nothing is fetched; found a reference to "
            f"{elsewhere[1]!r}. Copy what it means under $defs",
            reference=elsewhere[1],
        )
    path = path_of(error.instance_path)
    if getattr(error.kind, "name", "") == "format":
        return InvalidInput(
            f"the schema wants a regular expression at {path}; found one that is none, is too "
            "large, or needs look-around or back references, which cannot run in linear time. "
            "Say it without them",
            path=path,
        )
    return InvalidInput(f"a JSON Schema was wanted; at {path}, {error.message}", path=path)


def _foreign(value: Any) -> Violation:
    """Where a storable value holds what JSON has no type for, and a keyword asks about it."""
    try:
        JSON_RULES.refuse(value)
    except SerializationFailed as error:
        kind, path = error.details["type"], "$" + error.details["path"].removeprefix("value")
    return path, f"holds {kind}, for which JSON Schema has no type; leave it unconstrained"
