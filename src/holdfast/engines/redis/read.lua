-- Records and head of one moment.
--
-- KEYS  1 head   2 records
-- ARGV  the keys
-- Reply {head, record or false ...}

local CHUNK = 500  -- unpack() and one command's arguments live on Lua's small C stack.
local answer = {redis.call('GET', KEYS[1])}
for first = 1, #ARGV, CHUNK do
  local last = math.min(first + CHUNK - 1, #ARGV)
  for at, record in ipairs(redis.call('HMGET', KEYS[2], unpack(ARGV, first, last))) do
    answer[first + at] = record
  end
end
return answer
