// Artoria for C++17 in one header: the packets of docs/wire-protocol.md, a decoder for streams, and a small client of a bridge.
//
// The packets are structs. encode() writes one into a buffer of yours, decode() reads one from there; text and bodies that they
// point to are yours, or in the buffer that was decoded. Nothing here allocates, throws, or needs RTTI, and integers are read and
// written byte by byte, so the machine's byte order and alignment do not matter.
//
// The client uses POSIX sockets: define ARTORIA_POSIX_CLIENT before the #include to have it. One thread at a time uses a client.
//
// SPDX-License-Identifier: MIT
#ifndef ARTORIA_HPP
#define ARTORIA_HPP

/// The version of this header, which is that of all of Artoria's parts. CMakeLists.txt reads it here.
#define ARTORIA_VERSION "0.2.0"
/// The version of the packets (docs/wire-protocol.md). Parts with the same major version work together.
#define ARTORIA_WIRE_PROTOCOL_VERSION "1.1.0"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string_view>
#include <type_traits>

namespace artoria {

// ---- Bytes and errors ----

/// Bytes that belong to somebody else.
struct Bytes {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
};

/// A buffer of the caller.
struct MutableBytes {
  std::uint8_t* data = nullptr;
  std::size_t size = 0;
};

/// The header of every packet: `size u16, type u16`.
inline constexpr std::size_t headerBytes = 2 + 2;
/// The largest packets, their header included.
inline constexpr std::size_t maxServicePacketBytes = 1024;
inline constexpr std::size_t maxPlayerPacketBytes = 16 * 1024;

inline constexpr std::size_t maxUserBytes = 128;
inline constexpr std::size_t maxResourceBytes = 512;
inline constexpr std::size_t maxPositionBytes = 96;
inline constexpr std::size_t maxServiceKeyBytes = 255;
inline constexpr std::size_t maxRoomBytes = 64;
/// A Publish must fit in a Deliver too, whose header is `offset u64, from u32, to u32`.
inline constexpr std::size_t maxBodyBytes = maxPlayerPacketBytes - headerBytes - (8 + 4 + 4);
inline constexpr std::size_t maxDatagramBytes = maxPlayerPacketBytes - headerBytes - 4;
/// A `u64` on the wire is 0..2^53-1.
inline constexpr std::uint64_t maxU64 = (std::uint64_t{1} << 53) - 1;

/// The ways to break the wire protocol, and `buffer_too_small`, which is about a buffer of the caller.
enum class ErrorCode : std::uint8_t {
  none,
  size_too_small,
  size_too_large,
  payload_too_short,
  payload_too_long,
  bad_utf8,
  out_of_range,
  unknown_type,
  unexpected_packet,
  buffer_too_small,
};

/// What is wrong, and in which field. True if something is: `if (Error error = decode(packet, response)) ...`
struct Error {
  ErrorCode code = ErrorCode::none;
  /// The name of the field in docs/wire-protocol.md, or "size", "type", "payload".
  const char* field = "";

  constexpr explicit operator bool() const noexcept { return code != ErrorCode::none; }
};

/// The name of a code: "out_of_range".
inline const char* errorCodeName(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::none: return "none";
    case ErrorCode::size_too_small: return "size_too_small";
    case ErrorCode::size_too_large: return "size_too_large";
    case ErrorCode::payload_too_short: return "payload_too_short";
    case ErrorCode::payload_too_long: return "payload_too_long";
    case ErrorCode::bad_utf8: return "bad_utf8";
    case ErrorCode::out_of_range: return "out_of_range";
    case ErrorCode::unknown_type: return "unknown_type";
    case ErrorCode::unexpected_packet: return "unexpected_packet";
    case ErrorCode::buffer_too_small: return "buffer_too_small";
  }
  return "unknown";
}

// ---- Values of fields ----

/// The verdict of a response.
enum class Status : std::int8_t { Ok = 0, NotFound = 1, Denied = 2, Conflict = 3, Invalid = 4, Unavailable = 5, TooMany = 6 };

/// The name of a status: "NotFound".
inline const char* statusName(Status status) noexcept {
  switch (status) {
    case Status::Ok: return "Ok";
    case Status::NotFound: return "NotFound";
    case Status::Denied: return "Denied";
    case Status::Conflict: return "Conflict";
    case Status::Invalid: return "Invalid";
    case Status::Unavailable: return "Unavailable";
    case Status::TooMany: return "TooMany";
  }
  return "unknown";
}

/// Which ends a watch tells: none (it stops), those of the sessions that its connection knows, or all.
enum class WatchScope : std::uint8_t { none = 0, known = 1, all = 2 };

/// What a SessionEnded says. A checkpoint and a reset are about no session; at a reset, ends are lost: check all sessions.
enum class EndReason : std::uint8_t { checkpoint = 0, deleted = 1, expired = 2, evicted = 3, reset = 4 };

/// The name of a reason: "deleted".
inline const char* endReasonName(EndReason reason) noexcept {
  switch (reason) {
    case EndReason::checkpoint: return "checkpoint";
    case EndReason::deleted: return "deleted";
    case EndReason::expired: return "expired";
    case EndReason::evicted: return "evicted";
    case EndReason::reset: return "reset";
  }
  return "unknown";
}

enum class PresenceState : std::uint8_t { joined = 1, held = 2, resumed = 3, left = 4 };

/// The codes of Closed. A later version may send others.
enum class ClosedCode : std::uint16_t {
  Left = 1,
  Replaced = 2,
  SessionInvalid = 3,
  ProtocolError = 4,
  RoomFull = 5,
  TooSlow = 6,
  GoingAway = 7,
  Unavailable = 8,
  Denied = 9,
  TooFast = 10,
};

/// A player's credential: the sessid, then 16 random bytes.
struct Token {
  std::array<std::uint8_t, 20> bytes{};
};

/// The wire form of an IPv4 address: ipv4(192, 168, 0, 1). 0 means unknown.
constexpr std::int32_t ipv4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) noexcept {
  // In two steps, because what does not fit an int32 has no defined value before C++20.
  const std::int32_t high = a < 128 ? a : a - 256;
  return high * 0x1000000 + b * 0x10000 + c * 0x100 + d;
}

