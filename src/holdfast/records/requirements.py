"""Which schema the values of each namespace must fit.

What namespaces require is one row, `__schema/required:namespaces`, so that it changes as a whole.
It is read again when it is older than `REFRESH_S`: what another handle or process requires holds
here within that time, and a write pays for a read twice a second at most.
"""

from __future__ import annotations

from holdfast.codecs.text import StoreKey, parse_namespace
from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.runtime import Clock
from holdfast.records.interface import KeyValueStoreInterface

#: The namespace of schemas and of what belongs to them.
SCHEMAS = "__schema"
#: Where it stands which namespace requires what: digests by namespace as in keys.
REQUIRED = StoreKey("namespaces", (SCHEMAS, "required"))
#: How old what was read of it may be, in seconds.
REFRESH_S = 0.5

Segments = tuple[str, ...]


class Requirements:
    """What the namespaces of a database require, as last read.

    Args:
        store: of the whole database, one that may write reserved names.
        clock: tells how old what was read is.

    Attributes:
        monotonic: of the clock.
        idle_until: the instant up to which nothing is required anywhere: no need to ask.
    """

    def __init__(self, store: KeyValueStoreInterface, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.monotonic = clock.monotonic
        self._digests: dict[Segments, str] = {}
        self.idle_until = -1.0
        self._fresh_until = -1.0

    async def of(self, key: StoreKey | str) -> str | None:
        """The digest that the namespace of a key requires; that of the longest prefix."""
        if self.monotonic() >= self._fresh_until:
            await self.refresh()
        if not self._digests:
            return None
        namespace = StoreKey.of(key).namespace
        for length in range(len(namespace), -1, -1):
            digest = self._digests.get(namespace[:length])
            if digest is not None:
                return digest
        return None

    async def refresh(self) -> dict[Segments, str]:
        """What is required now, by the segments of the namespace."""
        # Taken before reading: what changes meanwhile is looked for again in time.
        now = self.monotonic()
        entry = await self._store.get(REQUIRED)
        self.use({} if entry is None else entry.value, now)
        return self._digests

    def use(self, stored: object, now: float | None = None) -> None:
        """Take over what stands, or was just written, in the row; nothing older than is known.

        Args:
            stored: the value of the row.
            now: the instant before it was read; None: it is as new as can be.
        """
        known_until = (self.monotonic() if now is None else now) + REFRESH_S
        if known_until < self._fresh_until:
            return  # While it was read, this handle wrote or read a newer one.
        if not isinstance(stored, dict):
            raise IntegrityFailed(
                f"{REQUIRED} holds digests by namespace; found something else. "
                "Run `holdfast check` on the database"
            )
        self._digests = {parse_namespace(text): digest for text, digest in stored.items()}
        self._fresh_until = known_until
        self.idle_until = -1.0 if self._digests else self._fresh_until
