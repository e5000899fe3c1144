"""Settings as frozen values: a URL and a configuration object are the same thing.

    lmdb:///app.lmdb                     a path relative to the working directory (three slashes)
    sqlite:////var/lib/app.db            an absolute path (four slashes)
    lmdb:///app?durability=relaxed&map_size=64GiB

Query parameters are the fields of the engine's configuration; the type of a field says how its
text is read. Secrets are masked when a configuration is printed.
"""

from __future__ import annotations

import math
import os
import re
import types
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from holdfast.contract.capability import Durability
from holdfast.contract.errors import ConfigInvalid

#: What stands in printed URLs instead of a secret.
MASK = "***"

#: A field with this annotation is a size in bytes and reads `64GiB`, `512KiB`, `1MB` or a number.
ByteSize = Annotated[int, "bytes"]
#: A field with this annotation is a duration in seconds and reads `50ms`, `2s`, `15m`, `1h`, `7d`.
Seconds = Annotated[float, "seconds"]

#: The largest number of things, bytes and seconds that a setting holds: what drivers can take.
COUNT_MAX = 2**31 - 1
BYTES_MAX = 2**47
SECONDS_MAX = 100 * 365 * 86400.0

_SIZE = re.compile(r"(\d{1,30})\s*(B|[KMGT]i?B)?", re.ASCII)
_SIZE_UNITS = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(ms|s|m|h|d)?", re.ASCII)
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?://)?", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_SLIPPED = re.compile(r"[=;@:]")
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off"))


def masked(url: str, known: AbstractSet[str] = frozenset()) -> str:
    """An address that may be malformed, fit for errors and logs: whatever may be secret is masked.

    Args:
        url: what was given as an address.
        known: the parameters whose values are no secrets; all others are masked.
    """
    start = _SCHEME.match(url)
    head = start[0] if start else ""
    rest = url[len(head) :]
    is_path = head.endswith("//") and rest.startswith("/")
    if not is_path and "@" in rest:
        rest = f"{MASK}@{rest.rpartition('@')[2]}"
    place, question, query = rest.partition("?")
    place, hash_sign, fragment = place.partition("#")
    parts = []
    for part in query.split("&") if question else ():
        name, equals, value = part.partition("=")
        shown = _presentable(value) if name in known else MASK
        parts.append(f"{_presentable(name)}={shown}" if equals else MASK)
    if fragment:
        place += f"{hash_sign}{MASK}"
    return head + place + question + "&".join(parts)


