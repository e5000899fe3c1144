"""Keys: one injective form for prefix, service, scopes, area and the caller's key.

    holdfast:state:api:organization:org_123:kv:settings:theme
    └── prefix ──┘ service └── scope pairs ──┘ area └ key ─┘

Two different places never share a key: services, scope keys and identifiers hold no colon, the key
of a scope is never the name of an area, and so the first area name in the row of pairs ends it. The
caller's key comes last and may hold anything. Prefixes that begin with one another are for the
operator to keep apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from holdfast.contract.errors import (
    ConfigInvalid,
    InvalidKey,
    InvalidScopeIdentifier,
    InvalidScopeKey,
    ScopeRequired,
    ServiceRequired,
)
from holdfast.state.limits import (
    IDENTIFIER_CHARACTERS_MAX,
    KEY_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    PREFIX_CHARACTERS_MAX,
)

#: What every key begins with, unless the builder says otherwise.
DEFAULT_PREFIX: Final = "holdfast:state"

#: The areas: what may stand between the scopes and the caller's key.
AREAS: Final = (
    "kv", "counter", "claim", "events", "streams", "limiter", "semaphore", "presence", "fence",
    "tag", "cache", "once", "later", "bloom", "x",
)  # fmt: skip

#: Whether the keys of one scope share a slot of a cluster: `scope` puts braces around what they
#: have in common.
HashTags = Literal["none", "scope"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)*", re.ASCII)
#: What separates keys, and what patterns and hash tags read as their own.
_RESERVED = frozenset(":*?[]{}\\")
#: Keys up to so many characters need no closer look.
_SHORT_CHARACTERS = 256
_GLOB = re.compile(r"([*?\[\]\\^])")


class ScopeEntry(NamedTuple):
    """One step into a scope: `ScopeEntry("organization", "org_123")`."""

    key: str
    identifier: str


@dataclass(frozen=True, slots=True)
class ScopeOptions:
    """What is declared of a scope.

    Attributes:
        required: no operation without it.
    """

    required: bool = False


class KeySpace:
    """The keys of one area in one scope: calling it with the caller's key gives the whole key."""

    __slots__ = ("_plain_max", "_refusal", "area", "stem")

    def __init__(self, area: str, stem: str, missing: tuple[str, ...]) -> None:
        self.area = area
        #: What all keys of the area begin with here.
        self.stem = stem
        self._refusal = missing
        self._plain_max = -1 if missing else _SHORT_CHARACTERS

    def __call__(self, key: str) -> str:
        """The whole key.

        Raises:
            InvalidKey: it is no text, empty, or too long.
            ScopeRequired: a required scope is not open.
        """
        if type(key) is str and 0 < len(key) <= self._plain_max and key.isascii():
            return self.stem + key
        return self._careful(key)

    def pattern(self, pattern: str) -> str:
        """A glob over the keys of this area; what the stem holds is never a wildcard."""
        self._careful(pattern)
        return escape_glob(self.stem) + pattern

    def within(self, kind: str) -> KeySpace:
        """A part of this area, so that things of several kinds never share a key."""
        return KeySpace(self.area, f"{self.stem}{kind}:", self._refusal)

    def user_key(self, whole: str) -> str | None:
        """The caller's part of a whole key, or None when it is not of this area."""
        return whole[len(self.stem) :] if whole.startswith(self.stem) else None

    def check(self) -> None:
        """Raise ScopeRequired when a required scope is not open."""
        if self._refusal:
            wanted = " and ".join(self._refusal)
            raise ScopeRequired(
                f"this store wants the scope {wanted} first; found it not open. Call "
                f"store.scope({self._refusal[0]!r}, identifier) and use what it returns"
            ).within(missing=list(self._refusal))

    def _careful(self, key: str) -> str:
        self.check()
        if not isinstance(key, str):
            raise InvalidKey(f"a key is a text; found a {type(key).__name__}")
        if not key:
            raise InvalidKey("a key has at least one character; found an empty text")
        whole = self.stem + key
        try:
            size = len(whole.encode())
        except UnicodeEncodeError:
            raise InvalidKey(
                "a key is a text that UTF-8 can write; found a lone surrogate in it. Decode it "
                "with errors='replace' where it comes from"
            ) from None
        if size > KEY_BYTES_MAX:
            raise InvalidKey(
                f"a key has at most {KEY_BYTES_MAX} bytes with its scopes; found {size}. Use a "
                "digest of it as the key",
                limit=KEY_BYTES_MAX,
                found=size,
            )
        return whole


