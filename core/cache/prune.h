// SPDX-License-Identifier: LGPL-2.1-or-later
// Pruning: chooses inodes that the kernel is to be asked to give back, when memory is wanted and the evictor
// has found too little because the kernel holds the rest; and GivenBack, those that it gave back.
//
// The kernel answers from what it holds without asking us, so what is in use there cannot be seen here. What
// can be seen is who is asked for again after the kernel gave it back. So there is a list of what was given
// back lately, as long as one part in eight of all, from the end of which the evictor takes. Whoever is in use
// is looked up while he is on it, which is a hit, changes his mark, and has the evictor pass him by. What is
// chosen has its marks down: a hand goes round the inode slots and lowers them. It puts another in their
// place, so that the evictor's own hand does not take it before its turn.
//
// No more is asked for than is used up: the length of the list when the evictor has found too little, and
// then as many as it takes from the list; and ever more seldom while little of it comes. To be asked harms
// nobody: the kernel keeps what it uses.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "core/cache/core.h"
#include "core/cache/inode_section.h"

namespace evenfs {

// Indices of inodes, first in, first out. They may have gone on to other lives: whoever takes one looks.
class GivenBack {
 public:
  // Takes memory for `most`.
  explicit GivenBack(std::uint32_t most) : ring_(most) {}

