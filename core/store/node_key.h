// SPDX-License-Identifier: LGPL-2.1-or-later
// A Node as the key of a table: by its bytes, which mean one object as long as the table's owner says so.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/store/store.h"

namespace evenfs {

struct NodeHash {
  std::size_t operator()(const Node& key) const noexcept {
    const std::uint64_t mixed = (key.words[0] ^ std::rotl(key.words[1], 29)) * 0x9e3779b97f4a7c15U;
    return static_cast<std::size_t>(mixed ^ (mixed >> 32));
  }
};

struct NodeEqual {
  bool operator()(const Node& a, const Node& b) const noexcept {
    return a.words[0] == b.words[0] && a.words[1] == b.words[1];
  }
};

}  // namespace evenfs
