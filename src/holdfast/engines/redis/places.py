"""Finding the server that holds the database: named, told by sentinels, or owner of the slot."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any

from holdfast.contract.errors import ConnectionFailed, ConnectionLost, ReadOnly, StoreError
from holdfast.engines.redis.config import Address, RedisConfig
from holdfast.engines.redis.connection import Connection, connect, where

SLOTS = 16_384
#: How many addresses of a cluster are remembered.
NODES_MAX = 100


def slot_of(tag: bytes) -> int:
    """The slot of every key whose braces hold the tag."""
    return binascii.crc_hqx(tag, 0) % SLOTS


class Places:
    """Where the database may be; shared by all connections of an engine, and learning from them.

    Args:
        config: of the database.
    """

    def __init__(self, config: RedisConfig) -> None:
        self._config = config
        #: Nodes or sentinels that were told of; asked after those of the configuration.
        self._learned: list[Address] = []

    async def connect(self) -> tuple[Connection, dict[str, str]]:
        """A connection to the server that holds the database, and what INFO says of it.

        Raises:
            ConnectionFailed, ConnectionLost: there is no way to it now.
            ReadOnly: it is a replica, and the configuration wants to write.
        """
        config = self._config
        if config.sentinel is not None:
            connection = await connect(config, await self._ask_sentinels(config.sentinel))
        else:
            connection = await self._first(lambda address: connect(config, address))
        try:
            facts = await _facts(connection)
            if facts.get("cluster_enabled") == "1":
                connection, facts = await self._owner(connection, facts)
            self._check_role(connection, facts)
        except BaseException:
            connection.abort()
            raise
        return connection, facts

    # --- Inside -----------------------------------------------------------------------------

    async def _first(self, attempt: Callable[[Address], Any]) -> Any:
        """What the first address answers that answers at all; raises what the last one met."""
        failure: StoreError | None = None
        for address in dict.fromkeys((*self._config.addresses, *self._learned)):
            try:
                return await attempt(address)
            except (ConnectionFailed, ConnectionLost) as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def _learn(self, addresses: list[Address]) -> None:
        self._learned = list(dict.fromkeys((*addresses, *self._learned)))[:NODES_MAX]

    async def _ask_sentinels(self, group: str) -> Address:
        async def ask(address: Address) -> Address:
            sentinel = await connect(self._config, address, sentinel=True)
            try:
                found = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", group)
                others = await sentinel.ask("SENTINEL", "SENTINELS", group) if found else []
            finally:
                sentinel.abort()
            if found is None:
                raise ConnectionFailed(
                    f"the sentinel at {where(address)} knows no group {group!r}; correct the "
                    "parameter sentinel",
                    address=where(address),
                )
            self._learn([_of_fields(other) for other in others])
            return found[0].decode(), int(found[1])

        found: Address = await self._first(ask)
        return found

    async def _owner(
        self, connection: Connection, facts: dict[str, str]
    ) -> tuple[Connection, dict[str, str]]:
        """The node that has the database's slot, by what this one says."""
        slot = slot_of(self._config.prefix.encode())
        nodes: list[Address] = []
        owner: Address | None = None
        for start, end, *members in await connection.ask("CLUSTER", "SLOTS"):
            # A node that does not know its own name means the one that was asked.
            addresses = [
                (host.decode() if host else connection.address[0], port)
                for host, port, *_ in members
            ]
            nodes += addresses
            if start <= slot <= end:
                owner = addresses[0]
        self._learn(nodes)
        if owner is None:
            raise ConnectionLost(
                f"no node of the Redis Cluster serves slot {slot}, where the database "
                f"{self._config.prefix!r} lies; see CLUSTER INFO"
            )
        if owner == connection.address:
            return connection, facts
        found = await connect(self._config, owner)
        connection.abort()
        try:
            return found, await _facts(found)
        except BaseException:
            found.abort()
            raise

    def _check_role(self, connection: Connection, facts: dict[str, str]) -> None:
        config, place = self._config, where(connection.address)
        if facts.get("loading") == "1":
            raise ConnectionLost(f"the Redis server at {place} loads its data; it answers then")
        if facts.get("role") != "slave" or config.read_only:
            return
        if config.sentinel is not None or facts.get("cluster_enabled") == "1":
            raise ConnectionLost(f"the Redis server at {place} is a replica; a primary is awaited")
        raise ReadOnly(
            f"the Redis server at {place} is a replica and takes no writes; name the primary, name "
            "the sentinels (sentinel=group), or open with read_only=true"
        )


async def _facts(connection: Connection) -> dict[str, str]:
    text = (await connection.ask("INFO")).decode(errors="replace")
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def _of_fields(flat: list[bytes]) -> Address:
    """The address among the fields that a sentinel tells of another one."""
    fields = dict(zip(flat[::2], flat[1::2], strict=False))
    return fields[b"ip"].decode(), int(fields[b"port"])
