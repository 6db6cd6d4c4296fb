// SPDX-License-Identifier: LGPL-2.1-or-later
// Kept listings: as long as nothing happens to the directory, and no longer.
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

// A directory d with the names a and b and the directory c, all cached.
template <class Policy>
struct ListedWorld : World<Policy> {
  explicit ListedWorld(const CacheOptions& options = small_cache()) : World<Policy>(options) {
    dir = this->mkdir(kRoot, "d").id;
    this->mknod(dir, "a");
    this->mknod(dir, "b");
    sub = this->mkdir(dir, "c").id;
    other = this->mkdir(kRoot, "other").id;
  }
  // As a handler does it; `meanwhile` comes between the lease and the end of the listing.
  void list(const std::function<void()>& meanwhile = [] {}) { list(dir, meanwhile); }
  void list(
      NodeId of, const std::function<void()>& meanwhile = [] {}) {
    ListingUnderWay under_way = this->cache->begin_listing(of);
    meanwhile();
    const auto pin = this->cache->pin(of);
    ASSERT_TRUE(pin.ok());
    const auto opened = this->store.opendir(pin->node(), 0);
    ASSERT_TRUE(opened.ok());
    EXPECT_TRUE((*opened)->read(0, [&](const DirEntry& entry) {
      under_way.append(entry);
      return true;
    }));
    this->cache->keep_listing(under_way.lease(), under_way.finish());
  }
  std::size_t kept() { return kept(dir); }
  // Names that are kept, the dots included; 0: it is not kept.
  std::size_t kept(NodeId of) {
    const std::shared_ptr<const Listing> listing = this->cache->kept_listing(of);
    if (listing == nullptr) return 0;
    std::size_t count = 0;
    Listing::Place place;
    listing->read(0, place, [&](const DirEntry&) { return ++count != 0; });
    return count;
  }

  NodeId dir;
  NodeId sub;
  NodeId other;
};

template <class Policy>
class KeptListings : public CacheTest<Policy> {};
TYPED_TEST_SUITE(KeptListings, AllPolicies, PolicyNames);

TYPED_TEST(KeptListings, AreThereUntilTheDirectoryChanges) {
  ListedWorld<TypeParam> w;
  EXPECT_EQ(w.kept(), 0U);
  w.list();
  EXPECT_EQ(w.kept(), 5U);
  w.lookup(w.dir, "a");
  w.peek_error(w.dir, "none");
  EXPECT_EQ(w.chmod(w.lookup(w.dir, "b").id, 0600), 0);
  w.mknod(w.other, "elsewhere");
  EXPECT_EQ(w.kept(), 5U);
  EXPECT_EQ(w.cache->stats().listings, 1U);
  EXPECT_GT(w.cache->stats().listing_bytes, 0U);
}

TYPED_TEST(KeptListings, EndWithEachChangeOfNames) {
  ListedWorld<TypeParam> w;
  const std::function<int()> changes[] = {
      [&] { return w.mknod(w.dir, "new").id == NodeId() ? 1 : 0; },
      [&] { return w.unlink(w.dir, "new"); },
      [&] { return w.rename(w.dir, "a", w.dir, "a2"); },
      [&] { return w.rename(w.dir, "a2", w.other, "a3"); },
      [&] { return w.rename(w.other, "a3", w.dir, "a"); },
      [&] { return w.mkdir(w.dir, "e").id == NodeId() ? 1 : 0; },
      [&] { return w.rmdir(w.dir, "e"); },
      [&] { return w.symlink(w.dir, "l", "x").id == NodeId() ? 1 : 0; },
      [&] { return code(w.cache->link(*w.me, w.peek(w.dir, "b").id, w.dir, name_of("hard"))); },
  };
  for (const auto& change : changes) {
    w.list();
    EXPECT_NE(w.kept(), 0U);
    EXPECT_EQ(change(), 0);
    EXPECT_EQ(w.kept(), 0U) << &change - changes;
  }
}

