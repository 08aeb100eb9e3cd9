-- Artoria for Wireshark: the packets of game servers and of players (docs/wire-protocol.md).
--
-- To use it, copy this file to Wireshark's folder for personal Lua plugins (Help, About Wireshark, Folders), or:
--
--   tshark -X lua_script:artoria.lua -i lo -f 'tcp port 7000' -Y artoria
--
-- The ports 7000 (game servers) and 7001 (players) are dissected, or those of the preference `artoria.ports`. On any other port a
-- connection is recognised by its packets. If a port uses TLS, Wireshark decrypts it with the key log of one of the two programs
-- (preference `tls.keylog_file`; `node --tls-keylog=FILE` writes one), and what is inside is dissected.
--
-- Fields are named as in docs/wire-protocol.md: `artoria.type == 15`, `artoria.status != 0`, `artoria.sessid == 7`. A malformed
-- packet is an expert info, which names the field: `artoria.malformed`. The summary column has no service key, no token and no
-- message of a player. The details have them, as the capture itself does: treat captures as secrets.
--
-- SPDX-License-Identifier: MIT

local artoria = Proto("artoria", "Artoria")

local MIN_PACKET_BYTES = 4
local MAX_SERVICE_PACKET_BYTES = 1024
local MAX_PLAYER_PACKET_BYTES = 16 * 1024
local FIRST_PLAYER_TYPE = 256

-- ---- Names ----

local STATUS = {
  [0] = "Ok", [1] = "NotFound", [2] = "Denied", [3] = "Conflict", [4] = "Invalid", [5] = "Unavailable", [6] = "TooMany",
}
local SCOPE = { [0] = "none", [1] = "known", [2] = "all" }
local REASON = { [0] = "checkpoint", [1] = "deleted", [2] = "expired", [3] = "evicted", [4] = "reset" }
local PRESENCE = { [1] = "joined", [2] = "held", [3] = "resumed", [4] = "left" }
local CLOSED = {
  [1] = "Left", [2] = "Replaced", [3] = "SessionInvalid", [4] = "ProtocolError", [5] = "RoomFull", [6] = "TooSlow",
  [7] = "GoingAway", [8] = "Unavailable", [9] = "Denied", [10] = "TooFast",
}

-- ---- Fields ----

local field = {
  size = ProtoField.uint16("artoria.size", "Size", base.DEC),
  type = ProtoField.uint16("artoria.type", "Type", base.DEC),
  sessid = ProtoField.int32("artoria.sessid", "sessid", base.DEC),
  ip = ProtoField.ipv4("artoria.ip", "ip"),
  id = ProtoField.string("artoria.id", "id", base.UNICODE),
  user = ProtoField.string("artoria.user", "user", base.UNICODE),
  resource = ProtoField.string("artoria.resource", "resource", base.UNICODE),
  token = ProtoField.bytes("artoria.token", "token"),
  status = ProtoField.int8("artoria.status", "status", base.DEC, STATUS),
  sessions = ProtoField.uint32("artoria.sessions", "sessions", base.DEC),
  users = ProtoField.uint32("artoria.users", "users", base.DEC),
  scope = ProtoField.uint8("artoria.scope", "scope", base.DEC, SCOPE),
  after = ProtoField.string("artoria.after", "after", base.UNICODE),
  -- Of a watch it is text, of an Ack a number.
  position = ProtoField.string("artoria.position", "position", base.UNICODE),
  ack_position = ProtoField.uint64("artoria.ack_position", "position", base.DEC),
  reason = ProtoField.uint8("artoria.reason", "reason", base.DEC, REASON),
  at = ProtoField.absolute_time("artoria.at", "at", base.UTC),
  key = ProtoField.string("artoria.key", "key", base.UNICODE),
  message = ProtoField.string("artoria.message", "message", base.UNICODE),
  version = ProtoField.uint8("artoria.version", "version", base.DEC),
  room = ProtoField.string("artoria.room", "room", base.UNICODE),
  epoch = ProtoField.uint64("artoria.epoch", "epoch", base.DEC),
  delivered = ProtoField.uint64("artoria.delivered", "delivered", base.DEC),
  attempt = ProtoField.uint32("artoria.attempt", "attempt", base.DEC),
  resumed = ProtoField.uint8("artoria.resumed", "resumed", base.DEC),
  member = ProtoField.uint32("artoria.member", "member", base.DEC),
  offset = ProtoField.uint64("artoria.offset", "offset", base.DEC),
  received = ProtoField.uint64("artoria.received", "received", base.DEC),
  retention_seconds = ProtoField.uint16("artoria.retention_seconds", "retentionSeconds", base.DEC),
  heartbeat_seconds = ProtoField.uint16("artoria.heartbeat_seconds", "heartbeatSeconds", base.DEC),
  seq = ProtoField.uint64("artoria.seq", "seq", base.DEC),
  to = ProtoField.uint32("artoria.to", "to", base.DEC),
  from = ProtoField.uint32("artoria.from", "from", base.DEC),
  body = ProtoField.bytes("artoria.body", "body"),
  nonce = ProtoField.uint32("artoria.nonce", "nonce", base.DEC),
  code = ProtoField.uint16("artoria.code", "code", base.DEC, CLOSED),
  state = ProtoField.uint8("artoria.state", "state", base.DEC, PRESENCE),
  gap_from = ProtoField.uint64("artoria.gap_from", "from", base.DEC),
  gap_to = ProtoField.uint64("artoria.gap_to", "to", base.DEC),
}
for _, each in pairs(field) do table.insert(artoria.fields, each) end

