"""What a caller says of a write: who and why, checked before the feed keeps it.

A feed row holds what it is given. One of another type would be written, and then be read by nobody.
"""

from __future__ import annotations

from holdfast.contract.errors import InvalidInput
from holdfast.store.feed_row import NO_CONTEXT, WriteContext

COMMENT_CHARACTERS_MAX = 4096
AUTHOR_CHARACTERS_MAX = 1024

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def author_of(modified_by: object) -> str | int | None:
    """Who writes, as it is kept. Raises InvalidInput."""
    if modified_by is None:
        return None
    # What is of a class of its own is stored as the plain text or number that it is.
    if isinstance(modified_by, int) and not isinstance(modified_by, bool):
        if not _INT_MIN <= modified_by <= _INT_MAX:
            raise InvalidInput("modified_by as an int has at most 64 bits; found more")
        return int(modified_by)
    return text_of("modified_by, when it is no int,", modified_by, AUTHOR_CHARACTERS_MAX)


def comment_of(comment: object) -> str | None:
    """Why, as it is kept. Raises InvalidInput."""
    return None if comment is None else text_of("a comment", comment, COMMENT_CHARACTERS_MAX)


def context_of(modified_by: object, comment: object) -> WriteContext:
    """What a write says of itself. Raises InvalidInput."""
    if modified_by is None and comment is None:
        return NO_CONTEXT
    return WriteContext(author_of(modified_by), comment=comment_of(comment))


def text_of(what: str, text: object, characters_max: int) -> str:
    """A text as it is kept. Raises InvalidInput; `what` says whose it is."""
    if not isinstance(text, str) or len(text) > characters_max:
        found = f"{len(text)} characters" if isinstance(text, str) else f"a {type(text).__name__}"
        raise InvalidInput(f"{what} is a str of at most {characters_max} characters; found {found}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"{what} is Unicode text; found a lone surrogate at character {error.start}"
            ) from None
    return str.__str__(text)
