"""Memory that the system refuses: what is left of it, and one error wherever it shows.

Python itself takes a refusal well. Some extension modules do not: a JSON or MessagePack encoder may
crash the process, LMDB closes its environment for good. So where a process has a limit
(`ulimit -v`), big allocations of theirs are tried beforehand.
"""

from __future__ import annotations

import mmap

from holdfast.contract.errors import QuotaExceeded

try:
    import resource
except ImportError:  # Windows knows no such limit.
    resource = None  # type: ignore[assignment]


#: What the stack of a thread takes of the address space, where the system does not say less.
STACK_BYTES_MAX = 8 * 2**20
#: What the interpreter takes beside it until the thread says that it began.
FIRST_STEPS_BYTES = 2 * 2**20


def limited() -> bool:
    """Whether the address space of this process is limited."""
    return (
        resource is not None and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    )


def is_left(size: int) -> bool:
    """Whether so many bytes more can be mapped; always where there is no limit."""
    if size <= 0 or not limited():
        return True
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANON, prot=mmap.PROT_READ).close()
    except (OSError, ValueError, MemoryError):
        return False
    return True


def largest_left(size: int, smallest: int) -> int:
    """The size itself, or half of what is left where that is less; `smallest` at least."""
    if is_left(size):
        return size
    while size > smallest and not is_left(size):
        size //= 2
    return max(size // 2, smallest)


def no_memory(doing: str, *, lighter: str = "make the value smaller") -> QuotaExceeded:
    """The error for what the system gave this process no memory for.

    Args:
        doing: what was not done, such as "decode the value".
        lighter: what the caller can do so that it takes less.
    """
    return QuotaExceeded(
        f"the system gives this process no more memory to {doing}; it was not done, and the "
        f"database is as it was. Raise the limit (`ulimit -v`, or that of the container), or "
        f"{lighter}"
    )


def thread_fits() -> bool:
    """Whether a thread can begin.

    One that has no memory for its first steps ends without a word, and whoever starts it waits for
    ever for the word that it began.
    """
    if not limited():
        return True
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if not 0 < stack <= STACK_BYTES_MAX:
        stack = STACK_BYTES_MAX
    return is_left(stack + FIRST_STEPS_BYTES)


def no_thread(name: str) -> QuotaExceeded:
    """The error for a thread that the system does not start."""
    return QuotaExceeded(
        f"the system starts no more threads for this process; {name!r} was wanted. Raise the "
        "limit of threads or of memory (`ulimit -u`, `ulimit -v`, or those of the container), or "
        "end other threads"
    )