local malformed = ProtoExpert.new("artoria.malformed", "Malformed packet", expert.group.MALFORMED, expert.severity.ERROR)
artoria.experts = { malformed }

-- ---- Packets ----

-- A reader takes the fields of one packet in order. It adds them to `tree`, unless there is none. After the first error, which is the
-- text of `reader.error`, it takes nothing more.
local Reader = {}
Reader.__index = Reader

local function new_reader(tvb, from, to, tree)
  return setmetatable({ tvb = tvb, at = from, to = to, tree = tree }, Reader)
end

function Reader:fail(name, what)
  self.error = self.error or (name .. ": " .. what)
end

function Reader:take(length, name)
  if self.error then return nil end
  if self.at + length > self.to then
    self:fail(name, "the packet ends inside it")
    return nil
  end
  local range = self.tvb:range(self.at, length)
  self.at = self.at + length
  return range
end

function Reader:add(proto_field, range, value)
  if self.tree then self.tree:add(proto_field, range, value) end
end

function Reader:allow(is_allowed, name, value)
  if not self.error and not is_allowed then self:fail(name, tostring(value) .. " is not allowed") end
end

-- A number of `length` bytes that is one of min..max, if they are given.
function Reader:number(proto_field, name, length, min, max)
  local range = self:take(length, name)
  if not range then return nil end
  local value = range:le_uint()
  self:add(proto_field, range, value)
  self:allow((not min or value >= min) and (not max or value <= max), name, value)
  return value
end

function Reader:signed(proto_field, name, length, min, max)
  local range = self:take(length, name)
  if not range then return nil end
  local value = range:le_int()
  self:add(proto_field, range, value)
  self:allow((not min or value >= min) and (not max or value <= max), name, value)
  return value
end

function Reader:sessid()
  local sessid = self:signed(field.sessid, "sessid", 4)
  self:allow(sessid ~= 0, "sessid", sessid)
  return sessid
end

function Reader:status()
  local status = self:signed(field.status, "status", 1, 0, 6)
  return status and STATUS[status]
end

-- A u64, which is 0..2^53-1. Returns it as a Lua number, which is exact up to there.
function Reader:u64(proto_field, name, min)
  local range = self:take(8, name)
  if not range then return nil end
  local value = range:range(4, 4):le_uint() * 2 ^ 32 + range:range(0, 4):le_uint()
  self:add(proto_field, range, range:le_uint64())
  self:allow(value >= (min or 0) and value < 2 ^ 53, name, range:le_uint64())
  return value
end

function Reader:time(proto_field, name)
  local range = self:take(8, name)
  if not range then return nil end
  local ms = range:range(4, 4):le_uint() * 2 ^ 32 + range:range(0, 4):le_uint()
  self:allow(ms < 2 ^ 53, name, range:le_uint64())
  if not self.error then self:add(proto_field, range, NSTime.new(math.floor(ms / 1000), (ms % 1000) * 1000000)) end
