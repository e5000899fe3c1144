-- One page of a range, all of one moment.
--
-- KEYS  1 head   2 order   3 records
-- ARGV  1 from   2 to   3 '1': from the last key down   4 rows at most   5 bytes at most
-- Reply {head, '1' when the range may go on, key, record, key, record ...}

local CHUNK = 50  -- records that are fetched before their bytes are counted
local from, to, rows_max, bytes_max = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local keys
if ARGV[3] == '1' then
  keys = redis.call('ZREVRANGEBYLEX', KEYS[2], to, from, 'LIMIT', 0, rows_max)
else
  keys = redis.call('ZRANGEBYLEX', KEYS[2], from, to, 'LIMIT', 0, rows_max)
end

local page, bytes = {redis.call('GET', KEYS[1]), #keys == rows_max and '1' or '0'}, 0
for first = 1, #keys, CHUNK do
  local last = math.min(first + CHUNK - 1, #keys)
  for at, record in ipairs(redis.call('HMGET', KEYS[3], unpack(keys, first, last))) do
    local key = keys[first + at - 1]
    -- A key of the order without a record is for `check` to report; readers see it as empty.
    bytes = bytes + #key + (record and #record or 0)
    if #page > 2 and bytes > bytes_max then
      page[2] = '1'
      return page
    end
    page[#page + 1] = key
    page[#page + 1] = record
  end
end
return page