namespace detail {

inline constexpr char tokenAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Whether it is valid UTF-8 without U+0000 (Unicode 15, table 3-7).
inline bool isText(const std::uint8_t* bytes, std::size_t size) noexcept {
  std::size_t at = 0;
  while (at < size) {
    const std::uint8_t first = bytes[at++];
    if (first == 0) return false;
    if (first < 0x80) continue;
    std::size_t more = 1;
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xbf;
    if (first < 0xc2 || first > 0xf4) return false;
    if (first >= 0xe0) more = first < 0xf0 ? 2 : 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    if (size - at < more) return false;
    for (; more > 0; --more, ++at) {
      if (bytes[at] < low || bytes[at] > high) return false;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}

/// 1..64 characters of [A-Za-z0-9_.-], but not . or .. (the length is checked elsewhere).
inline bool isRoomName(std::string_view name) noexcept {
  for (const char c : name) {
    const bool allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    if (!allowed) return false;
  }
  return name != "." && name != "..";
}

inline bool isNewUser(std::string_view user) noexcept { return user.substr(0, 4) != "web:"; }

}  // namespace detail

/// Reads a token from its text: 27 characters of base64url without padding. False if it is none; `token` is then unchanged.
inline bool parseToken(std::string_view text, Token& token) noexcept {
  if (text.size() != 27) return false;
  Token parsed;
  std::uint32_t bits = 0;
  unsigned pending = 0;
  std::size_t written = 0;
  for (const char character : text) {
    const std::size_t digit = std::string_view(detail::tokenAlphabet, 64).find(character);
    if (digit == std::string_view::npos) return false;
    bits = ((bits << 6) | static_cast<std::uint32_t>(digit)) & 0xffffU;
    pending += 6;
    if (pending >= 8) {
      pending -= 8;
      parsed.bytes[written++] = static_cast<std::uint8_t>(bits >> pending);
    }
  }
  // 27 * 6 - 20 * 8 = 2 bits are unused and must be 0, so that each token has one spelling.
  if ((bits & 3U) != 0) return false;
  token = parsed;
  return true;
}

/// The text of a token, with a 0 behind it.
inline std::array<char, 27 + 1> formatToken(const Token& token) noexcept {
  std::array<char, 27 + 1> text{};
  for (std::size_t character = 0; character < 27; ++character) {
    const std::size_t bit = character * 6;
    const std::uint32_t first = token.bytes[bit / 8];
    const std::uint32_t second = bit / 8 + 1 < token.bytes.size() ? token.bytes[bit / 8 + 1] : 0U;
    text[character] = detail::tokenAlphabet[(((first << 8) | second) >> (10 - bit % 8)) & 63U];
  }
  return text;
}

// ---- Service packets ----
//
// `fields` of each packet names its fields in their order, with the values that are allowed. Encoding, decoding and the tests of
// this header all go by it.

struct SessionCheckRequest {
  static constexpr std::uint16_t type = 1;
  std::int32_t sessid = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.sessid(self.sessid);
  }
};

struct SessionCheckResponse {
  static constexpr std::uint16_t type = 2;
  Status status = Status::Invalid;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
  }
};

/// `id`: the user, not one of a browser account (`web:`).
struct SessionRegisterRequest {
  static constexpr std::uint16_t type = 3;
  std::int32_t sessid = 0;
  std::int32_t ip = 0;
  std::string_view id;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.sessid(self.sessid);
    wire.integer("ip", self.ip);
    wire.text("id", self.id, 1, maxUserBytes);
    wire.require(detail::isNewUser(self.id), "id");
  }
};

struct SessionRegisterResponse {
  static constexpr std::uint16_t type = 4;
  Status status = Status::Invalid;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
  }
};

struct SessionDeleteRequest {
  static constexpr std::uint16_t type = 5;
  std::int32_t sessid = 0;
  std::int32_t ip = 0;
  std::string_view id;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.sessid(self.sessid);
    wire.integer("ip", self.ip);
    wire.text("id", self.id, 1, maxUserBytes);
  }
};

struct SessionDeleteResponse {
  static constexpr std::uint16_t type = 6;
  Status status = Status::Invalid;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
  }
};

struct CountUsersRequest {
  static constexpr std::uint16_t type = 7;

  template <class Self, class Fields>
  static void fields(Self&, Fields&) {}
};

struct CountUsersResponse {
  static constexpr std::uint16_t type = 8;
  Status status = Status::Invalid;
  std::uint32_t sessions = 0;
  std::uint32_t users = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
    wire.integer("sessions", self.sessions);
    wire.integer("users", self.users);
  }
};

/// `id` as in SessionRegisterRequest.
struct SessionIssueRequest {
  static constexpr std::uint16_t type = 9;
  std::int32_t ip = 0;
  std::string_view id;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.integer("ip", self.ip);
    wire.text("id", self.id, 1, maxUserBytes);
    wire.require(detail::isNewUser(self.id), "id");
  }
};

struct SessionIssueResponse {
  static constexpr std::uint16_t type = 10;
  Status status = Status::Invalid;
  std::int32_t sessid = 0;
  Token token;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
    wire.integer("sessid", self.sessid);
    wire.token(self.token);
  }
};

struct SessionCheckAccessRequest {
  static constexpr std::uint16_t type = 11;
  std::int32_t sessid = 0;
  std::string_view resource;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.sessid(self.sessid);
    wire.text("resource", self.resource, 1, maxResourceBytes);
  }
};

struct SessionCheckAccessResponse {
  static constexpr std::uint16_t type = 12;
  Status status = Status::Invalid;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
  }
};

/// An empty `resource` asks only whose token it is.
struct SessionIdentifyRequest {
  static constexpr std::uint16_t type = 13;
  Token token;
  std::string_view resource;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.token(self.token);
    wire.text("resource", self.resource, 0, maxResourceBytes);
  }
};

struct SessionIdentifyResponse {
  static constexpr std::uint16_t type = 14;
  Status status = Status::Invalid;
  std::int32_t sessid = 0;
  std::string_view user;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
    if (self.status == Status::Ok) {
      wire.sessid(self.sessid);
      wire.text("user", self.user, 1, maxUserBytes);
    } else {
      wire.integer("sessid", self.sessid);
      wire.text("user", self.user, 0, maxUserBytes);
    }
  }
};

/// An empty `after` means from now on.
struct WatchRequest {
  static constexpr std::uint16_t type = 15;
  WatchScope scope = WatchScope::none;
  std::string_view after;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.choice("scope", self.scope, WatchScope::none, WatchScope::all);
    wire.text("after", self.after, 0, maxPositionBytes);
  }
};

/// `position`: if Ok, where the watch stands; if NotFound, the end of the log; otherwise empty.
struct WatchResponse {
  static constexpr std::uint16_t type = 16;
  Status status = Status::Invalid;
  std::string_view position;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
    wire.text("position", self.position, 0, maxPositionBytes);
  }
};

/// It comes without a request. `at`: ms since 1970. `position`: `after` of a later WatchRequest. `user`: empty if anonymous.
struct SessionEnded {
  static constexpr std::uint16_t type = 17;
  EndReason reason = EndReason::checkpoint;
  std::int32_t sessid = 0;
  std::uint64_t at = 0;
  std::string_view position;
  std::string_view user;