end

function Reader:ip()
  local range = self:take(4, "ip")
  if not range then return end
  local octets = { range:range(3, 1):uint(), range:range(2, 1):uint(), range:range(1, 1):uint(), range:range(0, 1):uint() }
  self:add(field.ip, range, Address.ip(table.concat(octets, ".")))
end

function Reader:token()
  local range = self:take(20, "token")
  if range and self.tree then self.tree:add(field.token, range) end
end

-- Whether it is valid UTF-8 without U+0000.
local function is_text(text)
  local at = 1
  while at <= #text do
    local first = text:byte(at)
    local more, low, high = 0, 0x80, 0xbf
    if first == 0 or (first >= 0x80 and first < 0xc2) or first > 0xf4 then return false end
    if first >= 0xc2 then more = first < 0xe0 and 1 or first < 0xf0 and 2 or 3 end
    if first == 0xe0 then low = 0xa0 elseif first == 0xf0 then low = 0x90 end
    if first == 0xed then high = 0x9f elseif first == 0xf4 then high = 0x8f end
    for next_at = at + 1, at + more do
      local byte = text:byte(next_at)
      if not byte or byte < low or byte > high then return false end
      low, high = 0x80, 0xbf
    end
    at = at + 1 + more
  end
  return true
end

function Reader:text(proto_field, name, min, max)
  local prefix = self:take(2, name)
  if not prefix then return nil end
  local length = prefix:le_uint()
  if length < min or length > max then
    self:fail(name, length .. " bytes, allowed are " .. min .. ".." .. max)
    return nil
  end
  local range = self:take(length, name)
  if not range then return nil end
  local bytes = length > 0 and range:raw() or ""
  if not is_text(bytes) then
    self:fail(name, "not valid UTF-8 without U+0000")
    return nil
  end
  if self.tree then self.tree:add(proto_field, self.tvb:range(self.at - length - 2, length + 2), bytes) end
  return bytes
end

function Reader:body(max)
  local length = self.to - self.at
  local range = self:take(length, "body")
  if not range then return end
  if self.tree and length > 0 then self.tree:add(field.body, range) end
  if length > max then self:fail("body", length .. " bytes, allowed are 0.." .. max) end
  return length
end

local function only_status(reader)
  return reader:status()
end

local function new_user(reader)
  local user = reader:text(field.id, "id", 1, 128)
  if user and user:sub(1, 4) == "web:" then reader:fail("id", '"web:" is kept for browser accounts') end
  return user
end

local MAX_BODY_BYTES = MAX_PLAYER_PACKET_BYTES - 20
local MAX_DATAGRAM_BYTES = MAX_PLAYER_PACKET_BYTES - 8

