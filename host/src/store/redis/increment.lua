-- Add to a number and give the sum, or nothing where there is no number, or none that large.
--
-- KEYS[1]  the value
-- ARGV[1]  what to add
-- ARGV[2]  milliseconds after which a value that begins here expires; none: never
local is_new = redis.call('EXISTS', KEYS[1]) == 0
local added = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(added) == 'table' and added.err then
    if string.find(added.err, 'not an integer') or string.find(added.err, 'overflow')
        or string.find(added.err, 'WRONGTYPE') then
        return false
    end
    return added
end
-- As Redis has it: a number of Lua's has 53 bits.
local sum = redis.call('GET', KEYS[1])
if is_new and ARGV[2] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return sum
