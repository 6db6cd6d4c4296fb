// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/open_files.h"

#include "core/base/assert.h"

namespace evenfs {

OpenFiles::OpenFiles() = default;

OpenFiles::~OpenFiles() {
  for (const Shard& shard : shards_) EVENFS_ASSERT(shard.table.empty());
}

// By bits that the buckets of a shard do not go by.
OpenFiles::Shard& OpenFiles::shard_of(const Node& key) noexcept {
  return shards_[(NodeHash()(key) >> 16) % kShards];
}

void OpenFiles::add(Entry& entry, const Node& key, int fd) noexcept {
  entry.key_ = key;
  entry.fd_ = fd;
  Shard& shard = shard_of(key);
  const std::lock_guard guard(shard.mutex);
  entry.is_listed_ = shard.table.insert(entry).second;
}

void OpenFiles::remove(Entry& entry) noexcept {
  Shard& shard = shard_of(entry.key_);
  std::unique_lock guard(shard.mutex);
  if (!entry.is_listed_) return;
  shard.table.erase(shard.table.iterator_to(entry));
  shard.unused.wait(guard, [&entry] { return entry.users_ == 0; });
}

OpenFiles::Use OpenFiles::find(const Node& key) noexcept {
  Shard& shard = shard_of(key);
  const std::lock_guard guard(shard.mutex);
  const auto found = shard.table.find(key);
  if (found == shard.table.end()) return Use();
  ++found->users_;
  return Use(*this, *found);
}

void OpenFiles::end_use(Entry& entry) noexcept {
  Shard& shard = shard_of(entry.key_);
  const std::lock_guard guard(shard.mutex);
  if (--entry.users_ == 0) shard.unused.notify_all();  // Within it: then the entry may go.
}

}  // namespace evenfs
