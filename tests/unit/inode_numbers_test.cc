// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/inode_numbers.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace evenfs::test {
namespace {

constexpr std::uint64_t kTop = 0x803;
constexpr std::uint64_t kLarge = std::uint64_t{1} << 60;

TEST(InodeNumbers, OfTheTopAreTheSources) {
  InodeNumbers numbers(kTop);
  for (const std::uint64_t ino : {std::uint64_t{1}, std::uint64_t{256}, kLarge}) {
    EXPECT_EQ(numbers.of(kTop, ino), ino);
  }
}

TEST(InodeNumbers, OfDevicesDiffer) {
  InodeNumbers numbers(kTop);
  std::set<std::uint64_t> all;
  std::size_t count = 0;
  for (std::uint64_t dev = kTop; dev < kTop + InodeNumbers::kDevicesMax; ++dev) {
    for (const std::uint64_t ino : {std::uint64_t{2}, std::uint64_t{256}, kLarge, kLarge + 1}) {
      all.insert(numbers.of(dev, ino));
      ++count;
    }
  }
  EXPECT_EQ(all.size(), count);
  EXPECT_EQ(all.count(0), 0U) << "the kernel takes 0 for none";
}

TEST(InodeNumbers, StayWhatTheyAre) {
  InodeNumbers numbers(kTop);
  const std::uint64_t first = numbers.of(7, 256);
  for (std::uint64_t dev = 8; dev < 2 * InodeNumbers::kDevicesMax; ++dev) numbers.of(dev, 256);
  EXPECT_EQ(numbers.of(7, 256), first);
  EXPECT_NE(first, 256U);
  InodeNumbers again(kTop);
  EXPECT_EQ(again.of(7, 256), first) << "another mount says otherwise";
}

TEST(InodeNumbers, AreAgreedUponByThreadsThatMeetADeviceAtOnce) {
  InodeNumbers numbers(kTop);
  constexpr std::size_t kThreads = 4;
  std::vector<std::vector<std::uint64_t>> seen(kThreads);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t dev = 1; dev <= 1000; ++dev) seen[t].push_back(numbers.of(dev, 2));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 1; t < kThreads; ++t) EXPECT_EQ(seen[t], seen[0]);
  EXPECT_EQ(std::set(seen[0].begin(), seen[0].end()).size(), seen[0].size());
}

}  // namespace
}  // namespace evenfs::test
