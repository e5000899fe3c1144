"""Functions as schemas, and objects with a `~standard` of their own.

Code cannot be stored: a name stands for it in the database, and each process that writes has to
register the function under that name. Another rule deserves another name, such as `city v2`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.codecs.violations import Violation, path_of
from holdfast.contract.errors import InvalidInput
from holdfast.records.schemas.schema import CHECK, Form, digest_of, refuse
from holdfast.runtime.working import is_coroutine_function

#: What a function that looks into a value of another shape runs into: the value does not fit.
_MISFIT = (TypeError, LookupError, AttributeError, ArithmeticError)
NAME_CHARACTERS_MAX = 256


class CheckSchema:
    """A function that judges a value.

    It refuses by raising ValueError or AssertionError, whose message is told, or by returning
    False. It must not keep or change the value.

    Args:
        check: called with the value.
        name: what stands for it in the database.
    """

    def __init__(self, check: Callable[[Any], object], name: str | None) -> None:
        if is_coroutine_function(check):
            raise InvalidInput(
                "a check of values runs inside the commit and cannot wait; found a coroutine "
                "function. Make it a plain one"
            )
        self.name = _name(check, name)
        self.form: Form = {CHECK: self.name}
        self.digest = digest_of(self.form)
        self._check = check

    def __repr__(self) -> str:
        return f"CheckSchema({self.name!r}, {self.digest[:12]})"

    def validate(self, value: Any) -> None:
        try:
            verdict = self._check(value)
        except (ValueError, AssertionError) as error:
            # The reason is in its author's words.
            refuse(self, [("$", str(error) or f"is refused by {self.name}")])
        except _MISFIT as error:
            refuse(self, [("$", f"made {self.name} fail with {type(error).__name__}")])
        if verdict is False:
            refuse(self, [("$", f"is refused by {self.name}")])


class StandardSchema(CheckSchema):
    """An object with `~standard`: a mapping whose `validate` answers `value` or `issues`."""

    def __init__(self, standard: Any, name: str | None) -> None:
        self._standard = getattr(standard, "~standard")
        super().__init__(_field(self._standard, "validate"), name or type(standard).__qualname__)

    def validate(self, value: Any) -> None:
        issues = _field(self._check(value), "issues")
        if issues:
            refuse(self, [_violation(issue) for issue in issues])


def _name(check: Callable[[Any], object], name: str | None) -> str:
    found = name if name is not None else getattr(check, "__qualname__", "<unnamed>")
    if name is None and "<" in found:
        raise InvalidInput(
            "a check is stored by its name, and each process registers it under the same one; "
            "found one without. Give it: register(check, name='city v1')"
        )
    if not isinstance(found, str) or not 0 < len(found) <= NAME_CHARACTERS_MAX:
        raise InvalidInput(f"the name of a check is a str of 1 to {NAME_CHARACTERS_MAX} characters")
    return found


def _field(of: Any, name: str) -> Any:
    return of.get(name) if isinstance(of, Mapping) else getattr(of, name, None)


def _violation(issue: Any) -> Violation:
    steps = []
    for step in _field(issue, "path") or ():
        # A step is a key, or an object that holds one.
        key = step if isinstance(step, str | int) else _field(step, "key")
        steps.append(key if isinstance(key, int) else str(key))
    return path_of(steps), str(_field(issue, "message"))
