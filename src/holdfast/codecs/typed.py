"""Values of one type: from what users hold to the plain value that is stored, and back.

`dict` (or no type) stands for plain values as they are. A dataclass, a `msgspec.Struct`, a
`TypedDict` and a pydantic model are turned into plain ones, and checked, when they are written;
read, they are made anew each time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from operator import is_not
from typing import Any, Generic, TypeVar, is_typeddict

import msgspec

from holdfast.codecs.violations import is_pydantic, msgspec_violations, pydantic_violations
from holdfast.contract.errors import InvalidInput, InvalidValue, SchemaValidationFailed

T = TypeVar("T")

#: How many classes have what makes their instances kept.
TYPES_KEPT_MAX = 1_000

#: What plain values hold besides the types of JSON.
_BUILTIN = (bytes, datetime)


class Typed(Generic[T]):
    """Turns the values of one type into plain ones and back.

    Args:
        kind: the type; None, dict, object and Any: plain values.
        holder: what holds the values, for messages.

    Attributes:
        plain: whether values are plain themselves.
        to_plain: the plain value of one; it may share parts with it. Raises InvalidValue and
            SchemaValidationFailed.
        part_to_plain: the same for something that may be a part of one. Raises InvalidValue.
        names: of the fields that plain values of it have; None: they may have any.
        from_plain: the value of a plain one. Raises SchemaValidationFailed.

    Raises:
        InvalidInput: there is no way from the type to plain values.
    """

    def __init__(self, kind: Any = None, holder: str = "collection") -> None:
        self.kind = kind
        self.holder = holder
        self.plain = kind in (None, dict, object, Any)
        self.to_plain: Callable[[Any], Any] = _as_it_is
        self.from_plain: Callable[[Any], T] = _as_it_is
        self.part_to_plain: Callable[[Any], Any] = _as_it_is
        self.names: frozenset[str] | None = None
        if self.plain:
            return
        self.part_to_plain = self._part_to_plain
        if is_pydantic(kind):
            self._with_pydantic(kind)
        elif _is_struct(kind) or is_typeddict(kind) or _is_dataclass(kind):
            self._with_msgspec(kind)
        else:
            raise InvalidInput(
                f"the type of a {holder} is dict, a dataclass, a msgspec Struct, a TypedDict or a "
                f"pydantic model; found {getattr(kind, '__qualname__', type(kind).__name__)}. "
                "Wrap the value in one of them, or leave the type out"
            )

    def __repr__(self) -> str:
        return "dict" if self.plain else str(getattr(self.kind, "__qualname__", self.kind))

    def _with_msgspec(self, kind: Any) -> None:
        shaped = not is_typeddict(kind)
        if _is_struct(kind):
            self.names = _names_of_struct(kind)
        elif shaped:
            self.names = frozenset(field.name for field in dataclasses.fields(kind))
        else:
            self.names = kind.__required_keys__ | kind.__optional_keys__

        def to_plain(value: Any) -> Any:
            if shaped and not isinstance(value, kind):
                raise self._other(value)
            try:
                plain = msgspec.to_builtins(value, builtin_types=_BUILTIN, str_keys=True)
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidValue(
                    f"a {self!r} that becomes a plain value was wanted; found one that does "
                    f"not: {type(error).__name__}. Give its fields types that msgspec converts"
                ) from error
            from_plain(plain)
            return without_tuples(plain)

        def from_plain(plain: Any) -> Any:
            try:
                return msgspec.convert(plain, kind, builtin_types=_BUILTIN, str_keys=True)
            except msgspec.ValidationError as error:
                raise self._unfit(msgspec_violations(error)) from error
            except (StopIteration, StopAsyncIteration) as error:
                raise self._stopped(error) from error

        self.to_plain, self.from_plain = to_plain, from_plain

    def _with_pydantic(self, kind: Any) -> None:
        from pydantic import TypeAdapter, ValidationError

        adapter: Any = TypeAdapter(kind)
        self.names = _names_of_model(kind)

        def to_plain(value: Any) -> Any:
            if not isinstance(value, kind):
                raise self._other(value)
            plain = msgspec.to_builtins(
                adapter.dump_python(value, by_alias=True, warnings=False),
                builtin_types=_BUILTIN,
                str_keys=True,
            )
            from_plain(plain)
            return without_tuples(plain)

        def from_plain(plain: Any) -> Any:
            try:
                return adapter.validate_python(plain)
            except ValidationError as error:
                raise self._unfit(pydantic_violations(error)) from error
            except (StopIteration, StopAsyncIteration) as error:
                raise self._stopped(error) from error

        self.to_plain, self.from_plain = to_plain, from_plain

    def _part_to_plain(self, part: Any) -> Any:
        try:
            return without_tuples(
                msgspec.to_builtins(
                    part, builtin_types=_BUILTIN, str_keys=True, enc_hook=_model_to_plain
                )
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidValue(
                f"parts of a {self!r} that become plain values were wanted; found one that does "
                f"not: {type(error).__name__}. Give plain values, or what fields of it hold"
            ) from error

    def _stopped(self, error: BaseException) -> RuntimeError:
        # It would end the walk that the value is a part of, as if there were no more.
        return RuntimeError(f"the class {self!r} raised {type(error).__name__}")

    def _other(self, value: Any) -> InvalidValue:
        return InvalidValue(
            f"the {self.holder} holds values of {self!r}; found one of {type(value).__name__}. "
            f"Make it one of {self!r} first"
        )

    def _unfit(self, violations: list[tuple[str, str]]) -> SchemaValidationFailed:
        path, message = violations[0]
        return SchemaValidationFailed(
            f"a value that fits {self!r} was wanted; found one that does not at {path}: "
            f"{message}. `violations` lists what to correct",
            violations=violations,
        )


def without_tuples(plain: Any) -> Any:
    """A value with lists in place of its tuples, which no format gives back; itself without any."""
    kind = type(plain)
    if kind is tuple:
        return [without_tuples(part) for part in plain]
    if kind is list:
        parts = [without_tuples(part) for part in plain]
        return parts if any(map(is_not, parts, plain)) else plain
    if kind is dict:
        kept = {key: without_tuples(part) for key, part in plain.items()}
        return kept if any(map(is_not, kept.values(), plain.values())) else plain
    return plain


@lru_cache(maxsize=TYPES_KEPT_MAX)
def instance_of(kind: Any) -> Callable[[Any], Any]:
    """What makes an instance of a class from a plain value; made once for each class."""
    return Typed[Any](kind, "schema").from_plain


def _as_it_is(value: Any) -> Any:
    return value


def _names_of_struct(kind: Any) -> frozenset[str] | None:
    """The names in plain values of a Struct; None: those are lists."""
    config = kind.__struct_config__
    if config.array_like:
        return None
    tag = () if config.tag_field is None else (config.tag_field,)
    return frozenset((*kind.__struct_encode_fields__, *tag))


def _names_of_model(kind: Any) -> frozenset[str] | None:
    """The names that a pydantic model reads and writes; None: any, or it cannot be told."""
    if not hasattr(kind, "model_fields") or kind.model_config.get("extra") == "allow":
        return None
    names: set[str] = set()
    for name, field in kind.model_fields.items():
        names.add(name)
        for alias in (field.alias, field.validation_alias, field.serialization_alias):
            if isinstance(alias, str):
                names.add(alias)
            elif alias is not None:
                return None
    return frozenset(names)


def _model_to_plain(part: Any) -> Any:
    """What msgspec does not convert: an instance of a pydantic model."""
    if is_pydantic(type(part)):
        return part.model_dump(by_alias=True, warnings=False)
    raise TypeError


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
