// Encodes and decodes what it reads from its standard input, for test/system/cpp.test.ts:
//
//   packets decode              a packet in hex a line -> `<type> <field>=<value>... <hex when encoded again>`, or `error <code> <field>`
//   packets encode              `<type> <field>=<value>...` a line -> the packet in hex, or an error
//   packets split               packets of one dialect in hex -> how many ways to cut their stream gave the same packets
//   packets mutate <seed> <n>   packets in hex; n damaged ones are decoded, and encoded again if they are accepted
//
// Numbers are decimal, text and bytes are hex. The exit code is 1 if the header breaks a rule of its own.
#include <artoria.hpp>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace artoria;

namespace {

using Buffer = std::vector<std::uint8_t>;

// ---- Text ----

Buffer fromHex(const std::string& hex) {
  Buffer bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::strtoul(hex.substr(at, 2).c_str(), nullptr, 16)));
  return bytes;
}

std::string toHex(const void* data, std::size_t size) {
  std::string hex;
  char digits[3];
  for (std::size_t at = 0; at < size; ++at) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<const std::uint8_t*>(data)[at]);
    hex += digits;
  }
  return hex;
}

bool readLine(std::string& line) {
  line.clear();
  for (int character = std::getchar(); character != EOF; character = std::getchar()) {
    if (character == '\n') return true;
    line += static_cast<char>(character);
  }
  return !line.empty();
}

std::vector<Buffer> readPackets() {
  std::vector<Buffer> packets;
  for (std::string line; readLine(line);) packets.push_back(fromHex(line));
  return packets;
}

/// A copy that ends where the memory ends, so that a sanitizer sees each byte that is read behind it.
class ExactCopy {
 public:
  explicit ExactCopy(const Buffer& bytes) : data_(new std::uint8_t[bytes.size()]), size_(bytes.size()) {
    if (size_ > 0) std::memcpy(data_.get(), bytes.data(), size_);
  }
  Bytes bytes() const { return Bytes{data_.get(), size_}; }

 private:
  std::unique_ptr<std::uint8_t[]> data_;
  std::size_t size_;
};

[[noreturn]] void die(const char* why, const Buffer& bytes) {
  std::printf("BROKEN %s: %s\n", why, toHex(bytes.data(), bytes.size()).c_str());
  std::exit(1);
}

// ---- The fields of any packet, as text ----

/// Prints the fields that a packet names.
struct Printer {
  std::string line;

  void add(const char* field, const std::string& value) { line += std::string(" ") + field + "=" + value; }
  template <class Integer>
  void integer(const char* field, const Integer& value) { add(field, std::to_string(value)); }
  void u64(const char* field, const std::uint64_t& value, std::uint64_t = 0) { add(field, std::to_string(value)); }
  void sessid(const std::int32_t& value) { integer("sessid", value); }
  void status(const Status& value) { add("status", statusName(value)); }
  template <class Enum>
  void choice(const char* field, const Enum& value, Enum, Enum) { integer(field, static_cast<int>(value)); }
  void flag(const char* field, const bool& value) { integer(field, static_cast<int>(value)); }
  void constant(const char* field, std::uint8_t value) { integer(field, static_cast<int>(value)); }
  void token(const Token& value) { add("token", toHex(value.bytes.data(), value.bytes.size())); }
  void text(const char* field, const std::string_view& value, std::size_t, std::size_t) { add(field, toHex(value.data(), value.size())); }
  void body(const Bytes& value, std::size_t) { add("body", toHex(value.data, value.size)); }
  void require(bool, const char*) {}
};

/// Sets the fields that a packet names from text.
struct Parser {
  std::vector<std::pair<std::string, std::string>> values;
  /// What text and bodies point to.
  std::vector<std::unique_ptr<Buffer>> buffers;