-- By type: the name, and a function that reads the fields and returns what the summary says of them.
local PACKETS = {
  [1] = { "SessionCheckRequest", function(reader) return reader:sessid() end },
  [2] = { "SessionCheckResponse", only_status },
  [3] = {
    "SessionRegisterRequest",
    function(reader)
      local sessid = reader:sessid()
      reader:ip()
      new_user(reader)
      return sessid
    end,
  },
  [4] = { "SessionRegisterResponse", only_status },
  [5] = {
    "SessionDeleteRequest",
    function(reader)
      local sessid = reader:sessid()
      reader:ip()
      reader:text(field.id, "id", 1, 128)
      return sessid
    end,
  },
  [6] = { "SessionDeleteResponse", only_status },
  [7] = { "CountUsersRequest", function() end },
  [8] = {
    "CountUsersResponse",
    function(reader)
      local status = reader:status()
      reader:number(field.sessions, "sessions", 4)
      reader:number(field.users, "users", 4)
      return status
    end,
  },
  [9] = {
    "SessionIssueRequest",
    function(reader)
      reader:ip()
      new_user(reader)
    end,
  },
  [10] = {
    "SessionIssueResponse",
    function(reader)
      local status = reader:status()
      local sessid = reader:signed(field.sessid, "sessid", 4)
      reader:token()
      return status, status == "Ok" and sessid or nil
    end,
  },
  [11] = {
    "SessionCheckAccessRequest",
    function(reader)
      local sessid = reader:sessid()
      return sessid, reader:text(field.resource, "resource", 1, 512)
    end,
  },
  [12] = { "SessionCheckAccessResponse", only_status },
  [13] = {
    "SessionIdentifyRequest",
    function(reader)
      reader:token()
      return reader:text(field.resource, "resource", 0, 512)
    end,
  },
  [14] = {
    "SessionIdentifyResponse",
    function(reader)
      local status = reader:status()
      local is_ok = status == "Ok"
      local sessid
      if is_ok then
        sessid = reader:sessid()
      else
        reader:signed(field.sessid, "sessid", 4)
      end
      reader:text(field.user, "user", is_ok and 1 or 0, 128)
      return status, sessid
    end,
  },
  [15] = {
    "WatchRequest",
    function(reader)
      local scope = reader:number(field.scope, "scope", 1, 0, 2)
      reader:text(field.after, "after", 0, 96)
      return scope and SCOPE[scope]
    end,
  },
  [16] = {
    "WatchResponse",
    function(reader)
      local status = reader:status()
      reader:text(field.position, "position", 0, 96)
      return status
    end,
  },
  [17] = {
    "SessionEnded",
    function(reader)
      local reason = reader:number(field.reason, "reason", 1, 0, 4)
      local is_end = reason ~= 0 and reason ~= 4
      local sessid
      if is_end then
        sessid = reader:sessid()
      else
        reader:signed(field.sessid, "sessid", 4, 0, 0)
      end
      reader:time(field.at, "at")
      reader:text(field.position, "position", 1, 96)
      reader:text(field.user, "user", 0, is_end and 128 or 0)
      return reason and REASON[reason], sessid
    end,
  },
  [18] = { "ServiceKeyRequest", function(reader) reader:text(field.key, "key", 1, 255) end },
  [19] = { "ServiceKeyResponse", only_status },
  [127] = {
    "ErrorResponse",
    function(reader)
      local status = reader:status()
      return status, reader:text(field.message, "message", 0, 0xffff)
    end,
  },
  [256] = {
    "Join",
    function(reader)
      reader:number(field.version, "version", 1, 1, 1)
      reader:token()
      local room = reader:text(field.room, "room", 1, 64)
      if room and (room:find("[^A-Za-z0-9_.-]") or room == "." or room == "..") then
        reader:fail("room", "allowed is [A-Za-z0-9_.-], but not . or ..")
      end
      local epoch = reader:u64(field.epoch, "epoch")
      reader:u64(field.delivered, "delivered")
      reader:number(field.attempt, "attempt", 4)
      return room, epoch == 0 and "fresh" or "resume"
    end,
  },
  [257] = {
    "Joined",
    function(reader)
      local resumed = reader:number(field.resumed, "resumed", 1, 0, 1)
      local member = reader:number(field.member, "member", 4)
      reader:u64(field.epoch, "epoch")
      reader:u64(field.offset, "offset")
      reader:u64(field.received, "received")
      reader:number(field.retention_seconds, "retentionSeconds", 2)
      reader:number(field.heartbeat_seconds, "heartbeatSeconds", 2)
      return "member", member, resumed == 1 and "resumed" or "fresh"
    end,
  },
  [258] = {
    "Publish",
    function(reader)
      local seq = reader:u64(field.seq, "seq", 1)
      reader:number(field.to, "to", 4)
      reader:body(MAX_BODY_BYTES)
      return seq
    end,
  },
  [259] = {
    "Deliver",
    function(reader)
      local offset = reader:u64(field.offset, "offset", 1)
      reader:number(field.from, "from", 4)
      reader:number(field.to, "to", 4)
      reader:body(MAX_BODY_BYTES)
      return offset
    end,
  },
  [260] = {
    "Datagram",
    function(reader)
      local member = reader:number(field.member, "member", 4)
      reader:body(MAX_DATAGRAM_BYTES)
      return member
    end,
  },
  [261] = { "Ack", function(reader) return reader:u64(field.ack_position, "position") end },
  [262] = { "Ping", function(reader) reader:number(field.nonce, "nonce", 4) end },
  [263] = { "Pong", function(reader) reader:number(field.nonce, "nonce", 4) end },
  [264] = { "Leave", function() end },
  [265] = {
    "Closed",
    function(reader)
      local code = reader:number(field.code, "code", 2)
      reader:text(field.message, "message", 0, MAX_PLAYER_PACKET_BYTES)
      return code and (CLOSED[code] or code)
    end,
  },
  [266] = {
    "Presence",
    function(reader)
      reader:u64(field.offset, "offset")
      local member = reader:number(field.member, "member", 4)
      local state = reader:number(field.state, "state", 1, 1, 4)
      reader:text(field.id, "id", 1, 128)
      return "member", member, state and PRESENCE[state]
    end,
  },
  [267] = {
    "Gap",
    function(reader)
      local from = reader:u64(field.gap_from, "from")
      reader:u64(field.gap_to, "to", from)
    end,
  },
}

