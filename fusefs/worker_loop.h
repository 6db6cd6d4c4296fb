// SPDX-License-Identifier: LGPL-2.1-or-later
// WorkerLoop: the threads that read requests from /dev/fuse and process them, and the account of all
// requests. Shared by evenfs and nullfs, so that a comparison of the two compares what they answer and
// nothing else.
//
// Why not fuse_session_loop_mt: it takes a lock of the session twice for each request. Here a
// thread owns its buffer and its counters, and the only thing that threads share on the way of a
// request is the kernel's queue.
//
// How threads end: a read fails with ENODEV once the mount is gone, with ECONNABORTED after an
// abort; stop() wakes those that still wait in read() by a signal without SA_RESTART, again and
// again until each has reported its end.
// That costs a request nothing, where polling for a second descriptor would cost a system call.
//
// A thread that waits for the source takes no other request. So that hits need not wait with it, watch()
// starts substitutes while threads are held up: the number that can take a request stays what it was asked
// to be. (Always having many costs more than it brings: the kernel wakes them in turn, and each finds its
// memory cold.)
//
// Over io_uring (transport.h) requests come to threads of libfuse's, one for each processor, and only
// FORGET and what comes before the rings are ready is read here.
#pragma once

#include <fuse_lowlevel.h>

#include <array>
#include <atomic>
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "core/base/cacheline.h"
#include "core/base/result.h"
#include "core/base/unique_fd.h"

namespace evenfs {

// The most that a WRITE may carry, and the memory that holds it with its headers. A larger read
// from /dev/fuse than the kernel needs costs nothing: pages that are not touched are not there.
inline constexpr std::size_t kWriteBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kRequestBytesMax = kWriteBytesMax + 4096;

inline constexpr std::size_t kOpcodeSlots = 64;  // The protocol's numbers; the last is "other".
using RequestCounts = std::array<std::uint64_t, kOpcodeSlots>;

// By number, because the numbers are the protocol and headers of older kernels lack the last. Empty: the
// protocol has no request of that number.
// clang-format off
inline constexpr std::array<std::string_view, kOpcodeSlots> kOpcodeNames = {
    "", "lookup", "forget", "getattr", "setattr", "readlink", "symlink", "",
    "mknod", "mkdir", "unlink", "rmdir", "rename", "link", "open", "read",
    "write", "statfs", "release", "", "fsync", "setxattr", "getxattr", "listxattr",
    "removexattr", "flush", "init", "opendir", "readdir", "releasedir", "fsyncdir", "getlk",
    "setlk", "setlkw", "access", "create", "interrupt", "bmap", "destroy", "ioctl",
    "poll", "notify_reply", "batch_forget", "fallocate", "readdirplus", "rename2", "lseek",
    "copy_file_range", "setupmapping", "removemapping", "syncfs", "tmpfile", "statx",
    "copy_file_range_64", "", "", "", "", "", "", "", "", "", "other"};
// clang-format on
static_assert(kOpcodeNames[kOpcodeSlots - 1] == "other");

// The number of a request with that name.
consteval std::size_t opcode(std::string_view name) {
  for (std::size_t i = 0; i < kOpcodeNames.size(); ++i) {
    if (kOpcodeNames[i] == name) return i;
  }
  throw "no such request";  // Not a constant: does not compile.
}

// What one thread that answers requests tells of itself. The thread is the only writer, so that counting
// needs no read-modify-write, and no two threads write to one line.
class alignas(kCacheLine) RequestLane {
 public:
  // REQUIRES: opcode < kOpcodeSlots.
  void begin(std::size_t opcode) noexcept {
    // Nobody concludes anything from the value.
    std::atomic<std::uint64_t>& cell = requests_[opcode];
    cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    step();
  }
  void end() noexcept { step(); }

  // Odd while it is inside a request, and another number in each.
  std::uint64_t turn() const noexcept { return turn_.load(std::memory_order_relaxed); }
  bool busy() const noexcept { return (turn() & 1) != 0; }
  void add_to(RequestCounts& sum) const noexcept {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += requests_[i].load(std::memory_order_relaxed);
    }
  }

