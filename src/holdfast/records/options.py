"""What a write can be told: who and why, how long, and under which condition."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal

import msgspec

from holdfast.codecs.digest import Digest
from holdfast.contract.errors import Conflict, InvalidInput
from holdfast.contract.errors.contention import Standing
from holdfast.store.durations import ttl_milliseconds
from holdfast.store.feed_row import NO_CONTEXT, Cause, WriteContext
from holdfast.store.instants import milliseconds
from holdfast.store.said import author_of, comment_of, text_of
from holdfast.store.versions.entry import Entry

#: Limits of what travels with an entry.
TAGS_MAX = 64
TAG_CHARACTERS_MAX = 256
TAGS_BYTES_MAX = 32 * 1024
SCHEMA_HASH_CHARACTERS_MAX = 256

_DIGEST_BYTES = 32
_DIGEST = re.compile(rf"[0-9a-f]{{{2 * _DIGEST_BYTES}}}")


class _Keep(Enum):
    KEEP = "KEEP"

    def __repr__(self) -> str:
        return "KEEP"


#: As `ttl=KEEP`: the write leaves the expiry as it is. As a default of tags: leave them.
KEEP: Final = _Keep.KEEP
Keep = Literal[_Keep.KEEP]

TimeToLive = float | int | timedelta | None


class WriteOptions(msgspec.Struct, frozen=True):
    """What goes into the metadata of a new version.

    Attributes:
        modified_by: the author; str or int, kept as given.
        comment: why; belongs to this version alone.
        tags: None keeps the tags there are.
        ttl_ms: expires so long after the commit decides; 0: see the next ones.
        expires_at_ms: expires at that instant; 0: does not expire.
        keeps_expiry: expires as the version before does.
        schema_hash: digest of the schema the value fits.
    """

    modified_by: str | int | None = None
    comment: str | None = None
    tags: tuple[str, ...] | None = None
    ttl_ms: int = 0
    expires_at_ms: int = 0
    keeps_expiry: bool = False
    schema_hash: str | None = None

    def context(self, cause: Cause) -> WriteContext:
        """What the feed says of a write with these options."""
        if cause is Cause.WRITE and (
            self is NO_OPTIONS or (self.modified_by is None and self.comment is None)
        ):
            return NO_CONTEXT
        return WriteContext(self.modified_by, None, cause, None, self.comment)

    def with_schema(self, schema_hash: str | None) -> WriteOptions:
        """The same options for a value that fits another schema."""
        if schema_hash == self.schema_hash:
            return self
        return msgspec.structs.replace(self, schema_hash=schema_hash)

    def expiry_ms(self, now_ms: int, previous_ms: int) -> int:
        """When a version made now expires; 0: never.

        Raises:
            InvalidInput: the instant asked for is past.
        """
        if self.keeps_expiry:
            return previous_ms
        if self.ttl_ms:
            return now_ms + self.ttl_ms
        if 0 < self.expires_at_ms <= now_ms:
            raise InvalidInput(
                f"expires_at lies ahead; found an instant {now_ms - self.expires_at_ms} ms ago. "
                "Delete the key instead"
            )
        return self.expires_at_ms


#: What a write without any option has.
NO_OPTIONS = WriteOptions()
#: What a write has that only leaves the expiry alone.
KEEPING = WriteOptions(keeps_expiry=True)


class Conditions(msgspec.Struct, frozen=True):
    """What must hold of the current entry for a write to happen."""

    if_revision: int | None = None
    if_version: tuple[int, int] | int | None = None
    if_hash: str | None = None
    if_absent: bool = False

    def check(self, key: Any, current: Entry[Any] | None) -> None:
        """Raise Conflict, with the entry that stands there, unless every condition holds."""
        if self.if_absent and current is not None:
            found = current.known_revision
            raise _conflict(key, "absent", None, found, current)
        if self.if_revision is not None:
            # What this very transaction wrote has no revision that anybody could name.
            found = None if current is None else current.known_revision
            holds = current is None if self.if_revision == 0 else found == self.if_revision
            if not holds:
                raise _conflict(key, "revision", self.if_revision or None, found, current)
        if self.if_version is not None:
            metadata = current.metadata if current is not None else None
            standing: Any = 0
            if metadata is not None:
                standing = (
                    metadata.version
                    if isinstance(self.if_version, int)
                    else (metadata.incarnation, metadata.version)
                )
            if standing != self.if_version:
                raise _conflict(key, "version", self.if_version, standing or None, current)
        if self.if_hash is not None:
            digest = current.metadata.data_hash if current is not None else None
            if digest != self.if_hash:
                raise _conflict(key, "hash", self.if_hash, digest, current)


#: What a write without any condition has.
NO_CONDITIONS = Conditions()


def write_options(
    modified_by: str | int | None,
    comment: str | None,
    tags: Any,
    ttl: TimeToLive | Keep,
    expires_at: datetime | None,
    schema_hash: str | None,
) -> WriteOptions:
    """The options as given by a caller, checked.

    Raises:
        InvalidInput: one of them is of a wrong type or out of its range.
    """
    if (
        modified_by is None
        and comment is None
        and tags is None
        and expires_at is None
        and schema_hash is None
    ):
        if ttl is None:
            return NO_OPTIONS
        if ttl is KEEP:
            return KEEPING
    modified_by, comment = author_of(modified_by), comment_of(comment)
    if schema_hash is not None:
        schema_hash = text_of("schema_hash", schema_hash, SCHEMA_HASH_CHARACTERS_MAX)
    if ttl is not None and expires_at is not None:
        raise InvalidInput("give ttl or expires_at, not both")
    return WriteOptions(
        modified_by,
        comment,
        None if tags is None else _tags(tags),
        0 if ttl is None or ttl is KEEP else ttl_milliseconds(ttl),
        0 if expires_at is None else _instant_ms(expires_at),
        ttl is KEEP,
        schema_hash,
    )


def _instant_ms(expires_at: datetime) -> int:
    if not isinstance(expires_at, datetime) or expires_at.tzinfo is None:
        raise InvalidInput(
            "expires_at is an aware datetime such as datetime.now(UTC) + timedelta(hours=1); "
            f"found {_found(expires_at)}"
        )
    return max(1, milliseconds(expires_at))


def conditions(
    if_revision: int | None,
    if_version: tuple[int, int] | int | None,
    if_hash: str | Digest | None,
    if_absent: bool,
) -> Conditions:
    """The conditions as given by a caller, checked."""
    if if_revision is None and if_version is None and if_hash is None and not if_absent:
        return NO_CONDITIONS
    if if_revision is not None and (
        not isinstance(if_revision, int) or isinstance(if_revision, bool) or if_revision < 0
    ):
        raise InvalidInput(
            "if_revision is the revision of the entry as read, or 0 for an absent one; "
            f"found {_found(if_revision)}"
        )
    if if_version is not None and not _is_version(if_version):
        raise InvalidInput(
            "if_version is a version from 0, or a tuple of incarnation and version; "
            f"found {_found(if_version)}"
        )
    if isinstance(if_hash, Digest):
        if_hash = if_hash.hex
    if if_hash is not None and not (isinstance(if_hash, str) and _DIGEST.fullmatch(if_hash)):
        raise InvalidInput(
            f"if_hash is a Digest, or its {2 * _DIGEST_BYTES} lower-case hex digits; "
            f"found {_found(if_hash)}"
        )
    return Conditions(if_revision, if_version, if_hash, if_absent)


def _tags(tags: Any) -> tuple[str, ...]:
    if isinstance(tags, str | bytes):
        raise InvalidInput('tags are a list of str, such as ["vip"]; found a single text')
    try:
        kept = tuple(dict.fromkeys(tags))
    except TypeError:
        raise InvalidInput(f"tags are a list of str; found {_found(tags)}") from None
    if len(kept) > TAGS_MAX:
        raise InvalidInput(f"an entry has at most {TAGS_MAX} tags; found {len(kept)}")
    for tag in kept:
        if not isinstance(tag, str) or not 0 < len(tag) <= TAG_CHARACTERS_MAX or "\0" in tag:
            raise InvalidInput(
                f"a tag is a str of 1 to {TAG_CHARACTERS_MAX} characters without NUL; "
                f"found {_found(tag)}"
            )
        text_of("a tag", tag, TAG_CHARACTERS_MAX)
    size = sum(len(tag.encode()) for tag in kept)
    if size > TAGS_BYTES_MAX:
        raise InvalidInput(
            f"the tags of an entry have at most {TAGS_BYTES_MAX} bytes together; found {size}"
        )
    return tuple(map(str.__str__, kept))


def the_tag(tag: str) -> str:
    """A tag as given by a caller, checked. Raises InvalidInput."""
    return _tags((tag,))[0]


def _is_version(given: Any) -> bool:
    match given:
        case (incarnation, version) if isinstance(given, tuple):
            return _is_count(incarnation) and _is_count(version)
        case _:
            return _is_count(given)


def _is_count(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def _found(value: Any) -> str:
    if isinstance(value, str):
        return f"a str of {len(value)} characters"
    return f"a {type(value).__name__}"


def _conflict(
    key: Any, condition: str, expected: Standing, found: Standing, current: Entry[Any] | None
) -> Conflict:
    """The refusal of a write, with what was compared as data."""
    wanted = "absent" if expected is None else f"of {condition} {expected}"
    there = "none" if current is None else f"{condition} {found}"
    if condition == "absent":
        there = f"version {current.metadata.version}" if current is not None else "none"
    elif current is not None and found is None:
        there = "one written by this transaction, without a revision yet"
    next_step = (
        "`current` holds the entry that won: decide again with it"
        if current is not None
        else "There is no entry any more: decide again without one"
    )
    return Conflict(
        f"the write of {str(key)!r} wanted it {wanted}; found {there}. {next_step}",
        key=str(key),
        condition=condition,
        expected=expected,
        found=found,
        current=current,
    )
