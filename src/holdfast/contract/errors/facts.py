"""A fact of an error: declared on its class with a type, kept in `details`."""

from __future__ import annotations

from typing import Any, Generic, Protocol, Self, TypeVar, cast, overload

T = TypeVar("T")


class HasDetails(Protocol):
    """What carries facts: every error."""

    details: dict[str, Any]


class Fact(Generic[T]):
    """An attribute that reads from the error's `details`.

        class Compacted(StoreError, code=...):
            oldest: Fact[int | None] = Fact("the first revision that is still there")

    Attributes:
        meaning: what the fact says, as the document of errors prints it.
        default: what it reads where it was not stated.
    """

    name: str

    def __init__(self, meaning: str, default: Any = None) -> None:
        self.meaning = meaning
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, error: None, owner: type) -> Self: ...

    @overload
    def __get__(self, error: HasDetails, owner: type) -> T: ...

    def __get__(self, error: HasDetails | None, owner: type) -> Self | T:
        if error is None:
            return self
        return cast("T", error.details.get(self.name, self.default))


def facts_of(error: type) -> dict[str, Fact[Any]]:
    """The facts that a class of errors declares, its bases' included: name to fact."""
    return {
        name: fact
        for owner in reversed(error.__mro__)
        for name, fact in vars(owner).items()
        if isinstance(fact, Fact)
    }
