// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/fd_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

namespace evenfs {
namespace {

Node key(std::uint64_t n) { return Node{{n, n * 7}}; }
UniqueFd open_root() { return UniqueFd(::open("/", O_PATH | O_CLOEXEC)); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(FdCache, WhatWasPutIsFoundUnderItsKeyOnly) {
  FdCache cache(4);
  const FdCache::Ref put = cache.put(key(1), open_root());
  EXPECT_EQ(cache.get(key(1)), put);
  EXPECT_EQ(cache.get(key(2)), nullptr);
}

TEST(FdCache, TheLeastRecentlyUsedLeavesFirst) {
  FdCache cache(2);
  cache.put(key(1), open_root());
  cache.put(key(2), open_root());
  EXPECT_NE(cache.get(key(1)), nullptr);
  cache.put(key(3), open_root());
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(cache.get(key(2)), nullptr);
  EXPECT_NE(cache.get(key(1)), nullptr);
  EXPECT_NE(cache.get(key(3)), nullptr);
}

TEST(FdCache, ADescriptorInUseSurvivesEvictionAndIsClosedAfterwards) {
  FdCache cache(1);
  FdCache::Ref used = cache.put(key(1), open_root());
  const int fd = used->get();
  cache.put(key(2), open_root());
  EXPECT_EQ(cache.get(key(1)), nullptr);
  EXPECT_TRUE(is_open(fd));
  used.reset();
  EXPECT_FALSE(is_open(fd));
}

TEST(FdCache, TheSecondToPutGetsTheFirstDescriptor) {
  FdCache cache(4);
  const FdCache::Ref first = cache.put(key(1), open_root());
  UniqueFd other = open_root();
  const int fd = other.get();
  EXPECT_EQ(cache.put(key(1), std::move(other)), first);
  EXPECT_FALSE(is_open(fd));
  EXPECT_EQ(cache.size(), 1U);
}

TEST(FdCache, ErasedAndClearedDescriptorsAreClosed) {
  FdCache cache(4);
  const int one = cache.put(key(1), open_root())->get();
  const int two = cache.put(key(2), open_root())->get();
  cache.erase(key(1));
  cache.erase(key(1));
  EXPECT_FALSE(is_open(one));
  EXPECT_TRUE(is_open(two));
  cache.clear();
  EXPECT_FALSE(is_open(two));
  EXPECT_EQ(cache.size(), 0U);
}

TEST(FdCache, WithoutCapacityNothingIsKept) {
  FdCache cache(0);
  const FdCache::Ref used = cache.put(key(1), open_root());
  EXPECT_TRUE(is_open(used->get()));
  EXPECT_EQ(cache.get(key(1)), nullptr);
}

TEST(FdCache, ThreadsNeverSeeAClosedDescriptor) {
  constexpr unsigned kSeed = 7;
  SCOPED_TRACE(kSeed);
  FdCache cache(8);
  std::atomic<int> closed{0};
  std::atomic<int> hits{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &closed, &hits, t] {
      std::mt19937 random(kSeed + t);
      for (int i = 0; i < 4000; ++i) {
        const Node at = key(random() % 24);
        FdCache::Ref fd = cache.get(at);
        if (fd != nullptr) hits.fetch_add(1);
        if (fd == nullptr) fd = cache.put(at, open_root());
        if (random() % 64 == 0) cache.erase(at);
        if (random() % 1024 == 0) cache.clear();
        if (!is_open(fd->get())) closed.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(closed.load(), 0);
  EXPECT_GT(hits.load(), 0);
  EXPECT_LE(cache.size(), 8U);
}

}  // namespace
}  // namespace evenfs
