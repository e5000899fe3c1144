"""Lua scripts by their digest; one that the server has forgotten is sent again, whole.

A script that fails with NOSCRIPT has done nothing, so sending it again is safe, and other commands
keep their order: each is a command of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from holdfast.contract.errors import StoreError
from holdfast.state.redis.connection import LoopConnection
from holdfast.state.redis.link import Word


class Script:
    """One script. Times it needs come from the server's clock, so that all callers agree."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        # The name the server knows a script by; no secrecy depends on it.
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(
        self, connection: LoopConnection, keys: Sequence[str], arguments: Sequence[Word]
    ) -> Any:
        """The script's answer."""
        rest = (len(keys), *keys, *arguments)
        try:
            return await connection.send(("EVALSHA", self.digest, *rest))
        except StoreError as error:
            if error.details.get("reply") != "NOSCRIPT":
                raise
        return await connection.send(("EVAL", self.text, *rest))


# A Lua number is a double, so sums are read back as texts.
ADD_WITHIN = Script("""
local there = redis.call('EXISTS', KEYS[1])
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
local low, high = tonumber(ARGV[4]), tonumber(ARGV[5])
if (low and sum < low) or (high and sum > high) then
  if there == 0 then redis.call('DEL', KEYS[1])
  else redis.call('DECRBY', KEYS[1], ARGV[1]) end
  return false
end
if ARGV[2] ~= '0' and (there == 0 or ARGV[3] == '1') then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('GET', KEYS[1])
""")

SET_FENCED = Script("""
local found = redis.call('GET', KEYS[2])
if found ~= ARGV[2] then return {0, found} end
if ARGV[3] ~= '0' then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
elseif ARGV[4] == '1' then redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
else redis.call('SET', KEYS[1], ARGV[1]) end
return {1, false}
""")

CLAIM = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1] .. string.format('%.0f', token) .. ARGV[2])
if ARGV[3] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return token
""")

DELETE_IF = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")

EXPIRE_IF = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# Of all limits: a server's clock may step back, and what counts from an instant to come would be
# refused until then.

# The first cost opens a window. One without an end (of an older writer), or that ends later than
# any that begins now, ends from now on.
LIMIT_FIXED = Script("""
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local left = redis.call('PTTL', KEYS[1])
if left == -1 or left > window then redis.call('PEXPIRE', KEYS[1], window) left = window end
if used + cost > limit then
  if cost > limit then return {0, math.max(limit - used, 0), -1} end
  return {0, math.max(limit - used, 0), math.max(left, 1)}
end
redis.call('INCRBY', KEYS[1], cost)
if left < 0 then redis.call('PEXPIRE', KEYS[1], window) end
return {1, limit - used - cost, 0}
""")

# Members are "instant-number:cost", so that several costs of one instant are kept apart.
LIMIT_SLIDING = Script(
    _NOW
    + """
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local used, free_at, needed = 0, -1, 0
local rows = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #rows, 2 do
  used = used + tonumber(string.match(rows[i], ':(%d+)$'))
  if tonumber(rows[i + 1]) > now then
    redis.call('ZADD', KEYS[1], now, rows[i])
    redis.call('PEXPIRE', KEYS[1], window)
    rows[i + 1] = now
  end
end
if used + cost > limit then
  if cost > limit then return {0, math.max(limit - used, 0), -1} end
  local freed = 0
  for i = 1, #rows, 2 do
    freed = freed + tonumber(string.match(rows[i], ':(%d+)$'))
    free_at = tonumber(rows[i + 1]) + window
    if used - freed + cost <= limit then break end
  end
  return {0, math.max(limit - used, 0), math.max(free_at - now, 1)}
end
if cost > 0 then
  local last = #rows > 0 and tonumber(string.match(rows[#rows - 1], '-(%d+):')) or 0
  redis.call('ZADD', KEYS[1], now, string.format('%.0f-%09d:%d', now, last + 1, cost))
  redis.call('PEXPIRE', KEYS[1], window)
end
return {1, limit - used - cost, 0}
"""
)

LIMIT_BUCKET = Script(
    _NOW
    + """
local capacity, refill, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(found[1] or capacity)
local at = tonumber(found[2] or now)
tokens = math.min(capacity, tokens + math.max(now - at, 0) / refill)
if cost > tokens then
  if at > now then
    redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now))
    redis.call('PEXPIRE', KEYS[1], math.max(math.ceil((capacity - tokens) * refill), 1))
  end
  if cost > capacity then return {0, math.floor(tokens), -1} end
  return {0, math.floor(tokens), math.max(math.ceil((cost - tokens) * refill), 1)}
end
tokens = tokens - cost
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at',
  string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.max(math.ceil((capacity - tokens) * refill), 1))
return {1, math.floor(tokens), 0}
"""
)

# Members by the instant they end at; the key ends with its last member.
JOIN = Script(
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local there = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ARGV[4] == '1' and not there then return 0 end
local most = tonumber(ARGV[3])
if not there and most > 0 and redis.call('ZCARD', KEYS[1]) >= most then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last[2]) + 1))
return 1
"""
)

MEMBERS = Script(
    _NOW
    + """
local rows = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf',
  'WITHSCORES')
for i = 2, #rows, 2 do rows[i] = string.format('%.0f', rows[i] - now) end
return rows
"""
)

LEAVE = Script(
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZREM', KEYS[1], ARGV[1])
"""
)

APPEND_ONCE = Script("""
local there = redis.call('GET', KEYS[2])
if there then return {there, 0} end
local id
if ARGV[3] == '0' then id = redis.call('XADD', KEYS[1], '*', 'data', ARGV[1])
else id = redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[4], ARGV[3], '*', 'data', ARGV[1]) end
redis.call('SET', KEYS[2], id, 'PX', ARGV[2])
return {id, 1}
""")

# Members are an identity of 16 bytes and the message, so that two equal ones are kept apart.
POSTPONE = Script(
    _NOW
    + """
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[1] .. ARGV[2])
return 1
"""
)

RELEASE_DUE = Script(
    _NOW
    + """
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0,
  ARGV[1])
if #due > 0 then redis.call('XLEN', KEYS[1]) end
for _, member in ipairs(due) do
  redis.call('XADD', KEYS[1], '*', 'data', string.sub(member, 17))
  redis.call('ZREM', KEYS[2], member)
end
local left = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if not left[2] then return {#due, -1} end
return {#due, math.max(tonumber(left[2]) - now, 0)}
"""
)

# A script that fails half-way has done its half, so it is asked first whether both are streams.
MOVE = Script("""
redis.call('XLEN', KEYS[1])
redis.call('XLEN', KEYS[2])
local id = redis.call('XADD', KEYS[2], '*', 'data', ARGV[3])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return id
""")

# Looks through all that is pending, in steps, until enough is idle for so long.
RECLAIM = Script("""
local cursor, wanted, found = '0-0', tonumber(ARGV[4]), {}
for _ = 1, 100 do
  local answer = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], cursor,
    'COUNT', wanted - #found)
  cursor = answer[1]
  for _, entry in ipairs(answer[2]) do
    if entry then
      local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
      found[#found + 1] = {entry[1], entry[2], pending[1] and pending[1][4] or 1}
    end
  end
  if cursor == '0-0' or #found >= wanted then break end
end
return found
""")
