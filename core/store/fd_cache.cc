// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/fd_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace evenfs {

FdCache::FdCache(std::size_t capacity)
    : capacity_(capacity),
      buckets_(std::bit_ceil(std::max<std::size_t>(2 * capacity, 2))),
      table_(Table::bucket_traits(buckets_.data(), buckets_.size())) {}

FdCache::~FdCache() { clear(); }

FdCache::Entry* FdCache::take_out(Entry& entry) noexcept {
  table_.erase(table_.iterator_to(entry));
  order_.erase(order_.iterator_to(entry));
  return &entry;
}

FdCache::Ref FdCache::get(const Node& key) {
  const std::lock_guard guard(mutex_);
  const auto found = table_.find(key);
  if (found == table_.end()) return nullptr;
  order_.splice(order_.begin(), order_, order_.iterator_to(*found));
  return found->fd;
}

FdCache::Ref FdCache::put(const Node& key, UniqueFd fd) {
  auto added = std::make_unique<Entry>();
  added->key = key;
  added->fd = std::make_shared<const UniqueFd>(std::move(fd));
  Ref use = added->fd;
  if (capacity_ == 0) return use;
  std::unique_ptr<Entry> evicted;  // Destroyed behind the guard.
  const std::lock_guard guard(mutex_);
  const auto [at, inserted] = table_.insert(*added);
  if (!inserted) return at->fd;
  order_.push_front(*added.release());
  if (order_.size() > capacity_) evicted.reset(take_out(order_.back()));
  return use;
}

void FdCache::erase(const Node& key) noexcept {
  std::unique_ptr<Entry> erased;
  const std::lock_guard guard(mutex_);
  const auto found = table_.find(key);
  if (found != table_.end()) erased.reset(take_out(*found));
}

void FdCache::clear() noexcept {
  Order leaving;
  {
    const std::lock_guard guard(mutex_);
    table_.clear();
    leaving.swap(order_);
  }
  leaving.clear_and_dispose([](Entry* entry) { delete entry; });
}

std::size_t FdCache::size() const {
  const std::lock_guard guard(mutex_);
  return order_.size();
}

}  // namespace evenfs
