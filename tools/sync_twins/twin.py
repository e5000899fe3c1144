"""What is said of one handle so that its twin can be written."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Twin:
    """One handle to be twinned.

    Attributes:
        source: module and class of the async handle.
        file: which file of the package it stands in.
        name: of the twin; the handle's own unless given.
        stands_for: further classes that annotations of the handles may name for it.
        attributes: what `__init__` of the handle sets for its users, with types.
        rewrites: sentences of docstrings that are not true of the twin, and what is. Each must
            occur.
        extra: methods that only the twin has.
        plain: coroutines that the twin runs itself, statement by statement: it drives what they
            await, and what they find done at once was never a coroutine.
        first: what the twin tries before it drives the coroutine of a method.
        hidden: attributes that are for other modules, not for users.
        without: methods that the twin does not have.
        shared: it is what other twins inherit, as their handles inherit its handle, and nothing
            that users name.
    """

    source: str
    file: str = "database"
    name: str = ""
    stands_for: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    rewrites: dict[str, str] = field(default_factory=dict)
    extra: str = ""
    plain: tuple[str, ...] = ()
    first: dict[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    shared: bool = False

    @property
    def handle(self) -> type:
        module, _, name = self.source.partition(":")
        handle = getattr(importlib.import_module(module), name)
        assert isinstance(handle, type)
        return handle

    @property
    def twin(self) -> str:
        return self.name or self.handle.__name__

    @property
    def alias(self) -> str:
        """What the generated module calls the async handle."""
        name = self.handle.__name__
        return f"ASYNC_{name}" if name.isupper() else f"Async{name}"

    @property
    def generic(self) -> bool:
        """Whether the handle is one of values of some type."""
        return bool(getattr(self.handle, "__parameters__", ()))

    @property
    def iterates(self) -> bool:
        return hasattr(self.handle, "__anext__")
