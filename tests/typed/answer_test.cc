// SPDX-License-Identifier: LGPL-2.1-or-later
// Answers: hit, negative and miss, each through the path that it is meant to take. What a test calls
// cached is asserted by the counters of the lock-free path, so it cannot pass by asking the store.
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

template <class Policy>
class Answer : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Answer, AllPolicies, PolicyNames);

TYPED_TEST(Answer, WhatWasMadeIsAHit) {
  World<TypeParam> w;
  const Entry made = w.mknod(kRoot, "file", 0640);
  const Entry seen = w.peek(kRoot, "file");
  EXPECT_EQ(seen.id, made.id);
  EXPECT_EQ(seen.attr, made.attr);
  EXPECT_EQ(seen.attr, w.behind(w.root_node(), "file")->attr);
  EXPECT_EQ(w.getattr(made.id), made.attr);
  EXPECT_EQ(w.count(Counter::kLookupHit), 1U);
  EXPECT_EQ(w.count(Counter::kGetattrHit), 1U);
  EXPECT_EQ(w.store.calls("lookup") + w.store.calls("getattr"), 0U);
}

TYPED_TEST(Answer, AMissIsNeverAnAnswer) {
  World<TypeParam> w;
  for (int i = 0; i < 300; ++i) w.behind_file("n" + std::to_string(i));
  for (int i = 0; i < 300; ++i) {
    const std::string name = "n" + std::to_string(i);
    EXPECT_EQ(w.fast(kRoot, name), Outcome::kMiss);
    EXPECT_EQ(w.peek(kRoot, name).attr.ino, w.behind(w.root_node(), name)->attr.ino);
    EXPECT_EQ(w.fast(kRoot, name), Outcome::kHit);
  }
  EXPECT_EQ(w.count(Counter::kFallMiss), 300U);
  EXPECT_EQ(w.count(Counter::kLookupLocked), 300U);
  w.cache->drop_unused(*w.me);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(w.peek_error(kRoot, "n" + std::to_string(i)), 0);
  EXPECT_EQ(w.count(Counter::kFallMiss), 600U);
}

TYPED_TEST(Answer, NotThereIsAskedOnce) {
  World<TypeParam> w;
  EXPECT_EQ(w.peek_error(kRoot, "no"), ENOENT);
  EXPECT_EQ(w.peek_error(kRoot, "no"), ENOENT);
  EXPECT_EQ(code(w.cache->lookup(*w.me, kRoot, name_of("no"))), ENOENT);
  EXPECT_EQ(w.store.calls("lookup"), 1U);
  EXPECT_EQ(w.count(Counter::kLookupNegative), 2U);
  EXPECT_EQ(w.cache->stats().negative_dentries, 1U);
  const Entry made = w.mknod(kRoot, "no");
  Entry seen;
  EXPECT_EQ(w.fast(kRoot, "no", &seen), Outcome::kHit);
  EXPECT_EQ(seen.id, made.id);
  EXPECT_EQ(w.cache->stats().negative_dentries, 0U);
}

TYPED_TEST(Answer, EveryFallbackHasItsCounter) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 1;
  World<TypeParam> w(options);
  const Entry file = w.mknod(kRoot, "f");
  w.behind_file("other");
  (void)w.peek(kRoot, "other");
  EXPECT_EQ(w.count(Counter::kFallMiss), 1U);
  w.cache->invalidate(file.id);
  (void)w.getattr(file.id);
  EXPECT_EQ(w.count(Counter::kFallAttrInvalid), 1U);
  w.cache->set_tick(2);
  (void)w.getattr(file.id);
  EXPECT_EQ(w.count(Counter::kFallExpired), 1U);
  EXPECT_EQ(code(w.cache->getattr(*w.me, NodeId(file.id.index(), 77), nullptr)), ESTALE);
  EXPECT_EQ(w.count(Counter::kFallStaleId), 1U);
  const auto busy = w.cache->begin_change(file.id, Fields::kStat);
  ASSERT_TRUE(busy.ok());
  (void)w.getattr(file.id);
  EXPECT_EQ(w.count(Counter::kFallInodeBusy), 1U);
  EXPECT_EQ(w.count(Counter::kFillLost), 1U);
  EXPECT_EQ(w.count(Counter::kFillPublished), 2U);
}

