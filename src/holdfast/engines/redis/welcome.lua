-- Open or make a database, and see whether the server still has everything it acknowledged.
--
-- KEYS  1 database (hash: format, lineage, era)   2 head   3 order   4 records
-- ARGV  1 format that we write   2 '1': make the database when there is none
--       3 lineage to begin where one has to   4 id of the server's history (replication id)
--       5 '1': whatever the server acknowledged it still has after it was restarted
--       6 id of the history that its own continues ('' for none): it was a replica
--       7 lineage that the caller knows, or ''   8 the newest revision that the caller has seen
--       9 how far revisions of a new lineage stand above those that may have been lost
-- Reply {'absent'} | {'format', found} | {'foreign'} | {'open' or 'made', lineage, head}
--
-- A replica that was promoted, and a server that lost what it had not flushed, may lack commits
-- that somebody was told of. Nobody can say which, so another lineage begins: cursors of the one
-- before are refused, and its revisions are never given out again.

local database, head_name = KEYS[1], KEYS[2]
local format = redis.call('HGET', database, 'format')
if not format then
  if redis.call('EXISTS', head_name, KEYS[3], KEYS[4]) > 0 then return {'foreign'} end
  if ARGV[2] ~= '1' then return {'absent'} end
  redis.call('SET', head_name, '0 ' .. ARGV[3])
  redis.call('HSET', database, 'format', ARGV[1], 'lineage', ARGV[3], 'era', ARGV[4])
  return {'made', ARGV[3], 0}
end
if format ~= ARGV[1] then return {'format', format} end

local lineage, era = unpack(redis.call('HMGET', database, 'lineage', 'era'))
local standing = redis.call('GET', head_name)
if not standing or not lineage then return {'foreign'} end
local head = tonumber(string.match(standing, '^(%d+) '))
local lost = lineage == ARGV[7] and head < tonumber(ARGV[8])
if era ~= ARGV[4] then
  lost = lost or ARGV[5] ~= '1' or ARGV[6] ~= ''
  redis.call('HSET', database, 'era', ARGV[4])
end
if lost then
  lineage = ARGV[3]
  head = math.max(head, tonumber(ARGV[8])) + tonumber(ARGV[9])
  redis.call('SET', head_name, string.format('%.0f ', head) .. lineage)
  redis.call('HSET', database, 'lineage', lineage)
end
return {'open', lineage, head}
