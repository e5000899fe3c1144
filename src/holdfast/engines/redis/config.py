"""How a database on Redis is named and reached."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.capability import Durability
from holdfast.contract.config import Seconds, secret
from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.remote import RemoteConfig

#: Keys of a database begin with its prefix in braces, so a prefix holds no braces itself.
#: A `?`, `&`, `=` or `#` in one is a slip in a URL.
_PREFIX = re.compile(r"[^{}?&=#\x00-\x20\x7f]{1,200}")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:,\s]+)(?::(\d{1,5}))?")
_PORT_MAX = 65_535

Address = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class RedisConfig(RemoteConfig):
    """`redis://user:password@host:6379/0?prefix=app`.

    The host is the server, any node of a cluster, or a sentinel when `sentinel` names a group.

    Attributes:
        prefix: name of the database; all its keys begin with it, in braces.
        sentinel: name of the group whose primary the sentinels at `host` and `hosts` know.
        sentinel_password: of the sentinels; never printed.
        hosts: further nodes of the cluster or further sentinels, `host:port` with commas between.
        wait_replicas: how many replicas have a write before it is acknowledged.
        wait_timeout: how long to wait for them; then the outcome of the write is unknown.
        tls: whether to speak TLS.
        tls_ca: file of the authorities that sign the server's certificate; None: the system's.
        durability: only `server`: what a write survives is set on the server.
    """

    scheme: ClassVar[str] = "redis"
    default_port: ClassVar[int] = 6379

    durability: Durability = "server"
    prefix: str = "holdfast"
    sentinel: str | None = None
    sentinel_password: str | None = secret()
    hosts: str = ""
    wait_replicas: int = 0
    wait_timeout: Seconds = 5.0
    tls: bool = False
    tls_ca: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.durability != "server":
            self._refuse(
                "durability",
                "what a write survives is set on the server (appendfsync), so durability reads "
                "server; found another. Leave it out",
            )
        if not _PREFIX.fullmatch(self.prefix):
            self._refuse(
                "prefix",
                "a prefix has 1 to 200 characters, no spaces and none of {}?&=#; "
                f"found {self.prefix[:200]!r}",
            )
        if self.database and not (self.database.isascii() and self.database.isdigit()):
            self._refuse(
                "database",
                f"the path of the URL is the number of a Redis database; found "
                f"{self.database[:50]!r}. Write the name of your database as prefix=...",
            )
        if self.wait_replicas < 0:
            self._refuse("wait_replicas", f"0 or more replicas; found {self.wait_replicas}")
        if self.wait_timeout <= 0:
            self._refuse("wait_timeout", f"a time above zero; found {self.wait_timeout}")
        if self.sentinel == "":
            self._refuse("sentinel", "the name of a group that sentinels know; found an empty one")
        self.addresses  # noqa: B018 - so that a malformed one is refused here

    @property
    def addresses(self) -> list[Address]:
        """Where to ask first: `host` and `hosts`."""
        found = [(self.host, self.port)]
        for text in filter(None, self.hosts.split(",")):
            match = _ADDRESS.fullmatch(text)
            port = int(match[2] or self.port) if match else 0
            if match is None or not 0 < port <= _PORT_MAX:
                self._refuse("hosts", "addresses read host:port, with commas between")
                break
            found.append((match[1].strip("[]"), port))
        return found

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS is spoken with; None: none is."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigInvalid(
                "redis: tls_ca is a file of certificates in PEM form; found one that cannot be "
                "read. Correct the path",
                parameter="tls_ca",
            ) from error

    def _refuse(self, parameter: str, what: str) -> None:
        raise ConfigInvalid(f"redis: {what}", parameter=parameter)
