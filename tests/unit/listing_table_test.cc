// SPDX-License-Identifier: LGPL-2.1-or-later
// Listing, ListingUnderWay and ListingTable by themselves.
#include "core/cache/listing.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace evenfs::test {
namespace {

constexpr std::size_t kRoomy = std::size_t{1} << 20;

ListingLease lease_of(std::uint32_t index, Stamp content = 2) {
  ListingLease lease;
  lease.dir = NodeId(index, 7);
  lease.content = content;
  lease.walk = 4;
  lease.until = 1;
  return lease;
}

DirEntry entry(std::string_view name, std::uint64_t next) {
  DirEntry made;
  made.name = name;
  made.ino = next + 1000;
  made.type = 0100000;
  made.next = next;
  return made;
}

// Outlives all listings.
ListingBudget budget(std::uint64_t{1} << 30);

std::shared_ptr<const Listing> listing_of(std::size_t names, std::size_t name_bytes = 4) {
  ListingUnderWay under_way(lease_of(2), budget, kRoomy);
  for (std::size_t i = 0; i < names; ++i) {
    std::string name = std::to_string(i);
    name.resize(name_bytes, 'x');
    under_way.append(entry(name, 10 * (i + 1)));
  }
  return under_way.finish();
}

// The cookies from `cookie` on, at most `max`; nothing if the listing does not know it.
std::vector<std::uint64_t> cookies(const Listing& listing, std::uint64_t cookie,
                                   Listing::Place& place, std::size_t max = 100) {
  std::vector<std::uint64_t> seen;
  const bool known = listing.read(cookie, place, [&](const DirEntry& one) {
    if (seen.size() == max) return false;
    seen.push_back(one.next);
    return true;
  });
  EXPECT_TRUE(known || seen.empty());
  return seen;
}

TEST(Listing, SaysWhatWasListedInItsOrder) {
  ListingUnderWay under_way(lease_of(2), budget, kRoomy);
  const std::string longest(255, 'n');
  under_way.append(entry("b", 77));
  under_way.append(entry("a", 5));
  under_way.append(entry(longest, ~std::uint64_t{0} >> 1));
  const std::shared_ptr<const Listing> listing = under_way.finish();
  ASSERT_NE(listing, nullptr);
  std::vector<std::string> names;
  Listing::Place place;
  EXPECT_TRUE(listing->read(0, place, [&](const DirEntry& one) {
    EXPECT_EQ(one.ino, one.next + 1000);
    EXPECT_EQ(one.type, 0100000U);
    names.emplace_back(one.name);
    return true;
  }));
  EXPECT_EQ(names, (std::vector<std::string>{"b", "a", longest}));
}

TEST(Listing, GoesOnBehindAnyOfItsEntriesWithOrWithoutThePlace) {
  const auto listing = listing_of(5);
  Listing::Place place;
  EXPECT_EQ(cookies(*listing, 0, place, 2), (std::vector<std::uint64_t>{10, 20}));
  EXPECT_EQ(place.cookie, 20U);
  EXPECT_EQ(cookies(*listing, 20, place, 1), (std::vector<std::uint64_t>{30}));
  EXPECT_EQ(cookies(*listing, 10, place, 1), (std::vector<std::uint64_t>{20}));
  Listing::Place unknown;
  EXPECT_EQ(cookies(*listing, 40, unknown), (std::vector<std::uint64_t>{50}));
  EXPECT_TRUE(cookies(*listing, 50, place).empty());
  EXPECT_EQ(cookies(*listing, 0, place).size(), 5U);
}

TEST(Listing, DoesNotKnowACookieThatIsNobodys) {
  const auto listing = listing_of(3);
  Listing::Place place;
  EXPECT_FALSE(listing->read(15, place, [](const DirEntry&) { return true; }));
  EXPECT_TRUE(listing->read(30, place, [](const DirEntry&) { return true; }));
}

TEST(ListingUnderWay, OfAPieceLeftOutNothingIsKept) {
  ListingUnderWay under_way(lease_of(2), budget, kRoomy);
  under_way.go_on_at(0);
  under_way.append(entry("a", 10));
  under_way.go_on_at(20);
  under_way.append(entry("c", 30));
  EXPECT_EQ(under_way.finish(), nullptr);
}

TEST(ListingUnderWay, OfAPieceReadTwiceNothingIsKept) {
  ListingUnderWay under_way(lease_of(2), budget, kRoomy);
  under_way.append(entry("a", 10));
  under_way.append(entry("b", 20));
  under_way.go_on_at(10);
  EXPECT_EQ(under_way.finish(), nullptr);
}

TEST(ListingUnderWay, IsKeptOnceFromItsBeginningOnly) {
  ListingUnderWay under_way(lease_of(2), budget, kRoomy);
  under_way.append(entry("a", 10));
  under_way.go_on_at(10);
  EXPECT_NE(under_way.finish(), nullptr);
  under_way.go_on_at(10);
  EXPECT_EQ(under_way.finish(), nullptr);
}

TEST(ListingUnderWay, WithoutALeaseNothingIsKept) {
  for (int odd = 0; odd < 3; ++odd) {
    ListingLease lease = lease_of(2);
    (odd == 0 ? lease.content : odd == 1 ? lease.walk : lease.until) = odd == 2 ? 0 : 3;
    ListingUnderWay under_way(lease, budget, kRoomy);
    under_way.append(entry("a", 10));
    EXPECT_EQ(under_way.finish(), nullptr) << odd;
  }
}

TEST(ListingUnderWay, ThatGrowsTooLargeIsGivenUp) {
  ListingUnderWay under_way(lease_of(2), budget, 4096);
  const std::string name(200, 'x');
  for (std::uint64_t i = 1; i <= 40; ++i) under_way.append(entry(name, i));
  EXPECT_EQ(under_way.finish(), nullptr);
}

TEST(ListingBudget, IsForAllThatLiveAndIsGivenBack) {
  ListingBudget small(20000);
  const std::string name(200, 'x');
  const auto fill = [&](ListingUnderWay& under_way, int names) {
    for (int i = 1; i <= names; ++i) under_way.append(entry(name, static_cast<std::uint64_t>(i)));
  };
  ListingUnderWay first(lease_of(2), small, kRoomy);
  fill(first, 40);
  ListingUnderWay second(lease_of(3), small, kRoomy);
  fill(second, 60);
  EXPECT_LE(small.used(), small.max());
  EXPECT_EQ(second.finish(), nullptr);
  std::shared_ptr<const Listing> kept = first.finish();
  ASSERT_NE(kept, nullptr);
  EXPECT_GE(small.used(), 40 * 200U);
  ListingUnderWay third(lease_of(4), small, kRoomy);
  fill(third, 60);
  EXPECT_EQ(third.finish(), nullptr);
  kept.reset();
  EXPECT_EQ(small.used(), 0U);
  ListingUnderWay fourth(lease_of(5), small, kRoomy);
  fill(fourth, 40);
  EXPECT_NE(fourth.finish(), nullptr);
  EXPECT_EQ(small.used(), 0U);
}

TEST(ListingTable, FindsWhatWasPutLast) {
  ListingTable table(kRoomy);
  EXPECT_EQ(table.find(NodeId(2, 7)).listing, nullptr);
  const auto first = listing_of(1);
  const auto second = listing_of(2);
  table.put(lease_of(2), first);
  table.put(lease_of(3), first);
  table.put(lease_of(2, 6), second);
  EXPECT_EQ(table.find(NodeId(2, 7)).listing, second);
  EXPECT_EQ(table.find(NodeId(2, 7)).lease.content, 6U);
  EXPECT_EQ(table.find(NodeId(2, 8)).listing, nullptr);
  EXPECT_EQ(table.size(), 2U);
}

TEST(ListingTable, DropsTheOneThatWasMeant) {
  ListingTable table(kRoomy);
  table.put(lease_of(2, 6), listing_of(1));
  table.drop(lease_of(2, 4));
  table.drop(lease_of(3, 6));
  EXPECT_NE(table.find(NodeId(2, 7)).listing, nullptr);
  table.drop(lease_of(2, 6));
  EXPECT_EQ(table.find(NodeId(2, 7)).listing, nullptr);
  EXPECT_EQ(table.bytes(), 0U);
}

TEST(ListingTable, StaysWithinItsBytesAndLetsTheLeastUsedGo) {
  ListingTable table(16384);
  for (std::uint32_t i = 2; i < 102; ++i) {
    table.put(lease_of(i), listing_of(20, 40));
    EXPECT_NE(table.find(NodeId(2, 7)).listing, nullptr) << i;
    ASSERT_LE(table.bytes(), 16384U);
  }
  EXPECT_EQ(table.find(NodeId(3, 7)).listing, nullptr);
  EXPECT_NE(table.find(NodeId(101, 7)).listing, nullptr);
  EXPECT_GE(table.size(), 8U);
}

TEST(ListingTable, RefusesWhatWouldDriveTooMuchOut) {
  ListingTable table(16384);
  table.put(lease_of(2), listing_of(20, 40));
  table.put(lease_of(3), listing_of(20, 250));
  EXPECT_EQ(table.find(NodeId(3, 7)).listing, nullptr);
  EXPECT_NE(table.find(NodeId(2, 7)).listing, nullptr);
}

}  // namespace
}  // namespace evenfs::test
