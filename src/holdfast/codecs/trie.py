"""Many patterns matched at once: the cost grows with the matches, not with the patterns."""

from __future__ import annotations

from itertools import count
from typing import Generic, TypeVar

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import format_path

T = TypeVar("T")


class _Node(Generic[T]):
    """The patterns that share their first levels; below it, one node per next level."""

    __slots__ = ("below", "ends", "open_ends")

    def __init__(self) -> None:
        self.below: dict[str | None, _Node[T]] = {}  # None is `+`.
        self.ends: dict[int, T] = {}  # Items whose pattern ends here.
        self.open_ends: dict[int, T] = {}  # Items whose pattern goes on with `#`.

    def is_empty(self) -> bool:
        return not (self.below or self.ends or self.open_ends)


class PatternTrie(Generic[T]):
    """Items under patterns. Exact and mqtt patterns share a trie; glob and regex are tried in turn.

    Not locked: threads that share one guard it themselves.
    """

    __slots__ = ("_patterns", "_root", "_text_items", "_tokens")

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._text_items: dict[int, tuple[Pattern, T]] = {}
        self._patterns: dict[int, Pattern] = {}
        self._tokens = count(1)

    def __len__(self) -> int:
        return len(self._patterns)

    def add(self, pattern: Pattern, item: T) -> int:
        """Put `item` under `pattern`; the token returned removes it again."""
        token = next(self._tokens)
        try:
            self._patterns[token] = pattern
            if pattern.levels is None:
                self._text_items[token] = pattern, item
                return token
            node = self._root
            for level in pattern.levels:
                below = node.below.get(level)
                if below is None:
                    below = node.below[level] = _Node()
                node = below
            (node.open_ends if pattern.open_end else node.ends)[token] = item
            return token
        except BaseException:
            self.remove(token)  # Interrupted half-way.
            raise

    def remove(self, token: int) -> bool:
        """Take out what `add` returned `token` for; False when it is not there (any more)."""
        pattern = self._patterns.get(token)
        if pattern is None:
            return False
        self._text_items.pop(token, None)
        levels = pattern.levels or ()
        path = [self._root]
        for level in levels:
            below = path[-1].below.get(level)
            if below is None:
                break  # It was put in no further.
            path.append(below)
        else:
            (path[-1].open_ends if pattern.open_end else path[-1].ends).pop(token, None)
        # Branches that hold nothing any more are cut off, from the leaf upwards.
        for node, parent, level in reversed([*zip(path[1:], path, levels, strict=False)]):
            if not node.is_empty():
                break
            del parent.below[level]
        # Last, so that what was interrupted can be repeated.
        del self._patterns[token]
        return True

    def matches(self, segments: tuple[str, ...]) -> list[T]:
        """The items whose pattern matches the key with these segments, in the order added."""
        found: list[tuple[int, T]] = []
        nodes = [self._root]
        for segment in segments:
            reached: list[_Node[T]] = []
            for node in nodes:
                if node.open_ends:
                    found += node.open_ends.items()
                below = node.below
                if segment in below:
                    reached.append(below[segment])
                if None in below:
                    reached.append(below[None])
            nodes = reached
            if not nodes:
                break
        for node in nodes:
            found += node.open_ends.items()
            found += node.ends.items()
        if self._text_items:
            text = format_path(segments)
            found += [
                (token, item)
                for token, (pattern, item) in self._text_items.items()
                if pattern.matches_text(text)
            ]
        if len(found) > 1:
            found.sort(key=_token_of)
        return [item for _, item in found]


def _token_of(found: tuple[int, object]) -> int:
    return found[0]
