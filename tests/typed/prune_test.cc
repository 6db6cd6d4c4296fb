// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel is asked to give back when memory is short: not before, not all of it, nothing that is in
// use as far as that can be known; and what it gives back is used again, so that the arena stops growing.
#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

// Names until a cache of small_cache() is full of what the kernel holds.
constexpr int kFull = 4000;

// A World whose kernel holds what was looked up, and counts the shortages.
template <class Policy>
struct PruneWorld : World<Policy> {
  PruneWorld() {
    this->cache->on_shortage([this] { ++shortages; });
  }
  std::vector<NodeId> hold(const std::string& prefix, int count) {
    std::vector<NodeId> held;
    for (int i = 0; i < count; ++i) {
      held.push_back(this->mknod(kRoot, prefix + std::to_string(i)).id);
    }
    return held;
  }
  // Up to the hand's next look, that it may not look in what comes after.
  void go_on_to_a_look() {
    const std::uint64_t looks = this->count(Counter::kEvictGaveUp);
    for (int i = 0; i < 1000 && this->count(Counter::kEvictGaveUp) == looks; ++i) {
      this->mknod(kRoot, "more" + std::to_string(i));
    }
  }
  // All that is chosen for the shortages up to now, in messages of 32.
  std::vector<std::uint64_t> chosen() {
    std::vector<std::uint64_t> all;
    std::array<std::uint64_t, 32> some;
    while (const std::size_t count = this->cache->choose_to_prune(some)) {
      all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(count));
    }
    return all;
  }
  NodeId id_of(std::uint64_t number) { return this->cache->id_of_number(number); }

  int shortages = 0;
};

template <class Policy>
class Prune : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Prune, AllPolicies, PolicyNames);

TYPED_TEST(Prune, NothingIsWantedWhileThereIsRoom) {
  PruneWorld<TypeParam> w;
  w.hold("f", 500);
  EXPECT_EQ(w.shortages, 0);
  EXPECT_TRUE(w.chosen().empty());
}

TYPED_TEST(Prune, AShortageIsToldAndIsForAPartOfWhatIsHeld) {
  PruneWorld<TypeParam> w;
  w.hold("f", kFull);
  EXPECT_GT(w.shortages, 0);
  const std::vector<std::uint64_t> chosen = w.chosen();
  const std::uint32_t share = w.cache->slots_for_test().names_for_limit() / 8;
  EXPECT_EQ(chosen.size(), share);
  EXPECT_EQ(std::set(chosen.begin(), chosen.end()).size(), share) << "some twice";
  for (const std::uint64_t number : chosen) {
    EXPECT_TRUE(w.cache->is_counted(number));
  }
  EXPECT_TRUE(w.chosen().empty());
  w.shortages = 0;
  w.hold("g", kFull);
  EXPECT_GT(w.shortages, 0) << "the kernel has given nothing back";
  EXPECT_EQ(w.chosen().size(), share);
}

TYPED_TEST(Prune, WhatIsLookedUpAgainIsNotChosen) {
  PruneWorld<TypeParam> w;
  w.hold("hot", 100);
  std::size_t rounds = 0;
  for (int i = 0; i < 20; ++i) {
    w.hold("cold" + std::to_string(i) + "-", kFull / 4);
    for (int h = 0; h < 100; ++h) w.forget(w.lookup(kRoot, "hot" + std::to_string(h)).id);
    for (const std::uint64_t number : w.chosen()) {
      ++rounds;
      const Attr attr = w.getattr(w.id_of(number));
      for (int h = 0; h < 100; ++h) {
        ASSERT_NE(attr.ino, w.peek(kRoot, "hot" + std::to_string(h)).attr.ino);
      }
    }
  }
  EXPECT_GT(rounds, 500U);
}

