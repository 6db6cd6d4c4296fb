// SPDX-License-Identifier: LGPL-2.1-or-later
// Durable numbers: what the kernel calls an inode whose object the store can find again. A number leads to
// its object or nowhere, whatever has become of the slot, and costs no question while the inode is there.
#include <algorithm>
#include <array>
#include <random>
#include <thread>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

MemoryStore::Options durable_store() {
  MemoryStore::Options behind;
  behind.durable = true;
  behind.reuse_inode_numbers = true;
  return behind;
}

template <class Policy>
struct DurableWorld : World<Policy> {
  explicit DurableWorld(CacheOptions options = small_cache())
      : World<Policy>(options, durable_store()) {}

  std::uint64_t number(NodeId id) const { return this->cache->number_of(id); }
  NodeId id(std::uint64_t number) const { return this->cache->id_of_number(number); }
  int lookup_error(std::uint64_t number) {
    return code(this->cache->lookup_number(*this->me, number));
  }
};

template <class Policy>
class Durable : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Durable, AllPolicies, PolicyNames);

TYPED_TEST(Durable, ANumberLeadsToItsObjectAlsoWhenTheSlotIsAnothers) {
  DurableWorld<TypeParam> w;
  const Entry file = w.mknod(kRoot, "f");
  const std::uint64_t number = w.number(file.id);
  EXPECT_TRUE(Identity::is_durable(number));
  EXPECT_EQ(w.id(number), file.id);
  w.forget(file.id);
  w.cache->drop_unused(*w.me);
  const Entry other = w.mknod(kRoot, "g");
  ASSERT_EQ(other.id.index(), file.id.index());
  EXPECT_EQ(w.id(number), NodeId());
  EXPECT_EQ(w.id(w.number(other.id)), other.id);

  const Result<Entry> again = w.cache->lookup_number(*w.me, number);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->attr, file.attr);
  EXPECT_EQ(w.number(again->id), number);
  EXPECT_EQ(w.id(number), again->id);
  EXPECT_EQ(w.lookup(kRoot, "f").id, again->id);
  EXPECT_EQ(w.store.calls("find"), 1U);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 3U);
}

TYPED_TEST(Durable, TheStoreIsNotAskedForAnInodeThatIsThere) {
  DurableWorld<TypeParam> w;
  const Entry dir = w.mkdir(kRoot, "d");
  const std::uint64_t calls = w.store.calls("getattr");
  EXPECT_EQ(w.cache->lookup_number(*w.me, w.number(dir.id))->id, dir.id);
  EXPECT_EQ(w.store.calls("find"), 0U);
  EXPECT_EQ(w.store.calls("getattr"), calls);
}

TYPED_TEST(Durable, WhatIsGoneIsStaleAlsoWhenItsInodeNumberIsUsedAgain) {
  DurableWorld<TypeParam> w;
  const Entry file = w.mknod(kRoot, "f");
  const std::uint64_t number = w.number(file.id);
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  // Still counted, if only because the kernel's FORGET is on its way: it would not ask otherwise.
  EXPECT_EQ(w.id(number), file.id);
  EXPECT_EQ(w.lookup_error(number), ESTALE);
  w.forget(file.id);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.lookup_error(number), ESTALE);
  const Entry next = w.mknod(kRoot, "n");
  EXPECT_EQ(next.attr.ino, file.attr.ino);
  EXPECT_NE(w.number(next.id), number);
  EXPECT_EQ(w.lookup_error(number), ESTALE);
  EXPECT_EQ(w.id(number), NodeId());
}

TYPED_TEST(Durable, TheRootAndWhatHasNoNumberAreCalledByTheirIds) {
  DurableWorld<TypeParam> w;
  EXPECT_EQ(w.number(kRoot), kRoot.raw());
  EXPECT_EQ(w.id(kRoot.raw()), kRoot);
  EXPECT_EQ(w.cache->lookup_number(*w.me, kRoot.raw())->id, kRoot);
  EXPECT_EQ(w.lookup_error(0), ESTALE);
  EXPECT_EQ(w.lookup_error(~std::uint64_t{0}), ESTALE);
}

TYPED_TEST(Durable, WithoutDurableNumbersTheIdIsTheNumber) {
  World<TypeParam> w;
  const Entry file = w.mknod(kRoot, "f");
  EXPECT_EQ(w.cache->number_of(file.id), file.id.raw());
  EXPECT_EQ(w.cache->id_of_number(file.id.raw()), file.id);
  EXPECT_FALSE(Identity::is_durable(file.id.raw()));
  EXPECT_EQ(code(w.cache->lookup_number(*w.me, Identity::kDurable | file.id.raw())), ESTALE);
}

TYPED_TEST(Durable, ASlotBetweenTwoLivesIsNobodys) {
  DurableWorld<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f").id;
  const InodePub& slot = w.cache->slots_for_test().inode(id.index());
  EXPECT_EQ(slot.identity_generation.load(), w.number(id));
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.forget(id);
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(slot.generation.load(), id.generation() + 1);
  EXPECT_EQ(slot.identity_generation.load(), 0U);
}

