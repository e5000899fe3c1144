-- Rows with the revisions they carry, and where revisions go on.
--
-- KEYS  1 head   2 order   3 records   4 channel that tells of commits
-- ARGV  1 lineage   2 next revision ('' : above those of the rows)
--       3 .. key, revision (8 bytes big endian) and value ('' : the key is removed)
-- Reply {'done', head} | {'lineage'} | {'below', head}

local lineage, next_revision = ARGV[1], tonumber(ARGV[2])
local standing = redis.call('GET', KEYS[1])
if not standing then return {'lineage'} end
local head, of = string.match(standing, '^(%d+) (%x+)')
if of ~= lineage then return {'lineage'} end
head = tonumber(head)
for at = 3, #ARGV, 2 do
  if ARGV[at + 1] ~= '' then head = math.max(head, (struct.unpack('>I8', ARGV[at + 1]))) end
end
if next_revision then
  if next_revision <= head then return {'below', head} end
  head = next_revision - 1
end
redis.call('SET', KEYS[1], string.format('%.0f ', head) .. lineage)
for at = 3, #ARGV, 2 do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', KEYS[3], ARGV[at])
    redis.call('ZREM', KEYS[2], ARGV[at])
  else
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
    redis.call('ZADD', KEYS[2], 0, ARGV[at])
  end
end
redis.call('SPUBLISH', KEYS[4], string.format('%.0f', head))
return {'done', head}
