// SPDX-License-Identifier: LGPL-2.1-or-later
// NameKey: a name made ready for comparison with dentries: as words, and its keyed hash.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/base/name.h"
#include "core/cache/layout.h"

namespace evenfs {

static_assert(std::endian::native == std::endian::little, "names are packed into words");

struct NameKey {
  NameRef name;
  std::uint64_t hash;  // Of (directory, name), keyed per cache so that nobody can aim at a chain.
  std::uint32_t tail = 0;  // The inline bytes behind the last whole word, zero padded.

  NameKey(std::uint64_t seed, std::uint32_t dir_index, std::uint32_t dir_generation,
          NameRef from) noexcept
      : name(from) {
    const std::uint64_t dir = (static_cast<std::uint64_t>(dir_generation) << 32) | dir_index;
    hash = XXH3_64bits_withSeed(from.data(), from.size(), seed ^ (dir * 0x9E3779B97F4A7C15ULL));
    for (std::uint32_t at = inline_length(); at % 4 != 0;) {
      tail = (tail << 8) | static_cast<unsigned char>(from.data()[--at]);
    }
  }

  bool is_long() const noexcept { return name.size() > kInlineName; }
  // Bytes that stand in the dentry itself.
  std::uint32_t inline_length() const noexcept { return is_long() ? kInlinePrefix : name.size(); }
  std::uint32_t whole_words() const noexcept { return inline_length() / 4; }
  bool has_tail() const noexcept { return inline_length() % 4 != 0; }
  // REQUIRES: i < whole_words().
  std::uint32_t word(std::uint32_t i) const noexcept {
    std::uint32_t bytes = 0;
    std::memcpy(&bytes, name.data() + std::size_t{4} * i, sizeof bytes);
    return bytes;
  }
};

}  // namespace evenfs