// The gap between the store's answer and the inode: somebody else enters it first.
TYPED_TEST(Durable, AnObjectThatIsLookedUpMeanwhileGetsOneInode) {
  DurableWorld<TypeParam> w;
  const Entry file = w.mknod(kRoot, "f");
  const std::uint64_t number = w.number(file.id);
  w.forget(file.id);
  w.cache->drop_unused(*w.me);
  NodeId by_name;
  w.store.after("find", [&] { by_name = w.lookup(kRoot, "f").id; });
  const Result<Entry> by_number = w.cache->lookup_number(*w.me, number);
  ASSERT_TRUE(by_number.ok());
  EXPECT_EQ(by_number->id, by_name);
  EXPECT_EQ(w.cache->stats().inodes, 2U);
  EXPECT_EQ(w.memory.references(), 2U);
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

// In the same gap the object is changed through an inode that is gone again: the old attributes must not
// be served.
TYPED_TEST(Durable, WhatWasChangedMeanwhileIsAskedForAgain) {
  DurableWorld<TypeParam> w;
  const Entry file = w.mknod(kRoot, "f", 0644);
  const std::uint64_t number = w.number(file.id);
  w.forget(file.id);
  w.cache->drop_unused(*w.me);
  w.store.after("find", [&] {
    const NodeId id = w.lookup(kRoot, "f").id;
    EXPECT_EQ(w.chmod(id, 0600), 0);
    w.forget(id);
    w.cache->drop_unused(*w.me);
    EXPECT_EQ(w.cache->stats().inodes, 1U);
  });
  const Result<Entry> entry = w.cache->lookup_number(*w.me, number);
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(w.getattr(entry->id).mode & 07777U, 0600U);
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

// Of one policy only: what is long is the time that it takes to make them.
TEST(DurableChains, OfAnyLengthAreSearchedToTheEnd) {
  DurableWorld<LocklessPolicy> w;
  const std::uint32_t chains = w.cache->slots_for_test().bucket_mask() + 1;
  const std::uint32_t count = chains * 66;  // More for each than the lock-free search looks at.
  std::vector<std::pair<std::uint64_t, NodeId>> held;
  for (std::uint32_t i = 0; i < count; ++i) {
    const NodeId id = w.mknod(kRoot, "f").id;
    held.emplace_back(w.number(id), id);
    ASSERT_EQ(w.unlink(kRoot, "f"), 0);  // So that it costs no dentry.
  }
  for (const auto& [number, id] : held) ASSERT_EQ(w.id(number), id);
  std::shuffle(held.begin(), held.end(), std::mt19937(7));
  for (std::size_t i = 0; i < held.size() / 2; ++i) w.forget(held[i].second);
  w.cache->drop_unused(*w.me);
  for (std::size_t i = 0; i < held.size(); ++i) {
    ASSERT_EQ(w.id(held[i].first), i < held.size() / 2 ? NodeId() : held[i].second);
  }
}

// Readers translate numbers while the slots behind them change hands all the time.
TYPED_TEST(Durable, UnderChangesANumberNeverLeadsToAnotherObject) {
  CacheOptions options = small_cache();
  options.slots_max = 12;
  DurableWorld<TypeParam> w(options);
  constexpr int kRounds = 4000;
  std::array<std::atomic<std::uint64_t>, 16> numbers{};
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> found{0};
  std::atomic<std::uint64_t> wrong{0};
  const auto read = [&] {
    Worker me(w.registry);
    for (std::size_t i = 0; !done.load(); ++i) {
      const std::uint64_t number = numbers[i % numbers.size()].load();
      const NodeId id = w.cache->id_of_number(number);
      const Result<Cache::Pin> pin = w.cache->pin(id);
      if (!pin) continue;
      // Pinned, so the slot cannot change hands any more.
      found.fetch_add(1);
      if (w.cache->number_of(id) != number) wrong.fetch_add(1);
    }
  };
  std::array<std::thread, 2> readers{std::thread(read), std::thread(read)};
  for (int round = 0; round < kRounds || (found.load() < 1000 && round < 100 * kRounds); ++round) {
    const std::string name = std::to_string(round % 5);
    const NodeId id = w.mknod(kRoot, name).id;
    numbers[static_cast<std::size_t>(round) % numbers.size()].store(w.number(id));
    EXPECT_EQ(w.unlink(kRoot, name), 0);
    w.forget(id);
    w.cache->drop_unused(*w.me);
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0U);
  EXPECT_GE(found.load(), 1000U);
  EXPECT_GT(w.count(Counter::kInodeReclaimed), static_cast<std::uint64_t>(kRounds) / 2);
}

}  // namespace
}  // namespace evenfs::test
