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

#include "fusefs/log.h"

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

// Whether it has ended well. A process that is killed while it waits for us is left to the system.
bool wait_for(pid_t pid, Clock::time_point give_up) {
  while (true) {
    int status = 0;
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got == pid) return status == 0;
    if (got < 0 && errno != EINTR) return false;
    if (Clock::now() > give_up) break;
    ::poll(nullptr, 0, kLookIntervalMs);
  }
  ::kill(pid, SIGKILL);
  return false;
}

// On Linux 6.18 syncfs() was seen to return before its writes were answered. Whether none is left: none waits
// at the device, and no request is being answered. Rings do not show what waits: that nothing has been at a
// request in them for a while must do.
bool wait_for_writes(const WorkerLoop& loop, int device, Clock::time_point give_up) {
  const bool rings = loop.joined() != 0;
  std::uint64_t writes = 0;
  Clock::time_point since = Clock::now();
  while (Clock::now() < give_up) {
    pollfd ended{loop.ended_fd(), POLLIN, 0};
    pollfd waiting{device, POLLIN, 0};
    if (::poll(&ended, 1, 0) != 0) return true;
    const std::uint64_t now = loop.requests()[opcode("write")];
    const bool busy = ::poll(&waiting, 1, 0) != 0 || loop.in_flight() != 0 || now != writes;
    if (!busy && !rings) return true;
    if (busy) since = Clock::now();
    writes = now;
    if (Clock::now() - since > kQuiet) return true;
    ::poll(nullptr, 0, kLookIntervalMs);
  }
  return false;
}

}  // namespace

void write_back(UniqueFd root, const WorkerLoop& loop, int device,
                std::chrono::milliseconds patience) {
  const Clock::time_point give_up = Clock::now() + patience;
  const pid_t pid = start_sync(root.get());
  root.reset();  // Who holds it last waits for the end of the mount.
  if (pid != 0 && wait_for(pid, give_up) && wait_for_writes(loop, device, give_up)) return;
  // Also where the source is gone, or nothing was mapped: no cause for alarm.
  spdlog::debug("what programs have written through mappings may not have been written back");
}

}  // namespace evenfs
