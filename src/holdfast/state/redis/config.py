"""How a Redis server is reached: a URL or a frozen value, secrets never printed.

redis://localhost:6379/0
rediss://app:secret@redis.example.org:6380/0?tls_ca=/etc/ssl/redis.pem
unix:///run/redis.sock?database=1
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from holdfast.contract.config import MASK
from holdfast.contract.errors import ConfigInvalid

_PORT = 6379
#: No limit, port or duration is above it.
_MOST = 1e9
_SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, kw_only=True)
class RedisConfig:
    """Where the server is, and the limits of the way to it.

    Attributes:
        host: name or address.
        port: its port.
        path: of a Unix socket, instead of host and port.
        database: its number.
        username: of an ACL user; None: the default user.
        password: of the user; None: the server asks for none.
        tls: whether to speak TLS.
        tls_ca: file of the authorities that sign the server's certificate; None: the system's.
        tls_certificate: file of the client's certificate.
        tls_key: file of the client's key.
        tls_check_hostname: whether the certificate must name the host.
        client_name: what the server lists the connections as.
        connect_timeout_s: how long a connection may take to be made.
        timeout_s: how long a reply may take before the connection counts as dead.
        commands_max: commands on their way on one connection; further callers wait.
        callers_max: callers that wait for room or for the connection; further ones get Overloaded.
        blocking_max: reads that block at the same time, each on a connection of its own.
        ping_s: how often an idle subscriber's connection is asked whether it lives.
        backoff_max_s: the longest pause between two attempts to restore subscriptions.
    """

    host: str = "localhost"
    port: int = _PORT
    path: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_check_hostname: bool = True
    client_name: str = "holdfast"
    connect_timeout_s: float = 5.0
    timeout_s: float = 5.0
    commands_max: int = 16_384
    callers_max: int = 65_536
    blocking_max: int = 64
    ping_s: float = 15.0
    backoff_max_s: float = 2.0

    def __post_init__(self) -> None:
        for part in fields(self):
            _verify(part.name, str(part.type), getattr(self, part.name))

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """The configuration that the URL spells; keyword arguments come on top.

        Raises:
            ConfigInvalid: a part or parameter is unknown or cannot be read.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except (ValueError, AttributeError, TypeError) as error:
            raise ConfigInvalid(
                "a URL such as redis://localhost:6379/0 was wanted; found one that cannot be read"
            ) from error
        if parts.scheme not in _SCHEMES or parts.fragment:
            raise ConfigInvalid(
                f"a URL begins with one of {', '.join(one + '://' for one in _SCHEMES)}; found "
                f"{parts.scheme!r}"
            )
        found: dict[str, Any] = {"tls": parts.scheme == "rediss"}
        if parts.scheme == "unix":
            found["path"] = unquote(parts.path)
        else:
            found["host"] = parts.hostname or cls.host
            found["port"] = port or _PORT
            if parts.path.strip("/"):
                found["database"] = _read("database", "int", parts.path.strip("/"))
        if parts.username:
            found["username"] = unquote(parts.username)
        if parts.password:
            found["password"] = unquote(parts.password)
        kinds = {part.name: str(part.type) for part in fields(cls)}
        for name, text in parse_qsl(parts.query, keep_blank_values=True):
            if name not in kinds:
                raise ConfigInvalid(
                    f"redis URLs take the parameters {', '.join(sorted(kinds))}; found {name!r}",
                    parameter=name,
                )
            found[name] = _read(name, kinds[name], text)
        return replace(cls(), **(found | settings))

    @property
    def url(self) -> str:
        """The URL of this configuration, the password masked: fit for logs."""
        user = quote(self.username or "", safe="")
        login = f"{user}:{MASK}@" if self.password else f"{user}@" if user else ""
        if self.path is not None:
            return f"unix://{login}{quote(self.path)}?database={self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{login}{host}:{self.port}/{self.database}"

    def __str__(self) -> str:
        return self.url

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS is spoken with.

        Raises:
            ConfigInvalid: a file of certificates cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_certificate:
                context.load_cert_chain(self.tls_certificate, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigInvalid(
                f"files of certificates in PEM form were wanted; found {error}. Correct tls_ca, "
                "tls_certificate or tls_key"
            ) from error
        context.check_hostname = self.tls_check_hostname
        return context


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_READERS: dict[str, Callable[[str], Any]] = {
    "int": int, "float": float, "bool": _boolean, "str": str, "str | None": str,
}  # fmt: skip


def _read(name: str, kind: str, text: str) -> Any:
    try:
        return _READERS[kind](text)
    except (ValueError, KeyError):
        raise ConfigInvalid(
            f"redis: {name} reads {kind}; found another text", parameter=name
        ) from None


def _verify(name: str, kind: str, value: Any) -> None:
    if kind == "str | None" and value is None:
        return
    wanted: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "bool": bool}
    fits = isinstance(value, wanted.get(kind, str))
    if kind != "bool":
        fits = fits and not isinstance(value, bool)
    if fits and kind in ("int", "float"):
        low = 0 if name in ("database", "port") else 1e-3
        fits = low <= value <= _MOST
    if not fits:
        raise ConfigInvalid(f"redis: {name} is {kind}, above 0; found another", parameter=name)
