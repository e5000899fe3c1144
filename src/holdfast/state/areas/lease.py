"""`Lease`: a claim that is renewed while it is held, with a token that grows with each holder."""

from __future__ import annotations

from holdfast.contract.runtime import Components
from holdfast.state.adapter import StateAdapter
from holdfast.state.areas.holding import Holding


class Lease(Holding):
    """A claim of this caller's own; see `Claim.lease`.

    Attributes:
        key: what is claimed.
        owner: who claimed it.
        token: above that of every earlier holder: whoever is written to can refuse a smaller one,
            and `kv.set(fence=lease)` does.
        whole: the whole key of the claim.
        stamp: what stands there while it is held.
    """

    def __init__(
        self,
        adapter: StateAdapter,
        components: Components,
        *,
        key: str,
        whole: str,
        owner: str,
        token: int,
        stamp: bytes,
        span_ms: int,
        asked_at: float,
    ) -> None:
        super().__init__(key, span_ms, asked_at, components)
        self._adapter = adapter
        self.whole = whole
        self.owner = owner
        self.token = token
        self.stamp = stamp

    def __repr__(self) -> str:
        state = "held" if self.held else "lost"
        return f"<Lease {self.key!r} token {self.token} {state}>"

    async def _renew(self, span_ms: int) -> bool:
        return await self._adapter.expire_if(self.whole, self.stamp, span_ms)

    async def _release(self) -> bool:
        return await self._adapter.delete_if(self.whole, self.stamp)
