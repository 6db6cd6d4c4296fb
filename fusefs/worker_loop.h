// SPDX-License-Identifier: LGPL-2.1-or-later
// WorkerLoop: the threads that read requests from /dev/fuse and process them. Shared by evenfs
// and nullfs, so that a comparison of the two compares what they answer and nothing else.
//
// Why not fuse_session_loop_mt: it takes a lock of the session twice for each request. Here a
// thread owns its buffer and its counters, and the only thing that threads share on the way of a
// request is the kernel's queue.
//
// How threads end: a read fails with ENODEV once the mount is gone, with ECONNABORTED after an
// abort; stop() wakes those that still wait in read() by a signal without SA_RESTART, again and
// again until each has reported its end.
// That costs a request nothing, where polling for a second descriptor would cost a system call.
#pragma once

#include <fuse_lowlevel.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
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

// "lookup", "getattr", ...; empty where the protocol has no request of that number.
std::string_view opcode_name(std::size_t opcode) noexcept;

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
  // open only the one that wakes them. EAGAIN if there can be no more threads; then stop().
  Status start();

  // Readable from the moment on in which any thread has left its loop.
  int ended_fd() const noexcept { return ended_.get(); }

  // Asks every thread to end and waits, at most `patience`, for those that are inside a request.
  // False if some are still there: they cannot be ended, and nothing they use may be freed.
  bool stop(std::chrono::milliseconds patience);

  // True if a thread ended by an error and not because the mount is gone. Exact after stop().
  bool failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

  // Sums over all threads. Any thread, any time.
  RequestCounts requests() const noexcept;
  unsigned in_flight() const noexcept;

 private:
  // What one thread owns. The thread is the only writer of its counters, so that counting needs
  // no read-modify-write, and no two threads write to one line.
  struct alignas(kCacheLine) Lane {
    std::atomic<std::uint32_t> busy{0};  // 1 while a request is processed.
    std::atomic<bool> done{false};
    std::array<std::atomic<std::uint64_t>, kOpcodeSlots> requests{};
    std::thread thread;
  };

  void run(Lane& lane);
  void serve(Lane& lane);
  bool all_done() const noexcept;

  fuse_session* const session_;
  const unsigned threads_;
  const Around around_;
  const std::unique_ptr<Lane[]> lanes_;
  UniqueFd ended_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
};

}  // namespace evenfs
