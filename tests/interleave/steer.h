// SPDX-License-Identifier: LGPL-2.1-or-later
// Steered: a thread that runs from one pause point to the next as a test says, so that a race is one
// fixed order of steps and not a matter of luck.
//
//   Steered reader(w.registry, [&](Worker& me) { ... });
//   ASSERT_TRUE(reader.run_to("lookup.copied"));   // It stands there now.
//   ...                                            // What is to come in between.
//   reader.finish();                               // To its end; then its results may be read.
//
// Nothing here waits for a time to pass. A thread that neither arrives nor ends within kPatience is a
// deadlock, and ends the process.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "core/base/pause_point.h"
#include "core/stats/counters.h"

#ifndef EVENFS_PAUSE_POINTS
#error "interleave tests are for builds with pause points"
#endif

namespace evenfs::test {

class Steered {
 public:
  // `work` does not begin before the first run_to() or finish().
  Steered(WorkerRegistry& registry, std::function<void(Worker&)> work)
      : thread_([this, &registry, work = std::move(work)] { run(registry, work); }) {}
  ~Steered() { finish(); }
  Steered(const Steered&) = delete;
  Steered& operator=(const Steered&) = delete;

  // Goes on until the thread reaches `point`, for the nth time from here. False: it ended instead.
  bool run_to(std::string_view point, int nth = 1) {
    let_go(point, nth);
    return arrived();
  }

  // The two halves of run_to(), for a thread that has to wait for another one on its way.
  void let_go(std::string_view point, int nth = 1) {
    const std::lock_guard lock(mutex_);
    target_ = point;
    left_ = nth;
    if (state_ != State::kEnded) state_ = State::kRunning;
    changed_.notify_all();
  }
  bool arrived() {
    std::unique_lock lock(mutex_);
    wait(lock, [this] { return state_ != State::kRunning; });
    return state_ == State::kStopped;
  }
  bool under_way() {
    const std::lock_guard lock(mutex_);
    return state_ == State::kRunning;
  }

  // To the end, without a stop.
  void finish() {
    if (!thread_.joinable()) return;
    let_go("", 0);
    thread_.join();
  }

 private:
  enum class State { kStopped, kRunning, kEnded };
  static constexpr std::chrono::seconds kPatience{60};

  template <class Condition>
  void wait(std::unique_lock<std::mutex>& lock, Condition condition) {
    if (changed_.wait_for(lock, kPatience, condition)) return;
    std::fprintf(stderr, "Steered: waits for ever, on the way to \"%s\"\n", target_.c_str());
    std::abort();
  }

  void run(WorkerRegistry& registry, const std::function<void(Worker&)>& work) {
    {
      std::unique_lock lock(mutex_);
      wait(lock, [this] { return state_ == State::kRunning; });
    }
    Worker me(registry);
    const PauseHook hook = [this](const char* name) { reached(name); };
    pause_hook = &hook;
    work(me);
    pause_hook = nullptr;
    const std::lock_guard lock(mutex_);
    state_ = State::kEnded;
    changed_.notify_all();
  }

  void reached(const char* name) {
    std::unique_lock lock(mutex_);
    if (target_ != name || --left_ > 0) return;
    state_ = State::kStopped;
    changed_.notify_all();
    wait(lock, [this] { return state_ == State::kRunning; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kStopped;  // Under mutex_, as the two below.
  std::string target_;
  int left_ = 0;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace evenfs::test