TYPED_TEST(Answer, TheModeIsKnownWhileSizeAndTimesAreNot) {
  World<TypeParam> w;
  const NodeId id = w.mknod(kRoot, "f", 04711).id;
  const auto mode = [&w, id] { return w.cache->mode(*w.me, id, nullptr).value() & 07777U; };
  {
    const auto write = w.cache->begin_change(id, Fields::kStat);
    ASSERT_TRUE(write.ok());
    EXPECT_EQ(mode(), 04711U);
  }
  EXPECT_EQ(w.fast_attr(id), Outcome::kAttrInvalid);
  EXPECT_EQ(mode(), 04711U);
  EXPECT_EQ(w.store.calls("getattr"), 0U);
  {
    const auto chmod = w.cache->begin_change(id, Fields::kWalk);
    ASSERT_TRUE(chmod.ok());
    EXPECT_EQ(mode(), 04711U);
    EXPECT_EQ(w.store.calls("getattr"), 1U);
  }
  EXPECT_EQ(mode(), 04711U);
  EXPECT_EQ(mode(), 04711U);
  EXPECT_EQ(w.store.calls("getattr"), 2U);
  EXPECT_EQ(code(w.cache->mode(*w.me, NodeId(id.index(), 77), nullptr)), ESTALE);
}

TYPED_TEST(Answer, TheModeExpires) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 1;
  World<TypeParam> w(options);
  const NodeId id = w.mknod(kRoot, "f", 0644).id;
  w.cache->set_tick(5);
  EXPECT_EQ(w.cache->mode(*w.me, id, nullptr).value() & 07777U, 0644U);
  EXPECT_EQ(w.store.calls("getattr"), 1U);
}

// The kernel sends CREATE for a name that was not there a moment ago, and then takes the file for the
// caller's own. What others have made meanwhile must not be opened for somebody who may not.
TYPED_TEST(Answer, CreateOpensWhatIsThereOnlyForThoseWhoMay) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 1000;
  World<TypeParam> w(options);
  EXPECT_EQ(w.peek_error(kRoot, "x"), ENOENT);
  w.behind_file("x", 0600);
  const Cred other{.uid = 11, .gid = 21};
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC}) {
    EXPECT_EQ(code(w.cache->create(*w.me, kRoot, name_of("x"), 0644, flags | O_CREAT, other)),
              EACCES);
  }
  EXPECT_EQ(w.store.calls("open"), 0U);
  EXPECT_EQ(w.store.calls("setattr"), 0U);
  auto opened =
      w.cache->create(*w.me, kRoot, name_of("x"), 0644, O_RDWR | O_CREAT | O_TRUNC, kSuper);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(w.cache->stats().kernel_lookups, 1U);
  w.forget(opened->entry.id);
}

TYPED_TEST(Answer, HardLinksShareOneInode) {
  World<TypeParam> w;
  const Entry dir = w.mkdir(kRoot, "d");
  const Entry made = w.mknod(kRoot, "a");
  const Result<Entry> linked = w.cache->link(*w.me, made.id, dir.id, name_of("b"));
  ASSERT_TRUE(linked.ok());
  EXPECT_EQ(linked->id, made.id);
  EXPECT_EQ(linked->attr.nlink, 2U);
  EXPECT_EQ(w.peek(kRoot, "a").attr.nlink, 2U);
  EXPECT_EQ(w.peek(dir.id, "b").id, made.id);
  EXPECT_EQ(w.unlink(kRoot, "a"), 0);
  EXPECT_EQ(w.peek(dir.id, "b").attr.nlink, 1U);
  // Found by the name that a fresh cache has not seen: still the one inode.
  EXPECT_EQ(
      code(w.memory.link(w.behind(w.root_node(), "d") ? w.cache->pin(made.id)->node() : Node(),
                         w.root_node(), name_of("c"))),
      0);
  EXPECT_EQ(w.peek(kRoot, "c").id, made.id);
}

