"""What Redis decides in one step: a script each, with its law in words.

Each touches keys of one hash tag only (a stream's, a tenant's, or those of all), so that a
cluster works.
"""

from hashlib import sha1


class Script:
    """A script, and how the engine knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()  # once: each write names it


# Law: what a process says of a stream is written whole or not at all; only by its owner; only where
# it fits what is there. What is said of a stream that is not there, or has ended, is ignored.
# KEYS: record, text, channel. ARGV: fence, version, size ("" where the first of what is said
# makes its own place), then what is said. Returns a word, and where the text ends.
WRITE = Script("""#!lua
local there = redis.call('HMGET', KEYS[1], 'fence', 'version', 'status')
local first = ARGV[4]
if not there[1] and first ~= 'B' then return {'gone'} end
if there[1] and there[1] ~= ARGV[1] then return {'lost'} end
local ended = there[3]
if there[1] and not ended then
  local size = redis.call('STRLEN', KEYS[2])
  if ARGV[2] ~= '' and (there[2] ~= ARGV[2] or size ~= tonumber(ARGV[3])) then return {'gap'} end
end
local n, look, grown, at, forget_at = 4, false, {}, redis.call('STRLEN', KEYS[2]), nil
local function take() n = n + 1; return ARGV[n - 1] end
while n <= #ARGV do
  local said = take()
  if said == 'B' then
    local tenant, created, meta, body, node = take(), take(), take(), take(), take()
    if not there[1] then
      redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'version', 1, 'tenant', tenant, 'created', created,
        'meta', meta, 'owner', node, 'gen', 1, 'reason', '', 'starters', 1)
      if body ~= '' then redis.call('HSET', KEYS[1], 'body', body) end
    end
  elseif said == 'M' then
    redis.call('HSET', KEYS[1], 'meta', take()); look = true
  elseif said == 'G' then
    local data = take()
    if not ended then redis.call('APPEND', KEYS[2], data); grown[#grown + 1] = data end
  elseif said == 'R' then
    local version, gen, reason = take(), take(), take()
    if not ended then
      local known = tonumber(redis.call('HGET', KEYS[1], 'version'))
      if tonumber(version) <= known then version = known + 1 end
      redis.call('DEL', KEYS[2]); look = true
      redis.call('HSET', KEYS[1], 'version', version, 'gen', gen, 'reason', reason)
    end
  elseif said == 'N' then
    local gen, reason = take(), take()
    if not ended then redis.call('HSET', KEYS[1], 'gen', gen, 'reason', reason); look = true end
  elseif said == 'E' then
    local ending, status, ended_at, expires = take(), take(), take(), take()
    if not ended then
      local text = redis.call('GET', KEYS[2])
      if text then redis.call('SET', KEYS[2], text) end -- without the room that it was given to grow
      redis.call('HSET', KEYS[1], 'ending', ending, 'status', status, 'at', ended_at, 'expires', expires)
      redis.call('HDEL', KEYS[1], 'body')
      ended, look, forget_at = status, true, math.ceil(math.max(tonumber(expires), tonumber(ended_at) + 20) * 1000)
    end
  end
end
local version, size = redis.call('HGET', KEYS[1], 'version'), redis.call('STRLEN', KEYS[2])
if look then redis.call('SPUBLISH', KEYS[3], 'L')
elseif #grown > 0 then
  redis.call('SPUBLISH', KEYS[3], 'G ' .. version .. ' ' .. at .. '\\n' .. table.concat(grown)) end
local beside = redis.call('HSTRLEN', KEYS[1], 'meta') + redis.call('HSTRLEN', KEYS[1], 'ending')
-- Last, since a time that is over takes it away at once; not before those who follow it have seen its ending.
if forget_at then
  redis.call('PEXPIREAT', KEYS[1], forget_at); redis.call('PEXPIREAT', KEYS[2], forget_at)
end
return {'ok', version, size, beside}
""")

# Law: a record is read in one step, its text behind a place where that still counts.
# KEYS: record, text. ARGV: version ("" for no text), size.
# Returns the fields but for the body, the text, where it ends, and whether it is all of it.
READ = Script("""#!lua flags=no-writes
local all, fields = redis.call('HGETALL', KEYS[1]), {}
if #all == 0 then return {} end
for n = 1, #all, 2 do
  if all[n] ~= 'body' then fields[#fields + 1] = all[n]; fields[#fields + 1] = all[n + 1] end
end
local version, size = redis.call('HGET', KEYS[1], 'version'), redis.call('STRLEN', KEYS[2])
if ARGV[1] == '' then return {fields, '', size, 0} end
if version == ARGV[1] and tonumber(ARGV[2]) <= size then
  return {fields, redis.call('GETRANGE', KEYS[2], ARGV[2], -1), size, 0}
end
return {fields, redis.call('GET', KEYS[2]) or '', size, 1}
""")

# Law: of many that would take a stream from the one that is its owner, one does, and with a higher
# fence; nobody takes what has ended. KEYS: record. ARGV: owner so far, new owner. Returns the fence.
TAKE = Script("""#!lua
local there = redis.call('HMGET', KEYS[1], 'owner', 'status', 'fence')
if not there[3] or there[2] or there[1] ~= ARGV[1] then return false end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'fence', 1)
""")

# Law: only its owner gives a stream up, and writes nothing more of it. KEYS: record. ARGV: fence.
GIVE = Script("""#!lua
local there = redis.call('HMGET', KEYS[1], 'fence', 'status')
if there[1] ~= ARGV[1] or there[2] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '')
redis.call('HINCRBY', KEYS[1], 'fence', 1)
return 1
""")

# Law: the first wish for an ending stands; what others started too is only ended by force, or when the
# last of them withdraws, and what has readers at a node that lives is not abandoned.
# KEYS: record. ARGV: code, force, nodes.
WISH = Script("""#!lua
local there = redis.call('HMGET', KEYS[1], 'owner', 'status', 'starters')
if not there[1] then return {'unknown', ''} end
if there[2] then return {'ended', there[1]} end
local code = ARGV[1]
if code == 'withdrawn' then
  if tonumber(there[3]) > 1 then redis.call('HINCRBY', KEYS[1], 'starters', -1); return {'left', there[1]} end
  code = 'cancelled'
