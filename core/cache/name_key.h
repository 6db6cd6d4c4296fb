// SPDX-License-Identifier: LGPL-2.1-or-later
// NameKey: a name made ready for comparison with dentries: padded words and a keyed hash.
#pragma once

#include <array>
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
  std::array<std::uint32_t, kInlineName / 4> words;  // The first bytes, zero padded.

  NameKey(std::uint64_t seed, std::uint32_t dir_index, std::uint32_t dir_generation,
          NameRef from) noexcept
      : name(from), words{} {
    const std::uint64_t dir = (static_cast<std::uint64_t>(dir_generation) << 32) | dir_index;
    hash = XXH3_64bits_withSeed(from.data(), from.size(), seed ^ (dir * 0x9E3779B97F4A7C15ULL));
    // Word by word, because a memcpy of unknown length is a call that costs more than the rest.
    const std::uint32_t length = inline_length();
    std::uint32_t at = 0;
    for (; at + 4 <= length; at += 4) std::memcpy(&words[at / 4], from.data() + at, 4);
    for (std::uint32_t shift = 0; at < length; ++at, shift += 8) {
      words[length / 4] |= static_cast<std::uint32_t>(static_cast<unsigned char>(from.data()[at]))
                           << shift;
    }
  }

  bool is_long() const noexcept { return name.size() > kInlineName; }
  // Bytes that stand in the dentry itself.
  std::uint32_t inline_length() const noexcept { return is_long() ? kInlinePrefix : name.size(); }
};

}  // namespace evenfs
