"""Keys of kept results: of a template over a function's arguments, or of a digest of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from holdfast.codecs.digest import digest
from holdfast.contract.errors import InvalidInput, SerializationFailed


def _apart(value: Any) -> Any:
    """An argument in a template: two different ones never give one key."""
    if isinstance(value, str):
        return value.replace("%", "%25").replace(":", "%3A")
    return value


def keyed(function: Callable[..., Any], key: str | Callable[..., str] | None) -> Callable[..., str]:
    """What makes the key of a call: a function as it is, a template, or a digest of arguments."""
    if callable(key):
        return key
    signature = inspect.signature(function)
    named = f"{function.__module__}.{function.__qualname__}"

    def bound(*arguments: Any, **keywords: Any) -> dict[str, Any]:
        found = signature.bind(*arguments, **keywords)
        found.apply_defaults()
        return found.arguments

    if isinstance(key, str):
        return _templated(key, [*signature.parameters.values()], bound)

    def digested(*arguments: Any, **keywords: Any) -> str:
        given = bound(*arguments, **keywords)
        try:
            shape = {one: list(v) if isinstance(v, tuple) else v for one, v in given.items()}
            return "@".join((named, digest(shape).hex[:32]))
        except SerializationFailed as error:
            raise InvalidInput(
                f"the arguments of {named} cannot be told apart by a digest: {error}. Give a key"
            ) from error

    return digested


def _templated(
    template: str,
    parameters: list[inspect.Parameter],
    bound: Callable[..., dict[str, Any]],
) -> Callable[..., str]:
    """Makes the key of a template over the function's arguments."""
    plain = all(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters)
    names = [one.name for one in parameters]
    count = len(names) if plain else -1
    write = template.format
    if len(names) == count == 1 and template.count("{") == template.count(f"{{{names[0]}}}") == 1:
        begin, _, end = template.partition(f"{{{names[0]}}}")
        if "}" not in begin and "}" not in end:
            return _of_one(begin, end, lambda *a, **k: write(**_each_apart(bound(*a, **k))))

    def key(*arguments: Any, **keywords: Any) -> str:
        # Arguments by position, all of them, need not be matched to their names.
        given = (
            zip(names, arguments, strict=True)
            if len(arguments) == count and not keywords
            else bound(*arguments, **keywords).items()
        )
        return write(**_each_apart(given))

    return key


def _each_apart(given: Any) -> dict[str, Any]:
    return {one: _apart(value) for one, value in dict(given).items()}


def _of_one(begin: str, end: str, otherwise: Callable[..., str]) -> Callable[..., str]:
    """The same for one argument that stands there as it is: most templates are like this."""

    def key(*arguments: Any, **keywords: Any) -> str:
        if len(arguments) == 1 and not keywords:
            [value] = arguments
            if type(value) is int:
                return f"{begin}{value}{end}"
            if type(value) is str:
                return f"{begin}{_apart(value)}{end}"
        return otherwise(*arguments, **keywords)

    return key