end
if code == 'cancelled' and ARGV[2] ~= '1' and tonumber(there[3]) > 1 then return {'shared', there[1]} end
if ARGV[1] == 'abandoned' then
  for n = 3, #ARGV do
    if redis.call('HEXISTS', KEYS[1], 'p:' .. ARGV[n]) == 1 then return {'present', there[1]} end
  end
end
redis.call('HSETNX', KEYS[1], 'wish', code)
return {'ok', there[1]}
""")

# Law: the starters of one stream together want the longest times, and `finish` where one does; nobody
# joins what is to end.
# KEYS: record. ARGV: finish, grace, ttl. Returns the owner, where there is one to be told.
JOIN = Script("""#!lua
local there = redis.call('HMGET', KEYS[1], 'owner', 'status', 'grace', 'ttl', 'wish')
if not there[1] or there[2] or there[5] then return false end
redis.call('HINCRBY', KEYS[1], 'starters', 1)
if ARGV[1] == '1' then redis.call('HSET', KEYS[1], 'finish', 1) end
redis.call('HSET', KEYS[1], 'grace', math.max(tonumber(there[3] or 0), tonumber(ARGV[2])),
  'ttl', math.max(tonumber(there[4] or 0), tonumber(ARGV[3])))
return there[1]
""")

# Law: what is asked of the owner of a running stream stands in its record: a generation above one. What
# has ended has nobody who would write it: its generation rises at once, its text and ending stay.
# KEYS: record. ARGV: generation. Returns the owner.
RENEW = Script("""#!lua
local there = redis.call('HMGET', KEYS[1], 'owner', 'status', 'gen', 'renew')
if not there[1] or tonumber(there[3]) > tonumber(ARGV[1]) then return false end
if there[2] then redis.call('HSET', KEYS[1], 'gen', tonumber(ARGV[1]) + 1, 'reason', 'taken_over')
else redis.call('HSET', KEYS[1], 'renew', math.max(tonumber(there[4] or 0), tonumber(ARGV[1]))) end
return there[1]
""")

# Law: each node says for itself who reads a stream there. KEYS: record, channel. ARGV: node, what it says.
PRESENT = Script("""#!lua
local owner = redis.call('HGET', KEYS[1], 'owner')
if not owner or redis.call('HEXISTS', KEYS[1], 'status') == 1 then return false end
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], 'p:' .. ARGV[1])
else redis.call('HSET', KEYS[1], 'p:' .. ARGV[1], ARGV[2]) end
redis.call('SPUBLISH', KEYS[2], 'P ' .. ARGV[1] .. '\\n' .. ARGV[2])
return owner
""")

# Law: of equal starts, over all nodes, one leads; no tenant runs more than it may.
# KEYS of a tenant: running, joinable, completed, keys, keyed.
# ARGV: stream, identity, key ("" without), joins, replays, most, ids that led nowhere.
CLAIM = Script("""#!lua
local stale = {}
for n = 7, #ARGV do stale[ARGV[n]] = true end
local function keyed(stream)
  if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[4], ARGV[3], stream .. ' ' .. ARGV[2])
    redis.call('HSET', KEYS[5], stream, (redis.call('HGET', KEYS[5], stream) or '') .. ARGV[3] .. '\\n')
  end
