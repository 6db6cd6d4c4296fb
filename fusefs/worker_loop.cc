// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/worker_loop.h"

#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <new>
#include <system_error>

#include "core/base/assert.h"

namespace evenfs {
namespace {

constexpr int kWakeSignal = SIGUSR2;
constexpr int kWakeIntervalMs = 2;

void do_nothing(int) {}

void install_wake_handler() {
  struct sigaction action {};
  action.sa_handler = do_nothing;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // Without SA_RESTART, so that read() returns EINTR.
  ::sigaction(kWakeSignal, &action, nullptr);
}

void let_wake_signal_in() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kWakeSignal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

WorkerLoop::WorkerLoop(fuse_session* session, unsigned threads, Around around)
    : session_(session),
      threads_(threads),
      lanes_max_(threads + kSubstitutesMax),
      around_(std::move(around)),
      lanes_(std::make_unique<Lane[]>(lanes_max_)),
      ended_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

WorkerLoop::~WorkerLoop() { EVENFS_ASSERT(all_done()); }

Status WorkerLoop::start() {
  if (!ended_) return Errno(EMFILE);
  install_wake_handler();
  const std::lock_guard lock(pool_mutex_);
  open_.store(true, std::memory_order_relaxed);  // First: a thread may leave at once.
  for (unsigned i = 0; i < threads_; ++i) {
    if (const Status started = start_thread(lanes_[i]); !started) return started;
  }
  return Status();
}

// REQUIRES: pool_mutex_, and nobody in the lane.
Status WorkerLoop::start_thread(Lane& lane) {
  if (lane.thread.joinable()) lane.thread.join();
  lane.dismissed.store(false, std::memory_order_relaxed);
  lane.done.store(false, std::memory_order_relaxed);  // Before the thread exists.
  Status started;
  try {
    lane.thread = std::thread([this, &lane] { run(lane); });
  } catch (const std::system_error& error) {
    started = Errno(error.code().value());
  } catch (const std::bad_alloc&) {
    started = Errno(ENOMEM);
  }
  if (!started) lane.done.store(true, std::memory_order_relaxed);
  return started;
}

void WorkerLoop::watch() {
  // Who holds it starts or ends all threads; the caller's clock must not stand still meanwhile.
  const std::unique_lock lock(pool_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  if (!open_.load(std::memory_order_relaxed) || stopping_.load(std::memory_order_relaxed)) return;
  unsigned able = 0;
  for (unsigned i = 0; i < lanes_max_; ++i) {
    Lane& lane = lanes_[i];
    if (lane.done.load(std::memory_order_relaxed)) continue;
    const std::uint64_t turn = lane.account.turn();
    const bool held_up = (turn & 1) != 0 && turn == std::exchange(lane.turn_seen, turn);
    if (!held_up) ++able;
  }
  if (able < threads_) call_in(threads_ - able);
  unneeded_ = able > threads_ ? unneeded_ + 1 : 0;
  if (unneeded_ > kLinger) send_one_away();
}

// Fails for want of threads or memory: then he is called again next time.
void WorkerLoop::call_in(unsigned count) {
  for (unsigned i = threads_; i < lanes_max_ && count != 0; ++i) {
    // Acquire: pairs with the release in run(). (start_thread joins, too.)
    if (!lanes_[i].done.load(std::memory_order_acquire)) continue;
    if (!start_thread(lanes_[i])) return;
    --count;
  }
}

// One at a time, and again if the signal came too early.
void WorkerLoop::send_one_away() {
  for (unsigned i = lanes_max_; i-- > threads_;) {
    Lane& lane = lanes_[i];
    if (lane.done.load(std::memory_order_relaxed) || lane.account.busy()) continue;
    lane.dismissed.store(true, std::memory_order_relaxed);
    ::pthread_kill(lane.thread.native_handle(), kWakeSignal);
    return;
  }
}

unsigned WorkerLoop::alive() const noexcept {
  unsigned sum = 0;
  for (unsigned i = 0; i < lanes_max_; ++i) {
    if (!lanes_[i].done.load(std::memory_order_relaxed)) ++sum;
  }
  return sum;
}

void WorkerLoop::run(Lane& lane) {
  let_wake_signal_in();
  around_([&] { serve(lane); });
  // Release: pairs with the acquire in all_done(), so that who saw it also sees failed_.
  const bool dismissed = lane.dismissed.load(std::memory_order_relaxed);
  if (!dismissed) open_.store(false, std::memory_order_relaxed);
  lane.done.store(true, std::memory_order_release);
  if (!dismissed) ::eventfd_write(ended_.get(), 1);
}

// Reads by itself: fuse_session_receive_buf() writes a message to stderr when somebody aborts the
// connection, which is a way to end a mount like any other.
void WorkerLoop::serve(Lane& lane) {
  // Nobody could catch an exception here.
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[kRequestBytesMax]);
  if (memory == nullptr) {
    failed_.store(true, std::memory_order_relaxed);
    return;
  }
  const int device = fuse_session_fd(session_);
  // libfuse sets its mark when it cannot agree with the kernel on anything.
  while (!stopping_.load(std::memory_order_relaxed) && fuse_session_exited(session_) == 0 &&
         !lane.dismissed.load(std::memory_order_relaxed)) {
    const ssize_t got = ::read(device, memory.get(), kRequestBytesMax);
    if (got < 0) {
      const int error = errno;
      // ENOENT: the request was interrupted before it was read.
      if (error == EINTR || error == EAGAIN || error == ENOENT) continue;
      // ENODEV: the mount is gone. ECONNABORTED: somebody aborted the connection.
      if (error != ENODEV && error != ECONNABORTED) failed_.store(true, std::memory_order_relaxed);
      break;
    }
    if (static_cast<std::size_t>(got) < sizeof(fuse_in_header)) {
      failed_.store(true, std::memory_order_relaxed);
      break;
    }
    const auto* header = reinterpret_cast<const fuse_in_header*>(memory.get());
    fuse_buf buffer{};
    buffer.mem = memory.get();
    buffer.size = static_cast<std::size_t>(got);
    lane.account.begin(std::min<std::size_t>(header->opcode, kOpcodeSlots - 1));
    fuse_session_process_buf(session_, &buffer);
    lane.account.end();
  }
}

void WorkerLoop::join(RequestLane& lane) {
  const std::lock_guard lock(joined_mutex_);
  joined_.push_back(lane);
}

void WorkerLoop::leave(RequestLane& lane) {
  const std::lock_guard lock(joined_mutex_);
  joined_.erase(joined_.iterator_to(lane));
  lane.add_to(retired_);
}

std::size_t WorkerLoop::joined() const {
  const std::lock_guard lock(joined_mutex_);
  return joined_.size();
}

bool WorkerLoop::joined_are_idle() const {
  const std::lock_guard lock(joined_mutex_);
  return std::ranges::none_of(joined_, &RequestLane::busy);
}

bool WorkerLoop::all_done() const noexcept {
  for (unsigned i = 0; i < lanes_max_; ++i) {
    // Acquire: pairs with the release in run().
    if (!lanes_[i].done.load(std::memory_order_acquire)) return false;
  }
  return true;
}

bool WorkerLoop::stop(std::chrono::milliseconds patience) {
  using Clock = std::chrono::steady_clock;
  const std::lock_guard lock(pool_mutex_);
  stopping_.store(true, std::memory_order_relaxed);
  fuse_session_exit(session_);  // For the threads that have joined, after what they are at.
  const Clock::time_point give_up = Clock::now() + patience;
  // A signal that arrives between a thread's look at stopping_ and its read() is lost, hence the
  // repetition. Threads inside a request are spared: a system call of theirs on the source could
  // fail with EINTR, and the caller would see that.
  while (!all_done() || !joined_are_idle()) {
    if (Clock::now() > give_up) return false;
    for (unsigned i = 0; i < lanes_max_; ++i) {
      Lane& lane = lanes_[i];
      if (!lane.done.load(std::memory_order_relaxed) && !lane.account.busy()) {
        ::pthread_kill(lane.thread.native_handle(), kWakeSignal);
      }
    }
    ::poll(nullptr, 0, kWakeIntervalMs);
  }
  for (unsigned i = 0; i < lanes_max_; ++i) {
    if (lanes_[i].thread.joinable()) lanes_[i].thread.join();
  }
  return true;
}

RequestCounts WorkerLoop::requests() const {
  RequestCounts sum{};
  for (unsigned i = 0; i < lanes_max_; ++i) lanes_[i].account.add_to(sum);
  const std::lock_guard lock(joined_mutex_);
  for (const RequestLane& lane : joined_) lane.add_to(sum);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += retired_[i];
  return sum;
}

std::size_t WorkerLoop::in_flight() const {
  std::size_t sum = 0;
  for (unsigned i = 0; i < lanes_max_; ++i) sum += lanes_[i].account.busy() ? 1 : 0;
  const std::lock_guard lock(joined_mutex_);
  return sum + static_cast<std::size_t>(std::ranges::count_if(joined_, &RequestLane::busy));
}

}  // namespace evenfs
