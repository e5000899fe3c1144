"""`Schema`: the one protocol of whatever can judge a value, and how a refusal is told.

A schema has a form, plain JSON that is stored in the database, and a digest, the SHA-256 of that
form: equal schemas have one digest, whatever the order of their keys. Adapters make schemas of
JSON Schemas, classes and functions; see `adapting.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, Protocol, runtime_checkable

from holdfast.codecs.digest import digest
from holdfast.codecs.serializers import MESSAGE_PACK
from holdfast.codecs.violations import Violation
from holdfast.contract.errors import InvalidInput, SchemaValidationFailed, SerializationFailed

Form = dict[str, Any]

#: How many violations an error lists; the message spells out fewer.
VIOLATIONS_MAX = 100
VIOLATIONS_TOLD_MAX = 3
#: The longest path and the longest message of one violation, in characters.
PATH_CHARACTERS_MAX = 400
MESSAGE_CHARACTERS_MAX = 400
#: The largest stored form, in bytes of MessagePack.
FORM_BYTES_MAX = 256 * 1024

#: Keys of a form that say that code belongs to it, and whose.
CLASS = "x-holdfast-class"
CHECK = "x-holdfast-check"


@runtime_checkable
class Schema(Protocol):
    """Judges values.

    Attributes:
        digest: 64 hex digits, the digest of `form`.
        form: plain JSON: what is stored of the schema.
    """

    @property
    def digest(self) -> str: ...

    @property
    def form(self) -> Form: ...

    def validate(self, value: Any) -> None:
        """Return when the value, one that can be stored, fits.

        Raises:
            SchemaValidationFailed: it does not; `violations` says where and why.
        """


def digest_of(form: Form) -> str:
    """The digest of a form, 64 hex digits.

    Raises:
        InvalidInput: the form is no plain JSON, or too large.
    """
    try:
        size = len(MESSAGE_PACK.encode(form))
    except SerializationFailed as error:
        raise InvalidInput(f"a schema is plain JSON: {error}") from error
    if size > FORM_BYTES_MAX:
        raise InvalidInput(
            f"a schema has at most {FORM_BYTES_MAX} bytes; found {size}. Split it over namespaces"
        )
    return digest(form).hex


def judge(schema: Schema, value: Any) -> None:
    """Validate a value of any origin.

    Raises:
        SerializationFailed: it cannot be stored at all. (Nested without end, it would exhaust
            the stack of the caller that walks it.)
        SchemaValidationFailed: it does not fit.
    """
    MESSAGE_PACK.encode(value)
    schema.validate(value)


def as_read(value: Any) -> Any:
    """A storable value as it will be read: keys that are a subclass of str are str then."""
    return MESSAGE_PACK.decode(MESSAGE_PACK.encode(value))


def refuse(schema: Schema, violations: Iterable[Violation]) -> NoReturn:
    """Raise SchemaValidationFailed with the violations, cut to their limits."""
    kept: list[Violation] = []
    for path, message in violations:
        kept.append((path[:PATH_CHARACTERS_MAX], message[:MESSAGE_CHARACTERS_MAX]))
        if len(kept) == VIOLATIONS_MAX:
            break
    told = "; ".join(f"{path}: {message}" for path, message in kept[:VIOLATIONS_TOLD_MAX])
    more = len(kept) - VIOLATIONS_TOLD_MAX
    if more > 0:
        told += f"; and {more} more, see `violations`"
    raise SchemaValidationFailed(
        f"the value does not fit schema {schema.digest[:12]}: {told}. Nothing was written; change "
        "the value, or register another schema",
        schema_hash=schema.digest,
        violations=kept,
    )
