// Runs an artoria::Client by the lines of its standard input, for test/system/cpp-client.test.ts, and prints what each came to:
//
//   client <port> [<option>=<value>]...    key, watch, after, connectTimeoutMs, responseTimeoutMs, signals=1
//
// With signals=1 a signal interrupts each wait of the client, every millisecond.
#define ARTORIA_POSIX_CLIENT
#include <artoria.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/time.h>
#include <vector>

using namespace artoria;

namespace {

/// What onEnded calls, to try it.
Client* calledFromWithin = nullptr;

void printEnded(void*, const SessionEnded& ended) {
  std::printf("%s %d at %.*s of %.*s\n", endReasonName(ended.reason), ended.sessid, static_cast<int>(ended.position.size()),
              ended.position.data(), static_cast<int>(ended.user.size()), ended.user.data());
  if (calledFromWithin != nullptr) std::printf("from within: %s\n", failureName(calledFromWithin->check(1).failure));
}

bool hasFailed(const Client& client, Failure failure) {
  if (failure == Failure::none) return false;
  std::printf("%s (%s)%s\n", failureName(failure), client.failureText(), client.isConnected() ? " but connected" : "");
  return true;
}

void print(const Client& client, Failure failure) {
  if (!hasFailed(client, failure)) std::printf("done\n");
}

template <class Response>
bool printStatus(const Client& client, const Result<Response>& result) {
  if (hasFailed(client, result.failure)) return false;
  std::printf("%s\n", statusName(result.response.status));
  return result.ok();
}

std::string string(std::string_view text) { return std::string(text); }

/// `words`: a command, and its arguments; what is missing is empty.
void run(Client& client, const std::vector<std::string>& words) {
  const auto word = [&](std::size_t index) { return index < words.size() ? words[index] : std::string(); };
  const std::string command = word(0);
  const std::int32_t number = std::atoi(word(1).c_str());
  if (command == "connect") print(client, client.connect());
  if (command == "disconnect") client.disconnect();
  if (command == "wait") print(client, client.wait(number));
  if (command == "check") printStatus(client, client.check(number));
  if (command == "access") printStatus(client, client.checkAccess(number, word(2)));
  if (command == "register") printStatus(client, client.registerSession(number, word(2), ipv4(192, 168, 0, 1)));
  if (command == "delete") printStatus(client, client.deleteSession(number, word(2)));
  if (command == "watch") {
    const auto watching = client.watch(static_cast<WatchScope>(number), word(2));
    if (printStatus(client, watching)) std::printf("from %s\n", string(watching.response.position).c_str());
  }
  if (command == "position") std::printf("%s\n", string(client.position()).c_str());
  if (command == "count") {
    const auto counted = client.count();
    if (printStatus(client, counted)) std::printf("%u sessions, %u users\n", counted.response.sessions, counted.response.users);
  }
  if (command == "issue") {
    const auto issued = client.issue(word(1));
    if (printStatus(client, issued)) std::printf("%d %s\n", issued.response.sessid, formatToken(issued.response.token).data());
  }
  if (command == "identify") {
    Token token;
    if (!parseToken(word(1), token)) std::printf("no token\n");
    const auto identified = client.identify(token, word(2));
    if (printStatus(client, identified)) std::printf("%d %s\n", identified.response.sessid, string(identified.response.user).c_str());
  }
  if (command == "checkAll") {
    std::vector<std::int32_t> sessids;
    for (std::int32_t sessid = number; sessid <= std::atoi(word(2).c_str()); ++sessid) sessids.push_back(sessid);
    // A vector begins with Ok in each.
    std::vector<Status> statuses(sessids.size());
    const Failure failure = client.checkAll(sessids.data(), sessids.size(), statuses.data());
    std::size_t valid = 0;
    for (const Status status : statuses) valid += status == Status::Ok ? 1 : 0;
    if (failure != Failure::none && valid == statuses.size()) std::printf("all may enter\n");
    if (hasFailed(client, failure)) return;
    std::printf("%zu of %zu\n", valid, statuses.size());
  }
  if (command == "callFromWithin") calledFromWithin = &client;
}

void startSignals() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  // Only for the standard input: poll() is interrupted all the same.
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  itimerval everyMs{{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &everyMs, nullptr);
}

}  // namespace

int main(int count, char** arguments) {
  // As it is in a program that does not care.
  std::signal(SIGPIPE, SIG_DFL);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  ClientOptions options;
  options.port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
  options.onEnded = printEnded;
  for (int index = 2; index < count; ++index) {
    const std::string option = arguments[index];
    const std::string name = option.substr(0, option.find('='));
    const char* value = arguments[index] + name.size() + 1;
    if (name == "host") options.host = value;
    if (name == "key") options.serviceKey = value;
    if (name == "watch") options.watch = static_cast<WatchScope>(std::atoi(value));
    if (name == "after") options.after = value;
    if (name == "connectTimeoutMs") options.connectTimeoutMs = std::atoi(value);
    if (name == "responseTimeoutMs") options.responseTimeoutMs = std::atoi(value);
    if (name == "signals") startSignals();
  }
  Client client(options);
  std::vector<std::string> words(1);
  for (int character = std::getchar(); character != EOF; character = std::getchar()) {
    if (character == '\n') {
      run(client, words);
      words.assign(1, "");
    } else if (character == ' ') {
      words.emplace_back();
    } else {
      words.back() += static_cast<char>(character);
    }
  }
}