def secret(default: Any = None) -> Any:
    """A field whose value is never printed."""
    return field(default=default, repr=False, metadata={"secret": True})


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What every engine can be told.

    Attributes:
        durability: what a write survives once it is acknowledged; see the engine's page.
        flush_interval: in `relaxed` mode the longest time a write stays unflushed.
        read_only: open an existing database for reading; every write raises ReadOnly.
        create: make the database when it does not exist.
    """

    scheme: ClassVar[str]
    #: What errors and logs name it by, where that is not what `from_url` reads; see `shown_as`.
    _shown: ClassVar[str] = ""

    durability: Durability = "full"
    flush_interval: Seconds = 0.05
    read_only: bool = False
    create: bool = True

    def __post_init__(self) -> None:
        for name, kind in self._kinds().items():
            _verify(self.scheme, name, kind, getattr(self, name))
        if self.flush_interval <= 0:
            raise ConfigInvalid(
                f"flush_interval is a time above zero; found {self.flush_interval}",
                parameter="flush_interval",
            )

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The configuration that the URL spells.

        Raises:
            ConfigInvalid: a part or parameter is unknown or cannot be read.
        """
        settings = cls._read_address(url)
        kinds = cls._kinds()
        for name, text in parse_qsl(cls._split(url).query, keep_blank_values=True):
            if name not in kinds or name in settings:
                from difflib import get_close_matches

                left = sorted(kinds.keys() - settings.keys())
                meant = "".join(
                    f"; did you mean {one!r}?" for one in get_close_matches(name, left, 1)
                )
                raise ConfigInvalid(
                    f"{cls.scheme}: URLs take the parameters {', '.join(left)}; "
                    f"found {_presentable(name)!r}{meant}",
                    scheme=cls.scheme,
                    parameter=name,
                )
            found = _presentable(text) if name in cls._harmless() else MASK
            settings[name] = _parse(cls.scheme, name, kinds[name], text, found)
        return cls(**settings)

    @classmethod
    def masked(cls, url: str) -> str:
        """An address for an error: the values of all but its known, harmless parameters masked."""
        return masked(url, cls._harmless())

    @property
    def url(self) -> str:
        """The URL of this configuration, secrets masked: fit for logs."""
        return self._shown or self._url(mask=True)

    def shown_as(self, other: EngineConfig) -> Self:
        """The same, named like another one wherever it is shown.

        Settings that nobody asked for are not what an error should tell of.
        """
        named = replace(self)
        object.__setattr__(named, "_shown", other.url)
        return named

    @property
    def url_with_secrets(self) -> str:
        """The URL from which `from_url` makes this very configuration."""
        return self._url(mask=False)

    @property
    def identity(self) -> str | None:
        """What handles of one process share an engine by; None: each has its own."""
        return self.url_with_secrets

    def __str__(self) -> str:
        return self.url

    # --- For subclasses ---------------------------------------------------------------------

    @classmethod
    def _read_address(cls, url: str) -> dict[str, Any]:
        """The settings that the part of the URL before `?` holds. Default: none."""
        parts = cls._split(url)
        if parts.netloc or parts.path.strip("/"):
            raise ConfigInvalid(
                f"a {cls.scheme} URL reads '{cls.scheme}://?parameter=value'; "
                f"found {cls.masked(url)!r} with more before the '?'",
                scheme=cls.scheme,
            )
        return {}

    def _write_address(self, *, mask: bool) -> str:
        """The part of the URL before `?`, and the names of the settings it holds."""
        return f"{self.scheme}://"

    _address_fields: ClassVar[frozenset[str]] = frozenset()

    # --- Inside -----------------------------------------------------------------------------

    @classmethod
    def _split(cls, url: str) -> SplitResult:
        """The parts of a URL; what splitting would drop without a word is refused."""
        if _CONTROL.search(url):
            raise ConfigInvalid(
                f"a {cls.scheme} URL holds no control characters; found some in "
                f"{cls.masked(url)!r}. Write them percent-encoded, such as %0A",
                scheme=cls.scheme,
            )
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = None
        if parts is None:  # Outside the handler: the error of `urlsplit` quotes what it found.
            raise ConfigInvalid(
                f"a {cls.scheme} URL was wanted; found {cls.masked(url)!r}, whose host is none. "
                "Percent-encode brackets and unusual characters",
                scheme=cls.scheme,
            )
        if "#" in url:
            raise ConfigInvalid(
                f"a {cls.scheme} URL has no fragment; found a '#' in {cls.masked(url)!r}. "
                "Write it as %23",
                scheme=cls.scheme,
            )
        return parts

    @classmethod
    def _harmless(cls) -> AbstractSet[str]:
        """The parameters whose values may be shown."""
        return {part.name for part in fields(cls) if not part.metadata.get("secret")}

    @classmethod
    def _kinds(cls) -> dict[str, Any]:
        hints = get_type_hints(cls, include_extras=True)
        return {part.name: hints[part.name] for part in fields(cls)}

    def _url(self, *, mask: bool) -> str:
        shown = []
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name in self._address_fields or value == _default(part):
                continue
            text = MASK if mask and part.metadata.get("secret") else _print(value)
            shown.append(f"{part.name}={quote(text, safe='*/')}")
        return self._write_address(mask=mask) + ("?" + "&".join(shown) if shown else "")


@dataclass(frozen=True, kw_only=True)
class PathConfig(EngineConfig):
    """The configuration of an engine that lives at a path.

    Attributes:
        path: the database; relative paths start at the working directory.
    """

    path: Path

    _address_fields = frozenset(("path",))

    def __post_init__(self) -> None:
        if isinstance(self.path, str):
            object.__setattr__(self, "path", Path(self.path))
        require_path(self.path)
        super().__post_init__()

    @property
    def identity(self) -> str | None:
        return f"{self.scheme}:{self.path.resolve()}"

    @classmethod
    def _read_address(cls, url: str) -> dict[str, Any]:
        parts = cls._split(url)
        # Names of files are bytes: what is no Unicode among them travels as it does in `os`.
        path = unquote(parts.path, errors="surrogateescape")
        if parts.netloc or path in ("", "/"):
            raise ConfigInvalid(
                f"{cls.scheme}: URLs name a path: {cls.scheme}:///relative or "
                f"{cls.scheme}:////absolute; found {cls.masked(url)!r}",
                scheme=cls.scheme,
            )
        return {"path": Path(path[1:])}

    def _write_address(self, *, mask: bool) -> str:
        del mask  # a path is no secret
        return f"{self.scheme}:///{quote(str(self.path), errors='surrogateescape')}"