  /// Whether a session has ended, which is not so at a checkpoint and at a reset.
  constexpr bool isEnd() const noexcept { return reason != EndReason::checkpoint && reason != EndReason::reset; }

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.choice("reason", self.reason, EndReason::checkpoint, EndReason::reset);
    if (self.isEnd()) {
      wire.sessid(self.sessid);
    } else {
      wire.integer("sessid", self.sessid);
      wire.require(self.sessid == 0, "sessid");
    }
    wire.u64("at", self.at);
    wire.text("position", self.position, 1, maxPositionBytes);
    wire.text("user", self.user, 0, self.isEnd() ? maxUserBytes : 0);
  }
};

struct ServiceKeyRequest {
  static constexpr std::uint16_t type = 18;
  std::string_view key;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.text("key", self.key, 1, maxServiceKeyBytes);
  }
};

struct ServiceKeyResponse {
  static constexpr std::uint16_t type = 19;
  Status status = Status::Invalid;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
  }
};

/// Why a packet or a connection was refused. `message` is for people.
struct ErrorResponse {
  static constexpr std::uint16_t type = 127;
  Status status = Status::Invalid;
  std::string_view message;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.status(self.status);
    wire.text("message", self.message, 0, 0xffff);
  }
};

// ---- Player packets ----

/// `epoch` 0 is a fresh join; a resume has the epoch of the last Joined. `attempt` grows with each Join for the seat.
struct Join {
  static constexpr std::uint16_t type = 256;
  Token token;
  std::string_view room;
  std::uint64_t epoch = 0;
  std::uint64_t delivered = 0;
  std::uint32_t attempt = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.constant("version", 1);
    wire.token(self.token);
    wire.text("room", self.room, 1, maxRoomBytes);
    wire.require(detail::isRoomName(self.room), "room");
    wire.u64("epoch", self.epoch);
    wire.u64("delivered", self.delivered);
    wire.integer("attempt", self.attempt);
  }
};

struct Joined {
  static constexpr std::uint16_t type = 257;
  bool resumed = false;
  std::uint32_t member = 0;
  std::uint64_t epoch = 0;
  std::uint64_t offset = 0;
  std::uint64_t received = 0;
  std::uint16_t retentionSeconds = 0;
  std::uint16_t heartbeatSeconds = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.flag("resumed", self.resumed);
    wire.integer("member", self.member);
    wire.u64("epoch", self.epoch);
    wire.u64("offset", self.offset);
    wire.u64("received", self.received);
    wire.integer("retentionSeconds", self.retentionSeconds);
    wire.integer("heartbeatSeconds", self.heartbeatSeconds);
  }
};

/// `to`: a member, or 0 for everybody.
struct Publish {
  static constexpr std::uint16_t type = 258;
  std::uint64_t seq = 0;
  std::uint32_t to = 0;
  Bytes body;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.u64("seq", self.seq, 1);
    wire.integer("to", self.to);
    wire.body(self.body, maxBodyBytes);
  }
};

struct Deliver {
  static constexpr std::uint16_t type = 259;
  std::uint64_t offset = 0;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  Bytes body;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.u64("offset", self.offset, 1);
    wire.integer("from", self.from);
    wire.integer("to", self.to);
    wire.body(self.body, maxBodyBytes);
  }
};

struct Datagram {
  static constexpr std::uint16_t type = 260;
  std::uint32_t member = 0;
  Bytes body;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.integer("member", self.member);
    wire.body(self.body, maxDatagramBytes);
  }
};

struct Ack {
  static constexpr std::uint16_t type = 261;
  std::uint64_t position = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.u64("position", self.position);
  }
};

struct Ping {
  static constexpr std::uint16_t type = 262;
  std::uint32_t nonce = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.integer("nonce", self.nonce);
  }
};

struct Pong {
  static constexpr std::uint16_t type = 263;
  std::uint32_t nonce = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.integer("nonce", self.nonce);
  }
};

struct Leave {
  static constexpr std::uint16_t type = 264;

  template <class Self, class Fields>
  static void fields(Self&, Fields&) {}
};

/// `code`: a ClosedCode, or one of a later version.
struct Closed {
  static constexpr std::uint16_t type = 265;
  std::uint16_t code = 0;
  std::string_view message;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.integer("code", self.code);
    wire.text("message", self.message, 0, maxPlayerPacketBytes);
  }
};

/// `id`: the member's user.
struct Presence {
  static constexpr std::uint16_t type = 266;
  std::uint64_t offset = 0;
  std::uint32_t member = 0;
  PresenceState state = PresenceState::joined;
  std::string_view id;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.u64("offset", self.offset);
    wire.integer("member", self.member);
    wire.choice("state", self.state, PresenceState::joined, PresenceState::left);
    wire.text("id", self.id, 1, maxUserBytes);
  }
};

struct Gap {
  static constexpr std::uint16_t type = 267;
  std::uint64_t from = 0;
  std::uint64_t to = 0;

  template <class Self, class Fields>
  static void fields(Self& self, Fields& wire) {
    wire.u64("from", self.from);
    wire.u64("to", self.to, self.from);
  }
};

// ---- Encoding and decoding ----

namespace detail {

/// The fields of one packet, read in order. After the first error nothing more is read.
class Reader {
 public:
  /// `packet` has a whole header.
  explicit Reader(Bytes packet) noexcept : packet_(packet), at_(headerBytes) {}

  template <class Integer>
  void integer(const char* field, Integer& value) noexcept {
    using Unsigned = std::make_unsigned_t<Integer>;
    const std::uint8_t* from = take(sizeof(Integer), field);
    if (from == nullptr) return;
    std::uint64_t bits = 0;
    for (std::size_t index = sizeof(Integer); index > 0; --index) bits = (bits << 8) | from[index - 1];
    const auto narrow = static_cast<Unsigned>(bits);
    std::memcpy(&value, &narrow, sizeof value);
  }

  void u64(const char* field, std::uint64_t& value, std::uint64_t min = 0) noexcept {
    integer(field, value);
    require(value >= min && value <= maxU64, field);
  }

  void sessid(std::int32_t& value) noexcept {
    integer("sessid", value);
    require(value != 0, "sessid");
  }

  void status(Status& value) noexcept { choice("status", value, Status::Ok, Status::TooMany); }

  template <class Enum>
  void choice(const char* field, Enum& value, Enum min, Enum max) noexcept {
    std::underlying_type_t<Enum> number = 0;
    integer(field, number);
    require(number >= static_cast<decltype(number)>(min) && number <= static_cast<decltype(number)>(max), field);
    if (!error_) value = static_cast<Enum>(number);
  }

  void flag(const char* field, bool& value) noexcept {
    std::uint8_t number = 0;
    integer(field, number);
    require(number <= 1, field);
    value = number == 1;
  }

  void constant(const char* field, std::uint8_t expected) noexcept {
    std::uint8_t number = expected;
    integer(field, number);
    require(number == expected, field);
  }

  void token(Token& value) noexcept {
    const std::uint8_t* from = take(value.bytes.size(), "token");
    if (from != nullptr) std::memcpy(value.bytes.data(), from, value.bytes.size());
  }

