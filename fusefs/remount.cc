// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/remount.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace evenfs {
namespace {

struct Flag {
  std::string_view name;
  unsigned long value;
};

constexpr unsigned long kNoSymfollow = 256;  // MS_NOSYMFOLLOW; newer than some C libraries.
constexpr std::array kFlags = {
    Flag{"ro", MS_RDONLY},
    Flag{"nosuid", MS_NOSUID},
    Flag{"nodev", MS_NODEV},
    Flag{"noexec", MS_NOEXEC},
    Flag{"sync", MS_SYNCHRONOUS},
    Flag{"dirsync", MS_DIRSYNC},
    Flag{"noatime", MS_NOATIME},
    Flag{"nodiratime", MS_NODIRATIME},
    Flag{"nosymfollow", kNoSymfollow},
};

}  // namespace

Status remount(const std::string& mountpoint, const std::vector<std::string>& options) noexcept {
  unsigned long flags = MS_REMOUNT;
  for (const std::string& option : options) {
    const auto flag = std::ranges::find(kFlags, std::string_view(option), &Flag::name);
    if (flag != kFlags.end()) flags |= flag->value;
  }
  if (::mount(nullptr, mountpoint.c_str(), nullptr, flags, nullptr) != 0) return Errno::last();
  return Status();
}

}  // namespace evenfs
