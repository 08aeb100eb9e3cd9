// Linked with `-Wl,--wrap=send,--wrap=recv,--wrap=poll`, it makes each call do as little as it may, and fail as often as it may: a few
// bytes at a time, EINTR, EAGAIN. What a client does must not differ.
#include <cerrno>
#include <cstddef>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

extern "C" {
ssize_t __real_send(int fd, const void* data, std::size_t size, int flags);
ssize_t __real_recv(int fd, void* data, std::size_t size, int flags);
int __real_poll(pollfd* fds, nfds_t count, int timeoutMs);
ssize_t __wrap_send(int fd, const void* data, std::size_t size, int flags);
ssize_t __wrap_recv(int fd, void* data, std::size_t size, int flags);
int __wrap_poll(pollfd* fds, nfds_t count, int timeoutMs);

/// Two of three calls fail, in no order that a loop could fall into step with.
static bool fails() {
  static unsigned state = 1;
  state = state * 1664525U + 1013904223U;
  const unsigned chance = (state >> 16) % 3;
  errno = chance == 1 ? EINTR : EAGAIN;
  return chance != 0;
}

ssize_t __wrap_send(int fd, const void* data, std::size_t size, int flags) {
  return fails() ? -1 : __real_send(fd, data, size < 3 ? size : 3, flags);
}

ssize_t __wrap_recv(int fd, void* data, std::size_t size, int flags) {
  return fails() ? -1 : __real_recv(fd, data, size < 1 ? size : 1, flags);
}

int __wrap_poll(pollfd* fds, nfds_t count, int timeoutMs) {
  return fails() ? -1 : __real_poll(fds, count, timeoutMs);
}
}
