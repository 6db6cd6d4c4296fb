// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/mount_table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

namespace evenfs {

std::optional<std::uint16_t> MountTable::index_of(const local::Seen& seen, int fd, int proc_fds) {
  if (seen.handle.length == 0) return std::nullopt;
  const auto find = [this, &seen](std::size_t from, std::size_t to) {
    while (from < to && mounts_[from].id != seen.handle.mount_id) ++from;
    return from;
  };
  const auto answer = [this](std::size_t at) -> std::optional<std::uint16_t> {
    if (!mounts_[at].anchor) return std::nullopt;
    return static_cast<std::uint16_t>(at);
  };
  // acquire, pairs with the release below: the entries below the count are complete.
  const std::size_t known = count_.load(std::memory_order_acquire);
  if (const std::size_t at = find(0, known); at < known) return answer(at);

  const std::lock_guard guard(mutex_);
  const std::size_t count = count_.load(std::memory_order_relaxed);
  if (const std::size_t at = find(known, count); at < count) return answer(at);
  if (count == kMountsMax) return std::nullopt;
  Mount& mount = mounts_[count];
  mount.id = seen.handle.mount_id;
  if (descriptors() < kDescriptorsMax) mount.anchor = try_handles(seen, fd, proc_fds);
  if (mount.anchor) {
    mount.is_local = local::is_on_this_machine(mount.anchor.get());
    descriptors_.fetch_add(1, std::memory_order_relaxed);
  }
  // release, pairs with the acquire above.
  count_.store(count + 1, std::memory_order_release);
  return answer(count);
}

UniqueFd MountTable::try_handles(const local::Seen& seen, int fd, int proc_fds) const {
  // Opening anything else than a file or a directory may block or act on a device.
  if (!S_ISDIR(seen.stat.stx_mode) && !S_ISREG(seen.stat.stx_mode)) return UniqueFd();
  Result<UniqueFd> anchor = local::reopen(proc_fds, fd, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!anchor) return UniqueFd();
  const Result<UniqueFd> again = local::open_handle(anchor->get(), seen.handle, O_PATH);
  if (!again) return UniqueFd();
  const Result<local::Seen> twin = local::look_at(again->get(), true);
  if (!twin || local::identity_of(*twin) != local::identity_of(seen)) return UniqueFd();
  return std::move(anchor).value();
}

}  // namespace evenfs
