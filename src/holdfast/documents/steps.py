"""What a commit does to each of its documents, and what it decides from."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal

import msgspec

from holdfast.codecs.serializers import MESSAGE_PACK
from holdfast.records.options import NO_CONDITIONS, NO_OPTIONS, Conditions, WriteOptions
from holdfast.store.versions.chunks import Serialized
from holdfast.store.versions.entry import Entry


class _Act(Enum):
    KEEP = "keep"
    REMOVE = "delete"


#: What a decision answers: leave it as it is, or remove it.
KEEP: Final = _Act.KEEP
REMOVE: Final = _Act.REMOVE


class Put(msgspec.Struct, frozen=True, gc=False):
    """What a decision puts under a key; called, it is the decision to put it in any case.

    Attributes:
        value: the plain document, serialised.
        options: who and why, and for how long.
    """

    value: Serialized
    options: WriteOptions = NO_OPTIONS

    @property
    def document(self) -> Any:
        """The plain document as it will be read: nobody else has it, so nobody changes it."""
        canonical = self.value.canonical
        return MESSAGE_PACK.decode(canonical[0] if len(canonical) == 1 else b"".join(canonical))

    def __call__(self, _entry: Entry[Any] | None) -> Put:
        return self


#: Decides one key's part of a commit, from the document that stands there.
Decision = Callable[[Entry[Any] | None], Put | Literal[_Act.KEEP, _Act.REMOVE]]


def conditional(decide: Decision, key: str, required: Conditions) -> Decision:
    """The decision, on condition that the document which stands there is as required."""
    if required is NO_CONDITIONS:
        return decide

    def checked(entry: Entry[Any] | None) -> Put | Literal[_Act.KEEP, _Act.REMOVE]:
        required.check(key, entry)
        return decide(entry)

    return checked


class Step:
    """One key's part of a commit.

    Attributes:
        key: of the document.
        decide: what to do.
        options: who and why.
        reads: whether `decide` looks at the value that stands there.
        before: the entry that was found, once committed.
        after: the stored bytes that were put; None: none were.
        written: whether there was anything to do.
    """

    __slots__ = ("after", "before", "decide", "key", "options", "reads", "written")

    def __init__(
        self, key: str, decide: Decision, options: WriteOptions = NO_OPTIONS, *, reads: bool = False
    ) -> None:
        self.key = key
        self.decide = decide
        self.options = options
        self.reads = reads
        self.before: Entry[Any] | None = None
        self.after: bytes | None = None
        self.written = False