def require_path(path: Path) -> None:
    """Raise ConfigInvalid for a path that the system cannot be asked for."""
    try:
        if b"\0" in os.fsencode(path):
            raise ConfigInvalid(f"a path cannot hold NUL; found {str(path)!r}", parameter="path")
    except UnicodeEncodeError as error:
        raise ConfigInvalid(
            f"a path that this system can write was wanted; found {str(path)!r}, of which it "
            f"cannot write character {error.start}. Give another name, or set a locale of UTF-8",
            parameter="path",
        ) from error


def _default(part: Field[Any]) -> Any:
    if part.default_factory is not MISSING:
        return part.default_factory()
    return part.default


def _print(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _presentable(text: str) -> str:
    """A text up to where another parameter, or a user and a password, may have slipped into it."""
    end = _SLIPPED.search(text)
    return text if end is None else text[: end.start()] + MASK


def _parse(scheme: str, name: str, kind: Any, text: str, shown: str) -> Any:
    kind, tag = _plain(kind)
    if tag == "bytes" and (match := _SIZE.fullmatch(text)):
        return int(match[1]) * _SIZE_UNITS[match[2] or ""]
    if tag == "seconds" and (match := _DURATION.fullmatch(text)):
        return float(match[1]) * _DURATION_UNITS[match[2] or ""]
    if kind is bool and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if kind is int and not tag and re.fullmatch(r"-?\d{1,30}", text, re.ASCII):
        return int(text)
    if kind is float and not tag:
        try:
            return float(text)
        except ValueError:
            pass
    if kind is str or (get_origin(kind) is Literal and text in get_args(kind)):
        return text
    if kind is Path and text:
        return Path(text)
    raise ConfigInvalid(
        f"{scheme}: the parameter {name} reads {_describe(kind, tag)}; found {shown!r}",
        scheme=scheme,
        parameter=name,
    )


def _verify(scheme: str, name: str, kind: Any, value: Any) -> None:
    optional = get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)
    if optional and value is None:
        return
    kind, tag = _plain(kind)
    if get_origin(kind) is Literal:
        fits = value in get_args(kind)
    elif kind is float:
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif isinstance(kind, type):
        fits = isinstance(value, kind)
    else:
        fits = True
    most = {"bytes": BYTES_MAX, "seconds": SECONDS_MAX}.get(tag, COUNT_MAX if kind is int else None)
    if fits and most is not None and abs(value) > most:
        raise ConfigInvalid(
            f"{scheme}: {name} is {_describe(kind, tag)}, at most {most:.0f}; found {value}",
            scheme=scheme,
            parameter=name,
        )
    if not fits:
        finite = not isinstance(value, float) or math.isfinite(value)
        found = f"a {type(value).__name__}" if finite else str(value)
        raise ConfigInvalid(
            f"{scheme}: {name} is {_describe(kind, tag)}; found {found}",
            scheme=scheme,
            parameter=name,
        )


def _plain(kind: Any) -> tuple[Any, str]:
    """The type below Optional and Annotated, and the annotation's word."""
    tag = ""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Annotated:
        kind, tag = get_args(kind)[:2]
    return kind, tag


def _describe(kind: Any, tag: str) -> str:
    if tag == "bytes":
        return "a size such as 64MiB or a number of bytes"
    if tag == "seconds":
        return "a duration such as 50ms, 2s or 15m"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a text")


def read_setting(owner: str, name: str, kind: Any, text: str) -> Any:
    """The value of a setting as text spells it. Raises ConfigInvalid when it cannot be read.

    Args:
        owner: whose setting it is, for errors.
        name: of the setting.
        kind: its type, as it is annotated.
        text: what was found.
    """
    return _parse(owner, name, kind, text, _presentable(text))


def check_setting(owner: str, name: str, kind: Any, value: Any) -> None:
    """Raise ConfigInvalid unless the value is of that type and within what its unit allows."""
    _verify(owner, name, kind, value)
