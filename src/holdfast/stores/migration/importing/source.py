"""What an importer reads: items one after the other, as often as asked, and whether it changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, NamedTuple, NoReturn, Self

from holdfast.contract.errors import InvalidInput, InvalidKey
from holdfast.stores.content import Pair

#: How many characters of a key a message shows.
KEY_CHARACTERS_SHOWN_MAX: Final = 80

#: What a file looks like from outside: its path, size, time of change in ns, and number.
Look = tuple[str, int, int, int]


class Item(NamedTuple):
    """One value of a source.

    Attributes:
        key: as the source has it: text or bytes.
        value: bytes, or a plain value.
        expires_at: milliseconds since 1970 UTC; None: it stays.
        table: the table or collection within the source; empty where it has none.
        size: about how many bytes the source needed for it; 0: nobody knows.
    """

    key: str | bytes
    value: Any
    expires_at: int | None = None
    table: str = ""
    size: int = 0

    @property
    def shown(self) -> str:
        """The key for a message."""
        return shown(self.key)


class Source(ABC):
    """Older data that is open for reading. Used in a `with`; nothing of it is ever written.

    Attributes:
        kind: what it is, as `holdfast migrate --from` has it.
        raw: whether keys and values are bytes, which suit a store.
    """

    kind: ClassVar[str]
    raw: bool = False

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Every item, each time anew; only some of them are in memory at once."""

    @abstractmethod
    def look(self) -> object:
        """Equal to an earlier one unless the source was changed meanwhile."""

    def close(self) -> None:
        """Let go of what is open."""

    def pairs(self) -> Iterator[Pair]:
        """The items as bytes, for a store.

        Raises:
            InvalidInput: an item is not bytes, or expires, which a store does not keep.
        """
        for item in self.items():
            if not isinstance(item.value, bytes) or item.expires_at is not None or item.table:
                what = "one that expires" if item.expires_at is not None else (
                    f"one of the table {item.table!r}" if item.table
                    else f"a {type(item.value).__name__}"
                )  # fmt: skip
                raise InvalidInput(
                    f"a store holds bytes that stay; found {what} under the key {item.shown}. "
                    "Import into entries, which keep it as it is",
                    key=item.shown,
                )
            yield item.key.encode() if isinstance(item.key, str) else item.key, item.value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def shown(key: str | bytes) -> str:
    """A key for a message: the beginning of it, quoted."""
    more = "…" if len(key) > KEY_CHARACTERS_SHOWN_MAX else ""
    return f"{key[:KEY_CHARACTERS_SHOWN_MAX]!r}{more}"


def text_key(key: Any) -> str | bytes:
    """A key of a mapping as a key: text and bytes as they are, a whole number in digits.

    Raises InvalidKey for anything else.
    """
    if isinstance(key, str | bytes):
        return key
    if type(key) is int:
        return str(key)
    raise InvalidKey(
        f"a key that can be imported is text, bytes or a whole number; found a "
        f"{type(key).__name__}. Give it such a key in the source first"
    )


def looks(paths: Iterable[Path]) -> tuple[Look, ...]:
    """What files look like; those that are not there are left out."""
    found = []
    for path in sorted(paths):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), state.st_size, state.st_mtime_ns, state.st_ino))
    return tuple(found)


def foreign(kind: str, place: object, found: str) -> NoReturn:
    """Refuse what is not of a kind. Raises InvalidInput."""
    raise InvalidInput(
        f"a source of the kind {kind} was wanted at {place}; found {found}. Say with --from "
        "(kind=) what it is, and check the path"
    )