  void text(const char* field, std::string_view& value, std::size_t min, std::size_t max) noexcept {
    std::uint16_t length = 0;
    integer(field, length);
    require(length >= min && length <= max, field);
    const std::uint8_t* from = take(length, field);
    if (from == nullptr) return;
    if (!isText(from, length)) return fail(ErrorCode::bad_utf8, field);
    value = std::string_view(reinterpret_cast<const char*>(from), length);
  }

  /// All that is left.
  void body(Bytes& value, std::size_t max) noexcept {
    const std::size_t size = packet_.size - at_;
    const std::uint8_t* from = take(size, "body");
    if (from == nullptr) return;
    require(size <= max, "body");
    value = Bytes{from, size};
  }

  void require(bool isAllowed, const char* field) noexcept {
    if (!isAllowed) fail(ErrorCode::out_of_range, field);
  }

  /// Call it after the last field: bytes after it are an error.
  Error end() noexcept {
    if (at_ < packet_.size) fail(ErrorCode::payload_too_long, "payload");
    return error_;
  }

 private:
  const std::uint8_t* take(std::size_t size, const char* field) noexcept {
    if (error_) return nullptr;
    if (packet_.size - at_ < size) {
      fail(ErrorCode::payload_too_short, field);
      return nullptr;
    }
    const std::uint8_t* from = packet_.data + at_;
    at_ += size;
    return from;
  }

  void fail(ErrorCode code, const char* field) noexcept {
    if (!error_) error_ = Error{code, field};
  }

  Bytes packet_;
  std::size_t at_;
  Error error_;
};

/// Checks the fields of one packet and counts its bytes; writes them too, if it has a buffer.
class Writer {
 public:
  /// `to`: null, or enough room for the packet.
  Writer(std::uint8_t* to, std::uint16_t size, std::uint16_t type) noexcept : to_(to) {
    integer("size", size);
    integer("type", type);
  }

  std::size_t size() const noexcept { return size_; }
  Error error() const noexcept { return error_; }

  template <class Integer>
  void integer(const char*, const Integer& value) noexcept {
    const auto bits = static_cast<std::make_unsigned_t<Integer>>(value);
    for (std::size_t index = 0; index < sizeof(Integer); ++index) {
      const auto byte = static_cast<std::uint8_t>(static_cast<std::uint64_t>(bits) >> (8 * index));
      put(&byte, 1);
    }
  }

  void u64(const char* field, const std::uint64_t& value, std::uint64_t min = 0) noexcept {
    require(value >= min && value <= maxU64, field);
    integer(field, value);
  }

  void sessid(const std::int32_t& value) noexcept {
    require(value != 0, "sessid");
    integer("sessid", value);
  }

  void status(const Status& value) noexcept { choice("status", value, Status::Ok, Status::TooMany); }

  template <class Enum>
  void choice(const char* field, const Enum& value, Enum min, Enum max) noexcept {
    require(value >= min && value <= max, field);
    integer(field, static_cast<std::underlying_type_t<Enum>>(value));
  }

  void flag(const char* field, const bool& value) noexcept { integer(field, static_cast<std::uint8_t>(value ? 1 : 0)); }

  void constant(const char* field, std::uint8_t expected) noexcept { integer(field, expected); }

  void token(const Token& value) noexcept { put(value.bytes.data(), value.bytes.size()); }

  void text(const char* field, const std::string_view& value, std::size_t min, std::size_t max) noexcept {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(value.data());
    if (value.size() < min || value.size() > max) return fail(ErrorCode::out_of_range, field);
    if (!isText(bytes, value.size())) return fail(ErrorCode::bad_utf8, field);
    integer(field, static_cast<std::uint16_t>(value.size()));
    put(bytes, value.size());
  }

  void body(const Bytes& value, std::size_t max) noexcept {
    if (value.size > max) return fail(ErrorCode::out_of_range, "body");
    put(value.data, value.size);
  }

  void require(bool isAllowed, const char* field) noexcept {
    if (!isAllowed) fail(ErrorCode::out_of_range, field);
  }

 private:
  void put(const std::uint8_t* from, std::size_t size) noexcept {
    if (error_) return;
    if (to_ != nullptr && size > 0) std::memcpy(to_ + size_, from, size);
    size_ += size;
  }

  void fail(ErrorCode code, const char* field) noexcept {
    if (!error_) error_ = Error{code, field};
  }

  std::uint8_t* to_;
  std::size_t size_ = 0;
  Error error_;
};

/// The u16 at `from`.
inline std::uint16_t u16At(const std::uint8_t* from) noexcept { return static_cast<std::uint16_t>(from[0] | (from[1] << 8)); }

constexpr std::size_t maxPacketBytesOf(std::uint16_t type) noexcept {
  return type >= Join::type ? maxPlayerPacketBytes : maxServicePacketBytes;
}

/// Whether `packet` is one whole packet of its dialect.
inline Error checkHeader(Bytes packet) noexcept {
  if (packet.size < headerBytes) return Error{ErrorCode::payload_too_short, "size"};
  const std::size_t size = u16At(packet.data);
  if (size < headerBytes) return Error{ErrorCode::size_too_small, "size"};
  if (size > maxPacketBytesOf(u16At(packet.data + 2))) return Error{ErrorCode::size_too_large, "size"};
  if (packet.size < size) return Error{ErrorCode::payload_too_short, "payload"};
  if (packet.size > size) return Error{ErrorCode::payload_too_long, "payload"};
  return Error{};
}

template <class Packet, class Handler>
Error handOver(Bytes bytes, Handler& handler);

}  // namespace detail

/// The type of a packet; 0, which no packet has, if it has no whole header.
inline std::uint16_t packetType(Bytes packet) noexcept {
  return packet.size < headerBytes ? std::uint16_t{0} : detail::u16At(packet.data + 2);
}

/// How many bytes a packet has, or why it cannot be sent.
struct Encoded {
  Error error;
  /// What the packet needs, also if the error is `buffer_too_small`; 0 after every other error.
  std::size_t size = 0;
};

/// Writes `packet` to the beginning of `out`, which must not overlap what the packet points to. After an error nothing is written.
template <class Packet>
Encoded encode(const Packet& packet, MutableBytes out) noexcept {
  detail::Writer measure(nullptr, 0, Packet::type);
  Packet::fields(packet, measure);
  if (measure.error()) return Encoded{measure.error(), 0};
  const std::size_t size = measure.size();
  if (size > detail::maxPacketBytesOf(Packet::type)) return Encoded{Error{ErrorCode::size_too_large, "size"}, 0};
  if (size > out.size) return Encoded{Error{ErrorCode::buffer_too_small, "size"}, size};
  detail::Writer writer(out.data, static_cast<std::uint16_t>(size), Packet::type);
  Packet::fields(packet, writer);
  return Encoded{Error{}, size};
}

