"""`presence`: who is there now. Whoever does not say so again is gone after a while."""

from __future__ import annotations

from holdfast.state.areas.area import Area
from holdfast.state.checks import Duration, name, ttl_ms
from holdfast.state.limits import IDENTIFIER_CHARACTERS_MAX
from holdfast.state.telemetry import operation

_MARK = operation("presence.mark", "presence", {"ctx.presence.ttl": float})
_LEAVE = operation("presence.leave", "presence", success={"ctx.presence.existed": bool})
_MEMBERS = operation("presence.members", "presence", success={"ctx.presence.count": int})


class Presence(Area):
    """Groups and who is in them."""

    area = "presence"

    async def mark(self, group: str, member: str, *, ttl: Duration = 30) -> None:
        """Say that somebody is there, for so long from now."""
        whole_key, span = self._key(group), ttl_ms(ttl)
        name("member", member, IDENTIFIER_CHARACTERS_MAX)
        await self._observer.run(
            _MARK,
            group,
            self._adapter.join(whole_key, member, span),
            {"ctx.presence.ttl": span / 1000},
        )

    async def leave(self, group: str, member: str) -> bool:
        """Say that somebody is gone; whether they were there."""
        whole_key = self._key(group)
        name("member", member, IDENTIFIER_CHARACTERS_MAX)
        return await self._observer.run(
            _LEAVE,
            group,
            self._adapter.leave(whole_key, member),
            success=lambda left: {"ctx.presence.existed": left},
        )

    async def members(self, group: str) -> dict[str, float]:
        """Who is there, and for how many seconds unless they say so again."""
        whole_key = self._key(group)
        found = await self._observer.run(
            _MEMBERS,
            group,
            self._adapter.members(whole_key),
            success=lambda found: {"ctx.presence.count": len(found)},
        )
        return {member: left / 1000 for member, left in found}

    async def present(self, group: str, member: str) -> bool:
        """Whether somebody is there."""
        return name("member", member, IDENTIFIER_CHARACTERS_MAX) in await self.members(group)