end
if ARGV[3] ~= '' then
  local known = redis.call('HGET', KEYS[4], ARGV[3])
  local leads = string.match(known or '', '^%S+')
  if known and not stale[leads] then return {'keyed', known, redis.call('HEXISTS', KEYS[1], leads)} end
end
if ARGV[4] == '1' then
  local runs = redis.call('HGET', KEYS[2], ARGV[2])
  if runs and not stale[runs] then keyed(runs); return {'joined', runs, 1} end
end
if ARGV[5] == '1' then
  local done = string.match(redis.call('HGET', KEYS[3], ARGV[2]) or '', '(%S+) $')
  if done and not stale[done] then keyed(done); return {'replayed', done, 0} end
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return {'limit', '', 0} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4] == '1' and ARGV[2] or '')
if ARGV[4] == '1' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[1]) end
keyed(ARGV[1])
return {'leader', ARGV[1], 1}
""")

# Law: a stream that is over counts no more and is joined no more; one that completed is replayed.
# KEYS of a tenant: running, joinable, completed, identities. ARGV: stream, identity to be replayed by ("" without).
RELEASE = Script("""#!lua
local identity = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
if identity and redis.call('HGET', KEYS[2], identity) == ARGV[1] then redis.call('HDEL', KEYS[2], identity) end
if ARGV[2] ~= '' and redis.call('HSETNX', KEYS[4], ARGV[1], ARGV[2]) == 1 then
  redis.call('HSET', KEYS[3], ARGV[2], (redis.call('HGET', KEYS[3], ARGV[2]) or '') .. ARGV[1] .. ' ')
end
return 1
""")

# Law: an idempotency key leads to the stream that was written with it last.
# KEYS of a tenant: keys, keyed. ARGV: key, stream, identity.
KEY = Script("""#!lua
local value = ARGV[2] .. ' ' .. ARGV[3]
if redis.call('HGET', KEYS[1], ARGV[1]) ~= value then
  redis.call('HSET', KEYS[1], ARGV[1], value)
  redis.call('HSET', KEYS[2], ARGV[2], (redis.call('HGET', KEYS[2], ARGV[2]) or '') .. ARGV[1] .. '\\n')
end
return 1
""")

# Law: places rise with each stream that is begun. KEYS of a tenant: list, last place. ARGV: stream.
ENLIST = Script("""#!lua
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[2]), ARGV[1])
end
return 1
""")

# Law: nothing of a tenant leads to a stream that is forgotten.
# KEYS of a tenant: list, keys, keyed, completed, identities, running, joinable. ARGV: stream.
FORGET = Script("""#!lua
local stream = ARGV[1]
redis.call('ZREM', KEYS[1], stream)
for key in string.gmatch(redis.call('HGET', KEYS[3], stream) or '', '([^\\n]*)\\n') do
  if string.match(redis.call('HGET', KEYS[2], key) or '', '^%S+') == stream then redis.call('HDEL', KEYS[2], key) end
