// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/remount.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace evenfs {
namespace {

// Names and their opposites; the last one given counts. Where no word is said of access times the kernel
// keeps the mount's rule, so the default has to be named too.
struct Flag {
  std::string_view name;
  unsigned long set;
  unsigned long clear;
};

constexpr unsigned long kNoSymfollow = 256;  // MS_NOSYMFOLLOW; newer than some C libraries.
constexpr std::array kFlags = {
    Flag{"ro", MS_RDONLY, 0},
    Flag{"rw", 0, MS_RDONLY},
    Flag{"nosuid", MS_NOSUID, 0},
    Flag{"suid", 0, MS_NOSUID},
    Flag{"nodev", MS_NODEV, 0},
    Flag{"dev", 0, MS_NODEV},
    Flag{"noexec", MS_NOEXEC, 0},
    Flag{"exec", 0, MS_NOEXEC},
    Flag{"sync", MS_SYNCHRONOUS, 0},
    Flag{"async", 0, MS_SYNCHRONOUS},
    Flag{"dirsync", MS_DIRSYNC, 0},
    Flag{"noatime", MS_NOATIME, MS_RELATIME},
    Flag{"atime", MS_RELATIME, MS_NOATIME},
    Flag{"relatime", MS_RELATIME, MS_NOATIME},
    Flag{"nodiratime", MS_NODIRATIME, 0},
    Flag{"diratime", 0, MS_NODIRATIME},
    Flag{"nosymfollow", kNoSymfollow, 0},
    Flag{"symfollow", 0, kNoSymfollow},
};

}  // namespace

Status remount(const std::string& mountpoint, const std::vector<std::string>& options) noexcept {
  unsigned long flags = MS_REMOUNT;
  for (const std::string& option : options) {
    const auto flag = std::ranges::find(kFlags, std::string_view(option), &Flag::name);
    if (flag != kFlags.end()) flags = (flags & ~flag->clear) | flag->set;
  }
  if (::mount(nullptr, mountpoint.c_str(), nullptr, flags, nullptr) != 0) return Errno::last();
  return Status();
}

}  // namespace evenfs
