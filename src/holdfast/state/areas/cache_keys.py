"""Keys of kept results: of a template over a function's arguments, or of a digest of them."""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Callable
from typing import Any

from holdfast.codecs.digest import digest
from holdfast.contract.errors import InvalidInput, SerializationFailed

#: What is written without colons and needs no care.
_PLAIN = (int, bool, float, type(None))


def _apart(value: Any) -> Any:
    """An argument in a template: none reaches into the next one's part of the key."""
    if type(value) in _PLAIN:
        return value
    return _escaped(value if isinstance(value, str) else format(value))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")


class _Careful(string.Formatter):
    """Writes templates that look into their arguments: `{user.name}`, `{at:%H:%M}`."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        return _escaped(format(value, format_spec))


_careful = _Careful()


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
    """Makes the key of a template over the function's arguments.

    Raises:
        InvalidInput: it cannot be read, or speaks of an argument that there is not.
    """
    if not _check(template, parameters):
        return lambda *a, **k: _careful.vformat(template, (), bound(*a, **k))
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


def _check(template: str, parameters: list[inspect.Parameter]) -> bool:
    """Whether all fields are arguments as they are. Raises InvalidInput."""
    names = {one.name for one in parameters}
    try:
        fields = [(one, how, made) for _, one, how, made in string.Formatter().parse(template)]
    except ValueError as error:
        raise InvalidInput(f"the key is a template such as 'user:{{id}}'; found {error}") from error
    simple = True
    for field, how, made in fields:
        if field is None:
            continue
        name = re.split(r"[.\[]", field, maxsplit=1)[0]
        if name not in names:
            raise InvalidInput(
                f"the key speaks of {name or 'a place'!r}, and the function has the arguments "
                f"{', '.join(names) or '(none)'}. Correct the template"
            )
        simple = simple and field == name and not how and not made
    return simple


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
