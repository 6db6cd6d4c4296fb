// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/backing.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <new>

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

Result<BackingTable::Use> BackingTable::open(NodeId id, int fd) noexcept try {
  if (!on()) return Use();
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  Entry& entry = shard.entries[id.raw()];
  if (entry.opens == 0 && !is_append_only(fd)) entry.backing_id = make_backing(fd);
  ++entry.opens;
  return Use(this, id, entry.backing_id);
} catch (const std::bad_alloc&) {
  return Errno(ENOMEM);
}

// Whoever writes by a backing file does it with our rights, CAP_FSETID among them: set-id bits are for
// set_id.h to take away before.
int BackingTable::make_backing(int fd) noexcept {
  const BackingMap map{fd, 0, 0};
  const int made = ::ioctl(device_.load(std::memory_order_relaxed), kBackingOpen, &map);
  if (made > 0) {
    backed_.fetch_add(1, std::memory_order_relaxed);
    return made;
  }
  if (errno == EPERM) stop();  // We lack the right, for other files too.
  return 0;
}

void BackingTable::drop(NodeId id) noexcept {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto at = shard.entries.find(id.raw());
  if (--at->second.opens != 0) return;
  const auto backing_id = static_cast<std::uint32_t>(at->second.backing_id);
  shard.entries.erase(at);
  const int device = device_.load(std::memory_order_relaxed);
  if (backing_id == 0) return;
  backed_.fetch_sub(1, std::memory_order_relaxed);
  if (device >= 0) ::ioctl(device, kBackingClose, &backing_id);
}

}  // namespace evenfs
