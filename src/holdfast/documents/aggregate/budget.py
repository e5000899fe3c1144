"""How much an aggregation may hold, and when it is asked whether to go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from holdfast.contract.errors import QuotaExceeded

MEMORY_BYTES_MAX = 200_000_000
"""How many bytes an aggregation holds at most by default, as estimated."""

CHUNK_DOCUMENTS = 256
"""How many documents go through a stage at once; the deadline is asked between."""

#: Documents that go through a stage together; an empty one means that there are none just now.
Chunk = list[Any]

#: Asked now and then; raises (TimedOut, a cancellation) when the aggregation is to stop.
Deadline = Callable[[], None]

T = TypeVar("T")

_SAMPLED = 16


class Budget:
    """Counts what an aggregation holds. What is charged is not given back before its end."""

    def __init__(self, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self.memory_bytes_max = memory_bytes_max
        self.held_bytes = 0

    def charge(self, bytes_held: int, stage: str) -> None:
        """Count bytes that a stage holds from now on. Raises QuotaExceeded over the limit."""
        self.held_bytes += bytes_held
        if self.held_bytes > self.memory_bytes_max:
            raise QuotaExceeded(
                f"an aggregation holds at most {self.memory_bytes_max} bytes "
                f"(memory_bytes_max); `{stage}` needs more. Match or project less before it, "
                "group by fewer values, put a limit behind a sort, or raise memory_bytes_max",
                limit=self.memory_bytes_max,
                stage=stage,
            )

    def held(self, documents: Iterable[T], stage: str) -> Iterator[T]:
        """Documents that a stage is going to keep, each charged. Every 16th is measured."""
        estimate = 0
        for at, document in enumerate(documents):
            if at % _SAMPLED == 0:
                estimate = size_of(document)
            self.charge(estimate, stage)
            yield document


def size_of(value: Any) -> int:
    """About how many bytes of memory a plain value takes with all that is in it."""
    total = 0
    stack = [value]
    while stack:
        part = stack.pop()
        total += sys.getsizeof(part)
        if isinstance(part, dict):
            # Names are shared by documents that one decoder made.
            stack.extend(part.values())
        elif isinstance(part, (list, tuple)):
            stack.extend(part)
    return total


def chunked(documents: Iterable[Any]) -> Iterator[Chunk]:
    """Documents in chunks: the first of one, so that little is read ahead, then longer ones."""
    source = iter(documents)
    size = 1
    while chunk := list(islice(source, size)):
        yield chunk
        size = min(size * 2, CHUNK_DOCUMENTS)


def checked(chunks: Iterable[Chunk], deadline: Deadline | None) -> Iterator[Chunk]:
    """The same chunks; the deadline is asked before each is handed on."""
    for chunk in chunks:
        if deadline is not None:
            deadline()
        yield chunk