  const std::string& valueOf(const char* field) const {
    for (const auto& value : values) {
      if (value.first == field) return value.second;
    }
    std::printf("BROKEN no field %s\n", field);
    std::exit(1);
  }
  const Buffer& bufferOf(const char* field) {
    buffers.push_back(std::make_unique<Buffer>(fromHex(valueOf(field))));
    return *buffers.back();
  }
  template <class Integer>
  void integer(const char* field, Integer& value) { value = static_cast<Integer>(std::strtoll(valueOf(field).c_str(), nullptr, 10)); }
  void u64(const char* field, std::uint64_t& value, std::uint64_t = 0) { integer(field, value); }
  void sessid(std::int32_t& value) { integer("sessid", value); }
  void status(Status& value) {
    for (std::int8_t number = 0; number <= 6; ++number) {
      if (valueOf("status") == statusName(static_cast<Status>(number))) value = static_cast<Status>(number);
    }
  }
  template <class Enum>
  void choice(const char* field, Enum& value, Enum, Enum) {
    std::underlying_type_t<Enum> number = 0;
    integer(field, number);
    value = static_cast<Enum>(number);
  }
  void flag(const char* field, bool& value) { value = valueOf(field) == "1"; }
  void constant(const char*, std::uint8_t) {}
  void token(Token& value) {
    const Buffer& bytes = bufferOf("token");
    for (std::size_t at = 0; at < value.bytes.size(); ++at) value.bytes[at] = bytes.at(at);
  }
  void text(const char* field, std::string_view& value, std::size_t, std::size_t) {
    const Buffer& bytes = bufferOf(field);
    value = std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void body(Bytes& value, std::size_t) {
    const Buffer& bytes = bufferOf("body");
    value = Bytes{bytes.data(), bytes.size()};
  }
  void require(bool, const char*) {}
};

// ---- Both ways ----

/// Decodes as its type says, whichever dialect that is.
template <class Handler>
Error decodeAny(Bytes packet, Handler&& handler) {
  return packetType(packet) >= Join::type ? decodePlayerPacket(packet, handler) : decodeServicePacket(packet, handler);
}

/// Into a buffer that has just the room, at an odd address; one byte less must be refused, and stay as it is.
template <class Packet>
Buffer encodeExactly(const Packet& packet, Error& error) {
  Encoded encoded = encode(packet, MutableBytes{});
  error = encoded.error;
  if (error.code != ErrorCode::buffer_too_small) return {};
  Buffer room(encoded.size + 1, 0xee);
  const Encoded less = encode(packet, MutableBytes{room.data() + 1, encoded.size - 1});
  if (less.error.code != ErrorCode::buffer_too_small || less.size != encoded.size || room.back() != 0xee)
    die("a buffer that is too small", room);
  encoded = encode(packet, MutableBytes{room.data() + 1, encoded.size});
  error = encoded.error;
  return Buffer(room.begin() + 1, room.end());
}

template <class Packet>
Buffer encodeOrDie(const Packet& packet, const Buffer& from) {
  Error error;
  Buffer bytes = encodeExactly(packet, error);
  if (error) die("a decoded packet cannot be encoded", from);
  return bytes;
}

void decodeLines() {
  for (const Buffer& bytes : readPackets()) {
    const ExactCopy copy(bytes);
    const Error error = decodeAny(copy.bytes(), [&](const auto& packet) {
      Printer printer;
      std::decay_t<decltype(packet)>::fields(packet, printer);
      const Buffer again = encodeOrDie(packet, bytes);
      std::printf("%d%s %s\n", packet.type, printer.line.c_str(), toHex(again.data(), again.size()).c_str());
    });
    if (error) std::printf("error %s %s\n", errorCodeName(error.code), error.field);
  }
}

template <class Packet>
void encodeFrom(Parser& parser) {
  Packet packet;
  Packet::fields(packet, parser);
  Error error;
  const Buffer bytes = encodeExactly(packet, error);
  if (error) std::printf("error %s %s\n", errorCodeName(error.code), error.field);
  else std::printf("%s\n", toHex(bytes.data(), bytes.size()).c_str());
}

template <class... Packets>
void encodeAs(long type, Parser& parser) {
  ((type == Packets::type ? encodeFrom<Packets>(parser) : void()), ...);
}

void encodeLines() {
  for (std::string line; readLine(line);) {
    Parser parser;
    const long type = std::strtol(line.c_str(), nullptr, 10);
    for (std::size_t at = line.find(' '); at != std::string::npos;) {
      const std::size_t next = line.find(' ', at + 1);
      const std::string pair = line.substr(at + 1, next == std::string::npos ? next : next - at - 1);
      const std::size_t equals = pair.find('=');
      parser.values.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
      at = next;
    }
    encodeAs<SessionCheckRequest, SessionCheckResponse, SessionRegisterRequest, SessionRegisterResponse, SessionDeleteRequest,
             SessionDeleteResponse, CountUsersRequest, CountUsersResponse, SessionIssueRequest, SessionIssueResponse,
             SessionCheckAccessRequest, SessionCheckAccessResponse, SessionIdentifyRequest, SessionIdentifyResponse, WatchRequest,
             WatchResponse, SessionEnded, ServiceKeyRequest, ServiceKeyResponse, ErrorResponse, Join, Joined, Publish, Deliver,
             Datagram, Ack, Ping, Pong, Leave, Closed, Presence, Gap>(type, parser);
  }
}

// ---- Streams ----

/// What a decoder with this buffer gives out; at its end, why it is broken.
std::vector<Buffer> packetsOf(const std::vector<Bytes>& chunks, std::size_t maxPacketBytes, Buffer& buffer, Error& error) {
  PacketDecoder decoder(MutableBytes{buffer.data(), buffer.size()}, maxPacketBytes);
  std::vector<Buffer> packets;
  Bytes packet;
  PacketDecoder::Step step = PacketDecoder::Step::incomplete;
  for (const Bytes& chunk : chunks) {
    for (std::size_t at = 0; at < chunk.size && step != PacketDecoder::Step::broken;) {
      const MutableBytes space = decoder.space();
      const std::size_t count = chunk.size - at < space.size ? chunk.size - at : space.size;
      if (count == 0) die("a decoder without space", Buffer(chunk.data, chunk.data + chunk.size));
      std::memcpy(space.data, chunk.data + at, count);
      decoder.received(count);
      at += count;
      while ((step = decoder.next(packet)) == PacketDecoder::Step::packet) packets.emplace_back(packet.data, packet.data + packet.size);
    }
  }
  error = decoder.error();
  return packets;
}

void splitEverywhere() {
  const std::vector<Buffer> packets = readPackets();
  Buffer stream;
  for (const Buffer& packet : packets) stream.insert(stream.end(), packet.begin(), packet.end());
  const std::size_t max = packetType(Bytes{stream.data(), stream.size()}) >= Join::type ? maxPlayerPacketBytes : maxServicePacketBytes;
  std::vector<Bytes> byteByByte;
  for (const std::uint8_t& byte : stream) byteByByte.push_back(Bytes{&byte, 1});
  std::size_t ways = 0;
  // The smallest buffer that is allowed, and one that holds many packets.
  for (const std::size_t bufferBytes : {max, 4 * max}) {
    Buffer buffer(bufferBytes);
    for (std::size_t cut = 0; cut <= stream.size() + 1; ++cut) {
      std::vector<Bytes> chunks = byteByByte;
      if (cut <= stream.size()) chunks = {Bytes{stream.data(), cut}, Bytes{stream.data() + cut, stream.size() - cut}};
      Error error;
      if (packetsOf(chunks, max, buffer, error) != packets || error) die("a stream that was cut", stream);
      ++ways;
    }
  }
  std::printf("%zu\n", ways);
}

// ---- Damage ----

/// SplitMix64: the same numbers on every machine.
struct Random {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t mixed = (state += 0x9e3779b97f4a7c15U);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31);
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
};

