"""What every error is: a message, its facts as data, a code, and a way over a wire."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from holdfast.contract.errors.codes import ErrorCode

#: The most characters of a message: what was given by mistake may be of any size, and logs keep it.
MESSAGE_CHARACTERS_MAX = 4_000
#: Facts that hold no values of users.
_TELLING = (str, bytes, int, float, list, tuple, dict, type(None), type)


class StoreError(Exception):
    """The base of every error of Holdfast.

    Attributes:
        code: the stable name of the error.
        retryable: whether doing the work again can succeed: nothing was written, and what stood in
            the way may be gone. The work begins with its reading: a call with a condition that
            does not hold is decided anew, not repeated.
        details: the facts of the message as data (never values, never secrets).
    """

    code: ClassVar[ErrorCode] = ErrorCode.OPERATION_FAILED
    retryable: ClassVar[bool] = False

    # Filled below: code -> class, so that a code from a wire becomes its class again.
    by_code: ClassVar[dict[ErrorCode, type[StoreError]]] = {}

    def __init_subclass__(
        cls, *, code: ErrorCode | None = None, retryable: bool = False, **keywords: Any
    ) -> None:
        super().__init_subclass__(**keywords)
        if code is not None:
            cls.code = code
            cls.retryable = retryable
            StoreError.by_code[code] = cls

    def __init__(self, message: str, /, **details: Any) -> None:
        if len(message) > MESSAGE_CHARACTERS_MAX:
            message = _shortened(message)
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        facts = "".join(f", {name}={_shown(value)}" for name, value in self.details.items())
        return f"{type(self).__name__}({self.message!r}{facts})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Facts that no class declares, such as those of an engine from elsewhere. Type
            # checkers see the declared ones alone.
            details = self.__dict__.get("details")
            if details is not None and name in details:
                return details[name]
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        cause = self.__cause__
        if cause is not None and not _travels(cause):
            cause = StoreError(f"{type(cause).__qualname__}: {cause}")
        notes = getattr(self, "__notes__", [])
        return _rebuild, (type(self), self.message, self.details, cause, notes)

    def within(self, /, **details: Any) -> Self:
        """Add facts that only an outer floor knows; what is already stated stays."""
        self.details = details | self.details
        return self


def _shortened(message: str) -> str:
    """A message without its middle: the end says what comes next."""
    half = MESSAGE_CHARACTERS_MAX // 2 - 20
    return f"{message[:half]} [{len(message) - 2 * half} left out] {message[-half:]}"


def _shown(fact: Any) -> str:
    """A fact as logs may have it: what holds values of users is named and not shown."""
    if isinstance(fact, _TELLING):
        return repr(fact)
    return f"<{type(fact).__name__}>"


def _travels(cause: BaseException) -> bool:
    """Whether a cause survives pickling; errors of drivers often do not."""
    if isinstance(cause, StoreError):
        return True
    try:
        return isinstance(pickle.loads(pickle.dumps(cause)), BaseException)  # noqa: S301 - ours
    except Exception:  # noqa: BLE001 - whatever it is, it is not the error to tell of
        return False


def _rebuild(
    error: type[StoreError],
    message: str,
    details: dict[str, Any],
    cause: BaseException | None,
    notes: Sequence[str] = (),
) -> StoreError:
    rebuilt = error(message, **details)
    rebuilt.__cause__ = cause
    for note in notes:
        rebuilt.add_note(note)
    return rebuilt


StoreError.by_code[ErrorCode.OPERATION_FAILED] = StoreError
