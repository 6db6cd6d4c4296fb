// SPDX-License-Identifier: LGPL-2.1-or-later
// A lock-free lookup or getattr that is held between two of its steps while the name or the inode
// changes. What it then says must be true at one instant of the call; where the change came last before
// its validation, that is the state after the change.
//
// Only the lockless policy: in the others a lock keeps the change out, which is what these would hang on.
#include "core/cache/name_key.h"  // XXH3.
#include "tests/interleave/steer.h"
#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

using Lockless = World<LocklessPolicy>;

constexpr const char* kCapability = "security.capability";

// Where a lookup of a name that is there can be held, from the match on.
constexpr const char* kLookupPoints[] = {"find.matched", "lookup.found", "lookup.copied",
                                         "lookup.counted"};

// What a lookup of `name` says when `meanwhile` happens while it is held at `point`.
template <class Meanwhile>
Result<Entry> lookup_while(Lockless& w, const char* name, const char* point, Meanwhile meanwhile) {
  Result<Entry> seen = Errno(EIO);
  Steered reader(w.registry, [&](Worker& me) { seen = w.cache->lookup(me, kRoot, name_of(name)); });
  EXPECT_TRUE(reader.run_to(point)) << point;
  meanwhile();
  reader.finish();
  return seen;
}

TEST(LookupRace, AnUnlinkIsNotMissed) {
  for (const char* point : kLookupPoints) {
    Lockless w;
    w.forget(w.mknod(kRoot, "f").id);
    const auto seen = lookup_while(w, "f", point, [&] { EXPECT_EQ(w.unlink(kRoot, "f"), 0); });
    EXPECT_EQ(code(seen), ENOENT) << point;
    w.expect_nothing_left();
  }
}

// Others removed the name, and told us: neither the inode nor the directory changes, only the dentry dies.
TEST(LookupRace, AnInvalidationIsNotMissed) {
  for (const char* point : kLookupPoints) {
    Lockless w;
    w.forget(w.mknod(kRoot, "f").id);
    const auto seen = lookup_while(w, "f", point, [&] {
      EXPECT_EQ(code(w.memory.unlink(w.root_node(), name_of("f"))), 0);
      w.cache->invalidate_name(*w.me, kRoot, name_of("f"));
    });
    EXPECT_EQ(code(seen), ENOENT) << point;
    w.expect_nothing_left();
  }
}

TEST(LookupRace, ARenameIsNotMissed) {
  for (const char* point : kLookupPoints) {
    Lockless w;
    const NodeId f = w.mknod(kRoot, "f").id;
    const auto seen =
        lookup_while(w, "f", point, [&] { EXPECT_EQ(w.rename(kRoot, "f", kRoot, "g"), 0); });
    EXPECT_EQ(code(seen), ENOENT) << point;
    EXPECT_EQ(w.peek(kRoot, "g").id, f);
    w.forget(f);
    w.expect_nothing_left();
  }
}

TEST(LookupRace, ANameThatIsReplacedLeadsToTheNewInode) {
  for (const char* point : kLookupPoints) {
    Lockless w;
    w.forget(w.mknod(kRoot, "f", 0600).id);
    const NodeId fresh = w.mknod(kRoot, "fresh", 0644).id;
    const auto seen =
        lookup_while(w, "f", point, [&] { EXPECT_EQ(w.rename(kRoot, "fresh", kRoot, "f"), 0); });
    ASSERT_EQ(code(seen), 0) << point;
    EXPECT_EQ(seen->id, fresh);
    EXPECT_EQ(seen->attr.mode & 0777U, 0644U);
    w.forget(fresh, 2);
    w.expect_nothing_left();
  }
}

TEST(LookupRace, AnExchangeLeavesNeitherNameMissing) {
  for (const char* point : kLookupPoints) {
    Lockless w;
    const NodeId f = w.mknod(kRoot, "f", 0600).id;
    const NodeId g = w.mknod(kRoot, "g", 0644).id;
    const auto seen = lookup_while(w, "f", point, [&] {
      EXPECT_EQ(w.rename(kRoot, "f", kRoot, "g", RenameMode::kExchange), 0);
    });
    ASSERT_EQ(code(seen), 0) << point;
    EXPECT_EQ(seen->id, g);
    w.forget(f);
    w.forget(g, 2);
    w.expect_nothing_left();
  }
}