end
redis.call('HDEL', KEYS[3], stream)
local identity = redis.call('HGET', KEYS[5], stream)
if identity then
  redis.call('HDEL', KEYS[5], stream)
  local left = {}
  for one in string.gmatch(redis.call('HGET', KEYS[4], identity) or '', '%S+') do
    if one ~= stream then left[#left + 1] = one .. ' ' end
  end
  redis.call('HDEL', KEYS[4], identity)
  if #left > 0 then redis.call('HSET', KEYS[4], identity, table.concat(left)) end
end
local runs = redis.call('HGET', KEYS[6], stream)
redis.call('HDEL', KEYS[6], stream)
if runs and redis.call('HGET', KEYS[7], runs) == stream then redis.call('HDEL', KEYS[7], runs) end
return 1
""")

# Law: ended streams are counted once, with what they take. KEYS of all: ended, expiring, weights, total.
# ARGV: stream, tenant, when it ended, when it expires, bytes.
COUNT = Script("""#!lua
if redis.call('ZADD', KEYS[1], 'NX', ARGV[3], ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[5] .. ' ' .. ARGV[2])
  redis.call('INCRBY', KEYS[4], ARGV[5])
end
return 1
""")

# Law: what is forgotten is not counted, and only once taken off. KEYS of all: ended, expiring, weights, total.
# ARGV: stream. Returns its tenant.
UNCOUNT = Script("""#!lua
local known = redis.call('HGET', KEYS[3], ARGV[1])
if not known then return false end
redis.call('ZREM', KEYS[1], ARGV[1]); redis.call('ZREM', KEYS[2], ARGV[1]); redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('DECRBY', KEYS[4], string.match(known, '^%d+'))
return string.match(known, '^%d+ (.*)$')
""")

# Law: a note is written where it still says what it did before. KEYS: note. ARGV: whether there was one,
# what it said, what it says, when it is forgotten.
NOTE = Script("""#!lua
local known = redis.call('GET', KEYS[1])
if (known and known or '') ~= ARGV[2] or (known and '1' or '0') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PXAT', ARGV[4])
return 1
""")

# Law: of several rates one is taken from each, or from none (`service.store.rates` has the arithmetic).
# KEYS: the rates. ARGV: what each allows a minute. Returns how long to wait, and when each is unused again, in µs.
DRAW = Script("""#!lua
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait, after, before = 0, {}, {}
for n, key in ipairs(KEYS) do
  local step = 60000000 / tonumber(ARGV[n])
  local behind = math.max(tonumber(redis.call('GET', key) or '0') - now, 0)
  wait = math.max(wait, behind + step - 60000000)
  before[n], after[n] = math.floor(behind), math.floor(behind + step)
end
if wait > 1 then return {math.ceil(wait), before} end
for n, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', now + after[n]), 'PX', math.ceil(after[n] / 1000) + 1)
end
return {0, after}
""")

# Law: the engine's clock says who lives, and its mark whether it is what it was.
# KEYS of all: nodes, mark, processes. ARGV: node, lease in ms, a mark to be set where there is none, this
# process. Returns those who live, those who died, the mark, and the process that beat under that name before.
BEAT = Script("""#!lua
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('SET', KEYS[2], ARGV[3], 'NX')
local before = redis.call('HGET', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
local bound = now - tonumber(ARGV[2])
return {redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. bound, '+inf'), redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', bound),
  redis.call('GET', KEYS[2]), before or ''}
""")

# Law: a node that beats again is not buried. KEYS of all: nodes, processes. ARGV: node, lease in ms.
BURY = Script("""#!lua
local time = redis.call('TIME')
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and tonumber(score) > time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
""")

ALL = (
    WRITE, READ, TAKE, GIVE, WISH, JOIN, RENEW, PRESENT, CLAIM, RELEASE,
    KEY, ENLIST, FORGET, COUNT, UNCOUNT, NOTE, DRAW, BEAT, BURY,
)  # fmt: skip