  // Not if it is full: the evictor's hand finds it, too.
  void push(std::uint32_t index) noexcept {
    const std::lock_guard lock(mutex_);
    const std::uint32_t count = size_.load(std::memory_order_relaxed);
    if (count == ring_.size()) return;
    ring_[(first_ + count) % ring_.size()] = index;
    size_.store(count + 1, std::memory_order_relaxed);
    pushed_.store(pushed_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  std::optional<std::uint32_t> pop() noexcept {
    const std::lock_guard lock(mutex_);
    const std::uint32_t count = size_.load(std::memory_order_relaxed);
    if (count == 0) return std::nullopt;
    const std::uint32_t index = ring_[first_];
    first_ = (first_ + 1) % static_cast<std::uint32_t>(ring_.size());
    size_.store(count - 1, std::memory_order_relaxed);
    return index;
  }
  std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  // How many ever, but for what found it full.
  std::uint32_t pushed() const noexcept { return pushed_.load(std::memory_order_relaxed); }

 private:
  FutexMutex mutex_;                 // A leaf lock.
  std::vector<std::uint32_t> ring_;  // Under mutex_, as is first_.
  std::uint32_t first_ = 0;
  std::atomic<std::uint32_t> size_{0};  // Written under mutex_, as is the next.
  std::atomic<std::uint32_t> pushed_{0};
};

template <LockingPolicy Policy>
class Pruning {
 public:
  static constexpr std::uint32_t kShare = 8;
  static constexpr std::uint32_t kLeast = 64;
  static constexpr std::uint32_t kParts = 4;  // In which a share is told.
  static constexpr std::uint8_t kAsked = 3;   // The mark of a name whose inode was chosen.

  explicit Pruning(Core<Policy>& core)
      : core_(core),
        share_(std::max(core.slots.names_for_limit() / kShare, kLeast)),
        given_back_(share_) {}

  // REQUIRES: before others use the cache.
  void on_shortage(std::function<void()> tell) { tell_ = std::move(tell); }

  GivenBack& given_back() noexcept { return given_back_; }

  // The kernel cannot be asked.
  void give_up() noexcept { able_.store(false, std::memory_order_relaxed); }
  bool is_able() const noexcept { return able_.load(std::memory_order_relaxed); }

  // Once in so many calls, while less was given back than should have been.
  bool is_due() noexcept {
    constexpr std::uint32_t kEach = 64;
    return is_able() && there() < share_ &&
           calls_.fetch_add(1, std::memory_order_relaxed) % kEach == 0;
  }
  // The evictor has found too little. While little of what was asked for comes, because it is all in use, that
  // is asked ever more seldom.
  void fill_up() noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    constexpr std::uint32_t kSeldom = 1024;
    if (!is_able()) return;
    if (wanted_.load(kRelaxed) != 0) {  // Too few for a word up to now, or a word that was in vain.
      if (tell_) tell_();
      return;
    }
    if (given_back_.size() >= share_) return;
    // Callers that race may skip one time less or more.
    if (const std::uint32_t skip = skip_.load(kRelaxed); skip != 0) {
      return skip_.store(skip - 1, kRelaxed);
    }
    const std::uint32_t asked = share_ - given_back_.size();
    const std::uint32_t came =
        given_back_.pushed() - pushed_before_.exchange(given_back_.pushed(), kRelaxed);
    const bool in_vain = came < asked_before_.exchange(asked, kRelaxed) / 4;
    const std::uint32_t next = in_vain ? std::min(2 * skips_.load(kRelaxed) + 1, kSeldom) : 0;
    skips_.store(next, kRelaxed);
    skip_.store(next, kRelaxed);
    wanted_.fetch_add(asked, kRelaxed);
    if (tell_) tell_();
  }
  // It has taken so many inodes. A part of a share is worth a word.
  void replace(std::uint32_t count) noexcept {
    if (!is_able()) return;
    const std::uint32_t enough = share_ / kParts;
    const std::uint32_t before = wanted_.fetch_add(count, std::memory_order_relaxed);
    if (before < enough && before + count >= enough && tell_) tell_();
  }

  // The numbers of as many inodes as are wanted and fit; how many. By one thread.
  std::size_t choose(std::span<std::uint64_t> numbers) noexcept {
    const std::size_t most =
        std::min<std::size_t>(numbers.size(), wanted_.load(std::memory_order_relaxed));
    const std::uint32_t bound = core_.slots.inode_bound();
    std::size_t chosen = 0;
    // Three rounds bring every mark down.
    for (std::uint64_t steps = std::uint64_t{3} * bound; steps > 0 && chosen < most; --steps) {
      hand_ = hand_ + 1 < bound ? hand_ + 1 : NodeId::kRootIndex + 1;
      if (hand_ >= bound) break;
      if (const std::uint64_t number = try_choose(hand_)) numbers[chosen++] = number;
    }
    if (chosen < most) {
      wanted_.store(0, std::memory_order_relaxed);  // There are no more.
    } else {
      wanted_.fetch_sub(static_cast<std::uint32_t>(chosen), std::memory_order_relaxed);
    }
    return chosen;
  }

 private:
  std::uint32_t there() const noexcept {
    return given_back_.size() + wanted_.load(std::memory_order_relaxed);
  }

  // The inode's number if it is to be asked for, else 0.
  std::uint64_t try_choose(std::uint32_t index) noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const std::uint64_t refs = core_.slots.inode_priv(index).refs.load(kRelaxed);
    if (refs == 0 || refs >= kPinUnit) return 0;  // Pinned: used by ourselves.
    const auto inode = core_.lock_inode(index);
    // What has no name any more is held because it is open.
    if (inode.priv().state != SlotState::kLive || inode.priv().orphan) return 0;
    bool used = false;
    for (const DentryPriv& name : inode.priv().names) {
      std::atomic<std::uint8_t>& mark = core_.slots.clock(core_.slots.index_of(name));
      const std::uint8_t now = mark.load(kRelaxed);
      const bool up = now != 0 && now != kAsked;
      used = used || up;
      mark.store(up ? static_cast<std::uint8_t>(now - 1) : kAsked, kRelaxed);
    }
    if (used) return 0;
    const std::uint64_t generation = inode.pub().identity_generation.load(kRelaxed);
    if (Identity::is_durable(generation)) return generation;
    return NodeId(index, inode.pub().generation.load(kRelaxed)).raw();
  }

  Core<Policy>& core_;
  const std::uint32_t share_;
  GivenBack given_back_;
  std::function<void()> tell_;
  std::atomic<std::uint32_t> wanted_{0};  // Raised by anyone, lowered by who chooses.
  std::atomic<bool> able_{true};          // By who asks.
  std::atomic<std::uint32_t> calls_{0};   // Of is_due.
  // Of fill_up: what had come when it asked last, and for how many; how many times it does not ask, and how
  // many of these are left.
  std::atomic<std::uint32_t> pushed_before_{0};
  std::atomic<std::uint32_t> asked_before_{0};
  std::atomic<std::uint32_t> skips_{0};
  std::atomic<std::uint32_t> skip_{0};
  std::uint32_t hand_ = NodeId::kRootIndex;  // Of who chooses.
};

}  // namespace evenfs
