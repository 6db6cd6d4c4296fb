// SPDX-License-Identifier: LGPL-2.1-or-later
// FakeKernel: plays the kernel for the real handlers. No mount, no /dev/fuse, no privilege: a libfuse
// session on one end of a socket pair, with evenfs's own table of operations, cache, open files, and the
// store that a test gives.
//
// Two ways to ask:
//   ask()             Hands the message to the session on the calling thread and returns what the handler
//                     has answered by then; nothing is asynchronous. For all but a few tests.
//   start(), send()   Messages go through the socket to the daemon's worker threads; receive() reads
//                     what they answer, in whatever order.
//
// It aborts on what no daemon may do, whatever it was asked: two answers to one request, an answer to a
// request that was not sent or wants none, a length that is not the answer's.
//
// What it keeps from the session, since libfuse (3.18) leaves that to the kernel, and a handler could not
// know better:
//   - The end of a message. libfuse reads fixed parts, names up to their zero, the values of WRITE and
//     SETXATTR and the entries of BATCH_FORGET without a look at the length. Behind each message there
//     are kPadding zeros, so a message that ends early goes on with zeros. No test may claim more.
//   - Numbers of open files, which are addresses. A test gives back what it was given, as the kernel does, and
//     not under the number of another inode.
#pragma once

#include <fuse_lowlevel.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/cache/cache.h"
#include "core/mem/mapping.h"
#include "fusefs/open_table.h"
#include "fusefs/request.h"
#include "fusefs/stats_json.h"
#include "fusefs/worker_loop.h"
#include "tests/support/allocation.h"
#include "tests/support/wire.h"

namespace evenfs::test {

class FakeKernel {
 public:
  struct Settings {
    Locking locking = Locking::kLockless;
    CacheOptions cache;
    double entry_timeout_s = 1;
    double attr_timeout_s = 1;
    double negative_timeout_s = 1;
    bool watched = false;
    double least_timeout_s = 0;
    const Teller* teller = nullptr;
    unsigned threads = 0;  // For start().
  };
  static constexpr std::size_t kPadding = std::size_t{1} << 17;  // Bytes.

  // Settings with a small cache and a fixed seed. Its generations are far from 0, so that no small number
  // is an id by chance.
  static Settings small();

  explicit FakeKernel(Store& store, const Settings& settings = small());
  ~FakeKernel();
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  // INIT, as a kernel of today sends it. Everything else has to wait for that.
  fuse_init_out negotiate();
  static fuse_init_in init_of_today();
  // The kernel reads and writes by backing files from now on, and knows of its own writes.
  void pass_through(BackingTable& backing) { behind_->backing = &backing; }

  Answer ask(Message message);
  // The answer to the next request cannot be delivered, as when its caller was interrupted.
  void refuse_next_answer(int error = ENOENT) { refusal_ = error; }
  // Called with each answer from now on, in the moment in which the kernel has it: the handler has not gone on
  // yet. It may use the cache, not ask.
  void when_answered(std::function<void(const Answer&)> hook) { when_answered_ = std::move(hook); }

  // Has an allocation of the next request's handler fail (allocation.h). What this kernel allocates itself,
  // to take an answer, is not counted.
  void fail_next_allocation(std::uint64_t nth, Shortage shortage) {
    failing_ = nth;
    shortage_ = shortage;
  }
  // How many the last request's handler made.
  std::uint64_t allocations() const { return allocations_; }

  // With worker threads: starts them; puts a message into the socket and returns its number; waits, for
  // 30 seconds at most, for an answer to any of them. Then the kernel's end is closed, as by an unmount.
  void start();
  std::uint64_t send(Message message);
  void send_bytes(std::span<const std::byte> bytes);
  std::optional<std::pair<std::uint64_t, Answer>> receive();
  void hang_up() { kernel_end_.reset(); }
  // Waits until a thread has ended. Who ends since the kernel's end is closed has found the socket empty, so
  // everything that was sent has been read by then, and answered once stop() returns.
  bool wait_for_end() const;
  bool stop() { return loop_->stop(std::chrono::seconds(30)); }
  WorkerLoop& loop() { return *loop_; }

  // Messages that the daemon sent of its own accord: their codes.
  const std::vector<int>& notifications() const { return notifications_; }

  Cache& cache() { return *cache_; }
  Worker& me() { return state_->worker; }
  WorkerRegistry& workers() { return registry_; }
  fuse_session* session() { return session_; }
  CacheStats stats() const { return cache_->stats(); }
  // What the asking thread has of memory for answers.
  std::size_t buffer_bytes() const { return state_->buffer_size; }
  std::uint64_t open_files() const { return files_.size(); }
  std::uint64_t open_directories() const { return directories_.size(); }
  std::uint64_t count(Counter counter) const {
    return registry_.totals()[static_cast<std::size_t>(counter)];
  }

 private:
  // What the session gives to handlers, and to us where it writes.
  struct Behind : Daemon {
    FakeKernel* kernel;
  };

  static ssize_t write_hook(int fd, iovec* parts, int count, void* userdata);
  static ssize_t read_hook(int fd, void* into, std::size_t size, void* userdata);
  int take_answer(std::span<const std::byte> bytes);
  void make_session();
  static bool wants_answer(std::uint32_t opcode);

  Options options_;
  WorkerRegistry registry_;
  std::unique_ptr<Cache> cache_;
  OpenTable<OpenFile> files_;
  OpenTable<OpenDirectory> directories_;
  std::optional<DaemonStats> stats_;
  std::optional<Behind> behind_;
  fuse_lowlevel_ops ops_{};
  fuse_session* session_ = nullptr;
  UniqueFd kernel_end_;
  std::unique_ptr<WorkerLoop> loop_;
  std::unique_ptr<ThreadState> state_;  // Of the thread that asks.

  Mapping memory_;  // For one message; zeros behind it. Pages that no message needs are not there.
  std::uint64_t unique_ = 2;
  bool started_ = false;
  bool answered_ = false;
  int refusal_ = 0;
  std::uint64_t failing_ = 0;  // 0: none.
  Shortage shortage_ = Shortage::kOnce;
  std::uint64_t allocations_ = 0;
  std::uint64_t awaited_ = 0;
  Answer answer_;
  std::function<void(const Answer&)> when_answered_;
  std::vector<int> notifications_;
};

}  // namespace evenfs::test
