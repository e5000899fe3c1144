-- One page of a range, all of one moment.
--
-- KEYS  1 head   2 order   3 records
-- ARGV  1 from   2 to   3 '1': from the last key down   4 rows at most   5 bytes at most
-- Reply {head, '1' when the range may go on, key, record, key, record ...}

local from, to, rows_max, bytes_max = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local keys
if ARGV[3] == '1' then
  keys = redis.call('ZREVRANGEBYLEX', KEYS[2], to, from, 'LIMIT', 0, rows_max)
else
  keys = redis.call('ZRANGEBYLEX', KEYS[2], from, to, 'LIMIT', 0, rows_max)
end

local page, bytes = {redis.call('GET', KEYS[1]) or '0', #keys == rows_max and '1' or '0'}, 0
for number, key in ipairs(keys) do
  local record = redis.call('HGET', KEYS[3], key)
  bytes = bytes + #key + #record
  if number > 1 and bytes > bytes_max then
    page[2] = '1'
    break
  end
  page[#page + 1] = key
  page[#page + 1] = record
end
return page