TYPED_TEST(Prune, WhatIsNotHeldOrIsPinnedIsNotChosen) {
  PruneWorld<TypeParam> w;
  const std::vector<NodeId> held = w.hold("f", kFull);
  std::vector<Cache::Pin> pins;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (i % 2 != 0) continue;
    auto pin = w.cache->pin(held[i]);
    ASSERT_TRUE(pin.ok());
    pins.push_back(std::move(pin).value());
  }
  const std::set<std::uint64_t> pinned = [&] {
    std::set<std::uint64_t> numbers;
    for (const Cache::Pin& pin : pins) numbers.insert(w.cache->number_of(pin.id()));
    return numbers;
  }();
  for (int round = 0; round < 40; ++round) {
    w.hold("more" + std::to_string(round) + "-", 1100);
    for (const std::uint64_t number : w.chosen()) {
      EXPECT_FALSE(pinned.contains(number));
      EXPECT_NE(number, w.cache->number_of(kRoot));
      EXPECT_TRUE(w.cache->is_counted(number));
      w.forget(w.id_of(number));
    }
  }
}

// As a kernel does that uses nothing of what it holds, and is asked a little after whoever asks it was told.
TYPED_TEST(Prune, WhatIsGivenBackIsUsedAgain) {
  PruneWorld<TypeParam> w;
  for (int i = 0; i < 50000; ++i) {
    w.mknod(kRoot, "f" + std::to_string(i));
    if (i % 64 != 0 || std::exchange(w.shortages, 0) == 0) continue;
    for (const std::uint64_t number : w.chosen()) w.forget(w.id_of(number));
  }
  const CacheStats stats = w.cache->stats();
  EXPECT_LE(stats.memory_bytes, stats.memory_limit + stats.memory_limit / 8);
  EXPECT_GT(stats.kernel_inodes, w.cache->slots_for_test().names_for_limit() / 2U)
      << "more than needed was asked for";
  EXPECT_EQ(w.count(Counter::kForgetExcess), 0U);
}

TYPED_TEST(Prune, SoIsWhatHasSeveralNames) {
  PruneWorld<TypeParam> w;
  for (int i = 0; i < 10000; ++i) {
    const std::string name = std::to_string(i);
    const NodeId id = w.mknod(kRoot, name).id;
    for (const char* also : {"a", "b"}) {
      ASSERT_TRUE(w.cache->link(*w.me, id, kRoot, name_of(also + name)).ok());
      w.forget(id);
    }
    if (std::exchange(w.shortages, 0) == 0) continue;
    for (const std::uint64_t number : w.chosen()) w.forget(w.id_of(number));
  }
  const CacheStats stats = w.cache->stats();
  EXPECT_LE(stats.memory_bytes, stats.memory_limit + stats.memory_limit / 8);
  EXPECT_GT(stats.kernel_inodes, stats.inodes / 2U) << "more than needed was asked for";
}

// First many inodes, then few with many names: free slots of the one kind do not help the other.
TYPED_TEST(Prune, TheLimitHoldsWhateverIsWanted) {
  constexpr int kFiles = 20;
  PruneWorld<TypeParam> w;
  for (int i = 0; i < 6000; ++i) w.forget(w.mknod(kRoot, "f" + std::to_string(i)).id);
  std::vector<Node> files;
  for (int i = 0; i < kFiles; ++i) {
    w.behind_file("g" + std::to_string(i));
    files.push_back(w.behind(w.root_node(), "g" + std::to_string(i))->node);
  }
  for (int i = 0; i < 12000; ++i) {
    const std::string name = "name" + std::to_string(i);
    ASSERT_TRUE(
        w.memory.link(files[static_cast<std::size_t>(i % kFiles)], w.root_node(), name_of(name))
            .ok());
    (void)w.peek(kRoot, name);
    const CacheStats stats = w.cache->stats();
    ASSERT_LE(stats.memory_bytes, stats.memory_limit + stats.memory_limit / 64) << i;
  }
}

// A kernel that uses all it holds is asked ever more seldom.
TYPED_TEST(Prune, WhatIsAskedForInVainIsAskedForSeldom) {
  PruneWorld<TypeParam> w;
  w.hold("f", kFull);
  std::uint64_t asked = 0;
  for (int i = 0; i < 20000; ++i) {
    w.mknod(kRoot, "g" + std::to_string(i));
    if (std::exchange(w.shortages, 0) != 0) asked += w.chosen().size();
  }
  EXPECT_GT(asked, 0U);
  EXPECT_LT(asked, 20U * w.cache->slots_for_test().names_for_limit() / 8U);
}

