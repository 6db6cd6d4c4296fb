// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's own threads at the socket: many requests at once, whose answers come in any order, and the
// ways in which the kernel's end goes away.
#include <poll.h>

#include <latch>
#include <thread>

#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class WorkerThreads : public ::testing::TestWithParam<Locking> {
 protected:
  static FakeKernel::Settings settings() {
    FakeKernel::Settings settings = FakeKernel::small();
    settings.locking = GetParam();
    settings.threads = 3;
    return settings;
  }

  void start() {
    kernel_.negotiate();
    kernel_.start();
  }
  Answer next() {
    auto got = kernel_.receive();
    EXPECT_TRUE(got.has_value());
    return got ? std::move(got->second) : Answer();
  }

  MemoryStore store_;
  FakeKernel kernel_{store_, settings()};
};

// As many at once as the socket holds without its other end being read: few, since each takes room there.
constexpr int kAtOnce = 32;
constexpr int kRounds = 60;

TEST_P(WorkerThreads, EveryRequestIsAnsweredOnceAndCountsBalance) {
  start();
  kernel_.send(request::mkdir(kRootNumber, "d"));
  const std::uint64_t dir = next().get<fuse_entry_out>().nodeid;
  std::map<std::uint64_t, std::uint64_t> held;
  held[dir] = 1;
  for (int round = 0; round < kRounds; ++round) {
    std::map<std::uint64_t, bool> open;
    for (int i = 0; i < kAtOnce; ++i) {
      const std::string name = std::to_string((round + i) % 6);
      const std::uint64_t number =
          kernel_.send(i % 4 == 0   ? request::mknod(dir, name, S_IFREG | 0644)
                       : i % 4 == 1 ? request::unlink(dir, name)
                                    : request::lookup(dir, name));
      open.emplace(number, i % 4 == 1);
    }
    for (int i = 0; i < kAtOnce; ++i) {
      const auto got = kernel_.receive();
      ASSERT_TRUE(got.has_value());
      const auto asked = open.extract(got->first);
      ASSERT_FALSE(asked.empty());  // Asked for, and not answered before.
      const Answer& answer = got->second;
      if (answer.error != 0 || asked.mapped()) continue;
      const std::uint64_t node = answer.get<fuse_entry_out>().nodeid;
      if (node != 0) ++held[node];
    }
    // Forgets race with the next round's lookups, as a kernel's do.
    std::vector<fuse_forget_one> all;
    for (const auto& [node, count] : held) {
      if (node != dir) all.push_back({node, count});
    }
    std::erase_if(held, [dir](const auto& one) { return one.first != dir; });
    kernel_.send(request::batch_forget(all));
  }
  kernel_.hang_up();
  ASSERT_TRUE(kernel_.wait_for_end());
  ASSERT_TRUE(kernel_.stop());
  EXPECT_EQ(kernel_.count(Counter::kForgetExcess), 0U);
  EXPECT_EQ(kernel_.stats().kernel_lookups, 1U);
  EXPECT_EQ(kernel_.loop().requests()[FUSE_BATCH_FORGET], std::uint64_t{kRounds});
}

// One thread, and a source that does not answer until it is told to.
class HeldUp : public ::testing::Test {
 protected:
  static FakeKernel::Settings settings() {
    FakeKernel::Settings settings = FakeKernel::small();
    settings.threads = 1;
    return settings;
  }
  MemoryStore::Options slow() {
    MemoryStore::Options options;
    options.before = [this](std::string_view operation) {
      if (operation == "statfs") {
        reached_.count_down();
        released_.wait();
      }
      return Status();
    };
    return options;
  }
  // Until the loop has so many threads.
  bool watch_until(unsigned threads) {
    for (int i = 0; i < 300'000 && kernel_.loop().alive() != threads; ++i) {
      kernel_.loop().watch();
      std::this_thread::yield();
    }
    return kernel_.loop().alive() == threads;
  }

  std::latch reached_{1};
  std::latch released_{1};
  MemoryStore store_{slow()};
  FakeKernel kernel_{store_, settings()};
};

TEST_F(HeldUp, SomebodyElseAnswersMeanwhile) {
  kernel_.negotiate();
  const Answer made = kernel_.ask(request::mkdir(kRootNumber, "d"));
  const std::uint64_t dir = made.get<fuse_entry_out>().nodeid;
  kernel_.loop().watch();  // Before there are threads.
  EXPECT_EQ(kernel_.loop().alive(), 0U);
  kernel_.start();
  const std::uint64_t slow = kernel_.send(request::statfs(kRootNumber));
  reached_.wait();
  const std::uint64_t hit = kernel_.send(request::getattr(dir));
  EXPECT_TRUE(watch_until(2));
  auto got = kernel_.receive();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->first, hit);
  released_.count_down();
  got = kernel_.receive();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->first, slow);
  // Who is not needed goes, without ending the session.
  EXPECT_TRUE(watch_until(1));
  kernel_.send(request::getattr(dir));
  EXPECT_TRUE(kernel_.receive().has_value());
  EXPECT_FALSE(kernel_.loop().failed());
  pollfd ended{kernel_.loop().ended_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 0), 0);
  kernel_.hang_up();
  ASSERT_TRUE(kernel_.wait_for_end());
  kernel_.loop().watch();
  ASSERT_TRUE(kernel_.stop());
  kernel_.loop().watch();
  EXPECT_EQ(kernel_.loop().alive(), 0U);
}

TEST_P(WorkerThreads, AMessageShorterThanItsHeaderEndsTheDaemonAsAnError) {
  start();
  kernel_.send_bytes(std::vector<std::byte>(sizeof(fuse_in_header) - 1));
  ASSERT_TRUE(kernel_.wait_for_end());
  ASSERT_TRUE(kernel_.stop());
  EXPECT_TRUE(kernel_.loop().failed());
}

TEST_P(WorkerThreads, WhatIsOpenWhenTheKernelGoesAwayGoesWithTheDaemon) {
  start();
  kernel_.send(request::create(kRootNumber, "f"));
  EXPECT_TRUE(next().ok());
  kernel_.send(request::opendir(kRootNumber));
  EXPECT_TRUE(next().ok());
  kernel_.hang_up();
  ASSERT_TRUE(kernel_.wait_for_end());
  ASSERT_TRUE(kernel_.stop());
  EXPECT_EQ(kernel_.open_files(), 1U);
  EXPECT_EQ(kernel_.open_directories(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Policies, WorkerThreads,
                         ::testing::Values(Locking::kLockless, Locking::kSharded, Locking::kRwlock,
                                           Locking::kMutex),
                         [](const auto& policy) {
                           return std::string(locking_name(policy.param));
                         });

}  // namespace
}  // namespace evenfs::test
