// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/open_files.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

namespace evenfs::test {
namespace {

Node key(std::uint64_t n) { return Node{{n, n * 7}}; }

TEST(OpenFiles, AFileIsFoundAsLongAsItIsListed) {
  OpenFiles files;
  OpenFiles::Entry entry;
  files.add(entry, key(1), 5);
  EXPECT_FALSE(files.find(key(2)));
  {
    const OpenFiles::Use use = files.find(key(1));
    ASSERT_TRUE(use);
    EXPECT_EQ(use.fd(), 5);
  }
  files.remove(entry);
  EXPECT_FALSE(files.find(key(1)));
}

TEST(OpenFiles, OfTwoOpensTheFirstIsListed) {
  OpenFiles files;
  OpenFiles::Entry first;
  OpenFiles::Entry second;
  files.add(first, key(1), 5);
  files.add(second, key(1), 6);
  EXPECT_EQ(files.find(key(1)).fd(), 5);
  files.remove(second);
  EXPECT_EQ(files.find(key(1)).fd(), 5);
  files.add(second, key(1), 6);
  files.remove(first);
  EXPECT_FALSE(files.find(key(1)));
  files.remove(second);
}

// What it must not do cannot be waited for; it has 20 ms to do it.
TEST(OpenFiles, WhoRemovesWaitsForTheLastUse) {
  OpenFiles files;
  OpenFiles::Entry entry;
  files.add(entry, key(1), 5);
  OpenFiles::Use first = files.find(key(1));
  OpenFiles::Use second = files.find(key(1));
  std::atomic<bool> removed{false};
  std::thread remover([&] {
    files.remove(entry);
    removed = true;
  });
  const auto stays_for_a_while = [&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (!removed && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return !removed;
  };
  EXPECT_TRUE(stays_for_a_while());
  first = OpenFiles::Use();
  EXPECT_TRUE(stays_for_a_while());
  second = OpenFiles::Use();
  remover.join();
  EXPECT_TRUE(removed);
}

TEST(OpenFiles, Concurrent) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  constexpr std::uint64_t kKeys = 8;
  OpenFiles files;
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t));
      for (int i = 0; i < kRounds; ++i) {
        const std::uint64_t own = random() % kKeys;
        OpenFiles::Entry entry;
        files.add(entry, key(own), static_cast<int>(own));
        const std::uint64_t other = random() % kKeys;
        if (const OpenFiles::Use use = files.find(key(other))) {
          if (use.fd() != static_cast<int>(other)) ++wrong;
        }
        files.remove(entry);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
  for (std::uint64_t n = 0; n < kKeys; ++n) EXPECT_FALSE(files.find(key(n)));
}

}  // namespace
}  // namespace evenfs::test
