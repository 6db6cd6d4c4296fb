// SPDX-License-Identifier: LGPL-2.1-or-later
// Readers against writers in an arena so small that slots are reused all the time. Objects describe
// themselves: the mode tells the name, so that every single answer can be checked.
#include <atomic>
#include <functional>
#include <thread>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class Concurrent : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Concurrent, AllPolicies, PolicyNames);

constexpr auto kRelaxed = std::memory_order_relaxed;

// Runs `write` at least `rounds` times on this thread, and on until `enough` was seen (but not for
// ever), with each of `readers` on a thread of its own: on a machine that gives one of them little
// time, the others wait for it to have met what the test is about.
template <class Policy>
void torture(World<Policy>& w, std::vector<std::function<void(Worker&)>> readers, int rounds,
             const std::function<void(int)>& write, const std::function<bool()>& enough) {
  constexpr int kPatience = 200;
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> ready{0};
  std::vector<std::thread> threads;
  for (auto& reader : readers) {
    threads.emplace_back([&, reader] {
      Worker me(w.registry);
      reader(me);
      ready.fetch_add(1, kRelaxed);
      while (!stop.load(kRelaxed)) reader(me);
    });
  }
  while (ready.load(kRelaxed) < readers.size()) std::this_thread::yield();
  for (int i = 0; i < rounds || (i < kPatience * rounds && !enough()); ++i) write(i);
  stop.store(true, kRelaxed);
  for (std::thread& thread : threads) thread.join();
}

std::string file_name(unsigned i) {
  return (i % 2 != 0 ? std::string(60, 'n') : std::string("n")) + std::to_string(i);
}

// Names come and go, their inodes' slots are used again for others; an answer is of its name.
TYPED_TEST(Concurrent, AnswersAreOfTheirNames) {
  constexpr unsigned kNames = 48;
  CacheOptions options = small_cache();
  options.slots_max = 24;
  MemoryStore::Options behind;
  behind.reuse_inode_numbers = true;
  World<TypeParam> w(options, behind);
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> found{0};
  const auto reader = [&](Worker& me) {
    thread_local unsigned at = 0;
    const unsigned i = at++ * 7 % kNames;
    const std::string name = file_name(i);
    const auto entry = w.cache->lookup(me, kRoot, name_of(name));
    if (!entry) {
      const int error = code(entry);
      if (error != ENOENT && error != ENOMEM && error != ESTALE) wrong.fetch_add(1, kRelaxed);
      return;
    }
    found.fetch_add(1, kRelaxed);
    const auto attr = w.cache->getattr(me, entry->id, nullptr);
    if ((entry->attr.mode & 0777U) != i || !attr || (attr->mode & 0777U) != i ||
        attr->ino != entry->attr.ino) {
      wrong.fetch_add(1, kRelaxed);
    }
    const auto walked = w.cache->walk(me, kRoot, name, kSuper, false);
    if (walked && (walked->attr.mode & 0777U) != i) wrong.fetch_add(1, kRelaxed);
    w.cache->forget(me, entry->id, 1);
  };
  const auto hits = [&w] {
    return w.count(Counter::kLookupHit) + w.count(Counter::kLookupNegative);
  };
  torture<TypeParam>(
      w, {reader, reader}, 15000,
      [&](int round) {
        const unsigned i = static_cast<unsigned>(round) * 5 % kNames;
        const auto made =
            w.cache->mknod(*w.me, kRoot, name_of(file_name(i)), S_IFREG | i, 0, kSuper);
        if (made) w.forget(made->id);
        if (!made) (void)w.unlink(kRoot, file_name(i));
      },
      [&] { return found.load(kRelaxed) > 0 && hits() > 0; });
  EXPECT_EQ(wrong.load(kRelaxed), 0U);
  EXPECT_GT(found.load(kRelaxed), 0U);
  EXPECT_GT(w.count(Counter::kInodeReclaimed), 100U);
  EXPECT_GT(w.count(Counter::kFallMiss), 0U);
  EXPECT_GT(hits(), 0U);
  w.expect_nothing_left();
}

