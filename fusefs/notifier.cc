// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/notifier.h"

#include <linux/fuse.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <new>
#include <utility>

namespace evenfs {
namespace {

using std::chrono::milliseconds;

// FUSE_NOTIFY_INC_EPOCH, which older headers lack. Linux 6.16.
constexpr int kIncrementEpoch = 8;

// FUSE_EXPIRE_ONLY, a flag that older kernels pass over (Linux 6.2): the name is looked up again, and nothing
// happens to what it led to, if it still does: somebody may be in that directory, or have mounted something
// on it.
constexpr std::uint32_t kExpireOnly = 1;

// How long until an inode is told of again that is counted and that the kernel does not know: a tick of
// the cache's at first, and never longer than a second.
constexpr milliseconds kAgainFirst{10};
constexpr milliseconds kAgainLast{1000};
// More than that at a time, and everything is told again.
constexpr std::size_t kAgainMax = 4096;

}  // namespace

// By itself and not by libfuse's functions, which print a line for each message that the kernel has an
// objection to: a directory that is not empty for it yet, a name on which something is mounted.
int KernelSink::send(const Notice& notice) noexcept {
  fuse_out_header head{};
  fuse_notify_inval_inode_out inode{notice.inode, -1, 0};
  const auto length = static_cast<std::uint32_t>(notice.name.size());
  const std::uint32_t flags = notice.what == Notice::What::kNewName ? kExpireOnly : 0;
  fuse_notify_inval_entry_out entry{notice.inode, length, flags};
  fuse_notify_delete_out removed{notice.inode, notice.child, length, 0};
  const iovec name{const_cast<char*>(notice.name.c_str()), notice.name.size() + 1};
  std::array<iovec, 3> parts = {iovec{&head, sizeof head}, iovec{}, iovec{}};
  int count = 2;
  switch (notice.what) {
    case Notice::What::kNewName:
    case Notice::What::kName:
      head.error = FUSE_NOTIFY_INVAL_ENTRY;
      parts[1] = {&entry, sizeof entry};
      parts[2] = name;
      count = 3;
      break;
    case Notice::What::kRemoved:
      head.error = FUSE_NOTIFY_DELETE;
      parts[1] = {&removed, sizeof removed};
      parts[2] = name;
      count = 3;
      break;
    case Notice::What::kContent:
      inode.off = 0;
      [[fallthrough]];
    case Notice::What::kAttributes:
      head.error = FUSE_NOTIFY_INVAL_INODE;
      parts[1] = {&inode, sizeof inode};
      break;
    case Notice::What::kAllNames:
      head.error = kIncrementEpoch;
      count = 1;
      break;
  }
  for (int i = 0; i < count; ++i) {
    head.len += static_cast<std::uint32_t>(parts[static_cast<std::size_t>(i)].iov_len);
  }
  return ::writev(device_, parts.data(), count) < 0 ? errno : 0;
}

std::size_t Notifier::Hash::operator()(const Notice& notice) const noexcept {
  const std::size_t name = std::hash<std::string>()(notice.name);
  const std::uint64_t number = notice.inode * 0x9e3779b97f4a7c15U + notice.child;
  return name ^ static_cast<std::size_t>(number ^ (number >> 32)) ^
         static_cast<std::size_t>(notice.what);
}

Notifier::Notifier(NoticeSink& sink, Cache& cache, std::size_t queue_max)
    : sink_(sink), cache_(cache), queue_max_(queue_max), thread_([this] { run(); }) {}

Notifier::~Notifier() {
  stop(milliseconds(0));
  thread_.join();
}

void Notifier::add(Notice notice) noexcept {
  const std::lock_guard lock(mutex_);
  if (everything_) {  // Which is told after this.
    ++stats_.dropped;
    return;
  }
  if (waiting_.size() < queue_max_) {
    try {
      order_.push_back(nullptr);
      const auto [at, is_new] = waiting_.insert(std::move(notice));
      order_.back() = &*at;
      if (!is_new) {
        order_.pop_back();
        ++stats_.merged;
      }
      wake_.notify_one();
      return;
    } catch (const std::bad_alloc&) {
      // As if it were full; drop_all() clears what was begun.
    }
  }
  ++stats_.overflows;
  ++stats_.dropped;
  drop_all();
  everything_ = true;
  wake_.notify_one();
}

void Notifier::everything() noexcept {
  const std::lock_guard lock(mutex_);
  drop_all();
  everything_ = true;
  wake_.notify_one();
}

void Notifier::drop_all() noexcept {
  stats_.dropped += waiting_.size();
  order_.clear();
  waiting_.clear();
}

bool Notifier::stop(milliseconds patience) noexcept {
  std::unique_lock lock(mutex_);
  stopping_.store(true, std::memory_order_relaxed);
  wake_.notify_one();
  return ended_.wait_for(lock, patience, [this] { return !running_; });
}

NotifierStats Notifier::stats() const noexcept {
  const std::lock_guard lock(mutex_);
  NotifierStats stats = stats_;
  stats.waiting = waiting_.size();
  return stats;
}

void Notifier::run() noexcept {
  std::unique_lock lock(mutex_);
  while (!stopping_.load(std::memory_order_relaxed)) step(lock);
  running_ = false;
  ended_.notify_all();
}

void Notifier::step(std::unique_lock<std::mutex>& lock) {
  const Clock::time_point now = Clock::now();
  const bool due = std::ranges::any_of(again_, [now](const Again& one) { return one.due <= now; });
  if (!everything_ && order_.empty() && !due) {
    if (again_.empty()) {
      wake_.wait(lock);
    } else {
      wake_.wait_until(lock, std::ranges::min_element(again_, {}, &Again::due)->due);
    }
    return;
  }
  if (std::exchange(everything_, false)) {
    ++stats_.everything;
    lock.unlock();
    tell_everything();
  } else if (!order_.empty() && !due) {
    auto taken = waiting_.extract(*order_.front());
    order_.pop_front();
    lock.unlock();
    tell(taken.value(), kAgainFirst);
  } else {
    lock.unlock();
    tell_again(now);
  }
  lock.lock();
}

// Errors but ENOENT: the kernel has done what it could, or it is gone.
void Notifier::tell(const Notice& notice, milliseconds wait) noexcept {
  const int error = sink_.send(notice);
  // The kernel takes the object of a name that was removed to have no other, until it asks.
  if (error == 0 && notice.what == Notice::What::kRemoved) {
    sink_.send({Notice::What::kAttributes, notice.child});
  }
  {
    const std::lock_guard lock(mutex_);
    ++(error == ENOENT ? stats_.unknown : stats_.sent);
  }
  const bool of_an_inode =
      notice.what == Notice::What::kAttributes || notice.what == Notice::What::kContent;
  if (error != ENOENT || !of_an_inode) return;
  // At the first time it is told again in any case: who has just counted it may not be seen yet.
  if (wait != kAgainFirst && !cache_.is_counted(notice.inode)) return;
  try {
    if (again_.size() < kAgainMax) {
      again_.push_back({notice, Clock::now() + wait, wait});
      return;
    }
  } catch (const std::bad_alloc&) {
    // As if there were too many.
  }
  again_.clear();
  const std::lock_guard lock(mutex_);
  everything_ = true;
}

void Notifier::tell_everything() noexcept {
  again_.clear();
  tell({Notice::What::kAllNames}, kAgainFirst);
  tell({Notice::What::kContent, NodeId::root().raw()}, kAgainFirst);
  std::uint32_t at = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const std::uint64_t number = cache_.next_counted(at);
    if (number == 0) return;
    tell({Notice::What::kContent, number}, kAgainFirst);
  }
}

void Notifier::tell_again(Clock::time_point now) noexcept {
  std::vector<Again> due;
  const auto later = std::partition(again_.begin(), again_.end(),
                                    [now](const Again& one) { return one.due > now; });
  try {
    due.assign(later, again_.end());
  } catch (const std::bad_alloc&) {
    return;  // They stay, and are due.
  }
  again_.erase(later, again_.end());
  for (const Again& one : due) {
    if (stopping_.load(std::memory_order_relaxed)) return;
    tell(one.notice, std::min(one.wait * 2, kAgainLast));
  }
}

}  // namespace evenfs
