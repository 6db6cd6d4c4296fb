// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/backing.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <new>
#include <utility>

namespace evenfs {
namespace {

// As in linux/fuse.h from Linux 6.9 on.
struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, std::uint32_t);

// A mapping of it could be written to: the kernel does not know that the source's file does not allow that.
bool is_append_only(int fd) {
  struct statx stx {};
  return ::statx(fd, "", AT_EMPTY_PATH, 0, &stx) == 0 &&
         (stx.stx_attributes & STATX_ATTR_APPEND) != 0;
}

}  // namespace

Result<BackingTable::Use> BackingTable::open(NodeId id, int fd, bool writes) noexcept try {
  if (!on()) return Use();
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  Entry& entry = shard.entries[id.raw()];
  if (entry.opens == 0 && !is_append_only(fd)) entry.backing_id = make_backing(fd);
  if (entry.opens == 0 && entry.backing_id != 0) backed_.fetch_add(1, std::memory_order_relaxed);
  writes = writes && entry.backing_id != 0;
  if (writes) entry.writers.push_back(fd);  // Of the first one it is in the entry.
  ++entry.opens;
  return Use(this, id, fd, entry.backing_id, writes);
} catch (const std::bad_alloc&) {
  return Errno(ENOMEM);
}

// Whoever writes by a backing file does it with our rights, CAP_FSETID among them: set-id bits are for
// set_id.h to take away before.
int BackingTable::make_backing(int fd) noexcept {
  const BackingMap map{fd, 0, 0};
  const int made = ::ioctl(device_.load(std::memory_order_relaxed), kBackingOpen, &map);
  if (made > 0) return made;
  if (errno == EPERM) stop();  // We lack the right, for other files too.
  return 0;
}

void BackingTable::end_backing(int backing_id) noexcept {
  const int device = device_.load(std::memory_order_relaxed);
  const auto ended = static_cast<std::uint32_t>(backing_id);
  if (device >= 0) ::ioctl(device, kBackingClose, &ended);
}

void BackingTable::drop(const Use& use) noexcept {
  Shard& shard = shard_of(use.id_);
  const std::lock_guard lock(shard.mutex);
  const auto at = shard.entries.find(use.id_.raw());
  if (use.writes_) drop_writer(shard, at->second, use);
  if (--at->second.opens != 0) return;
  const int backing_id = at->second.backing_id;
  shard.entries.erase(at);
  if (backing_id == 0) return;
  backed_.fetch_sub(1, std::memory_order_relaxed);
  end_backing(backing_id);
}

void BackingTable::drop_writer(Shard& shard, Entry& entry, const Use& use) noexcept {
  entry.writers.erase(std::ranges::find(entry.writers, use.fd_));
  if (!entry.writers.empty()) return;
  entry.told = 0;
  if (!entry.ignored) return;
  shard.watch->heed(use.id_, use.fd_);
  entry.ignored = false;
  ignored_.fetch_sub(1, std::memory_order_relaxed);
}

void BackingTable::set_watch(WriteWatch* watch) noexcept {
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    shard.watch = watch;
    for (auto& [id, entry] : shard.entries) {
      if (std::exchange(entry.ignored, false)) ignored_.fetch_sub(1, std::memory_order_relaxed);
    }
  }
}

// If it cannot be ignored it is not tried again before everybody who can write has closed it.
void BackingTable::write_told(NodeId id) noexcept {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto at = shard.entries.find(id.raw());
  if (at == shard.entries.end() || at->second.writers.empty() || shard.watch == nullptr) return;
  Entry& entry = at->second;
  if (entry.told >= kIgnoredAfter || ++entry.told < kIgnoredAfter) return;
  entry.ignored = shard.watch->ignore(id, entry.writers.back());
  if (entry.ignored) ignored_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace evenfs