-- ---- Dissecting ----

-- What the columns show of text from the wire: control characters would break the line.
local function printable(text)
  return (tostring(text):gsub("[%c]", "?"))
end

-- "SessionEnded deleted 7"
local function summary_of(name, ...)
  local words = { name }
  for index = 1, select("#", ...) do
    local word = select(index, ...)
    if type(word) == "number" then word = string.format("%.0f", word) end
    if word and word ~= "" then table.insert(words, printable(word)) end
  end
  return table.concat(words, " ")
end

-- Why no packet can begin with this size; nil if it can.
local function size_error(size, packet_type)
  local max = packet_type >= FIRST_PLAYER_TYPE and MAX_PLAYER_PACKET_BYTES or MAX_SERVICE_PACKET_BYTES
  if size < MIN_PACKET_BYTES then return "size: " .. size .. ", allowed is " .. MIN_PACKET_BYTES .. " or more" end
  if size > max then return "size: " .. size .. ", allowed is " .. max .. " or less" end
  return nil
end

-- Reads the packet at `from`. Returns its summary, and why it is malformed; nil if it is not.
local function read_packet(tvb, from, size, packet_type, tree)
  local packet = PACKETS[packet_type]
  if not packet then return "type " .. packet_type, "type: " .. packet_type .. " is unknown" end
  local reader = new_reader(tvb, from + MIN_PACKET_BYTES, from + size, tree)
  local summary = summary_of(packet[1], packet[2](reader))
  if reader.at < reader.to then reader:fail("payload", reader.to - reader.at .. " bytes after the last field") end
  return summary, reader.error
end

local function add_malformed(tree, range, why)
  tree:add_proto_expert_info(malformed, "Malformed: " .. why)
end

local function dissect_packet(tvb, from, size, packet_type, tree)
  local range = tvb:range(from, size)
  local subtree = tree:add(artoria, range)
  subtree:add_le(field.size, tvb:range(from, 2))
  local name = PACKETS[packet_type] and PACKETS[packet_type][1] or "unknown"
  subtree:add_le(field.type, tvb:range(from + 2, 2)):append_text(" (" .. name .. ")")
  local summary, why = read_packet(tvb, from, size, packet_type, subtree)
  subtree:append_text(", " .. summary)
  if why then
    add_malformed(subtree, range, why)
    summary = summary .. " [malformed]"
  end
  return summary
end

-- Asks for the rest of the packet that begins at `from`; `missing` nil: it is not known how much.
local function wait_for_rest(tvb, pinfo, tree, from, missing)
  if pinfo.can_desegment > 0 then
    pinfo.desegment_offset = from
    pinfo.desegment_len = missing or DESEGMENT_ONE_MORE_SEGMENT
    return
  end
  tree:add(artoria, tvb:range(from)):append_text(", a part of a packet")
end

