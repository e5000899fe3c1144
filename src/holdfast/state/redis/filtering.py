"""Bloom filters on Redis: one string, a head in plain text and then the blocks.

The head has 128 bytes, so a bit of a block is a bit of the string at a fixed distance. A call is
one script: it looks for all items first, so that what does not fit leaves nothing behind.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from holdfast.state.adapter import FilterShape, StateAdapter
from holdfast.state.filters import no_filter, no_filter_but
from holdfast.state.redis.link import Word
from holdfast.state.redis.scripts import Script

_HEAD_BYTES: Final = 128
_HEAD = re.compile(rb"bloom1 +(\d+) +(\d+) +(\d+) +(\d+) +([0-9.e-]+) *")

_BEGIN = """
local head = redis.call('GETRANGE', KEYS[1], 0, 127)
if head == '' then return -1 end
local capacity, blocks, hashes, items = string.match(head,
  '^bloom1 +(%d+) +(%d+) +(%d+) +(%d+) ')
if not capacity then return -2 end
capacity, blocks = tonumber(capacity), tonumber(blocks)
hashes, items = tonumber(hashes), tonumber(items)
-- Where the bits of an item are that are not set, counted from the begin of the string.
local function missing(digest)
  local number = 0
  for i = 1, 6 do number = number * 256 + string.byte(digest, i) end
  local base = 128 + number % blocks * 512
  local block = redis.call('GETRANGE', KEYS[1], base, base + 511)
  local found = {}
  for i = 7, 6 + 2 * hashes, 2 do
    local bit = (string.byte(digest, i) * 256 + string.byte(digest, i + 1)) % 4096
    local byte = string.byte(block, math.floor(bit / 8) + 1) or 0
    if math.floor(byte / 2 ^ (7 - bit % 8)) % 2 == 0 then found[#found + 1] = base * 8 + bit end
  end
  return found
end
"""

_CREATE = Script("""
local head = redis.call('GETRANGE', KEYS[1], 0, 127)
if head ~= '' then return head end
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return false
""")

_ADD = Script(
    _BEGIN
    + """
local wanted, said = {}, {}
for i, digest in ipairs(ARGV) do
  wanted[i] = missing(digest)
  said[i] = #wanted[i] > 0 and 1 or 0
  items = items + said[i]
end
if items > capacity then return -3 end
for _, bits in ipairs(wanted) do
  for _, bit in ipairs(bits) do redis.call('SETBIT', KEYS[1], string.format('%.0f', bit), 1) end
end
redis.call('SETRANGE', KEYS[1], 38, string.format('%16.0f', items))
return said
"""
)

_HAS = Script(
    _BEGIN
    + """
local said = {}
for i, digest in ipairs(ARGV) do said[i] = #missing(digest) == 0 and 1 or 0 end
return said
"""
)


class RedisFilters(StateAdapter):
    """The verbs of filters."""

    @abstractmethod
    async def _run(self, script: Script, keys: Sequence[str], *arguments: Word) -> Any: ...

    @abstractmethod
    def _read(self, *words: Word) -> Awaitable[Any]: ...

    async def filter_create(self, key: str, shape: FilterShape, ttl_ms: int) -> FilterShape | None:
        there = await self._run(_CREATE, (key,), _packed(shape), ttl_ms)
        return None if there is None else _head(there)[0]

    async def filter_add(self, key: str, digests: Sequence[bytes]) -> list[bool] | None:
        said = await self._run(_ADD, (key,), *digests)
        return None if said == -3 else _said(said)  # noqa: PLR2004 - see the script

    async def filter_has(self, key: str, digests: Sequence[bytes]) -> list[bool]:
        return _said(await self._run(_HAS, (key,), *digests))

    async def filter_head(self, key: str) -> tuple[FilterShape, int] | None:
        found = await self._read("GETRANGE", key, 0, _HEAD_BYTES - 1)
        return _head(found) if found else None


def _packed(shape: FilterShape) -> bytes:
    head = f"bloom1 {shape.capacity:16d} {shape.blocks:10d} {shape.hashes:2d} {0:16d}"
    head += f" {shape.error_rate!r:>24}"
    return head.ljust(_HEAD_BYTES).encode()


def _head(found: bytes) -> tuple[FilterShape, int]:
    match = _HEAD.fullmatch(found)
    if match is None:
        raise no_filter_but()
    capacity, blocks, hashes, items = map(int, match.groups()[:4])
    return FilterShape(capacity, float(match[5]), blocks, hashes), items


def _said(answer: Any) -> list[bool]:
    if answer == -1:
        raise no_filter()
    if not isinstance(answer, list):
        raise no_filter_but()
    return [one == 1 for one in answer]
