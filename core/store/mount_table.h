// SPDX-License-Identifier: LGPL-2.1-or-later
// MountTable: the mounts met below the root, with the descriptor that open_by_handle_at wants
// for each. A mount gets one only if handles work there and while there is room; objects on the
// others are reached by name.
//
// A descriptor keeps its mount busy: it cannot be unmounted (except lazily) while the store
// lives. In a view (atime_view.h) it is the copy of the mount that is kept. Threading: any function from
// any thread; find() takes no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "core/base/unique_fd.h"
#include "core/store/local_sys.h"

namespace evenfs {

class MountTable {
 public:
  static constexpr std::size_t kDescriptorsMax = 12;
  static constexpr std::size_t kMountsMax = 256;  // Mounts remembered, refused ones included.

  // Index of the mount that `seen` is on, or nothing where handles are of no use. `fd` is the
  // object's O_PATH descriptor; the first object of a mount is used to try and to anchor it.
  std::optional<std::uint16_t> index_of(const local::Seen& seen, int fd, int proc_fds);

  // REQUIRES: `index` came from index_of.
  int descriptor(std::uint16_t index) const noexcept { return mounts_[index].anchor.get(); }
  // As local::is_on_this_machine, likewise.
  bool is_on_this_machine(std::uint16_t index) const noexcept { return mounts_[index].is_local; }

  std::size_t descriptors() const noexcept { return descriptors_.load(std::memory_order_relaxed); }

 private:
  struct Mount {
    std::int32_t id = 0;  // Cannot be used again for another mount while `anchor` is open.
    UniqueFd anchor;      // None: handles were refused.
    bool is_local = false;
  };

  UniqueFd try_handles(const local::Seen& seen, int fd, int proc_fds) const;

  std::mutex mutex_;  // Serialises additions.
  // Entries below count_ never change.
  std::array<Mount, kMountsMax> mounts_;
  std::atomic<std::size_t> count_{0};
  std::atomic<std::size_t> descriptors_{0};
};

}  // namespace evenfs