TEST(LookupRace, AChmodIsNotMissed) {
  for (const char* point : kLookupPoints) {
    Lockless w;
    const NodeId f = w.mknod(kRoot, "f", 0600).id;
    const auto seen = lookup_while(w, "f", point, [&] { EXPECT_EQ(w.chmod(f, 0644), 0); });
    ASSERT_EQ(code(seen), 0);
    EXPECT_EQ(seen->attr.mode & 0777U, 0644U) << point;
    w.forget(f, 2);
    w.expect_nothing_left();
  }
}

TEST(LookupRace, ACreateIsNotMissedByWhoFoundTheNegativeDentry) {
  for (const char* point : {"find.matched", "lookup.found"}) {
    Lockless w;
    EXPECT_EQ(w.peek_error(kRoot, "n"), ENOENT);
    EXPECT_EQ(w.fast(kRoot, "n"), Outcome::kNegative);
    NodeId made;
    const auto seen = lookup_while(w, "n", point, [&] { made = w.mknod(kRoot, "n").id; });
    ASSERT_EQ(code(seen), 0) << point;
    EXPECT_EQ(seen->id, made);
    w.forget(made, 2);
    w.expect_nothing_left();
  }
}

// The evictor kills the dentry on which the reader stands and queues the inode that the reader is about
// to count. It then has to wait for the reader before it frees either.
TEST(LookupRace, AnEvictionCostsAQuestionAndNoTruth) {
  for (const char* point : {"find.matched", "lookup.found", "lookup.copied"}) {
    Lockless w;
    w.forget(w.mknod(kRoot, "f", 0640).id);
    Steered evictor(w.registry, [&](Worker& me) { w.cache->drop_unused(me); });
    const auto seen =
        lookup_while(w, "f", point, [&] { EXPECT_TRUE(evictor.run_to("limbo.full")) << point; });
    evictor.finish();
    ASSERT_EQ(code(seen), 0);
    EXPECT_EQ(seen->attr.mode & 0777U, 0640U);
    EXPECT_EQ(w.count(Counter::kDentryEvicted), 1U);
    EXPECT_EQ(w.count(Counter::kLookupHit), 0U);
    w.forget(seen->id);
    w.expect_nothing_left();
  }
}

// A kernel that asks for an id which it has forgotten, as when a request is sent twice: `ask` is held at
// `point` until the slot has its next inode.
template <class Ask>
void expect_stale_when_the_slot_goes_on(const char* point, Ask ask) {
  Lockless w;
  const NodeId f = w.mknod(kRoot, "f", 0600).id;
  ASSERT_EQ(code(w.cache->getxattr(*w.me, f, kCapability, {})), ENODATA);
  int error = 0;
  Steered reader(w.registry, [&](Worker& me) { error = code(ask(w, me, f)); });
  ASSERT_TRUE(reader.run_to(point));
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.forget(f);
  w.cache->drop_unused(*w.me);
  const NodeId next = w.mknod(kRoot, "next", 0644).id;
  ASSERT_EQ(next.index(), f.index());
  reader.finish();
  EXPECT_EQ(error, ESTALE);
  w.forget(next);
  EXPECT_EQ(w.unlink(kRoot, "next"), 0);
  w.expect_nothing_left();
}

TEST(LookupRace, AGetattrNeverTellsOfTheNextInodeInTheSlot) {
  expect_stale_when_the_slot_goes_on("getattr.copied", [](Lockless& w, Worker& me, NodeId id) {
    return w.cache->getattr(me, id, nullptr);
  });
}

TEST(LookupRace, AModeIsNeverThatOfTheNextInodeInTheSlot) {
  expect_stale_when_the_slot_goes_on("mode.copied", [](Lockless& w, Worker& me, NodeId id) {
    return w.cache->mode(me, id, nullptr);
  });
}

