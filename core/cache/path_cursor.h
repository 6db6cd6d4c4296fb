// SPDX-License-Identifier: LGPL-2.1-or-later
// PathCursor: the path that a walk still has before it. Links are spliced in in front of the rest;
// the caller's own path is never touched, so a walk can always start again.
#pragma once

#include <climits>
#include <cstring>
#include <string_view>

#include "core/base/result.h"

namespace evenfs {

class PathCursor {
 public:
  static constexpr int kLinksMax = 40;

  // ENOENT for the empty path, ENAMETOOLONG from PATH_MAX bytes on.
  Status start(std::string_view path) noexcept {
    if (path.empty()) return Errno(ENOENT);
    if (path.size() >= PATH_MAX) return Errno(ENAMETOOLONG);
    links_ = 0;
    at_ = sizeof buffer_ - path.size();
    std::memcpy(buffer_ + at_, path.data(), path.size());
    return {};
  }

  bool absolute() const noexcept { return at_ < sizeof buffer_ && buffer_[at_] == '/'; }

  // The next component; empty when none is left. Stays valid until the next call.
  std::string_view next() noexcept {
    skip_slashes();
    const std::size_t start = at_;
    while (at_ < sizeof buffer_ && buffer_[at_] != '/') ++at_;
    const std::string_view component(buffer_ + start, at_ - start);
    slash_follows_ = at_ < sizeof buffer_;
    skip_slashes();
    return component;
  }

  // Of the component that next() returned: nothing comes after it, or only slashes.
  bool last() const noexcept { return at_ == sizeof buffer_; }
  bool slash_follows() const noexcept { return slash_follows_; }

  // Puts the target of a link in front of what is left. ELOOP after kLinksMax links, ENAMETOOLONG
  // when it becomes too long, ENOENT for an empty target.
  Status splice(std::string_view target) noexcept {
    if (++links_ > kLinksMax) return Errno(ELOOP);
    if (target.empty()) return Errno(ENOENT);
    const std::size_t slash = slash_follows_ ? 1 : 0;
    if (target.size() + slash + (sizeof buffer_ - at_) >= PATH_MAX) return Errno(ENAMETOOLONG);
    if (slash != 0) buffer_[--at_] = '/';
    at_ -= target.size();
    std::memcpy(buffer_ + at_, target.data(), target.size());
    return {};
  }

 private:
  void skip_slashes() noexcept {
    while (at_ < sizeof buffer_ && buffer_[at_] == '/') ++at_;
  }

  char buffer_[PATH_MAX];  // The rest of the path stands at its end.
  std::size_t at_ = sizeof buffer_;
  int links_ = 0;
  bool slash_follows_ = false;
};

}  // namespace evenfs