/// Reads one whole packet, which is of this type. Text and bodies point into `bytes`. After an error `packet` is unchanged.
template <class Packet>
Error decode(Bytes bytes, Packet& packet) noexcept {
  if (const Error error = detail::checkHeader(bytes)) return error;
  if (packetType(bytes) != Packet::type) return Error{ErrorCode::unexpected_packet, "type"};
  Packet decoded;
  detail::Reader reader(bytes);
  Packet::fields(decoded, reader);
  const Error error = reader.end();
  if (!error) packet = decoded;
  return error;
}

/// Decodes a service packet of whatever type, and calls `handler` with it.
template <class Handler>
Error decodeServicePacket(Bytes bytes, Handler&& handler) {
  using namespace detail;
  if (const Error error = checkHeader(bytes)) return error;
  switch (packetType(bytes)) {
    case SessionCheckRequest::type: return handOver<SessionCheckRequest>(bytes, handler);
    case SessionCheckResponse::type: return handOver<SessionCheckResponse>(bytes, handler);
    case SessionRegisterRequest::type: return handOver<SessionRegisterRequest>(bytes, handler);
    case SessionRegisterResponse::type: return handOver<SessionRegisterResponse>(bytes, handler);
    case SessionDeleteRequest::type: return handOver<SessionDeleteRequest>(bytes, handler);
    case SessionDeleteResponse::type: return handOver<SessionDeleteResponse>(bytes, handler);
    case CountUsersRequest::type: return handOver<CountUsersRequest>(bytes, handler);
    case CountUsersResponse::type: return handOver<CountUsersResponse>(bytes, handler);
    case SessionIssueRequest::type: return handOver<SessionIssueRequest>(bytes, handler);
    case SessionIssueResponse::type: return handOver<SessionIssueResponse>(bytes, handler);
    case SessionCheckAccessRequest::type: return handOver<SessionCheckAccessRequest>(bytes, handler);
    case SessionCheckAccessResponse::type: return handOver<SessionCheckAccessResponse>(bytes, handler);
    case SessionIdentifyRequest::type: return handOver<SessionIdentifyRequest>(bytes, handler);
    case SessionIdentifyResponse::type: return handOver<SessionIdentifyResponse>(bytes, handler);
    case WatchRequest::type: return handOver<WatchRequest>(bytes, handler);
    case WatchResponse::type: return handOver<WatchResponse>(bytes, handler);
    case SessionEnded::type: return handOver<SessionEnded>(bytes, handler);
    case ServiceKeyRequest::type: return handOver<ServiceKeyRequest>(bytes, handler);
    case ServiceKeyResponse::type: return handOver<ServiceKeyResponse>(bytes, handler);
    case ErrorResponse::type: return handOver<ErrorResponse>(bytes, handler);
    default: return Error{ErrorCode::unknown_type, "type"};
  }
}

/// Decodes a player packet of whatever type, and calls `handler` with it.
template <class Handler>
Error decodePlayerPacket(Bytes bytes, Handler&& handler) {
  using namespace detail;
  if (const Error error = checkHeader(bytes)) return error;
  switch (packetType(bytes)) {
    case Join::type: return handOver<Join>(bytes, handler);
    case Joined::type: return handOver<Joined>(bytes, handler);
    case Publish::type: return handOver<Publish>(bytes, handler);
    case Deliver::type: return handOver<Deliver>(bytes, handler);
    case Datagram::type: return handOver<Datagram>(bytes, handler);
    case Ack::type: return handOver<Ack>(bytes, handler);
    case Ping::type: return handOver<Ping>(bytes, handler);
    case Pong::type: return handOver<Pong>(bytes, handler);
    case Leave::type: return handOver<Leave>(bytes, handler);
    case Closed::type: return handOver<Closed>(bytes, handler);
    case Presence::type: return handOver<Presence>(bytes, handler);
    case Gap::type: return handOver<Gap>(bytes, handler);
    default: return Error{ErrorCode::unknown_type, "type"};
  }
}

template <class Packet, class Handler>
Error detail::handOver(Bytes bytes, Handler& handler) {
  Packet packet;
  const Error error = decode(bytes, packet);
  if (!error) handler(static_cast<const Packet&>(packet));
  return error;
}

/// Splits a stream into whole packets, in a buffer of the caller:
///
///     MutableBytes space = decoder.space();
///     ssize_t count = read(fd, space.data, space.size);
///     if (count > 0) decoder.received(static_cast<std::size_t>(count));
///     while (decoder.next(packet) == PacketDecoder::Step::packet) ...
class PacketDecoder {
 public:
  enum class Step : std::uint8_t {
    /// There is a packet.
    packet,
    /// The next packet has not been received whole.
    incomplete,
    /// A size is not allowed: where the next packet starts is unknown from here on. error() says which.
    broken,
  };

  /// `buffer`: at least `maxPacketBytes`, which is maxServicePacketBytes or maxPlayerPacketBytes. In a smaller one, packets that do
  /// not fit are too large.
  PacketDecoder(MutableBytes buffer, std::size_t maxPacketBytes) noexcept
      : buffer_(buffer), maxPacketBytes_(maxPacketBytes < buffer.size ? maxPacketBytes : buffer.size) {
    clear();
  }

  /// Where to put what is received next. Packets of before are no longer valid. Once next() has said `incomplete`, it is not empty.
  MutableBytes space() noexcept {
    const std::size_t held = end_ - begin_;
    if (begin_ > 0 && held > 0) std::memmove(buffer_.data, buffer_.data + begin_, held);
    begin_ = 0;
    end_ = held;
    return MutableBytes{held < buffer_.size ? buffer_.data + held : nullptr, buffer_.size - held};
  }

  /// So many bytes have been put into space().
  void received(std::size_t count) noexcept {
    const std::size_t room = buffer_.size - end_;
    end_ += count < room ? count : room;
  }

  /// The next packet, header included. It is valid until space() is called.
  Step next(Bytes& packet) noexcept {
    if (error_) return Step::broken;
    const std::size_t held = end_ - begin_;
    if (held < 2) return Step::incomplete;
    const std::size_t size = detail::u16At(buffer_.data + begin_);
    if (size < headerBytes) error_ = Error{ErrorCode::size_too_small, "size"};
    if (size > maxPacketBytes_) error_ = Error{ErrorCode::size_too_large, "size"};
    if (error_) return Step::broken;
    if (held < size) return Step::incomplete;
    packet = Bytes{buffer_.data + begin_, size};
    begin_ += size;
    return Step::packet;
  }

  Error error() const noexcept { return error_; }

  /// Forgets everything: a new stream begins.
  void clear() noexcept {
    begin_ = 0;
    end_ = 0;
    error_ = buffer_.size < headerBytes ? Error{ErrorCode::buffer_too_small, "size"} : Error{};
  }

