// Uses the whole header, for test/system/cpp.test.ts: the object file must need no allocation, exception or type information.
#define ARTORIA_POSIX_CLIENT
#include <artoria.hpp>
// A second time, as in a program where two headers include it.
#include <artoria.hpp>

using namespace artoria;

struct EncodeAgain {
  MutableBytes out;
  std::size_t size = 0;

  template <class Packet>
  void operator()(const Packet& packet) {
    size = encode(packet, out).size;
  }
};

std::size_t decodeAndEncode(Bytes packet, MutableBytes out);
std::size_t decodeAndEncode(Bytes packet, MutableBytes out) {
  EncodeAgain again{out};
  if (const Error error = decodeServicePacket(packet, again)) return errorCodeName(error.code)[0] == 'o' ? 1 : 0;
  if (decodePlayerPacket(packet, again)) return 0;
  PacketDecoder decoder(out, maxServicePacketBytes);
  decoder.received(decoder.space().size);
  while (decoder.next(packet) == PacketDecoder::Step::packet) again(SessionCheckRequest{7});
  return again.size;
}

bool useClient(const ClientOptions& options);
bool useClient(const ClientOptions& options) {
  Client client(options);
  Token token;
  Status status = Status::Ok;
  const std::int32_t sessid = 7;
  if (client.connect() != Failure::none || client.fd() < 0 || client.failureText()[0] != '\0') return false;
  if (!client.registerSession(sessid, "kim", ipv4(192, 168, 0, 1)).ok() || !client.check(sessid).ok()) return false;
  if (!client.checkAccess(sessid, "room:lobby").ok() || !client.count().ok() || !client.issue("kim").ok()) return false;
  if (!parseToken(formatToken(token).data(), token) || !client.identify(token).ok()) return false;
  if (!client.watch(WatchScope::all, client.position()).ok() || client.checkAll(&sessid, 1, &status) != Failure::none) return false;
  return client.wait(0) == Failure::none && client.deleteSession(sessid, "kim").ok();
}