 private:
  friend class WorkerLoop;
  void step() noexcept { turn_.store(turn() + 1, std::memory_order_relaxed); }

  std::atomic<std::uint64_t> turn_{0};
  std::array<std::atomic<std::uint64_t>, kOpcodeSlots> requests_{};
  boost::intrusive::list_member_hook<> hook_;  // Under WorkerLoop::joined_mutex_.
};

class WorkerLoop {
 public:
  // Called once on each thread. It must call its argument once, which serves requests and
  // returns when the thread is to end.
  using Around = std::function<void(const std::function<void()>& serve)>;

  WorkerLoop(fuse_session* session, unsigned threads, Around around);
  ~WorkerLoop();  // REQUIRES: all threads have ended.
  WorkerLoop(const WorkerLoop&) = delete;
  WorkerLoop& operator=(const WorkerLoop&) = delete;

  // Starts the threads. All signals should be blocked in the caller: threads inherit that and
  // open only the one that wakes them. EAGAIN if there can be no more threads, ENOMEM; then stop().
  Status start();

  // Readable from the moment on in which any thread has left its loop.
  int ended_fd() const noexcept { return ended_.get(); }

  // For a thread that libfuse has started: its account is part of the loop's until it leaves, and what it
  // has counted stays.
  void join(RequestLane& lane);
  void leave(RequestLane& lane);
  // Threads that have joined and not left.
  std::size_t joined() const;

  // To be called again and again, kTickMs apart, by one thread: whoever is at the request that he was at at
  // the call before is held up, and somebody else is to stand in for him. Does nothing before start() and
  // when the first of the others has left.
  void watch();
  // Threads of its own. Any thread, any time.
  unsigned alive() const noexcept;

  // Asks every thread of its own to end and waits, at most `patience`, for all that are inside a request.
  // False if some are still there: they cannot be ended, and nothing they use may be freed.
  bool stop(std::chrono::milliseconds patience);

  // True if a thread ended by an error and not because the mount is gone. Exact after stop().
  bool failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

  // Sums over all threads. Any thread, any time.
  RequestCounts requests() const;
  std::size_t in_flight() const;

 private:
  struct alignas(kCacheLine) Lane {
    RequestLane account;
    std::atomic<bool> done{true};
    std::atomic<bool> dismissed{false};  // A substitute who is not needed any more.
    std::thread thread;                  // Under pool_mutex_, as the next.
    std::uint64_t turn_seen = 0;         // By watch().
  };
  static constexpr unsigned kSubstitutesMax = 128;
  // How many calls of watch() a substitute stays when he is not needed: two seconds.
  static constexpr unsigned kLinger = 200;

  using Joined = boost::intrusive::list<
      RequestLane, boost::intrusive::member_hook<RequestLane, boost::intrusive::list_member_hook<>,
                                                 &RequestLane::hook_>>;

  Status start_thread(Lane& lane);
  void call_in(unsigned count);
  void send_one_away();
  void run(Lane& lane);
  void serve(Lane& lane);
  bool all_done() const noexcept;
  bool joined_are_idle() const;

  fuse_session* const session_;
  const unsigned threads_;
  const unsigned lanes_max_;
  const Around around_;
  const std::unique_ptr<Lane[]> lanes_;
  std::mutex pool_mutex_;  // Who starts threads or joins them.
  unsigned unneeded_ = 0;  // Calls of watch() with more threads than needed. Under pool_mutex_.
  mutable std::mutex joined_mutex_;
  Joined joined_;            // Under joined_mutex_: the list; each lane is its thread's.
  RequestCounts retired_{};  // Under joined_mutex_: the counts of those that left.
  UniqueFd ended_;
  std::atomic<bool> open_{false};  // From start() to the first thread that leaves by itself.
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
};

}  // namespace evenfs