TEST(LookupRace, AnAbsentAttributeIsNeverThatOfTheNextInodeInTheSlot) {
  expect_stale_when_the_slot_goes_on("lacks.copied", [](Lockless& w, Worker& me, NodeId id) {
    return w.cache->getxattr(me, id, kCapability, {});
  });
}

TEST(LookupRace, AnAttributeThatIsSetIsNotMissed) {
  Lockless w;
  const NodeId f = w.mknod(kRoot, "f").id;
  ASSERT_EQ(code(w.cache->getxattr(*w.me, f, kCapability, {})), ENODATA);
  Result<std::size_t> seen = Errno(EIO);
  Steered reader(w.registry, [&](Worker& me) { seen = w.cache->getxattr(me, f, kCapability, {}); });
  ASSERT_TRUE(reader.run_to("lacks.copied"));
  {
    const auto change = w.cache->begin_change(f, Fields::kWalk);
    ASSERT_TRUE(change.ok());
    EXPECT_EQ(code(w.store.setxattr(change->node(), kCapability, {}, 0)), 0);
  }
  reader.finish();
  EXPECT_EQ(code(seen), 0);
}

// The number's inode goes while the chain is read, and its slot goes to another object.
TEST(LookupRace, ANumberLeadsToItsOwnObjectOrToNone) {
  MemoryStore::Options behind;
  behind.durable = true;
  Lockless w(small_cache(), behind);
  const NodeId f = w.mknod(kRoot, "f").id;
  const std::uint64_t number = w.cache->number_of(f);
  ASSERT_NE(number, f.raw());
  NodeId seen;
  Steered reader(w.registry, [&](Worker&) { seen = w.cache->id_of_number(number); });
  ASSERT_TRUE(reader.run_to("scan.at_inode"));
  EXPECT_EQ(w.unlink(kRoot, "f"), 0);
  w.forget(f);
  w.cache->drop_unused(*w.me);
  const NodeId next = w.mknod(kRoot, "next").id;
  ASSERT_EQ(next.index(), f.index());
  reader.finish();
  EXPECT_NE(seen, next);
  w.forget(next);
}

// The slot on which a reader stands gets the very inode that he looks for: its id is of this life, not of
// the one before.
TEST(LookupRace, ANumberLeadsToAnIdOfItsOwnLife) {
  MemoryStore::Options behind;
  behind.durable = true;
  Lockless w(small_cache(), behind);
  const Slots& slots = w.cache->slots_for_test();
  const auto chain_of = [&](std::uint64_t number) {  // As InodeTable::bucket_of.
    const std::uint64_t words[3] = {number, 0, 0};
    return XXH3_64bits_withSeed(words, sizeof words, slots.hash_seed()) & slots.bucket_mask();
  };
  const NodeId wanted = w.mknod(kRoot, "wanted").id;
  const std::uint64_t number = w.cache->number_of(wanted);
  w.forget(wanted);
  w.cache->drop_unused(*w.me);
  NodeId in_its_place;
  std::string name;
  for (int i = 0; i < 4096 && (in_its_place == NodeId()); ++i) {
    name = "f" + std::to_string(i);
    const NodeId made = w.mknod(kRoot, name).id;
    if (chain_of(w.cache->number_of(made)) == chain_of(number)) {
      in_its_place = made;
    } else {
      w.forget(made);
      EXPECT_EQ(w.unlink(kRoot, name), 0);
    }
  }
  ASSERT_NE(in_its_place, NodeId());
  NodeId seen;
  Steered reader(w.registry, [&](Worker&) { seen = w.cache->id_of_number(number); });
  ASSERT_TRUE(reader.run_to("scan.at_inode"));
  w.forget(in_its_place);
  EXPECT_EQ(w.unlink(kRoot, name), 0);
  w.cache->drop_unused(*w.me);
  NodeId now = w.lookup(kRoot, "wanted").id;
  ASSERT_EQ(now.index(), in_its_place.index());
  reader.finish();
  EXPECT_EQ(seen, now);
  w.forget(now);
}

}  // namespace
}  // namespace evenfs::test
