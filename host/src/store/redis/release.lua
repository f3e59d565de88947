-- Give slots back.
--
-- KEYS     the slots
-- ARGV[1]  the holder
-- ARGV[2…] how many of each
for at, key in ipairs(KEYS) do
    local count, till = string.match(redis.call('HGET', key, ARGV[1]) or '', '^(%d+):(%d+)$')
    local left = (tonumber(count) or 0) - ARGV[at + 1]
    if left > 0 then
        redis.call('HSET', key, ARGV[1], string.format('%d:', left) .. till)
    else
        redis.call('HDEL', key, ARGV[1])
    end
end
return #KEYS
