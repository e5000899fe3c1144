"""`Lease`: a claim that is renewed while it is held, with a token that grows with each holder."""

from __future__ import annotations

import orjson

from holdfast.contract.runtime import Components
from holdfast.state.adapter import StateAdapter
from holdfast.state.areas.holding import Holding

#: How every stamp of a lease begins.
STAMP = b'{"owner":'


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
        fence: str,
        owner: str,
        span_ms: int,
    ) -> None:
        super().__init__(key, span_ms, components)
        self._adapter = adapter
        self._fence = fence
        self._before = STAMP + orjson.dumps(owner) + b',"token":'
        # Known to this object alone, also where its owner has asked for the same claim before.
        self._after = b',"call":"' + components.ids.new().hex().encode() + b'"}'
        self.whole = whole
        self.owner = owner
        self.token = 0
        self.stamp = b""

    def __repr__(self) -> str:
        state = "held" if self.held else "lost"
        return f"<Lease {self.key!r} token {self.token} {state}>"

    async def _take(self) -> bool:
        token = await self._adapter.claim(
            self.whole, self._fence, self._before, self._after, self._span_ms
        )
        if token is None:
            return False
        self.token, self.stamp = token, self._before + b"%d" % token + self._after
        return True

    async def _forget(self) -> None:
        stands = await self._adapter.get(self.whole)
        if stands is not None and stands.startswith(self._before) and stands.endswith(self._after):
            await self._adapter.delete_if(self.whole, stands)

    async def _renew(self, span_ms: int) -> bool:
        return await self._adapter.expire_if(self.whole, self.stamp, span_ms)

    async def _release(self) -> bool:
        return await self._adapter.delete_if(self.whole, self.stamp)