TYPED_TEST(Answer, NamesOfEveryLength) {
  World<TypeParam> w;
  std::vector<std::string> names;
  for (const std::size_t length :
       {1, 3, 4, 23, 24, 25, 27, 28, 29, 30, 79, 80, 81, 136, 254, 255}) {
    names.push_back(std::string(length, 'x'));
    names.push_back(std::string(length - 1, 'x') + "y");
    names.push_back(std::string(length - 1, 'x') + "\xff");
    names.push_back("\x80" + std::string(length - 1, 'x'));
  }
  std::vector<NodeId> ids;
  for (const std::string& name : names) {
    EXPECT_EQ(w.peek_error(kRoot, name), ENOENT);
    EXPECT_EQ(w.fast(kRoot, name), Outcome::kNegative);
    ids.push_back(w.mknod(kRoot, name).id);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    Entry seen;
    EXPECT_EQ(w.fast(kRoot, names[i], &seen), Outcome::kHit) << names[i].size();
    EXPECT_EQ(seen.id, ids[i]) << names[i].size();
  }
  EXPECT_GT(w.cache->stats().cells, 0U);
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(w.unlink(kRoot, names[i]), 0);
    w.forget(ids[i]);
  }
  w.cache->drop_unused(*w.me);
  EXPECT_EQ(w.cache->stats().cells, 0U);
  EXPECT_EQ(w.cache->stats().inodes, 1U);
}

TYPED_TEST(Answer, LinkTargetsOfEveryLength) {
  World<TypeParam> w;
  for (const std::size_t length : {1, 7, 8, 55, 56, 57, 112, 113, 4094, 4095}) {
    const std::string name = "l" + std::to_string(length);
    std::string target(length, 't');
    target.back() = 'e';
    const Entry link = w.symlink(kRoot, name, target);
    for (int i = 0; i < 3; ++i) {
      const Result<std::string> told = w.cache->readlink(*w.me, link.id);
      ASSERT_TRUE(told.ok());
      EXPECT_EQ(*told, target);
    }
    EXPECT_EQ(w.unlink(kRoot, name), 0);
    w.forget(link.id);
    EXPECT_EQ(w.cache->stats().cells, (length + 55) / 56);
    w.cache->drop_unused(*w.me);
    EXPECT_EQ(w.cache->stats().cells, 0U) << length;
  }
  EXPECT_EQ(w.count(Counter::kReadlinkHit), 20U);
  EXPECT_EQ(w.store.calls("readlink"), 10U);
}

// Names that all fall into one chain: what stands behind the first 64 is asked for, and found.
TYPED_TEST(Answer, AChainIsFollowedForABoundedNumberOfSteps) {
  constexpr std::size_t kNames = 66;
  World<TypeParam> w;
  const Slots& slots = w.cache->slots_for_test();
  const auto bucket_of = [&](const std::string& name) {
    const std::uint32_t generation = slots.inode(kRoot.index()).generation.load();
    return NameKey(slots.hash_seed(), kRoot.index(), generation, name_of(name)).hash &
           slots.bucket_mask();
  };
  std::vector<std::string> names;
  for (int i = 0; i < 1000000 && names.size() < kNames; ++i) {
    const std::string name = "n" + std::to_string(i);
    if (bucket_of(name) == 5) names.push_back(name);
  }
  ASSERT_EQ(names.size(), kNames);
  for (const std::string& name : names) (void)w.mknod(kRoot, name);
  EXPECT_EQ(w.fast(kRoot, names[0]), Outcome::kChainLong);  // The oldest are the last.
  EXPECT_EQ(w.fast(kRoot, names[1]), Outcome::kChainLong);
  EXPECT_EQ(w.fast(kRoot, names[2]), Outcome::kHit);
  EXPECT_EQ(w.peek_error(kRoot, names[0]), 0);
  EXPECT_EQ(w.count(Counter::kFallChainLong), 1U);
  EXPECT_EQ(code(w.cache->walk(*w.me, kRoot, names[0], kSuper, true)), 0);
  EXPECT_EQ(w.count(Counter::kFallChainLong), 2U);
}

