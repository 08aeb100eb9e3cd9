// A small game server. Players come with `nc 127.0.0.1 4000`, send the number of their session and their name ("7 kim"), and then
// whatever they say is told to all others. It shows the four things that a game server does with Artoria:
//
//   it registers the session of a player who comes in,
//   it checks the session before it does what the player asks for,
//   it watches, so that it hears at once when a session ends somewhere else,
//   and it kicks the player whose session has ended.
//
// game-server [<port of the bridge> [<port for players>]]; a service key, if the bridge requires one, is in ARTORIA_SERVICE_KEY.
#define ARTORIA_POSIX_CLIENT
#include <artoria.hpp>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <list>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using Clock = std::chrono::steady_clock;

struct Player {
  int fd = -1;
  std::string received;
  /// 0 until the player has said who it is.
  std::int32_t sessid = 0;
  std::string name;
};

class GameServer {
 public:
  GameServer(artoria::ClientOptions options, int listener) : bridge_(withHandler(options, this)), listener_(listener) {}

  void run() {
    for (;;) {
      readFromPlayers();
      acceptPlayer();
      // Last: a check for a player may have read what the bridge told, of which poll() knows nothing then.
      if (bridge_.isConnected() || connect()) readFromBridge();
      waitForSomething();
    }
  }

 private:
  // ---- The bridge ----

  static artoria::ClientOptions withHandler(artoria::ClientOptions options, GameServer* self) {
    // The bridge tells of the ends of the sessions that this server has registered or found Ok.
    options.watch = artoria::WatchScope::known;
    options.context = self;
    options.onEnded = [](void* context, const artoria::SessionEnded& ended) {
      auto& server = *static_cast<GameServer*>(context);
      if (ended.isEnd()) server.ended_.push_back(ended.sessid);
      if (ended.reason == artoria::EndReason::reset) server.mustCheckAll_ = true;
    };
    return options;
  }

  bool connect() {
    if (Clock::now() < retryAt_) return false;
    retryAt_ = Clock::now() + std::chrono::seconds(1);
    mustCheckAll_ = true;  // the new connection knows no session
    checkAllAt_ = {};
    if (bridge_.connect() == artoria::Failure::none) return true;
    std::printf("bridge: %s\n", bridge_.failureText());
    return false;
  }

  void readFromBridge() {
    if (mustCheckAll_ && Clock::now() >= checkAllAt_) checkAllPlayers();
    do {
      kickEnded();
      if (bridge_.isConnected() && bridge_.wait(0) != artoria::Failure::none) std::printf("bridge: %s\n", bridge_.failureText());
    } while (!ended_.empty());
  }

  void checkAllPlayers() {
    std::vector<std::int32_t> sessids;
    for (const Player& player : players_) {
      if (player.sessid != 0) sessids.push_back(player.sessid);
    }
    std::vector<artoria::Status> statuses(sessids.size());
    checkAllAt_ = Clock::now() + std::chrono::seconds(1);
    if (bridge_.checkAll(sessids.data(), sessids.size(), statuses.data()) != artoria::Failure::none) return;
    mustCheckAll_ = false;
    for (std::size_t index = 0; index < sessids.size(); ++index) {
      if (statuses[index] == artoria::Status::NotFound) ended_.push_back(sessids[index]);
      // The edge is away, so the bridge does not know this session yet, and would not tell of its end: once more, later.
      else if (statuses[index] != artoria::Status::Ok) mustCheckAll_ = true;
    }
  }

  /// A session may have been registered again after its end, so a check has the last word.
  void kickEnded() {
    while (!ended_.empty()) {
      const std::int32_t sessid = ended_.back();
      ended_.pop_back();
      for (Player& player : players_) {
        if (player.sessid == sessid && !bridge_.check(sessid).ok()) kick(player, "your session has ended");
      }
    }
  }

  // ---- The players ----

  void comeIn(Player& player, const std::string& line) {
    std::int32_t sessid = 0;
    const char* end = line.data() + line.size();
    const char* space = std::from_chars(line.data(), end, sessid).ptr;
    const std::string name(space == end ? end : space + 1, end);
    const auto registered = bridge_.registerSession(sessid, name);
    if (registered.failure != artoria::Failure::none) return kick(player, bridge_.failureText());
    if (!registered.ok()) return kick(player, artoria::statusName(registered.response.status));
    player.sessid = sessid;
    player.name = name;
    std::printf("%s comes in with session %d\n", name.c_str(), sessid);
    tell(player, "welcome, " + name);
  }

  void say(Player& player, const std::string& line) {
    const auto checked = bridge_.check(player.sessid);
    if (checked.failure == artoria::Failure::none && checked.response.status == artoria::Status::NotFound)
      return kick(player, "your session has ended");
    // The bridge or its edge is away: nobody may do anything, and nobody is kicked for it.
    if (!checked.ok()) return tell(player, "one moment, please");
    for (Player& other : players_) {
      if (other.sessid != 0 && &other != &player) tell(other, player.name + ": " + line);
    }
  }

  void kick(Player& player, const std::string& why) {
    if (player.fd < 0) return;
    std::printf("%s is kicked: %s\n", player.name.empty() ? "somebody" : player.name.c_str(), why.c_str());
    tell(player, why);
    remove(player);
  }

  void remove(Player& player) {
    ::close(player.fd);
    player = Player{};
  }

  void tell(Player& player, const std::string& text) {
    const std::string line = text + "\n";
    ::send(player.fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void acceptPlayer() {
    const int fd = ::accept(listener_, nullptr, nullptr);
    if (fd < 0) return;
    players_.emplace_back();
    players_.back().fd = fd;
  }

  void readFromPlayers() {
    for (Player& player : players_) {
      if (player.fd < 0) continue;
      char bytes[256];
      const ssize_t count = ::recv(player.fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (count <= 0) {
        remove(player);
        continue;
      }
      player.received.append(bytes, static_cast<std::size_t>(count));
      for (std::size_t end; player.fd >= 0 && (end = player.received.find('\n')) != std::string::npos;) {
        const std::string line = player.received.substr(0, end);
        player.received.erase(0, end + 1);
        if (player.sessid == 0) comeIn(player, line);
        else say(player, line);
      }
      if (player.received.size() > 1000) kick(player, "your line is too long");
    }
    players_.remove_if([](const Player& player) { return player.fd < 0; });
  }

  void waitForSomething() {
    std::vector<pollfd> fds{{listener_, POLLIN, 0}, {bridge_.fd(), POLLIN, 0}};
    for (const Player& player : players_) fds.push_back({player.fd, POLLIN, 0});
    ::poll(fds.data(), static_cast<nfds_t>(fds.size()), 1000);
  }

  artoria::Client bridge_;
  Clock::time_point retryAt_;
  /// What the watch has told, and is not done yet.
  std::vector<std::int32_t> ended_;
  bool mustCheckAll_ = false;
  Clock::time_point checkAllAt_;
  int listener_;
  std::list<Player> players_;
};

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  artoria::ClientOptions options;
  if (count > 1) options.port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
  if (const char* key = std::getenv("ARTORIA_SERVICE_KEY")) options.serviceKey = key;

  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  ::fcntl(listener, F_SETFL, O_NONBLOCK);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(count > 2 ? std::atoi(arguments[2]) : 4000));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 16) != 0) {
    std::perror("the port for players");
    return 1;
  }
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  GameServer server(options, listener);
  std::printf("players: nc 127.0.0.1 %d, then \"7 kim\"\n", ntohs(address.sin_port));
  server.run();
}
