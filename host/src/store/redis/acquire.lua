-- Take one of so many slots: 1, or 0 where all are taken.
--
-- By holder the key has 'COUNT:UNTIL': a holder that does not renew its lease is dead, and its slots are free.
--
-- KEYS[1]  the slots
-- ARGV[1]  the holder
-- ARGV[2]  how many it knows itself to hold, should Redis have forgotten
-- ARGV[3]  how many slots there are
-- ARGV[4]  its lease in milliseconds
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mine, others = 0, 0
local holders = redis.call('HGETALL', KEYS[1])
for at = 1, #holders, 2 do
    local count, till = string.match(holders[at + 1], '^(%d+):(%d+)$')
    if holders[at] == ARGV[1] then
        mine = tonumber(count or 0)
    elseif count and tonumber(till) > now then
        others = others + count
    else
        redis.call('HDEL', KEYS[1], holders[at])
    end
end
mine = math.max(mine, tonumber(ARGV[2]))
if mine + others >= tonumber(ARGV[3]) then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d:%d', mine + 1, now + ARGV[4]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
