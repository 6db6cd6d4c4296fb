// SPDX-License-Identifier: LGPL-2.1-or-later
// FORGET and BATCH_FORGET: what was counted is given back once; more, or for nobody, is refused and counted.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class Forget : public ProtocolTest {};

TEST_F(Forget, WhatWasCountedIsGivenBackInAnyParts) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  for (int i = 0; i < 9; ++i) lookup(kRootNumber, "f");
  EXPECT_EQ(lookups(), 10U);
  forget(file, 4);
  EXPECT_EQ(lookups(), 6U);
  forget(file, 6);
  EXPECT_EQ(excess(), 0U);
  expect_nothing_left();
}

TEST_F(Forget, MoreThanWasCountedTakesNothing) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  const std::uint64_t counts[] = {2, 1ULL << 39U, 1ULL << 40U, (1ULL << 40U) + 1, ~0ULL};
  for (const std::uint64_t count : counts) forget(file, count);
  EXPECT_EQ(excess(), std::size(counts));
  EXPECT_EQ(lookups(), 1U);
  EXPECT_EQ(attr(file).nlink, 1U);
}

TEST_F(Forget, ASecondForgetOfTheSameTakesNothing) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  forget(file);
  forget(file);
  EXPECT_EQ(excess(), 1U);
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "f")), 0);
  kernel_.cache().drop_unused(kernel_.me());
  forget(file);  // Now its slot is free,
  const std::uint64_t other = mknod(kRootNumber, "g");
  EXPECT_EQ(static_cast<std::uint32_t>(other), static_cast<std::uint32_t>(file));
  forget(file);  // and now another's.
  EXPECT_EQ(excess(), 3U);
  EXPECT_EQ(lookups(), 1U);
  forget(other);
  expect_nothing_left();
}

TEST_F(Forget, NumbersOfNobodyAreRefused) {
  const std::uint64_t nobody[] = {0, 2, ~0ULL, (1ULL << 32U) + 1, 1ULL << 63U, 7ULL << 32U};
  for (const std::uint64_t number : nobody) forget(number, ~0ULL);
  std::vector<fuse_forget_one> all;
  for (const std::uint64_t number : nobody) all.push_back({number, 1});
  EXPECT_FALSE(ask(request::batch_forget(all)).came);
  EXPECT_EQ(excess(), 2 * std::size(nobody));
  expect_nothing_left();
}

// The root has a count for each time it was looked up, as any inode, but it stays without one.
TEST_F(Forget, TheRootStaysWhateverIsForgotten) {
  EXPECT_EQ(lookup(kRootNumber, ".."), kRootNumber);
  forget(kRootNumber);
  EXPECT_EQ(excess(), 0U);
  forget(kRootNumber);
  forget(kRootNumber, ~0ULL);
  EXPECT_EQ(excess(), 2U);
  EXPECT_EQ(attr(kRootNumber).nlink, 2U);
  mknod(kRootNumber, "f");
}

TEST_F(Forget, ABatchTakesEachOfItsEntriesAndRefusesThoseThatAreTooMuch) {
  std::vector<fuse_forget_one> all;
  for (int i = 0; i < 100; ++i) all.push_back({mknod(kRootNumber, std::to_string(i)), 1});
  all.push_back(all.front());  // Twice.
  all.push_back({kRootNumber, 1});
  EXPECT_FALSE(ask(request::batch_forget(all)).came);
  EXPECT_EQ(excess(), 2U);
  expect_nothing_left();
}

TEST_F(Forget, ABatchTakesOfEachAsMuchAsItSays) {
  const std::uint64_t a = mknod(kRootNumber, "a");
  const std::uint64_t b = mknod(kRootNumber, "b");
  for (int i = 0; i < 4; ++i) {
    lookup(kRootNumber, "a");
    lookup(kRootNumber, "b");
  }
  ask(request::batch_forget({{a, 5}, {b, 3}}));
  EXPECT_EQ(lookups(), 2U);
  ask(request::batch_forget({{a, 1}, {b, 3}, {b, 2}}));  // Too much, too much, and the rest.
  EXPECT_EQ(excess(), 2U);
  expect_nothing_left();
}

// libfuse does not compare the count with the length; the zeros behind the message are entries of nobody.
TEST_F(Forget, ABatchThatClaimsMoreEntriesThanItHasTakesThoseItHas) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  constexpr std::uint32_t kClaimed = 4000;
  static_assert(kClaimed * sizeof(fuse_forget_one) < FakeKernel::kPadding);
  ask(request::batch_forget({{file, 1}}, kClaimed));
  EXPECT_EQ(lookups(), 0U);
  EXPECT_EQ(excess(), kClaimed - 1);
  ask(request::batch_forget({{file, 1}}, 0));  // And fewer.
  EXPECT_EQ(excess(), kClaimed - 1);
  expect_nothing_left();
}

TEST_F(Forget, AFloodOfForgetsLeavesWhatIsHeld) {
  const std::uint64_t kept = mkdir(kRootNumber, "kept");
  const std::uint64_t inside = mknod(kept, "inside");
  std::vector<fuse_forget_one> flood;
  for (std::uint32_t index = 0; index < 4000; ++index) {
    flood.push_back({(kept & ~0xffff'ffffULL) + index, 1ULL << (index % 64)});
  }
  std::erase_if(flood, [&](const fuse_forget_one& one) {
    return (one.nodeid == kept || one.nodeid == inside) && one.nlookup == 1;
  });
  for (int i = 0; i < 20; ++i) ask(request::batch_forget(flood));
  kernel_.cache().drop_unused(kernel_.me());
  EXPECT_EQ(lookups(), 2U);
  EXPECT_EQ(lookup(kept, "inside"), inside);
}

TEST_F(Forget, AnObjectWithoutANameGoesWithTheLastCount) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "f")), 0);
  EXPECT_EQ(store_.objects(), 2U);
  forget(file);
  kernel_.cache().housekeep(kernel_.me());
  EXPECT_EQ(store_.objects(), 1U);
}

TEST_F(Forget, AFileThatIsOpenCanBeForgottenFirst) {
  const auto [file, fh] = create(kRootNumber, "f");
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "f")), 0);
  forget(file);
  kernel_.cache().drop_unused(kernel_.me());
  EXPECT_EQ(error_of(request::read(file, fh, 0, 1)), 0);
  EXPECT_EQ(error_of(request::release(file, fh)), 0);
  EXPECT_EQ(store_.objects(), 1U);
  expect_nothing_left();
}

}  // namespace
}  // namespace evenfs::test
