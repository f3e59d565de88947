-- Renew a holder's lease on the slots it has.
--
-- KEYS     the slots
-- ARGV[1]  the holder
-- ARGV[2]  its lease in milliseconds
-- ARGV[3]  'exactly': it has as many as it says. 'at least': perhaps more, as an answer to it may be under way
-- ARGV[4…] how many of each
local time = redis.call('TIME')
local till = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
for at, key in ipairs(KEYS) do
    local count = tonumber(ARGV[at + 3])
    if ARGV[3] == 'at least' then
        local known = string.match(redis.call('HGET', key, ARGV[1]) or '', '^(%d+):')
        count = math.max(count, tonumber(known) or 0)
    end
    if count > 0 then
        redis.call('HSET', key, ARGV[1], string.format('%d:%d', count, till))
        redis.call('PEXPIRE', key, ARGV[2])
    else
        redis.call('HDEL', key, ARGV[1])
    end
end
return #KEYS