@dataclass(frozen=True)
class ScopedKeys:
    """The keys of a service in a chain of scopes. The prefix is put together once, here.

    Attributes:
        service: name of the service.
        prefix: what every key of every service begins with.
        chain: the scopes that are open, outermost first.
        declared: the scopes that may be opened; None: any.
        hash_tags: whether the keys of one scope share a slot of a cluster.
    """

    service: str
    prefix: str = DEFAULT_PREFIX
    chain: tuple[ScopeEntry, ...] = ()
    declared: Mapping[str, ScopeOptions] | None = None
    hash_tags: HashTags = "none"
    stem: str = field(init=False, repr=False)
    missing: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_prefix(self.prefix)
        check_service(self.service)
        parts = [self.prefix, self.service]
        for entry in self.chain:
            parts += entry
        stem = ":".join(parts)
        object.__setattr__(self, "stem", f"{{{stem}}}" if self.hash_tags == "scope" else stem)
        opened = {entry.key for entry in self.chain}
        required = [key for key, options in (self.declared or {}).items() if options.required]
        missing = tuple(key for key in required if key not in opened)
        object.__setattr__(self, "missing", missing)

    @property
    def everything(self) -> str:
        """A glob over all keys in this scope and below it, and of none that is called alike."""
        if self.hash_tags == "scope":
            # The stem's own brace is closed at once, or behind further scopes.
            return escape_glob(self.stem[:-1]) + "[:}]*"
        return escape_glob(self.stem) + ":*"

    def area_of(self, whole: str) -> str | None:
        """The area of a whole key in this scope or below it; None when it is no key of ours."""
        stem = self.stem.removesuffix("}") if self.hash_tags == "scope" else self.stem
        if not whole.startswith(stem):
            return None
        rest = (
            whole[len(stem) :].replace("}", "", 1)
            if self.hash_tags == "scope"
            else (whole[len(stem) :])
        )
        parts = rest.split(":")
        # A pair for each further scope, and then the area.
        return next((one for one in parts[1::2] if one in AREAS), None) if not parts[0] else None

    def area(self, area: str) -> KeySpace:
        """The keys of one area here."""
        return KeySpace(area, f"{self.stem}:{area}:", self.missing)

    def build(self, area: str, key: str) -> str:
        """One whole key; areas keep their `KeySpace` instead."""
        return self.area(area)(key)

    def scope(self, key: str, identifier: str | int) -> ScopedKeys:
        """The keys one scope further in.

        Raises:
            InvalidScopeKey: the scope is not declared, or its key cannot be one.
            InvalidScopeIdentifier: the identifier cannot be one.
        """
        entry = ScopeEntry(check_scope_key(key, self.declared), scope_identifier(identifier))
        return ScopedKeys(
            self.service, self.prefix, (*self.chain, entry), self.declared, self.hash_tags
        )


def check_prefix(prefix: Any) -> None:
    """Raise ConfigInvalid unless the text can begin keys."""
    if not (
        isinstance(prefix, str)
        and len(prefix) <= PREFIX_CHARACTERS_MAX
        and _PREFIX.fullmatch(prefix)
    ):
        raise ConfigInvalid(
            "a prefix is letters, digits, '_', '-' and '.', in parts with single colons between "
            f"them, of at most {PREFIX_CHARACTERS_MAX} characters; found {_shown(prefix)}",
            parameter="prefix",
        )


def check_service(service: Any) -> None:
    """Raise ServiceRequired unless the text names a service."""
    if not _is_name(service):
        raise ServiceRequired(
            "a service has a name of letters, digits, '_', '-', '.' and '@', such as "
            f"'api-server'; found {_shown(service)}. Give it with with_service(name)"
        )


def check_scope_key(key: Any, declared: Mapping[str, ScopeOptions] | None) -> str:
    """The key of a scope, checked."""
    if not _is_name(key) or key in AREAS:
        raise InvalidScopeKey(
            "the key of a scope is letters, digits, '_', '-', '.' and '@', and not the name of "
            f"an area ({', '.join(AREAS)}); found {_shown(key)}"
        ).within(known=sorted(declared or ()))
    if declared is not None and key not in declared:
        raise InvalidScopeKey(
            f"this store knows the scopes {', '.join(declared) or '(none)'}; found {key!r}. "
            "Declare it with add_scope(key), or correct it"
        ).within(known=sorted(declared))
    return str(key)


def scope_identifier(identifier: Any) -> str:
    """The identifier of a scope as text.

    Raises:
        InvalidScopeIdentifier: it is no text and no whole number, or holds what separates keys.
    """
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        if -(1 << 63) <= identifier < 1 << 64:
            return str(int(identifier))
    elif (
        isinstance(identifier, str)
        and 0 < len(identifier) <= IDENTIFIER_CHARACTERS_MAX
        and identifier.isprintable()
        and _RESERVED.isdisjoint(identifier)
    ):
        return str(identifier)
    raise InvalidScopeIdentifier(
        "an identifier of a scope is a whole number of 64 bits or a text of 1 to "
        f"{IDENTIFIER_CHARACTERS_MAX} printable characters without any of "
        f"{' '.join(sorted(_RESERVED))}; found {_kind(identifier)}. Encode it, for instance with "
        "urllib.parse.quote(identifier, safe='')"
    )


def escape_glob(text: str) -> str:
    """A glob that matches this very text."""
    return _GLOB.sub(r"\\\1", text)


def _is_name(name: Any) -> bool:
    return (
        isinstance(name, str)
        and len(name) <= NAME_CHARACTERS_MAX
        and _NAME.fullmatch(name) is not None
    )


def _shown(text: Any) -> str:
    return repr(text[:60]) if isinstance(text, str) else f"a {type(text).__name__}"


def _kind(identifier: Any) -> str:
    # The identifier itself may be somebody's name: it is not shown.
    if not isinstance(identifier, str):
        return f"a {type(identifier).__name__}"
    if not identifier:
        return "an empty text"
    found = sorted(_RESERVED.intersection(identifier))
    if found:
        return f"a text with {' '.join(found)}"
    if not identifier.isprintable():
        return "a text with characters that cannot be printed"
    return f"a text of {len(identifier)} characters"