local function dissect_stream(tvb, pinfo, tree)
  local summaries = {}
  local length = tvb:len()
  local at = 0
  while at < length do
    local left = length - at
    if left < MIN_PACKET_BYTES then
      wait_for_rest(tvb, pinfo, tree, at, nil)
      break
    end
    local size = tvb:range(at, 2):le_uint()
    local packet_type = tvb:range(at + 2, 2):le_uint()
    local why = size_error(size, packet_type)
    if why then
      -- Where the next packet starts is unknown.
      local subtree = tree:add(artoria, tvb:range(at))
      subtree:add_le(field.size, tvb:range(at, 2))
      add_malformed(subtree, tvb:range(at), why)
      table.insert(summaries, "[malformed]")
      break
    end
    if left < size then
      wait_for_rest(tvb, pinfo, tree, at, size - left)
      break
    end
    table.insert(summaries, dissect_packet(tvb, at, size, packet_type, tree))
    at = at + size
  end
  if #summaries > 0 then
    pinfo.cols.protocol = "Artoria"
    -- One frame can hold several parts that TCP hands over one by one: each is appended to those before it.
    local separator = pinfo.private.artoria_has_summary and "; " or ""
    pinfo.private.artoria_has_summary = "1"
    pinfo.cols.info:set(separator .. table.concat(summaries, "; "))
    pinfo.cols.info:fence()
  end
  return length
end

-- ---- Where packets are ----

local tcp_stream = Field.new("tcp.stream")
local tls_dissector = Dissector.get("tls")
-- The TCP connections that begin with a TLS record.
local is_tls = {}

-- A ClientHello or a ServerHello: handshake (22), version 3.x. A Join or a request that long does not exist.
local function begins_with_tls(tvb)
  return tvb:len() >= 3 and tvb:range(0, 1):uint() == 22 and tvb:range(1, 1):uint() == 3
end

function artoria.dissector(tvb, pinfo, tree)
  return dissect_stream(tvb, pinfo, tree)
end

-- What TCP hands over: packets, or TLS with packets inside, which comes back to artoria.dissector by the port.
local over_tcp = Proto("artoria_tcp", "Artoria over TCP")

function over_tcp.dissector(tvb, pinfo, tree)
  local stream = tcp_stream()
  local number = stream and stream.value
  if number ~= nil and is_tls[number] == nil and tvb:len() >= 3 then is_tls[number] = begins_with_tls(tvb) end
  if number ~= nil and is_tls[number] then return tls_dissector:call(tvb, pinfo, tree) end
  return dissect_stream(tvb, pinfo, tree)
end

-- On other ports: a connection whose first bytes are one or more packets without a fault, and maybe the beginning of another.
local function looks_like_packets(tvb)
  local length = tvb:len()
  local at = 0
  while at + MIN_PACKET_BYTES <= length do
    local size = tvb:range(at, 2):le_uint()
    local packet_type = tvb:range(at + 2, 2):le_uint()
    if size_error(size, packet_type) or not PACKETS[packet_type] then return false end
    if at + size > length then break end
    local _, why = read_packet(tvb, at, size, packet_type, nil)
    if why then return false end
    at = at + size
  end
  return at > 0
end

local function recognise(tvb, pinfo, tree)
  if not looks_like_packets(tvb) then return false end
  pinfo.conversation = artoria
  dissect_stream(tvb, pinfo, tree)
  return true
end

-- The TCP connections whose TLS has packets inside. pinfo.conversation is of TCP: it would take the connection away from TLS.
local is_recognised = {}

local function recognise_in_tls(tvb, pinfo, tree)
  local stream = tcp_stream()
  local number = stream and stream.value
  if number == nil or not (is_recognised[number] or looks_like_packets(tvb)) then return false end
  is_recognised[number] = true
  dissect_stream(tvb, pinfo, tree)
  return true
end

artoria:register_heuristic("tcp", recognise)
artoria:register_heuristic("tls", recognise_in_tls)

-- Before each file, and before it is dissected anew.
function artoria.init()
  is_tls = {}
  is_recognised = {}
end

local tcp_ports = DissectorTable.get("tcp.port")
local tls_ports = DissectorTable.get("tls.port")
local registered_ports = "7000-7001"
artoria.prefs.ports = Pref.range("TCP ports", registered_ports, "The game-server ports and player ports of bridges, with or without TLS", 65535)

local function register(ports)
  tcp_ports:add(ports, over_tcp)
  tls_ports:add(ports, artoria)
end

function artoria.prefs_changed()
  tcp_ports:remove(registered_ports, over_tcp)
  tls_ports:remove(registered_ports, artoria)
  registered_ports = artoria.prefs.ports
  register(registered_ports)
end

register(registered_ports)
