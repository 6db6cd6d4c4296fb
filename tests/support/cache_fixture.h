// SPDX-License-Identifier: LGPL-2.1-or-later
// World: a cache of one locking policy over a memory store that can be hooked, with short names for
// what the tests do often. Tests are TYPED_TEST over the four policies.
//
// A thread has one Worker, so a test has one World at a time; further threads bring a Worker of
// their own.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/cache/basic_cache.h"
#include "core/store/memory_store.h"
#include "tests/support/hooked_store.h"
#include "tests/support/store_fixture.h"

namespace evenfs {
extern template class BasicCache<LocklessPolicy>;
extern template class BasicCache<ShardedPolicy>;
extern template class BasicCache<RwlockPolicy>;
extern template class BasicCache<MutexPolicy>;
}  // namespace evenfs

namespace evenfs::test {

inline constexpr NodeId kRoot = NodeId::root();
inline constexpr Cred kSuper{};  // uid 0.

template <class Policy>
class CacheTest : public ::testing::Test {};
using AllPolicies = ::testing::Types<LocklessPolicy, ShardedPolicy, RwlockPolicy, MutexPolicy>;
struct PolicyNames {
  template <class Policy>
  static std::string GetName(int) {
    return std::string(locking_name(Policy::kLocking));
  }
};

// The smallest cache; a seed of its own, so that chains are the same in every run.
inline CacheOptions small_cache() {
  CacheOptions options;
  options.memory_bytes = std::uint64_t{1} << 20;
  options.hash_seed = 0x5eed;
  return options;
}

// Lists a directory as the daemon does it for READDIRPLUS. False: not all was listed, or not all is cached.
template <class Policy>
bool list_names(BasicCache<Policy>& cache, Worker& by, NodeId dir) {
  const Cache::RollCall call = cache.begin_roll_call(dir);
  const Result<Cache::Pin> pin = cache.pin(dir);
  if (!pin) return false;
  const Result<std::unique_ptr<Directory>> open = cache.store().opendir(pin->node(), 0);
  if (!open) return false;
  bool all = true;
  const Status read = (*open)->read(0, [&](const DirEntry& entry) {
    const Result<NameRef> name = NameRef::make(entry.name);
    if (!name) return true;
    (void)cache.peek(by, dir, *name);
    all = all && cache.has_name(dir, *name);
    return true;
  });
  ListingLease lease;
  if (read && all) cache.end_roll_call(by, call, lease);
  return read && all;
}

template <class Policy>
struct World {
  explicit World(CacheOptions options = small_cache(), MemoryStore::Options behind = {})
      : memory(std::move(behind)), store(memory), me(std::in_place, registry) {
    auto made = BasicCache<Policy>::create(store, options);
    if (!made) std::abort();
    cache = std::move(made).value();
  }

  std::uint64_t count(Counter counter) const {
    return registry.totals()[static_cast<std::size_t>(counter)];
  }

  // --- Success taken for granted.
  Entry mkdir(NodeId dir, std::string_view name, std::uint32_t mode = 0755) {
    return must(cache->mkdir(*me, dir, name_of(name), mode, kSuper), name);
  }
  Entry mknod(NodeId dir, std::string_view name, std::uint32_t mode = 0644) {
    return must(cache->mknod(*me, dir, name_of(name), S_IFREG | mode, 0, kSuper), name);
  }
  Entry symlink(NodeId dir, std::string_view name, const std::string& target) {
    return must(cache->symlink(*me, dir, name_of(name), target.c_str(), kSuper), name);
  }
  Entry lookup(NodeId dir, std::string_view name) {
    return must(cache->lookup(*me, dir, name_of(name)), name);
  }
  Entry peek(NodeId dir, std::string_view name) {
    return must(cache->peek(*me, dir, name_of(name)), name);
  }
  Attr getattr(NodeId id) {
    const Result<Attr> got = cache->getattr(*me, id, nullptr);
    EXPECT_EQ(code(got), 0);
    return got ? *got : Attr{};
  }

