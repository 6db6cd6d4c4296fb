// SPDX-License-Identifier: LGPL-2.1-or-later
// What workers and the parent share: one anonymous shared mapping, used by threads and by
// processes alike, so that both are measured with the same code.
//
// Threading: Control is for everybody. A WorkerResult is written by its worker; the parent reads
// it after that worker was joined or waited for.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <ctime>
#include <new>
#include <span>

#include "core/base/cacheline.h"
#include "tools/statloop/histogram.h"
#include "tools/statloop/options.h"

namespace evenfs::statloop {

inline std::int64_t now_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Each field is a value of its own: nothing else is read because of it, so relaxed is enough.
struct Control {
  std::atomic<std::uint32_t> ready{0};    // Workers that wait for the start.
  std::atomic<std::int64_t> start_ns{0};  // 0: not yet.
  std::atomic<bool> stop{false};
  std::atomic<bool> detail_printed{false};  // The first wrong answer is printed by who finds it.
};

inline constexpr std::size_t kErrnoMax = 256;

struct alignas(kCacheLine) WorkerResult {
  std::uint64_t ops = 0;         // Measured ones: those after the warm-up.
  std::uint64_t wrong = 0;       // These and what follows count the warm-up too.
  std::uint64_t unexpected = 0;  // Calls that failed with an errno that nothing explains.
  std::uint64_t checked = 0;     // Answers that were compared with what their names say.
  std::int64_t elapsed_ns = 0;   // Of the measured part.
  std::array<std::uint64_t, kErrnoMax> by_errno{};
  std::array<std::uint64_t, kMutationNames.size()> mutations{};
  std::array<char, 512> first_wrong{};  // Text of the first wrong answer, ends with NUL.
  Histogram latency_ns;
  bool finished = false;
};

class Shared {
 public:
  // Check ok() before anything else.
  explicit Shared(std::size_t workers)
      : bytes_(sizeof(Head) + workers * sizeof(WorkerResult)),
        memory_(
            ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (!ok()) return;
    ::new (memory_) Head;
    results_ = reinterpret_cast<WorkerResult*>(static_cast<char*>(memory_) + sizeof(Head));
    for (std::size_t i = 0; i < workers; ++i) ::new (&results_[i]) WorkerResult;
    workers_ = workers;
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    if (ok()) ::munmap(memory_, bytes_);
  }

  bool ok() const noexcept { return memory_ != MAP_FAILED; }
  Control& control() noexcept { return static_cast<Head*>(memory_)->control; }
  std::span<WorkerResult> results() noexcept { return {results_, workers_}; }

 private:
  struct alignas(kCacheLine) Head {
    Control control;
  };

  std::size_t bytes_;
  void* memory_;
  WorkerResult* results_ = nullptr;
  std::size_t workers_ = 0;
};

}  // namespace evenfs::statloop
