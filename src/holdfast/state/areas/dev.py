"""`dev`: looking around in a scope's values. For people and monitors, not for hot paths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from holdfast.contract.errors import InvalidInput
from holdfast.state.areas.area import Area
from holdfast.state.checks import whole
from holdfast.state.limits import SCAN_COUNT_MAX
from holdfast.state.telemetry import operation

_SCAN = operation("dev.scan", "kv", success={"ctx.dev.count": int})

#: Keys that one call without a cursor returns at most, roughly.
SCAN_KEYS_MAX = 10_000
#: Keys that one step looks at, unless told.
COUNT = 1000


class ScanResult(NamedTuple):
    """Keys as `kv` takes them; there are more behind `cursor` unless it is "0"."""

    cursor: str
    keys: list[str]


class Dev(Area):
    """Looks around."""

    area = "kv"

    async def scan(
        self, pattern: str = "*", *, cursor: str | None = None, count: int = COUNT
    ) -> ScanResult:
        """The keys of `kv` in this scope that match a glob.

        Each key that is there from the beginning to the end is found; one that comes or goes
        meanwhile may be.

        Args:
            pattern: with `*`, `?` and `[ab]`; a backslash before one makes it plain.
            cursor: where to go on, for one step. Without it all keys are looked through, up to
                `SCAN_KEYS_MAX` of them.
            count: how many keys a step looks at.
        """
        whole("count", count, 1, SCAN_COUNT_MAX)
        return await self._observer.run(
            _SCAN,
            "",
            self._scan(self._key.pattern(pattern), cursor, count),
            success=lambda result: {"ctx.dev.count": len(result.keys)},
        )

    async def iterate(self, pattern: str = "*", *, count: int = COUNT) -> AsyncIterator[str]:
        """The same, key by key, without a limit."""
        cursor: str | None = "0"
        while cursor is not None:
            result = await self.scan(pattern, cursor=cursor, count=count)
            for key in result.keys:
                yield key
            cursor = None if result.cursor == "0" else result.cursor

    async def _scan(self, pattern: str, cursor: str | None, count: int) -> ScanResult:
        found: dict[str, None] = {}
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidInput(
                f"a cursor is what the last step returned, or '0'; found a {type(cursor).__name__}"
            )
        at = cursor or "0"
        while True:
            page = await self._adapter.scan(pattern, at, count)
            for one in page.keys:
                key = self._key.user_key(one)
                if key is not None:
                    found[key] = None
            at = page.cursor
            if cursor is not None or at == "0" or len(found) >= SCAN_KEYS_MAX:
                return ScanResult(at, list(found))