TYPED_TEST(KeptListings, EndWithWhatOthersDo) {
  ListedWorld<TypeParam> w;
  w.list();
  w.cache->invalidate_name(*w.me, w.dir, name_of("a"));
  EXPECT_EQ(w.kept(), 0U);
  w.list();
  w.cache->invalidate(w.dir);
  EXPECT_EQ(w.kept(), 0U);
}

// Its ".." is another then.
TYPED_TEST(KeptListings, EndWhenTheDirectoryIsMoved) {
  ListedWorld<TypeParam> w;
  w.list(w.sub);
  EXPECT_EQ(w.kept(w.sub), 2U);
  EXPECT_EQ(w.rename(w.dir, "c", w.other, "c"), 0);
  EXPECT_EQ(w.kept(w.sub), 0U);
}

TYPED_TEST(KeptListings, OfWhatWasRemovedAreGone) {
  ListedWorld<TypeParam> w;
  w.list(w.sub);
  EXPECT_EQ(w.rmdir(w.dir, "c"), 0);
  EXPECT_EQ(w.kept(w.sub), 0U);
}

TYPED_TEST(KeptListings, AreNotMadeOfWhatChangedMeanwhile) {
  ListedWorld<TypeParam> w;
  w.list([&] { w.mknod(w.dir, "new"); });
  EXPECT_EQ(w.kept(), 0U);
  w.list([&] { w.cache->invalidate_name(*w.me, w.dir, name_of("a")); });
  EXPECT_EQ(w.kept(), 0U);
  w.list([&] { w.cache->invalidate(w.dir); });
  EXPECT_EQ(w.kept(), 0U);
}

TYPED_TEST(KeptListings, AreNotMadeWhileAChangeIsUnderWay) {
  ListedWorld<TypeParam> w;
  w.store.before("mknod", [&] {
    EXPECT_FALSE(w.cache->begin_listing(w.dir).lease().is_of_use());
    return Status();
  });
  w.mknod(w.dir, "new");
  EXPECT_EQ(w.store.hooks_left(), 0U);
}

// A change that was under way when the listing began has ended since: it is not known which names were seen.
TYPED_TEST(KeptListings, OfAChangeThatFailedEndToo) {
  ListedWorld<TypeParam> w;
  w.list();
  w.store.fail("unlink", EIO);
  EXPECT_EQ(w.unlink(w.dir, "a"), EIO);
  EXPECT_EQ(w.kept(), 0U);
}

TYPED_TEST(KeptListings, AreServedForTheTimeToLiveOnly) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 10;
  ListedWorld<TypeParam> w(options);
  w.cache->set_tick(100);
  w.list();
  w.cache->set_tick(110);
  EXPECT_EQ(w.kept(), 5U);
  w.cache->set_tick(111);
  EXPECT_EQ(w.kept(), 0U);
  EXPECT_EQ(w.cache->stats().listings, 0U);
}

TYPED_TEST(KeptListings, AreNotKeptWithoutTimeToLive) {
  CacheOptions options = small_cache();
  options.ttl_ticks = 0;
  ListedWorld<TypeParam> w(options);
  w.list();
  EXPECT_EQ(w.kept(), 0U);
}

TYPED_TEST(KeptListings, BelongToOneLifeOfASlot) {
  ListedWorld<TypeParam> w;
  w.list(w.sub);
  const NodeId before = w.sub;
  EXPECT_EQ(w.rmdir(w.dir, "c"), 0);
  w.forget(before);
  w.cache->drop_unused(*w.me);
  for (int i = 0; i < 8; ++i) {
    const NodeId made = w.mkdir(w.dir, "again" + std::to_string(i)).id;
    EXPECT_EQ(w.kept(made), 0U);
  }
  EXPECT_EQ(w.kept(before), 0U);
}

TYPED_TEST(KeptListings, OfNobodyAreNone) {
  ListedWorld<TypeParam> w;
  for (const NodeId id : {NodeId(), NodeId(1U << 30, 5)}) {
    EXPECT_FALSE(w.cache->begin_listing(id).lease().is_of_use());
    EXPECT_EQ(w.cache->kept_listing(id), nullptr);
  }
}

}  // namespace
}  // namespace evenfs::test