// chmod oracle: a walk that began after the directory was closed, and ended before it was opened
// again, is refused. (One that found it open may be anywhere below by now, as in any file system.)
TYPED_TEST(Concurrent, AClosedDirectoryHidesItsSecret) {
  World<TypeParam> w;
  const NodeId dir = w.mkdir(kRoot, "d", 0755).id;
  w.forget(w.mknod(dir, "f", 0111).id);
  std::atomic<std::uint64_t> epoch{0};  // Odd while the directory is closed.
  std::atomic<std::uint64_t> leaked{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> passed{0};
  const auto reader = [&](Worker& me) {
    const Cred other{.uid = 11, .gid = 21};
    const std::uint64_t before = epoch.load(std::memory_order_seq_cst);  // Pairs with the writer's.
    const auto seen = w.cache->walk(me, kRoot, "d/f", other, true);
    const bool same = epoch.load(std::memory_order_seq_cst) == before;  // Pairs with the writer's.
    if (seen) passed.fetch_add(1, kRelaxed);
    if (same && before % 2 != 0) (seen ? leaked : refused).fetch_add(1, kRelaxed);
  };
  torture<TypeParam>(
      w, {reader, reader}, 4000,
      [&](int round) {
        ASSERT_EQ(w.chmod(dir, 0700), 0);
        epoch.fetch_add(1, std::memory_order_seq_cst);  // Pairs with the readers' loads, as below.
        const NodeId file = w.lookup(dir, "f").id;
        ASSERT_EQ(w.chmod(file, 0222), 0);
        (void)w.peek(dir, "f");
        ASSERT_EQ(w.chmod(file, 0111), 0);
        w.forget(file);
        epoch.fetch_add(1, std::memory_order_seq_cst);
        ASSERT_EQ(w.chmod(dir, 0755), 0);
        if (round % 64 == 0) std::this_thread::yield();
      },
      [&] { return refused.load(kRelaxed) > 0 && passed.load(kRelaxed) > 0; });
  EXPECT_EQ(leaked.load(kRelaxed), 0U);
  EXPECT_GT(refused.load(kRelaxed), 0U);
  EXPECT_GT(passed.load(kRelaxed), 0U);
  w.forget(dir);
  w.expect_nothing_left();
}

// Two names change places: neither is ever missing, and ".." of the directory is one of the two.
TYPED_TEST(Concurrent, ExchangeNeverLosesAName) {
  World<TypeParam> w;
  const NodeId a = w.mkdir(kRoot, "a", 0700).id;
  const NodeId b = w.mkdir(kRoot, "b", 0701).id;
  w.forget(w.mknod(a, "t", 0101).id);
  w.forget(w.mkdir(b, "t", 0102).id);
  std::atomic<std::uint64_t> missing{0};
  std::atomic<std::uint64_t> wrong{0};
  const auto reader = [&](Worker& me) {
    for (const NodeId dir : {a, b}) {
      const auto seen = w.cache->lookup(me, dir, name_of("t"));
      if (!seen) {
        missing.fetch_add(1, kRelaxed);
        continue;
      }
      const std::uint32_t mode = seen->attr.mode;
      if (mode != (S_IFREG | 0101U) && mode != (S_IFDIR | 0102U)) wrong.fetch_add(1, kRelaxed);
      if (S_ISDIR(mode)) {
        const auto up = w.cache->walk(me, seen->id, "..", kSuper, true);
        if (!up || !(up->id == a || up->id == b)) wrong.fetch_add(1, kRelaxed);
      }
      w.cache->forget(me, seen->id, 1);
    }
  };
  torture<TypeParam>(
      w, {reader, reader}, 6000,
      [&](int) {
        ASSERT_EQ(w.rename(a, "t", b, "t", RenameMode::kExchange), 0);
        (void)w.peek(a, "t");
      },
      [&] { return w.count(Counter::kLookupHit) > 0; });
  EXPECT_EQ(missing.load(kRelaxed), 0U);
  EXPECT_EQ(wrong.load(kRelaxed), 0U);
  EXPECT_GT(w.count(Counter::kLookupHit), 0U);
  w.forget(a);
  w.forget(b);
  w.expect_nothing_left();
}

// Links are read while they are replaced, their cells freed and used again.
TYPED_TEST(Concurrent, LinksLeadWhereTheyLed) {
  World<TypeParam> w;
  w.forget(w.mknod(kRoot, "one", 0101).id);
  w.forget(w.mknod(kRoot, "two", 0102).id);
  std::atomic<std::uint64_t> wrong{0};
  const std::string slashes(200, '/');
  const auto reader = [&](Worker& me) {
    const auto seen = w.cache->walk(me, kRoot, "link", kSuper, true);
    if (!seen && code(seen) != ENOENT && code(seen) != ESTALE) wrong.fetch_add(1, kRelaxed);
    if (seen && (seen->attr.mode & 0777U) != 0101U && (seen->attr.mode & 0777U) != 0102U) {
      wrong.fetch_add(1, kRelaxed);
    }
  };
  torture<TypeParam>(
      w, {reader, reader}, 3000,
      [&](int round) {
        const NodeId link = w.symlink(kRoot, "link", slashes + (round % 2 != 0 ? "one" : "two")).id;
        (void)w.cache->readlink(*w.me, link);
        (void)w.cache->walk(*w.me, kRoot, "link", kSuper, true);
        ASSERT_EQ(w.unlink(kRoot, "link"), 0);
        w.forget(link);
        if (round % 4 == 0) w.cache->drop_unused(*w.me);
      },
      [] { return true; });
  EXPECT_EQ(wrong.load(kRelaxed), 0U);
  EXPECT_GT(w.count(Counter::kInodeReclaimed), 1000U);
  w.expect_nothing_left();
}

}  // namespace
}  // namespace evenfs::test