  // --- The errno, 0 for success.
  int peek_error(NodeId dir, std::string_view name) {
    return code(cache->peek(*me, dir, name_of(name)));
  }
  int unlink(NodeId dir, std::string_view name) {
    return code(cache->unlink(*me, dir, name_of(name)));
  }
  int rmdir(NodeId dir, std::string_view name) {
    return code(cache->rmdir(*me, dir, name_of(name)));
  }
  int rename(NodeId dir, std::string_view name, NodeId new_dir, std::string_view new_name,
             RenameMode mode = RenameMode::kReplace) {
    return code(cache->rename(*me, dir, name_of(name), new_dir, name_of(new_name), mode, Cred{}));
  }
  int chmod(NodeId id, std::uint32_t mode) {
    SetAttr change;
    change.mode = mode;
    return code(cache->setattr(*me, id, change, nullptr));
  }
  int truncate(NodeId id, std::uint64_t size) {
    SetAttr change;
    change.size = size;
    return code(cache->setattr(*me, id, change, nullptr));
  }
  void forget(NodeId id, std::uint64_t n = 1) { cache->forget(*me, id, n); }

  bool list(NodeId dir, Worker& by) { return list_names(*cache, by, dir); }
  bool list(NodeId dir) { return list(dir, *me); }
  // Whether it is known what is not in the directory. Such a name is in none.
  bool knows_names(NodeId dir) { return fast(dir, "in no directory") == Outcome::kAbsent; }

  // --- When everything has been given back.
  // Nobody holds an inode but the root; what is cached may still be there.
  void expect_nothing_held() {
    EXPECT_EQ(cache->stats().kernel_lookups, 0U);
    EXPECT_EQ(cache->stats().inodes, 1U);
    EXPECT_EQ(count(Counter::kForgetExcess), 0U);
    EXPECT_EQ(memory.references(), 1U);
  }
  void expect_nothing_left() {
    cache->drop_unused(*me);
    expect_nothing_held();
    EXPECT_EQ(cache->stats().dentries, 0U);
    EXPECT_EQ(cache->stats().cells, 0U);
  }

  // --- The lock-free path alone: what it says, without the store. Not inlined, for GCC's sake,
  // which with a literal for a name warns of the hash's branches for longer ones.
  [[gnu::noinline]] Outcome fast(NodeId dir, std::string_view name, Entry* into = nullptr) {
    Entry entry;
    const Outcome outcome = cache->try_lookup(dir, name_of(name), Count::kNo, entry);
    if (into != nullptr) *into = entry;
    return outcome;
  }
  Outcome fast_attr(NodeId id, Attr* into = nullptr) {
    Attr attr;
    const Outcome outcome = cache->try_getattr(id, attr);
    if (into != nullptr) *into = attr;
    return outcome;
  }

  // --- Behind the cache's back.
  // The attributes that the store itself has for a name, or nothing.
  std::optional<Found> behind(const Node& dir, std::string_view name) {
    const Result<Found> found = memory.lookup(dir, name_of(name));
    if (!found) return std::nullopt;
    memory.release(found->node);
    return *found;
  }
  Node root_node() {
    const Result<Found> root = memory.root();
    memory.release(root->node);  // The root lives as long as the store.
    return root->node;
  }
  void behind_file(std::string_view name, std::uint32_t mode = 0644) {
    const Result<Found> made = memory.mknod(root_node(), name_of(name), S_IFREG | mode, 0, kSuper);
    EXPECT_EQ(code(made), 0);
    if (made) memory.release(made->node);
  }

  MemoryStore memory;
  HookedStore store;
  WorkerRegistry registry;
  std::optional<Worker> me;
  std::unique_ptr<BasicCache<Policy>> cache;

 private:
  static Entry must(Result<Entry> result, std::string_view name) {
    EXPECT_EQ(code(result), 0) << name;
    return result ? *result : Entry{};
  }
};

}  // namespace evenfs::test