 private:
  MutableBytes buffer_;
  std::size_t maxPacketBytes_;
  /// What has been received and not given out.
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  Error error_;
};

}  // namespace artoria

#ifdef ARTORIA_POSIX_CLIENT

#include <cerrno>
#include <climits>
#include <ctime>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

namespace artoria {

/// Why a request has no response. Whether it took effect is unknown, except for `invalid_request` and `busy`: it was not sent.
enum class Failure : std::uint8_t {
  none,
  /// A field is not allowed. The connection goes on.
  invalid_request,
  /// The call came from within `onEnded`. The connection goes on.
  busy,
  /// No connection could be made.
  connect_failed,
  /// The bridge did not respond in time, or a watch was silent for too long. The connection is closed.
  timeout,
  /// There is no connection, or the bridge closed it.
  closed,
  /// The bridge sent what is no response to the request. The connection is closed.
  bad_response,
  /// The bridge refused the request, or the service key. Client::failureText() has its message.
  refused,
};

/// What a request came to.
template <class Response>
struct Result {
  Failure failure = Failure::none;
  /// If there is no failure. Its text is valid until the client's next call.
  Response response;

  /// Whether there is a response, and it says Ok.
  bool ok() const noexcept { return failure == Failure::none && response.status == Status::Ok; }
};

/// What a Client is told at its start. It keeps the pointers: they must be valid as long as it is used.
struct ClientOptions {
  const char* host = "127.0.0.1";
  std::uint16_t port = 7000;
  /// Empty: the port requires none.
  std::string_view serviceKey;
  /// For TCP. The name is looked up by getaddrinfo(), which has time limits of its own: prefer an address.
  int connectTimeoutMs = 5000;
  /// For each response. The bridge itself responds within 2 s, to a write within the revocation bound (1 s) more.
  int responseTimeoutMs = 5000;
  /// What connect() asks to be told of; none: there is no watch.
  WatchScope watch = WatchScope::none;
  /// The position to catch up from, which you have saved; empty: from now on. It is copied.
  std::string_view after;
  /// Called for each SessionEnded of the watch, from within whatever call reads it. It must not call the client, or throw.
  void (*onEnded)(void* context, const SessionEnded& ended) = nullptr;
  void* context = nullptr;
};

/// One connection to a bridge's game-server port, without TLS. Each call sends a request and waits for its response:
///
///     artoria::Client bridge(options);
///     if (bridge.connect() != artoria::Failure::none) puts(bridge.failureText());
///     bool mayEnter = bridge.check(7).ok();
///
/// After a failure that has closed the connection, connect() connects again, and goes on with the watch where it stood.
/// A watch tells of ends by `onEnded`, from within the calls that wait for a response, and from within wait().
class Client {
 public:
  explicit Client(const ClientOptions& options) noexcept
      : options_(options), decoder_(MutableBytes{buffer_.data(), buffer_.size()}, maxServicePacketBytes), scope_(options.watch) {
    // Cut off, a position is one that no log has: the watch begins with a reset.
    keepPosition(options.after.substr(0, maxPositionBytes));
  }
  ~Client() { disconnect(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Connects, shows the service key, and starts the watch from its last position. If ends are lost, `onEnded` gets a reset. A new
  /// connection knows no sessions: with WatchScope::known, check those that you serve when this has returned.
  Failure connect() noexcept {
    if (isInHandler_) return busy();
    disconnect();
    if (const Failure failure = dial(nowMs() + options_.connectTimeoutMs); failure != Failure::none) return failure;
    if (!options_.serviceKey.empty()) {
      const auto shown = request<ServiceKeyResponse>(ServiceKeyRequest{options_.serviceKey});
      if (shown.failure != Failure::none) return giveUp(shown.failure);
      if (!shown.ok()) return fail(Failure::refused, "the service key is refused: ", statusName(shown.response.status));
    }
    if (scope_ != WatchScope::none) {
      const auto watching = watch(scope_, position());
      if (watching.failure != Failure::none) return giveUp(watching.failure);
      if (!watching.ok()) return fail(Failure::refused, "the watch is refused: ", statusName(watching.response.status));
    }
    return Failure::none;
  }

  /// Closes the connection. The watch is remembered.
  void disconnect() noexcept {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
    decoder_.clear();
  }

  bool isConnected() const noexcept { return socket_ >= 0; }

  /// For a poll() of your own: call wait(0) when it is readable, and now and then. -1 without a connection.
  int fd() const noexcept { return socket_; }

  /// What the last failure was, in one line of printable ASCII.
  const char* failureText() const noexcept { return failureText_.data(); }

  Result<SessionCheckResponse> check(std::int32_t sessid) noexcept {
    return request<SessionCheckResponse>(SessionCheckRequest{sessid});
  }

  /// Checks many sessions: `statuses` gets one for each; Invalid if there was no response, so that a failure lets nobody in. The
  /// requests are sent without waiting for each response. With WatchScope::known, ask again about those that are neither Ok nor
  /// NotFound (Unavailable, TooMany): the bridge does not tell of their ends yet.
  Failure checkAll(const std::int32_t* sessids, std::size_t count, Status* statuses) noexcept {
    for (std::size_t index = 0; index < count; ++index) statuses[index] = Status::Invalid;
    if (const Failure failure = ready(); failure != Failure::none) return failure;
    // 2 KiB, which surely fit into the buffers of both sockets: neither side waits for the other to read.
    constexpr std::size_t atOnce = 256;
    std::array<std::uint8_t, atOnce*(headerBytes + 4)> packets;
    for (std::size_t from = 0; from < count; from += atOnce) {
      const std::size_t here = count - from < atOnce ? count - from : atOnce;
      std::size_t size = 0;
      for (std::size_t index = 0; index < here; ++index) {
        const Encoded check =
            encode(SessionCheckRequest{sessids[from + index]}, MutableBytes{packets.data() + size, packets.size() - size});
        if (check.error) return invalid(check.error);
        size += check.size;
      }
      const std::int64_t deadlineMs = nowMs() + options_.responseTimeoutMs;
      if (const Failure failure = sendAll(Bytes{packets.data(), size}, deadlineMs); failure != Failure::none) return failure;
      for (std::size_t index = 0; index < here; ++index) {
        SessionCheckResponse response;
        // The others cannot be matched to their requests then.
        if (const Failure failure = receive(response, deadlineMs); failure != Failure::none) return giveUp(failure);
        statuses[from + index] = response.status;
      }
    }
    return Failure::none;
  }

  Result<SessionCheckAccessResponse> checkAccess(std::int32_t sessid, std::string_view resource) noexcept {
    return request<SessionCheckAccessResponse>(SessionCheckAccessRequest{sessid, resource});
  }

  /// Whose token it is, if its session may enter `resource`; empty: asks for no resource.
  Result<SessionIdentifyResponse> identify(const Token& token, std::string_view resource = {}) noexcept {
    return request<SessionIdentifyResponse>(SessionIdentifyRequest{token, resource});
  }

  Result<SessionRegisterResponse> registerSession(std::int32_t sessid, std::string_view user, std::int32_t ip = 0) noexcept {
    return request<SessionRegisterResponse>(SessionRegisterRequest{sessid, ip, user});
  }

  Result<SessionDeleteResponse> deleteSession(std::int32_t sessid, std::string_view user) noexcept {
    return request<SessionDeleteResponse>(SessionDeleteRequest{sessid, 0, user});
  }

  /// Not to be repeated after a failure without thought: each time creates a session.
  Result<SessionIssueResponse> issue(std::string_view user, std::int32_t ip = 0) noexcept {
    return request<SessionIssueResponse>(SessionIssueRequest{ip, user});
  }

  Result<CountUsersResponse> count() noexcept { return request<CountUsersResponse>(CountUsersRequest{}); }

  /// Replaces the watch, and what connect() asks for from now on. `after`: a position that you have saved; empty: from now on. If it
  /// is damaged, or the log does not have it any more, the watch begins at the log's end, and `onEnded` gets a reset.
  Result<WatchResponse> watch(WatchScope scope, std::string_view after = {}) noexcept {
    bool isLost = after.size() > maxPositionBytes || !detail::isText(reinterpret_cast<const std::uint8_t*>(after.data()), after.size());
    auto result = request<WatchResponse>(WatchRequest{scope, isLost ? std::string_view{} : after});
    const Status status = result.response.status;
    if (result.failure == Failure::none && !after.empty() && (status == Status::NotFound || status == Status::Invalid)) {
      isLost = true;
      result = request<WatchResponse>(WatchRequest{scope, result.response.position});
    }
    if (!result.ok()) return result;
    scope_ = scope;
    if (!result.response.position.empty()) keepPosition(result.response.position);
    if (isLost) tell(SessionEnded{EndReason::reset, 0, 0, position(), {}});
    return result;
  }

  /// Where the watch stands: `after` of a later one. Save it when `onEnded` has removed the player. Empty until a watch has begun.
  std::string_view position() const noexcept { return std::string_view(position_.data(), positionBytes_); }

  /// Reads what the bridge tells by itself. Returns when `onEnded` has been called or after `timeoutMs`, which is no failure; 0: at
  /// once. On a watch, call it every few seconds at least. A watch that has been silent for 30 s is a timeout: connect() again.
  Failure wait(int timeoutMs) noexcept {
    if (const Failure failure = ready(); failure != Failure::none) return failure;
    const std::int64_t deadlineMs = nowMs() + timeoutMs;
    bool isDone = false;
    for (;;) {
      Bytes packet;
      const PacketDecoder::Step step = decoder_.next(packet);
      if (step == PacketDecoder::Step::broken) return fail(Failure::bad_response, decoder_.error());
      if (step == PacketDecoder::Step::packet) {
        if (packetType(packet) != SessionEnded::type) return unexpected(packet);
        if (const Failure failure = takeEnded(packet); failure != Failure::none) return failure;
        isDone = true;
        continue;
      }
      if (isDone) return Failure::none;
      const std::int64_t aliveMs = scope_ == WatchScope::none ? deadlineMs : heardMs_ + silenceMs;
      const Failure failure = fill(deadlineMs < aliveMs ? deadlineMs : aliveMs);
      if (failure == Failure::timeout && nowMs() >= aliveMs && scope_ != WatchScope::none)
        return fail(Failure::timeout, "the watch is silent");
      if (failure == Failure::timeout) return Failure::none;
      if (failure != Failure::none) return failure;
      // Also if the bridge sends a byte now and then and never a packet.
      if (nowMs() > deadlineMs) isDone = true;
    }
  }

 private:
  /// A watch gets a packet every 10 s, 11 s at most: about three times that.
  static constexpr std::int64_t silenceMs = 30 * 1000;

#ifdef MSG_NOSIGNAL
  static constexpr int sendFlags = MSG_NOSIGNAL;
#else
  static constexpr int sendFlags = 0;
#endif

  /// Sends a request and waits for its response.
  template <class Response, class Request>
  Result<Response> request(const Request& packet) noexcept {
    Result<Response> result;
    result.failure = ready();
    if (result.failure != Failure::none) return result;
    std::array<std::uint8_t, maxServicePacketBytes> bytes;
    const Encoded encoded = encode(packet, MutableBytes{bytes.data(), bytes.size()});
    if (encoded.error) {
      result.failure = invalid(encoded.error);
      return result;
    }
    const std::int64_t deadlineMs = nowMs() + options_.responseTimeoutMs;
    result.failure = sendAll(Bytes{bytes.data(), encoded.size}, deadlineMs);
    if (result.failure == Failure::none) result.failure = receive(result.response, deadlineMs);
    return result;
  }

  /// Waits for the next response. SessionEnded packets before it are told.
  template <class Response>
  Failure receive(Response& response, std::int64_t deadlineMs) noexcept {
    for (;;) {
      Bytes packet;
      const PacketDecoder::Step step = decoder_.next(packet);
      if (step == PacketDecoder::Step::broken) return fail(Failure::bad_response, decoder_.error());
      if (step == PacketDecoder::Step::incomplete) {
        const Failure failure = fill(deadlineMs);
        if (failure == Failure::timeout) return fail(failure, "no response in time");
        if (failure != Failure::none) return failure;
        // Also if the bridge never stops sending something else.
        if (nowMs() > deadlineMs) return fail(Failure::timeout, "no response in time");
        continue;
      }
      if (packetType(packet) == SessionEnded::type) {
        if (const Failure failure = takeEnded(packet); failure != Failure::none) return failure;
        continue;
      }
      if (packetType(packet) == ErrorResponse::type) return refusal(packet);
      heardMs_ = nowMs();
      const Error error = decode(packet, response);
      return error ? fail(Failure::bad_response, error) : Failure::none;
    }
  }

  Failure takeEnded(Bytes packet) noexcept {
    SessionEnded ended;
    if (const Error error = decode(packet, ended)) return fail(Failure::bad_response, error);
    heardMs_ = nowMs();
    if (scope_ == WatchScope::none) return Failure::none;
    tell(ended);
    keepPosition(ended.position);
    return isConnected() ? Failure::none : fail(Failure::closed, "disconnected");
  }

  void tell(const SessionEnded& ended) noexcept {
    if (options_.onEnded == nullptr) return;
    isInHandler_ = true;
    options_.onEnded(options_.context, ended);
    isInHandler_ = false;
  }

  /// `position` may be the one that is kept already.
  void keepPosition(std::string_view position) noexcept {
    if (!position.empty()) std::memmove(position_.data(), position.data(), position.size());
    positionBytes_ = position.size();
  }

  /// The message of an ErrorResponse. The connection goes on, unless the bridge closes it.
  Failure refusal(Bytes packet) noexcept {
    ErrorResponse refused;
    if (const Error error = decode(packet, refused)) return fail(Failure::bad_response, error);
    say(statusName(refused.status), ": ", refused.message);
    return Failure::refused;
  }

  /// A packet that is neither a SessionEnded nor the response to anything.
  Failure unexpected(Bytes packet) noexcept {
    if (packetType(packet) == ErrorResponse::type) return giveUp(refusal(packet));
    return fail(Failure::bad_response, "a response without a request");
  }

  Failure ready() noexcept {
    if (isInHandler_) return busy();
    return isConnected() ? Failure::none : fail(Failure::closed, "there is no connection");
  }

  Failure busy() noexcept {
    say("called from within onEnded");
    return Failure::busy;
  }

  Failure invalid(Error error) noexcept {
    say(error.field, ": ", errorCodeName(error.code));
    return Failure::invalid_request;
  }

  Failure dial(std::int64_t deadlineMs) noexcept {
    // Without leading zeros: failureText() has it too.
    std::array<char, 6> digits{};
    std::size_t first = 5;
    for (unsigned rest = options_.port; first == 5 || rest > 0; rest /= 10) digits[--first] = static_cast<char>('0' + rest % 10);
    const char* const port = digits.data() + first;
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* addresses = nullptr;
    const int code = ::getaddrinfo(options_.host, port, &hints, &addresses);
    if (code != 0) return fail(Failure::connect_failed, options_.host, ": ", ::gai_strerror(code));
    Failure failure = Failure::connect_failed;
    for (const addrinfo* address = addresses; address != nullptr && failure != Failure::none; address = address->ai_next)
      failure = dialAddress(*address, port, deadlineMs);
    ::freeaddrinfo(addresses);
    return failure;
  }

  Failure dialAddress(const addrinfo& address, const char* port, std::int64_t deadlineMs) noexcept {
    socket_ = ::socket(address.ai_family, address.ai_socktype, address.ai_protocol);
    if (socket_ < 0) return fail(Failure::connect_failed, options_.host, ":", port, ": ", std::strerror(errno));
    const int one = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef SO_NOSIGPIPE
    ::setsockopt(socket_, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
    ::fcntl(socket_, F_SETFD, FD_CLOEXEC);
    ::fcntl(socket_, F_SETFL, ::fcntl(socket_, F_GETFL) | O_NONBLOCK);
    int error = ::connect(socket_, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
    // After a signal the connection is made all the same.
    if (error == EINPROGRESS || error == EINTR) {
      if (!isReady(POLLOUT, deadlineMs)) return fail(Failure::connect_failed, options_.host, ":", port, ": no connection in time");
      socklen_t size = sizeof error;
      if (::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    }
    if (error != 0) return fail(Failure::connect_failed, options_.host, ":", port, ": ", std::strerror(error));
    heardMs_ = nowMs();
    return Failure::none;
  }

  Failure sendAll(Bytes bytes, std::int64_t deadlineMs) noexcept {
    for (std::size_t sent = 0; sent < bytes.size;) {
      const ssize_t count = ::send(socket_, bytes.data + sent, bytes.size - sent, sendFlags);
      if (count >= 0) {
        sent += static_cast<std::size_t>(count);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (!isReady(POLLOUT, deadlineMs)) return fail(Failure::timeout, "the bridge does not read");
      } else if (errno != EINTR) {
        return fail(Failure::closed, std::strerror(errno));
      }
    }
    return Failure::none;
  }

  /// Receives at least a byte into the decoder. After a timeout, and only then, the connection is still open.
  Failure fill(std::int64_t deadlineMs) noexcept {
    const MutableBytes space = decoder_.space();
    for (;;) {
      const ssize_t count = ::recv(socket_, space.data, space.size, 0);
      if (count > 0) {
        decoder_.received(static_cast<std::size_t>(count));
        return Failure::none;
      }
      if (count == 0) return fail(Failure::closed, "the bridge closed the connection");
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (!isReady(POLLIN, deadlineMs)) return Failure::timeout;
      } else if (errno != EINTR) {
        return fail(Failure::closed, std::strerror(errno));
      }
    }
  }

  /// Waits until the socket is ready, or has an error, which the next call on it tells. False: not in time.
  bool isReady(short events, std::int64_t deadlineMs) noexcept {
    for (;;) {
      const std::int64_t leftMs = deadlineMs - nowMs();
      pollfd poll{socket_, events, 0};
      const int ready = ::poll(&poll, 1, leftMs <= 0 ? 0 : leftMs > INT_MAX ? INT_MAX : static_cast<int>(leftMs));
      if (ready > 0) return true;
      if (ready == 0 && nowMs() >= deadlineMs) return false;
      if (ready < 0 && errno != EINTR && errno != EAGAIN) return false;
    }
  }

  template <class... Texts>
  Failure fail(Failure failure, const Texts&... texts) noexcept {
    say(texts...);
    return giveUp(failure);
  }

  /// Often another program listens on the port.
  Failure fail(Failure failure, Error error) noexcept {
    return fail(failure, "not a bridge's response: ", error.field, ": ", errorCodeName(error.code));
  }

  /// The text of the failure has been said.
  Failure giveUp(Failure failure) noexcept {
    disconnect();
    return failure;
  }

  /// What others have sent may be in it, so a terminal gets nothing but printable ASCII.
  template <class... Texts>
  void say(const Texts&... texts) noexcept {
    std::size_t at = 0;
    for (const std::string_view text : {std::string_view(texts)...}) {
      for (const char character : text) {
        if (at + 1 < failureText_.size()) failureText_[at++] = character >= ' ' && character <= '~' ? character : '?';
      }
    }
    failureText_[at] = '\0';
  }

  static std::int64_t nowMs() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
  }

  const ClientOptions options_;
  std::array<std::uint8_t, 4 * maxServicePacketBytes> buffer_;
  PacketDecoder decoder_;
  int socket_ = -1;
  bool isInHandler_ = false;
  WatchScope scope_ = WatchScope::none;
  std::array<char, maxPositionBytes> position_{};
  std::size_t positionBytes_ = 0;
  /// When a packet was last received.
  std::int64_t heardMs_ = 0;
  std::array<char, 192> failureText_{};
};

/// The name of a failure: "timeout".
inline const char* failureName(Failure failure) noexcept {
  switch (failure) {
    case Failure::none: return "none";
    case Failure::invalid_request: return "invalid_request";
    case Failure::busy: return "busy";
    case Failure::connect_failed: return "connect_failed";
    case Failure::timeout: return "timeout";
    case Failure::closed: return "closed";
    case Failure::bad_response: return "bad_response";
    case Failure::refused: return "refused";
  }
  return "unknown";
}

}  // namespace artoria

#endif  // ARTORIA_POSIX_CLIENT

#endif  // ARTORIA_HPP