void damage(Buffer& bytes, Random& random) {
  const std::size_t at = random.below(bytes.size() + 1);
  const auto here = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  const auto byte = static_cast<std::uint8_t>(random.next());
  switch (random.below(5)) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ (1U << random.below(8)));
      break;
    case 1:
      if (at < bytes.size()) bytes[at] = byte;
      break;
    case 2:
      bytes.erase(here, here + static_cast<std::ptrdiff_t>(random.below(bytes.size() - at + 1)));
      break;
    case 3:
      bytes.insert(here, random.below(40), byte);
      break;
    default:
      if (bytes.size() < 4) break;
      bytes[2] = byte;
      bytes[3] = static_cast<std::uint8_t>(random.below(2));
  }
  // Half of them have a right size, so that the damage is found in the fields.
  if (random.below(2) == 0 && bytes.size() >= 2) {
    bytes[0] = static_cast<std::uint8_t>(bytes.size());
    bytes[1] = static_cast<std::uint8_t>(bytes.size() >> 8);
  }
}

void mutate(std::uint64_t seed, std::size_t count) {
  const std::vector<Buffer> packets = readPackets();
  Random random{seed};
  Buffer serviceBuffer(maxServicePacketBytes);
  Buffer playerBuffer(maxPlayerPacketBytes);
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (std::size_t index = 0; index < count; ++index) {
    Buffer bytes = packets[random.below(packets.size())];
    for (std::size_t times = 1 + random.below(3); times > 0; --times) damage(bytes, random);
    const ExactCopy copy(bytes);
    const Error error = decodeAny(copy.bytes(), [&](const auto& packet) {
      // Whatever is accepted has one form.
      if (encodeOrDie(packet, bytes) != bytes) die("it is encoded otherwise", bytes);
    });
    ++(error ? refused : accepted);
    if (!error != (error.field[0] == '\0')) die("an error without a field", bytes);

    // As a stream, in two pieces, behind a packet that is whole.
    const Buffer& whole = packets[0];
    const std::size_t cut = random.below(bytes.size() + 1);
    Error broken;
    Buffer& buffer = random.below(2) == 0 ? serviceBuffer : playerBuffer;
    const Bytes before{copy.bytes().data, cut};
    const Bytes after{copy.bytes().data + cut, bytes.size() - cut};
    const auto found = packetsOf({Bytes{whole.data(), whole.size()}, before, after}, buffer.size(), buffer, broken);
    if (found.empty() || found[0] != whole) die("the packet before it is lost", bytes);
    for (const Buffer& packet : found) {
      const ExactCopy exact(packet);
      (void)decodeAny(exact.bytes(), [](const auto&) {});
    }
  }
  std::printf("seed %" PRIu64 ": %zu accepted, %zu refused\n", seed, accepted, refused);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "decode") decodeLines();
  else if (mode == "encode") encodeLines();
  else if (mode == "split") splitEverywhere();
  else if (mode == "mutate" && count > 3) mutate(std::strtoull(arguments[2], nullptr, 10), std::strtoull(arguments[3], nullptr, 10));
  else return 2;
}
