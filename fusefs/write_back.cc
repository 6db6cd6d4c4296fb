// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/write_back.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

extern char** environ;

namespace evenfs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLookIntervalMs = 2;
constexpr std::chrono::milliseconds kQuiet{100};

// 0 if there can be none. It opens the root by itself, which is a request to us.
pid_t start_sync(int root) {
  posix_spawn_file_actions_t actions;
  if (::posix_spawn_file_actions_init(&actions) != 0) return 0;
  ::posix_spawn_file_actions_adddup2(&actions, root, STDIN_FILENO);
  for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO}) {
    ::posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0);
  }
  std::array<const char*, 4> arguments = {"sync", "-f", "/proc/self/fd/0", nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, arguments[0], &actions, nullptr,
                                   const_cast<char* const*>(arguments.data()), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : 0;
}

// Whether it has ended. A process that is killed while it waits for us is left to the system.
bool wait_for(pid_t pid, Clock::time_point give_up) {
  while (true) {
    const pid_t got = ::waitpid(pid, nullptr, WNOHANG);
    if (got == pid || (got < 0 && errno != EINTR)) return true;
    if (Clock::now() > give_up) break;
    ::poll(nullptr, 0, kLookIntervalMs);
  }
  ::kill(pid, SIGKILL);
  return false;
}

// Since Linux 6.18 syncfs() only begins to write (AS_NO_DATA_INTEGRITY). What has been read from the device
// stop() waits for; what waits there is seen here, and what waits behind it is there if anything is, the
// kernel holding back only what is more than a thousand. Rings do not show what waits: that none is
// written for a while, and nobody was at a request in it, must do.
void wait_for_writes(const WorkerLoop& loop, int device, Clock::time_point give_up) {
  const bool rings = loop.joined() != 0;
  std::uint64_t writes = 0;
  Clock::time_point since = Clock::now();
  bool was_idle = false;
  while (Clock::now() < give_up) {
    pollfd ended{loop.ended_fd(), POLLIN, 0};
    pollfd waiting{device, POLLIN, 0};
    if (::poll(&ended, 1, 0) != 0) return;
    if (::poll(&waiting, 1, 0) == 0 && !rings) return;
    const std::uint64_t now = loop.requests()[opcode("write")];
    if (now != writes) {
      writes = now;
      since = Clock::now();
      was_idle = false;
    }
    was_idle = was_idle || loop.in_flight() == 0;
    if (was_idle && Clock::now() - since > kQuiet) return;
    ::poll(nullptr, 0, kLookIntervalMs);
  }
}

}  // namespace

void write_back(UniqueFd root, const WorkerLoop& loop, int device,
                std::chrono::milliseconds patience) {
  const Clock::time_point give_up = Clock::now() + patience;
  const pid_t pid = start_sync(root.get());
  root.reset();  // Who holds it last waits for the end of the mount.
  if (pid != 0 && wait_for(pid, give_up)) wait_for_writes(loop, device, give_up);
}

}  // namespace evenfs
