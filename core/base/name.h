// SPDX-License-Identifier: LGPL-2.1-or-later
// NameRef: the bytes of one path component, borrowed from the caller.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/base/result.h"

namespace evenfs {

inline constexpr std::size_t kNameMax = 255;  // Bytes in a name, as NAME_MAX on Linux.

// 1..255 bytes, no '/' and no NUL, neither "." nor "..": a name that can be in a directory.
class NameRef {
 public:
  // ENOENT for the empty name, ENAMETOOLONG over 255 bytes, EINVAL for what no directory holds.
  static Result<NameRef> make(std::string_view bytes) noexcept {
    if (bytes.empty()) return Errno(ENOENT);
    if (bytes.size() > kNameMax) return Errno(ENAMETOOLONG);
    if (bytes == "." || bytes == "..") return Errno(EINVAL);
    if (std::memchr(bytes.data(), '/', bytes.size()) != nullptr ||
        std::memchr(bytes.data(), '\0', bytes.size()) != nullptr) {
      return Errno(EINVAL);
    }
    return NameRef(bytes);
  }

  const char* data() const noexcept { return bytes_.data(); }
  std::uint8_t size() const noexcept { return static_cast<std::uint8_t>(bytes_.size()); }
  std::string_view view() const noexcept { return bytes_; }
  friend bool operator==(NameRef a, NameRef b) noexcept { return a.bytes_ == b.bytes_; }

 private:
  explicit NameRef(std::string_view bytes) noexcept : bytes_(bytes) {}
  std::string_view bytes_;
};

}  // namespace evenfs
