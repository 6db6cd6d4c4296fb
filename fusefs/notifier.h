// SPDX-License-Identifier: LGPL-2.1-or-later
// Notifier: tells the kernel what others have changed in the source, from a thread of its own.
//
// The kernel takes the lock of the directory when it is told of a name, and those of pages when it is told of
// content, and programs hold these while they wait for us to answer. So no handler ever waits for the
// notifier, who takes no lock that a handler takes and does not run inside one: handlers go on answering, and
// whatever the notifier waits for comes.
//
// The queue is bounded. When it is full, all that is in it is dropped, and the kernel is told that nothing it
// knows may be believed: names by one message, attributes and pages by one for each inode that it holds.
//
// An inode whose answer is still on its way to the kernel is one that it does not know yet. What it is told
// then may be of before the change. It is counted (Cache::is_counted) before the answer is sent, so as long as
// the kernel does not know an inode that is counted, it is told again a little later.
//
// Threading: add() and everything() from any thread; they wait for nothing but the queue's mutex, a leaf lock
// that is not held while the kernel is told.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "core/cache/cache.h"

namespace evenfs {

struct Notice {
  enum class What : std::uint8_t {
    kName,        // `name` in `inode` is not what it was.
    kNewName,     // It was not there, and what it is now the kernel may know already.
    kRemoved,     // `name` in `inode`, which was `child`, is not there any more.
    kAttributes,  // Those of `inode`, and its access control lists.
    kContent,     // And its pages.
    kAllNames,
  };
  What what = What::kAllNames;
  std::uint64_t inode = 0;  // Numbers, as the kernel has them.
  std::uint64_t child = 0;
  std::string name{};
  friend bool operator==(const Notice&, const Notice&) = default;
};

// Where notices go.
class NoticeSink {
 public:
  virtual ~NoticeSink() = default;
  // The errno, or 0. May block for as long as somebody waits for one of our answers.
  virtual int send(const Notice& notice) noexcept = 0;
};

// The session's device.
class KernelSink final : public NoticeSink {
 public:
  explicit KernelSink(int device) noexcept : device_(device) {}
  int send(const Notice& notice) noexcept override;

 private:
  const int device_;
};

struct NotifierStats {
  std::uint64_t sent = 0;        // All other messages.
  std::uint64_t unknown = 0;     // Those about what it does not know.
  std::uint64_t merged = 0;      // Not sent, because the same was waiting.
  std::uint64_t dropped = 0;     // Not sent, because everything was to be told.
  std::uint64_t overflows = 0;   // How often the queue was full.
  std::uint64_t everything = 0;  // How often everything was told.
  std::uint64_t waiting = 0;     // In the queue.
};

class Notifier {
 public:
  Notifier(NoticeSink& sink, Cache& cache, std::size_t queue_max);
  ~Notifier();  // REQUIRES: the sink does not block for ever.
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // To be told, unless the same is waiting already. The cache knows of the change by now.
  void add(Notice notice) noexcept;
  void everything() noexcept;
  // Nothing more is told. Waits, at most `patience`, for the message that is being taken. False: it is
  // still on its way.
  bool stop(std::chrono::milliseconds patience) noexcept;

  NotifierStats stats() const noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  struct Hash {
    std::size_t operator()(const Notice& notice) const noexcept;
  };
  struct Again {
    Notice notice;
    Clock::time_point due;
    std::chrono::milliseconds wait;
  };

  void run() noexcept;
  void step(std::unique_lock<std::mutex>& lock);
  void drop_all() noexcept;
  void tell(const Notice& notice, std::chrono::milliseconds wait) noexcept;
  void tell_everything() noexcept;
  void tell_again(Clock::time_point now) noexcept;

  NoticeSink& sink_;
  Cache& cache_;
  const std::size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ended_;
  // Under mutex_: what waits, each once, and in which order.
  std::unordered_set<Notice, Hash> waiting_;
  std::deque<const Notice*> order_;
  bool everything_ = false;
  bool running_ = true;
  NotifierStats stats_;
  std::atomic<bool> stopping_{false};  // Set under mutex_.
  std::vector<Again> again_;           // The thread's own.
  std::thread thread_;                 // Last: it uses the rest.
};

}  // namespace evenfs