// Of what was given back a few are taken, and the rest is in use again.
TYPED_TEST(Prune, WhatIsWantedIsToldHoweverLittleItIs) {
  PruneWorld<TypeParam> w;
  const std::vector<NodeId> held = w.hold("f", kFull);
  w.go_on_to_a_look();
  const std::vector<std::uint64_t> chosen = w.chosen();
  const std::set<std::uint64_t> numbers(chosen.begin(), chosen.end());
  std::vector<std::string> names;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (!numbers.contains(w.cache->number_of(held[i]))) continue;
    w.forget(held[i]);
    names.push_back("f" + std::to_string(i));
  }
  const std::uint64_t evicted = w.count(Counter::kDentryEvicted);
  w.mknod(kRoot, "one");
  EXPECT_GT(w.count(Counter::kDentryEvicted), evicted);
  for (const std::string& name : names) (void)w.lookup(kRoot, name);
  w.shortages = 0;
  w.hold("g", kFull);
  EXPECT_GT(w.shortages, 0);
  EXPECT_FALSE(w.chosen().empty());
}

TYPED_TEST(Prune, NothingIsWantedOfAKernelThatCannotBeAsked) {
  PruneWorld<TypeParam> w;
  w.hold("f", kFull);
  w.cache->cannot_prune();
  (void)w.chosen();
  w.shortages = 0;
  const std::uint64_t looks = w.count(Counter::kEvictGaveUp);
  w.hold("g", kFull);
  EXPECT_EQ(w.shortages, 0);
  EXPECT_TRUE(w.chosen().empty());
  EXPECT_LT(w.count(Counter::kEvictGaveUp) - looks, 20U) << "the hand looks in vain too often";
}

// The kernel gives back whatever it is asked for; what is in use it looks up again before the next 128 names.
TYPED_TEST(Prune, WhatIsInUseIsNotAskedOfTheStoreAgain) {
  constexpr int kHot = 200;
  PruneWorld<TypeParam> w;
  // First in the arena, and first to be chosen.
  std::vector<NodeId> hot = w.hold("hot", kHot);
  std::uint64_t given_back = 0;
  for (int i = 0; i < 20000; ++i) {
    w.mknod(kRoot, "cold" + std::to_string(i));
    if (i % 16 == 0) {
      for (const std::uint64_t number : w.chosen()) w.forget(w.id_of(number));
    }
    if (i % 128 != 0) continue;
    for (int h = 0; h < kHot; ++h) {
      if (w.cache->is_counted(w.cache->number_of(hot[h]))) continue;
      ++given_back;
      hot[h] = w.lookup(kRoot, "hot" + std::to_string(h)).id;
    }
  }
  EXPECT_GT(given_back, static_cast<std::uint64_t>(kHot)) << "it was not in danger";
  EXPECT_EQ(w.count(Counter::kLookupLocked), 0U);
}

// What was looked up after it was given back is not what is taken from the list.
TYPED_TEST(Prune, WhatIsGivenBackAndLookedUpStays) {
  PruneWorld<TypeParam> w;
  const std::vector<NodeId> held = w.hold("f", kFull);
  w.go_on_to_a_look();
  const std::vector<std::uint64_t> chosen = w.chosen();
  const std::set<std::uint64_t> numbers(chosen.begin(), chosen.end());
  std::vector<std::string> used;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (!numbers.contains(w.cache->number_of(held[i]))) continue;
    w.forget(held[i]);
    if (i % 2 == 0) used.push_back("f" + std::to_string(i));
  }
  ASSERT_GT(used.size(), 64U);
  for (const std::string& name : used) (void)w.peek(kRoot, name);
  w.hold("g", 20);  // Few enough for the list alone to make room.
  EXPECT_GT(w.count(Counter::kDentryEvicted), chosen.size() / 4);
  for (const std::string& name : used) EXPECT_EQ(w.fast(kRoot, name), Outcome::kHit) << name;
}

}  // namespace
}  // namespace evenfs::test
