-- One commit: all checks on the state before it, then all writes, or none of either.
--
-- KEYS  1 head (revision, lineage, and the run that wrote it: its name and where it began)   2 order (sorted set of keys, all scores 0)
--       3 records (hash: key -> revision, 8 bytes big endian, and value)   4 receipt of the batch id
--       5 channel that tells of commits
-- ARGV  1 lineage   2 seconds to remember the id ('0': the batch has none)
--       3 '1': answer previous records   5 number of checks
--       4 how many bytes it may add to a server that is full; '' when it is not known to be full
--       6 the head that the batch has to meet, with nothing but its run since 7; '' for any
--       7 a revision   8 the run that the batch belongs to; '' for none
--       9 .. the checks, then the writes, each a letter and its arguments:
--         k key revision ('' for absent) | r from to at_revision count
--         p key value | w key value (the revision stays) | d key | D from to | a prefix value      (from, to: as ZRANGEBYLEX has them)
-- Reply {'done', revision, previous ...} | {'known', revision} | {'lineage'}
--       | {'conflict', number of the check, what was found}
--       (a key's revision or ''; of a range a count of keys, or r and the newer revision)
--       | {'wide', number of the check, keys in the range} | {'full'} | {'moved', head}
--
-- A script has no rollback, so nothing after the first write may fail: arguments are validated
-- before they are sent, and a server that takes no writes (full, a replica, unable to write its
-- files) refuses the first one.

local head_name, order, records, receipt, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local remember_s, wants_previous, checks = tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[5])
local CHUNK = 500  -- unpack() and one command's arguments live on Lua's small C stack.
local CHECKED_MAX = 10000  -- rows that one check of a range may walk: the server serves nobody else.

local standing = redis.call('GET', head_name)
if not standing then return {'lineage'} end
local head, lineage, run, begun = string.match(standing, '^(%d+) (%x+) ?(%x*) ?(%d*)$')
if lineage ~= ARGV[1] then return {'lineage'} end
head = tonumber(head)

if remember_s > 0 then
  local known = redis.call('GET', receipt)
  if known then
    -- A write, so that WAIT after it waits for the first one, too.
    redis.call('EXPIRE', receipt, remember_s)
    return {'known', tonumber(known)}
  end
end

if ARGV[6] ~= '' and (head ~= tonumber(ARGV[6]) or run ~= ARGV[8] or begun ~= ARGV[7]) then
  return {'moved', head}
end

local function revision_of(record)
  return (struct.unpack('>I8', record))
end

local function check_key(key, expected)
  local record = redis.call('HGET', records, key)
  local found = record and string.format('%.0f', revision_of(record)) or ''
  return found == expected, found
end

local function check_range(from, to, at_revision, expected)
  if at_revision >= head then return true end
  local count = redis.call('ZLEXCOUNT', order, from, to)
  if count ~= expected then return false, string.format('%.0f', count) end
  if count > CHECKED_MAX then return nil, count end
  while count > 0 do
    local keys = redis.call('ZRANGEBYLEX', order, from, to, 'LIMIT', 0, CHUNK)
    if #keys == 0 then break end
    for _, record in ipairs(redis.call('HMGET', records, unpack(keys))) do
      local revision = revision_of(record)
      if revision > at_revision then return false, string.format('r%.0f', revision) end
    end
    from = '(' .. keys[#keys]
  end
  return true
end

local at = 9
for number = 1, checks do
  local fits, found
  if ARGV[at] == 'k' then
    fits, found = check_key(ARGV[at + 1], ARGV[at + 2])
    at = at + 3
  else
    local at_revision, expected = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    fits, found = check_range(ARGV[at + 1], ARGV[at + 2], at_revision, expected)
    at = at + 5
  end
  if fits == nil then return {'wide', number, found} end
  if not fits then return {'conflict', number, found} end
end

if at > #ARGV then return {'done', head} end

local revision = head + 1
local stamp = struct.pack('>I8', revision)
local reply, seen, appends = {'done', revision}, {}, 0  -- seen: keys whose record is answered

local function put(key, value)
  redis.call('HSET', records, key, stamp .. value)
  redis.call('ZADD', order, 0, key)
end

-- Previous records first: the state before the batch, whatever earlier operations of it do.
local ahead = at
while wants_previous and ahead <= #ARGV do
  local letter, key = ARGV[ahead], ARGV[ahead + 1]
  if (letter == 'p' or letter == 'd') and not seen[key] then
    seen[key] = true
    reply[#reply + 1] = key
    reply[#reply + 1] = redis.call('HGET', records, key)
  end
  ahead = ahead + (letter == 'd' and 2 or 3)
end

-- At its limit of memory a server refuses commands that may grow it, until a script has written.
-- A batch that makes room, or moves what it deletes, begins with a command that the server takes.
if ARGV[4] ~= '' then
  local grows, from = 0, at
  while from <= #ARGV do
    local letter, first, second = ARGV[from], ARGV[from + 1], ARGV[from + 2]
    if letter == 'p' or letter == 'w' or letter == 'd' then
      grows = grows - redis.call('HSTRLEN', records, first)
    end
    if letter == 'p' or letter == 'w' or letter == 'a' then grows = grows + #first + #second end
    from = from + (letter == 'd' and 2 or 3)
  end
  if grows > tonumber(ARGV[4]) then return {'full'} end
  redis.call('ZREM', order, '')
end
local written = string.format('%.0f ', revision) .. lineage
if ARGV[8] ~= '' then
  if run ~= ARGV[8] then begun = string.format('%.0f', head) end
  written = written .. ' ' .. ARGV[8] .. ' ' .. begun
end
redis.call('SET', head_name, written)
while at <= #ARGV do
  local letter, first, second = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if letter == 'p' then
    put(first, second)
    at = at + 3
  elseif letter == 'w' then
    local standing = redis.call('HGET', records, first)
    if standing then redis.call('HSET', records, first, string.sub(standing, 1, 8) .. second) end
    at = at + 3
  elseif letter == 'a' then
    put(first .. stamp .. struct.pack('>I4', appends), second)
    appends = appends + 1
    at = at + 3
  elseif letter == 'd' then
    redis.call('HDEL', records, first)
    redis.call('ZREM', order, first)
    at = at + 2
  else
    while true do
      local keys = redis.call('ZRANGEBYLEX', order, first, second, 'LIMIT', 0, CHUNK)
      if #keys == 0 then break end
      redis.call('HDEL', records, unpack(keys))
      redis.call('ZREM', order, unpack(keys))
    end
    at = at + 3
  end
end
if remember_s > 0 then
  redis.call('SET', receipt, string.format('%.0f', revision), 'EX', remember_s)
end
redis.call('SPUBLISH', channel, string.format('%.0f', revision))
return reply
