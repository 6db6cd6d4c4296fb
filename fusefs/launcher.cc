// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/launcher.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "fusefs/options.h"

namespace evenfs {
namespace {

[[noreturn]] void wait_as_parent(pid_t child, int from_child) {
  char byte = 0;
  ssize_t got = 0;
  do {
    got = ::read(from_child, &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) ::_exit(0);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kExitFailure);
}

void point_to_null(int descriptor, int flags) {
  const UniqueFd null(::open("/dev/null", flags | O_CLOEXEC));
  if (null) ::dup2(null.get(), descriptor);
}

}  // namespace

void hold_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest number that is free: this one. It is held until the end.
    if (::open("/dev/null", O_RDWR) != descriptor) return;
  }
}

Result<Launcher> Launcher::launch(bool foreground) {
  Launcher launcher;
  if (foreground) return launcher;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Errno::last();
  UniqueFd from_child(ends[0]);
  launcher.to_parent_.reset(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return Errno::last();
  if (child > 0) {
    launcher.to_parent_.reset();
    wait_as_parent(child, from_child.get());
  }
  ::setsid();
  // Only after the paths have been made absolute: a working directory would keep its file system
  // from being unmounted.
  if (::chdir("/") != 0) return Errno::last();
  point_to_null(STDIN_FILENO, O_RDONLY);
  return launcher;
}

void Launcher::ready() {
  if (!to_parent_) return;
  point_to_null(STDOUT_FILENO, O_WRONLY);
  point_to_null(STDERR_FILENO, O_WRONLY);
  const char byte = 1;
  [[maybe_unused]] const ssize_t sent = ::write(to_parent_.get(), &byte, 1);
  to_parent_.reset();
}

}  // namespace evenfs
