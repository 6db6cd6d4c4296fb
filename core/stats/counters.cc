// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/stats/counters.h"

namespace evenfs {

Worker::Worker(WorkerRegistry& registry) : registry_(registry) {
  std::lock_guard lock(registry_.mutex_);
  registry_.workers_.push_back(*this);
}

Worker::~Worker() {
  std::lock_guard lock(registry_.mutex_);
  registry_.workers_.erase(registry_.workers_.iterator_to(*this));
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    registry_.retired_[i] += cells_[i].load(std::memory_order_relaxed);
  }
}

CounterTotals WorkerRegistry::totals() const {
  std::lock_guard lock(mutex_);
  CounterTotals sum = retired_;
  for (const Worker& worker : workers_) {
    for (std::size_t i = 0; i < kCounterCount; ++i) {
      sum[i] += worker.cells_[i].load(std::memory_order_relaxed);
    }
  }
  return sum;
}

}  // namespace evenfs
