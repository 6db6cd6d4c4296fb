// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/runner.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>

#include "tools/statloop/mutator.h"
#include "tools/statloop/reader.h"

namespace evenfs::statloop {
namespace {

// Set while a run is on; the signal handler has no other way to reach it.
Control* running = nullptr;

void stop_run(int) {
  if (running != nullptr) running->stop.store(true, std::memory_order_relaxed);
}

class SignalGuard {
 public:
  explicit SignalGuard(Control& control) {
    running = &control;
    struct sigaction action {};
    action.sa_handler = stop_run;
    ::sigaction(SIGINT, &action, &old_int_);
    ::sigaction(SIGTERM, &action, &old_term_);
  }
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  ~SignalGuard() {
    ::sigaction(SIGINT, &old_int_, nullptr);
    ::sigaction(SIGTERM, &old_term_, nullptr);
    running = nullptr;
  }

 private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

// Binds the calling thread to the `index`-th of the CPUs that it may use, in turn.
void pin_to_cpu(unsigned index) {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  const int count = CPU_COUNT(&allowed);
  int skip = count == 0 ? 0 : static_cast<int>(index) % count;
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || skip-- != 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

// One of the two ways to run the bodies of workers.
class Gang {
 public:
  virtual ~Gang() = default;
  // Returns what went wrong, or an empty string.
  virtual std::string start(std::function<void()> body) = 0;
  // Waits for one worker, in the order in which they were started.
  virtual std::string join(std::size_t index) = 0;
};

class Threads final : public Gang {
 public:
  std::string start(std::function<void()> body) override {
    threads_.emplace_back(std::move(body));
    return {};
  }
  std::string join(std::size_t index) override {
    threads_[index].join();
    return {};
  }

 private:
  std::vector<std::thread> threads_;
};

class Processes final : public Gang {
 public:
  std::string start(std::function<void()> body) override {
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return fmt::format("fork: {}", std::strerror(errno));
    if (child == 0) {
      // The parent decides when the run ends; without it, it has ended.
      ::signal(SIGINT, SIG_IGN);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(EXIT_FAILURE);
      body();
      std::fflush(nullptr);
      ::_exit(EXIT_SUCCESS);
    }
    children_.push_back(child);
    return {};
  }

  std::string join(std::size_t index) override {
    int status = 0;
    pid_t waited = 0;
    do {
      waited = ::waitpid(children_[index], &status, 0);
    } while (waited < 0 && errno == EINTR);
    if (waited > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) return {};
    return fmt::format("worker process {} died with wait status {}", index, status);
  }

 private:
  std::vector<pid_t> children_;
};

// Waits until all workers stand at the start, then lets them go. Bounded: a worker that died
// before the start shows when it is joined.
void fire(Control& control, std::size_t workers) {
  constexpr std::int64_t kPatienceNs = 30'000'000'000;
  const std::int64_t give_up = now_ns() + kPatienceNs;
  while (control.ready.load(std::memory_order_relaxed) < workers && now_ns() < give_up) {
    const timespec pause{.tv_sec = 0, .tv_nsec = 200'000};
    ::nanosleep(&pause, nullptr);
  }
  control.start_ns.store(now_ns(), std::memory_order_relaxed);
}

}  // namespace

std::string run_all(const Options& options, const Tree& tree, Shared& shared) {
  Control& control = shared.control();
  const std::span<WorkerResult> results = shared.results();
  Threads threads;
  Processes processes;
  Gang& gang = options.processes ? static_cast<Gang&>(processes) : threads;
  const SignalGuard signals(control);
  std::string wrong;
  std::size_t started = 0;
  for (unsigned i = 0; i < results.size() && wrong.empty(); ++i) {
    WorkerResult& result = results[i];
    wrong = gang.start([&options, &tree, &control, &result, i] {
      if (options.pin) pin_to_cpu(i);
      if (i >= options.workers) {
        return run_mutator(options, tree, i - options.workers, control, result);
      }
      run_reader(options, tree, make_plan(options, tree, i), i, control, result);
    });
    if (wrong.empty()) ++started;
  }
  if (!wrong.empty()) control.stop.store(true, std::memory_order_relaxed);
  fire(control, started);
  for (std::size_t i = 0; i < started; ++i) {
    if (i == options.workers) control.stop.store(true, std::memory_order_relaxed);
    if (const std::string died = gang.join(i); !died.empty()) wrong = died;
  }
  return wrong;
}

}  // namespace evenfs::statloop
