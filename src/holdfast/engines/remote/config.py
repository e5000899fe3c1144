"""Settings that every engine with a server has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from holdfast.contract.config import MASK, EngineConfig, Seconds, secret
from holdfast.contract.errors import ConfigInvalid


@dataclass(frozen=True, kw_only=True)
class RemoteConfig(EngineConfig):
    """`scheme://user:password@host:port/database?parameter=value`.

    Attributes:
        host: of the server.
        port: of the server.
        database: which one of the server's.
        user: to log in as; None: nobody in particular.
        password: of that user; never printed.
        connect_timeout: how long one attempt to connect may take.
        answer_timeout: how long the server may take over one request before the connection is
            given up.
        reconnect_timeout: how long a request tries again when connections break.
        requests_max: how many requests of one event loop are on their way at once.
        waiting_max: how many callers of one event loop may wait; more raise Overloaded.
    """

    #: The port where the URL names none.
    default_port: ClassVar[int] = 0

    host: str = "localhost"
    port: int = 0
    database: str = ""
    user: str | None = None
    password: str | None = secret()
    connect_timeout: Seconds = 5.0
    answer_timeout: Seconds = 30.0
    reconnect_timeout: Seconds = 10.0
    requests_max: int = 64
    waiting_max: int = 100_000

    _address_fields = frozenset(("host", "port", "database", "user", "password"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.port:
            object.__setattr__(self, "port", self.default_port)
        for name in ("connect_timeout", "answer_timeout", "requests_max", "waiting_max"):
            if getattr(self, name) <= 0:
                raise ConfigInvalid(
                    f"{self.scheme}: {name} lies above zero; found {getattr(self, name)}",
                    parameter=name,
                )

    @classmethod
    def _read_address(cls, url: str) -> dict[str, Any]:
        parts = cls._split(url)
        try:
            port = parts.port
        except ValueError:
            # What was found there may be a part of a password that holds a slash.
            raise ConfigInvalid(
                f"{cls.scheme}: a port is a number up to 65535; found something else behind the "
                "host. Write ':', '/' and '@' of a password percent-encoded",
                scheme=cls.scheme,
            ) from None
        return {
            "host": parts.hostname or "localhost",
            "port": port or cls.default_port,
            "database": unquote(parts.path[1:]),
            "user": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
        }

    def _write_address(self, *, mask: bool) -> str:
        login = ""
        if self.user is not None or self.password is not None:
            login = quote(self.user or "", safe="")
            if self.password is not None:
                login += ":" + (MASK if mask else quote(self.password, safe=""))
            login += "@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{login}{host}:{self.port}/{quote(self.database, safe='/')}"
