// SPDX-License-Identifier: LGPL-2.1-or-later
// Mounts that only one thread sees and that end with it.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

namespace evenfs::test {

// Runs `body` in a thread with a mount namespace of its own. Returns why that could not be done;
// empty if it was. What is to see the mounts must be opened in `body`.
inline std::string in_private_mounts(const std::function<void()>& body) {
  std::string reason;
  std::thread([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      reason = std::string("no mount namespace: ") + std::strerror(errno);
      return;
    }
    body();
  }).join();
  return reason;
}

}  // namespace evenfs::test
