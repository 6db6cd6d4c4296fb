// SPDX-License-Identifier: LGPL-2.1-or-later
// DurableNumbers: an object's file handle as one number of 64 bits, and back.
//
//   1 | inode number:31 | the file system's generation of it:32
//
// A handle is nearly that, plus bytes that are the same for all objects of one file system. Where they
// stand is known for ext4, XFS, tmpfs and btrfs; the bytes that are the same are learned from the handle
// of the root. What does not fit (an inode number of more than 31 bits, another subvolume or file system)
// has no number: the caller then does without. Nor has a directory that is reached by another mount of
// the same file system: it must be another directory there, since it has another parent. A file is the
// same by whatever mount.
//
// The number is a name for whoever holds it, not a permission: as with a file handle, a file that others
// have moved out of the root is found by it too. Of a directory LocalStore::find sees that.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/store/local_sys.h"
#include "core/store/source_events.h"

namespace evenfs::local {

class DurableNumbers {
 public:
  // None at all where the root's handle is of no known kind.
  DurableNumbers() = default;
  // `fd` is a descriptor of the root.
  DurableNumbers(const Seen& root, int fd) noexcept;

  // With Identity::kDurable. The root itself has none: its id is the same in every life.
  std::optional<std::uint64_t> number_of(const Seen& seen) const noexcept;
  // Whether it was reached within the root's mount: what is mounted on a name is told of elsewhere.
  bool is_in_mount(const Seen& seen) const noexcept { return seen.stat.stx_mnt_id == mount_; }
  // Of a handle that the kernel tells of the file system of the root; 1 for the root itself.
  std::optional<std::uint64_t> number_of(const HandleView& handle) const noexcept;
  // REQUIRES: known().
  FileHandle handle_of(std::uint64_t number) const noexcept;
  bool known() const noexcept { return layout_ != nullptr; }
  // Differs between file systems and roots: 31 bits.
  std::uint32_t source_tag() const noexcept { return source_tag_; }

 private:
  struct Layout {  // Of a handle; offsets and lengths in bytes.
    std::int32_t type;
    std::uint32_t length;
    std::uint32_t ino_at;
    std::uint32_t ino_bytes;
    std::uint32_t generation_at;
  };
  static const Layout kLayouts[];

  std::optional<std::uint64_t> number_in(std::span<const std::uint8_t> bytes) const noexcept;

  const Layout* layout_ = nullptr;
  std::uint64_t dev_ = 0;
  std::uint64_t mount_ = 0;
  FileHandle root_;
  FileHandle same_;  // Of the root, with zeros for inode number and generation.
  std::uint64_t root_number_ = 0;
  std::uint32_t source_tag_ = 0;
};

}  // namespace evenfs::local
