// SPDX-License-Identifier: LGPL-2.1-or-later
// BackingTable and the source's watch: writes to a file are ignored only while somebody has it open for
// writing by its backing file, only after they were told often, by a descriptor that is open; and heeded
// again before the last who can write is gone.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <optional>
#include <thread>

#include "tests/support/fake_backing.h"

namespace evenfs::test {
namespace {

constexpr unsigned kOften = BackingTable::kIgnoredAfter;
constexpr NodeId kFile(7, 1);

class FakeWatch final : public WriteWatch {
 public:
  bool ignore(NodeId id, int fd) noexcept override {
    EXPECT_EQ(id, kFile);
    ++asked;
    if (able) ignored = fd;
    return able;
  }
  void heed(NodeId id, int fd) noexcept override {
    EXPECT_EQ(id, kFile);
    EXPECT_TRUE(ignored.has_value());
    ignored.reset();
    heeded = fd;
  }
  bool able = true;
  int asked = 0;
  std::optional<int> ignored, heeded;  // By which descriptor.
};

class Backing : public ::testing::Test {
 protected:
  using Use = std::optional<BackingTable::Use>;
  Backing() { table_.set_watch(&watch_); }
  Use open(int fd, bool writes) {
    Result<BackingTable::Use> use = table_.open(kFile, fd, writes);
    EXPECT_TRUE(use.ok());
    return std::move(*use);
  }
  void told(unsigned times) {
    for (unsigned i = 0; i < times; ++i) table_.write_told(kFile);
  }

  FakeWatch watch_;
  FakeBacking table_;
};

TEST_F(Backing, WritesAreIgnoredFromTheLastThatIsToldToTheLastWhoWrites) {
  Use reader = open(3, false);
  Use first = open(4, true);
  Use second = open(5, true);
  told(kOften - 1);
  EXPECT_EQ(watch_.asked, 0);
  told(1);
  EXPECT_EQ(watch_.ignored, 5);
  EXPECT_EQ(table_.ignored(), 1U);
  told(5 * kOften);  // They were on their way.
  EXPECT_EQ(watch_.asked, 1);
  second.reset();
  EXPECT_EQ(watch_.ignored, 5);
  first.reset();
  EXPECT_FALSE(watch_.ignored.has_value());
  EXPECT_EQ(watch_.heeded, 4);
  EXPECT_EQ(table_.ignored(), 0U);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(Backing, NothingIsIgnoredThatNobodyWritesByABackingFile) {
  told(2 * kOften);
  Use reader = open(3, false);
  told(2 * kOften);
  reader.reset();
  table_.refuse();
  Use writer = open(4, true);
  told(2 * kOften);
  EXPECT_EQ(watch_.asked, 0);
  writer.reset();
  EXPECT_FALSE(watch_.heeded.has_value());
}

// What was told while nobody could write, or others could, is not counted.
TEST_F(Backing, WhoOpensItAnewIsToldOfAnew) {
  told(kOften);
  Use writer = open(3, true);
  told(kOften - 1);
  writer.reset();
  told(kOften);
  writer = open(4, true);
  told(kOften - 1);
  EXPECT_EQ(watch_.asked, 0);
  told(1);
  EXPECT_EQ(watch_.ignored, 4);
}

TEST_F(Backing, ADescriptorThatIsStillOpenIsUsed) {
  Use first = open(3, true);
  Use second = open(4, true);
  Use third = open(5, true);
  third.reset();
  first.reset();
  told(kOften);
  EXPECT_EQ(watch_.ignored, 4);
}

TEST_F(Backing, WhatCannotBeIgnoredIsNotTriedAgain) {
  watch_.able = false;
  Use writer = open(3, true);
  told(3 * kOften);
  EXPECT_EQ(watch_.asked, 1);
  EXPECT_EQ(table_.ignored(), 0U);
  writer.reset();
  EXPECT_FALSE(watch_.heeded.has_value());
}

TEST_F(Backing, AWatchThatEndsIsLeftAlone) {
  Use writer = open(3, true);
  told(kOften);
  table_.set_watch(nullptr);
  EXPECT_EQ(table_.ignored(), 0U);
  writer.reset();
  EXPECT_FALSE(watch_.heeded.has_value());
  writer = open(3, true);
  told(kOften);
  EXPECT_EQ(watch_.asked, 1);
}

// Told of by one thread while others open and close.
class Busy final : public WriteWatch {
 public:
  static constexpr int kFiles = 3, kClients = 3;

  bool ignore(NodeId id, int fd) noexcept override {
    EXPECT_FALSE(ignored[id.index()]);  // Under the shard's lock, as below.
    EXPECT_TRUE(is_open[fd].load(std::memory_order_relaxed));
    ignored[id.index()] = true;
    times.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  void heed(NodeId id, int fd) noexcept override {
    EXPECT_TRUE(ignored[id.index()]);
    EXPECT_TRUE(is_open[fd].load(std::memory_order_relaxed));
    ignored[id.index()] = false;
  }
  std::array<bool, kFiles> ignored{};
  std::array<std::atomic<bool>, kClients> is_open{};  // By descriptor, which is the client.
  std::atomic<int> times{0};
};

TEST(BackingTable, WhoTellsAndWhoClosesAgree) {
  constexpr int kEnough = 500;
  Busy watch;
  FakeBacking table;
  table.set_watch(&watch);
  const auto enough = [&] { return watch.times.load(std::memory_order_relaxed) >= kEnough; };
  std::array<std::thread, Busy::kClients> clients;
  for (int fd = 0; fd < Busy::kClients; ++fd) {
    clients[static_cast<std::size_t>(fd)] = std::thread([&, fd] {
      const auto me = static_cast<std::size_t>(fd);
      for (std::uint32_t i = 0; !enough(); ++i) {
        watch.is_open[me].store(true, std::memory_order_relaxed);
        {
          const auto use = table.open(NodeId(i % Busy::kFiles, 1), fd, i % 5 != 0);
          EXPECT_TRUE(use.ok());
          if (i % 3 == 0) std::this_thread::yield();
        }
        watch.is_open[me].store(false, std::memory_order_relaxed);
      }
    });
  }
  while (!enough()) {
    for (std::uint32_t file = 0; file < Busy::kFiles; ++file) table.write_told(NodeId(file, 1));
  }
  for (std::thread& client : clients) client.join();
  for (const bool ignored : watch.ignored) EXPECT_FALSE(ignored);
  EXPECT_EQ(table.ignored(), 0U);
  EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace evenfs::test