// Others change the store within the tick in which it was asked.
TYPED_TEST(Answer, WithoutTimeToLiveTheStoreIsAskedEachTime) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 0;
  World<TypeParam> w(options);
  const NodeId file = w.mknod(kRoot, "f", 0600).id;
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);
  SetAttr change;
  change.mode = 0644;
  const auto behind = w.behind(w.root_node(), "f");
  ASSERT_TRUE(behind.has_value());
  EXPECT_EQ(code(w.memory.setattr(behind->node, change, nullptr)), 0);
  EXPECT_EQ(w.getattr(file).mode & 0777U, 0644U);
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
  EXPECT_EQ(w.peek_error(kRoot, "f"), ENOENT);
  w.behind_file("f", 0640);
  EXPECT_EQ(w.peek(kRoot, "f").attr.mode & 0777U, 0640U);
  EXPECT_EQ(code(w.cache->walk(*w.me, kRoot, "f", kSuper, true)), 0);
  EXPECT_EQ(w.count(Counter::kLookupHit) + w.count(Counter::kLookupNegative) +
                w.count(Counter::kGetattrHit) + w.count(Counter::kWalkHit),
            0U);
}

TYPED_TEST(Answer, AttributesExpire) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 10;
  World<TypeParam> w(options);
  w.cache->set_tick(5);
  const Entry file = w.mknod(kRoot, "f");
  w.cache->set_tick(15);
  EXPECT_EQ(w.fast_attr(file.id), Outcome::kHit);
  w.cache->set_tick(16);
  EXPECT_EQ(w.fast_attr(file.id), Outcome::kExpired);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);
  (void)w.getattr(file.id);
  EXPECT_EQ(w.store.calls("getattr"), 1U);
  EXPECT_EQ(w.fast_attr(file.id), Outcome::kHit);
  EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);  // Its name is another matter.
}

TYPED_TEST(Answer, NamesExpireAndAreConfirmedInPlace) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 10;
  World<TypeParam> w(options);
  const Entry file = w.mknod(kRoot, "f");
  EXPECT_EQ(w.peek_error(kRoot, "no"), ENOENT);
  const std::uint64_t inserted =
      w.count(Counter::kDentryInserted) + w.count(Counter::kNegativeInserted);
  const std::uint64_t dentries = w.cache->stats().dentries;
  for (std::uint64_t tick = 11; tick < 60; tick += 11) {
    w.cache->set_tick(tick);
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kExpired);
    EXPECT_EQ(w.fast(kRoot, "no"), Outcome::kExpired);
    EXPECT_EQ(w.peek(kRoot, "f").id, file.id);
    EXPECT_EQ(w.peek_error(kRoot, "no"), ENOENT);
    EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
    EXPECT_EQ(w.fast(kRoot, "no"), Outcome::kNegative);
  }
  EXPECT_EQ(w.count(Counter::kDentryInserted) + w.count(Counter::kNegativeInserted), inserted);
  EXPECT_EQ(w.cache->stats().dentries, dentries);
}

