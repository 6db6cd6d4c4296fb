// SPDX-License-Identifier: LGPL-2.1-or-later
// NodeId: what in-process users call an inode: generation:32 | index:32.
//
// The index finds the slot without a table; the generation tells one life of the slot from the
// next, so an id that outlived its inode is seen to be stale and is never followed. Generations
// start at a number that each cache draws, 1 at least, so every id but the root's is at least 2^32; the
// root is index 1 in generation 0, which makes the 1 that FUSE demands: its slot is never reused. They
// end at 2^31 - 1, so that no id has the bit of a durable number.
//
// A durable number (bit 63 set) is what the kernel is told instead where the store can find the
// object by it again: see Identity in attr.h, and Cache::number_of.
#pragma once

#include <cstdint>

namespace evenfs {

class NodeId {
 public:
  constexpr NodeId() noexcept = default;
  constexpr explicit NodeId(std::uint64_t raw) noexcept : raw_(raw) {}
  constexpr NodeId(std::uint32_t index, std::uint32_t generation) noexcept
      : raw_((static_cast<std::uint64_t>(generation) << 32) | index) {}

  static constexpr NodeId root() noexcept { return NodeId(kRootRaw); }

  constexpr std::uint64_t raw() const noexcept { return raw_; }
  constexpr std::uint32_t index() const noexcept { return static_cast<std::uint32_t>(raw_); }
  constexpr std::uint32_t generation() const noexcept {
    return static_cast<std::uint32_t>(raw_ >> 32);
  }
  constexpr bool is_root() const noexcept { return raw_ == kRootRaw; }
  friend constexpr bool operator==(NodeId, NodeId) noexcept = default;

  static constexpr std::uint32_t kRootIndex = 1;
  static constexpr std::uint32_t kGenerationMax = 0x7fff'ffff;

 private:
  static constexpr std::uint64_t kRootRaw = 1;
  std::uint64_t raw_ = 0;  // 0 is no id.
};

}  // namespace evenfs
