-- Take from a token bucket, or tell how many microseconds to wait; nothing is taken then.
--
-- The bucket is one number: when it will be full again (the generic cell rate algorithm, ITU-T I.371). By Redis' own clock, so that
-- those of the nodes do not matter. A bucket that is full says nothing, so its key expires then.
--
-- KEYS[1]  the bucket
-- ARGV[1]  microseconds in which it gains what is asked for
-- ARGV[2]  microseconds in which an empty bucket becomes full
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + ARGV[1]
local wait = full_at - ARGV[2] - now
-- A double tells quarters of a microsecond apart, at a time like the present.
if wait >= 1 then
    return math.ceil(wait)
end
redis.call('SET', KEYS[1], string.format('%.2f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return 0