// What another party did to the store shows when the time is up, and not a tick later.
TYPED_TEST(Answer, ExpiryShowsTheWorldAsItIs) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 10;
  World<TypeParam> w(options);
  const Entry gone = w.mknod(kRoot, "gone");
  const Entry swapped = w.mknod(kRoot, "swapped");
  EXPECT_EQ(w.peek_error(kRoot, "comes"), ENOENT);
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("gone"))), 0);
  EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("swapped"))), 0);
  w.behind_file("swapped");
  w.behind_file("comes");
  EXPECT_EQ(w.peek(kRoot, "gone").id, gone.id);
  EXPECT_EQ(w.peek_error(kRoot, "comes"), ENOENT);
  w.cache->set_tick(11);
  EXPECT_EQ(w.peek_error(kRoot, "gone"), ENOENT);
  EXPECT_EQ(w.fast(kRoot, "gone"), Outcome::kNegative);
  EXPECT_EQ(w.peek(kRoot, "comes").attr.ino, w.behind(w.root_node(), "comes")->attr.ino);
  EXPECT_FALSE(w.peek(kRoot, "swapped").id == swapped.id);
  EXPECT_EQ(w.fast(kRoot, "swapped"), Outcome::kHit);
  w.cache->invalidate_name(*w.me, kRoot, name_of("comes"));
  EXPECT_EQ(w.fast(kRoot, "comes"), Outcome::kMiss);
}

TYPED_TEST(Answer, DotAndDotDot) {
  World<TypeParam> w;
  const Entry dir = w.mkdir(kRoot, "d");
  EXPECT_EQ(w.cache->lookup_number(*w.me, w.cache->number_of(dir.id))->id, dir.id);
  EXPECT_EQ(w.cache->lookup_parent(*w.me, dir.id)->id, kRoot);
  EXPECT_EQ(w.cache->lookup_parent(*w.me, kRoot)->id, kRoot);
  EXPECT_EQ(w.cache->stats().kernel_lookups, 2U);  // The root is not counted.
  w.forget(kRoot, 2);
  EXPECT_EQ(w.count(Counter::kForgetExcess), 0U);
  w.forget(kRoot, 1);
  EXPECT_EQ(w.count(Counter::kForgetExcess), 1U);
  EXPECT_EQ(w.getattr(kRoot).ino, dir.attr.ino - 1);
}

TYPED_TEST(Answer, AFileIsNoDirectory) {
  World<TypeParam> w;
  const Entry file = w.mknod(kRoot, "f");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(w.peek_error(file.id, "x"), ENOTDIR);
  EXPECT_EQ(code(w.cache->mkdir(*w.me, file.id, name_of("x"), 0755, kSuper)), ENOTDIR);
  EXPECT_EQ(w.unlink(file.id, "x"), ENOTDIR);
  EXPECT_EQ(w.rename(kRoot, "f", file.id, "x"), ENOTDIR);
  EXPECT_EQ(w.peek(kRoot, "f").id, file.id);
}

// The sequence counts begin close to where 32 bits, and 63, would come round.
TYPED_TEST(Answer, CountsMayBeAnything) {
  for (const std::uint64_t start : {(std::uint64_t{1} << 31) - 2, (std::uint64_t{1} << 62) - 2}) {
    CacheOptions options = small_cache();
    options.seq_start = start;
    World<TypeParam> w(options);
    const Entry file = w.mknod(kRoot, "f");
    for (std::uint32_t i = 0; i < 20; ++i) {
      EXPECT_EQ(w.chmod(file.id, 0600 + i % 8), 0);
      EXPECT_EQ(w.getattr(file.id).mode & 0777U, 0600 + i % 8);
      EXPECT_EQ(w.fast(kRoot, "f"), Outcome::kHit);
    }
  }
}

TYPED_TEST(Answer, OptionsOutOfRangeAreRefused) {
  MemoryStore memory;
  CacheOptions options;
  options.memory_bytes = (1 << 20) - 1;
  EXPECT_EQ(code(make_cache(TypeParam::kLocking, memory, options)), EINVAL);
  options = small_cache();
  options.slots_max = 1U << 31;
  EXPECT_EQ(code(make_cache(TypeParam::kLocking, memory, options)), EINVAL);
  auto made = make_cache(TypeParam::kLocking, memory, small_cache());
  ASSERT_TRUE(made.ok());
  EXPECT_EQ((*made)->locking(), TypeParam::kLocking);
  EXPECT_EQ(&(*made)->store(), &memory);
  made = Errno(EIO);
  EXPECT_EQ(memory.references(), 0U);
}

}  // namespace
}  // namespace evenfs::test
