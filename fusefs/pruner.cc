// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/pruner.h"

#include <linux/fuse.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <utility>

namespace evenfs {
namespace {

// FUSE_NOTIFY_PRUNE and what follows its header, which older headers lack: the count, and the numbers.
constexpr int kNotifyPrune = 9;
struct PruneHead {
  std::uint32_t count;
  std::uint32_t padding;
  std::uint64_t spare;
};

// In one message. The kernel takes that many at a time.
constexpr std::size_t kNumbersMax = 512;

}  // namespace

int send_prune(int device, std::span<const std::uint64_t> numbers) noexcept {
  PruneHead prune{static_cast<std::uint32_t>(numbers.size()), 0, 0};
  fuse_out_header head{};
  head.len = static_cast<std::uint32_t>(sizeof head + sizeof prune + numbers.size_bytes());
  head.error = kNotifyPrune;
  const std::array<iovec, 3> parts = {
      iovec{&head, sizeof head}, iovec{&prune, sizeof prune},
      iovec{const_cast<std::uint64_t*>(numbers.data()), numbers.size_bytes()}};
  return ::writev(device, parts.data(), parts.size()) < 0 ? errno : 0;
}

Pruner::Pruner(Cache& cache, Send send)
    : cache_(cache), send_(std::move(send)), thread_([this] { run(); }) {
  cache_.on_shortage([this] { wake(); });
}

Pruner::~Pruner() {
  stop(std::chrono::milliseconds(0));
  thread_.join();
}

void Pruner::wake() noexcept {
  const std::lock_guard lock(mutex_);
  wanted_ = true;
  wake_.notify_one();
}

bool Pruner::stop(std::chrono::milliseconds patience) noexcept {
  std::unique_lock lock(mutex_);
  stopping_.store(true, std::memory_order_relaxed);
  wake_.notify_one();
  return ended_.wait_for(lock, patience, [this] { return !running_; });
}

PrunerStats Pruner::stats() const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  return {able_.load(kRelaxed), asked_.load(kRelaxed), messages_.load(kRelaxed)};
}

void Pruner::run() noexcept {
  std::unique_lock lock(mutex_);
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (!std::exchange(wanted_, false)) {
      wake_.wait(lock);
      continue;
    }
    lock.unlock();
    ask();
    lock.lock();
  }
  running_ = false;
  ended_.notify_all();
}

void Pruner::ask() noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  std::array<std::uint64_t, kNumbersMax> numbers;
  while (able_.load(kRelaxed) && !stopping_.load(kRelaxed)) {
    const std::size_t chosen = cache_.choose_to_prune(numbers);
    if (chosen == 0) return;
    if (const int error = send_(std::span(numbers).first(chosen)); error != 0) {
      // What it does not know it calls invalid. Anything else is the end of the connection.
      if (error == EINVAL) {
        able_.store(false, kRelaxed);
        cache_.cannot_prune();
      }
      return;
    }
    asked_.store(asked_.load(kRelaxed) + chosen, kRelaxed);
    messages_.store(messages_.load(kRelaxed) + 1, kRelaxed);
  }
}

}  // namespace evenfs
