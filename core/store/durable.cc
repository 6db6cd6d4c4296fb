// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/durable.h"

#include <sys/statfs.h>

#include <bit>
#include <cstring>

#include <xxhash.h>

namespace evenfs::local {
namespace {

constexpr std::uint32_t kGenerationBytes = 4;
constexpr std::uint32_t kInoBits = 31;

std::uint64_t read(const std::uint8_t* handle, std::uint32_t at, std::uint32_t bytes) noexcept {
  std::uint64_t value = 0;
  std::memcpy(&value, handle + at, bytes);
  return value;
}

std::uint64_t device_of(const Seen& seen) noexcept {
  return std::uint64_t{seen.stat.stx_dev_major} << 32 | seen.stat.stx_dev_minor;
}

void write(FileHandle& handle, std::uint32_t at, std::uint32_t bytes,
           std::uint64_t value) noexcept {
  std::memcpy(handle.bytes.data() + at, &value, bytes);
}

}  // namespace

// As the kernel's file systems encode them: see the types in linux/exportfs.h, struct xfs_fid64, struct
// btrfs_fid and shmem_encode_fh. A handle whose inode number is not where it is said to be is not used.
static_assert(std::endian::native == std::endian::little, "fields are copied into 64-bit words");
const DurableNumbers::Layout DurableNumbers::kLayouts[] = {
    {0x01, 8, 0, 4, 4},  // ext4 and others that use the kernel's own form; XFS with 32-bit numbers.
    {0x01, 12, 4, 8, 0},   // tmpfs.
    {0x81, 12, 0, 8, 8},   // XFS.
    {0x4d, 20, 0, 8, 16},  // btrfs; the subvolume's number stands between.
};

DurableNumbers::DurableNumbers(const Seen& root, int fd) noexcept {
  for (const Layout& layout : kLayouts) {
    const FileHandle& handle = root.handle;
    if (handle.type != layout.type || handle.length != layout.length) continue;
    if (read(handle.bytes.data(), layout.ino_at, layout.ino_bytes) != root.stat.stx_ino) continue;
    layout_ = &layout;
    root_ = same_ = handle;
    write(same_, layout.ino_at, layout.ino_bytes, 0);
    write(same_, layout.generation_at, kGenerationBytes, 0);
    dev_ = device_of(root);
    mount_ = root.stat.stx_mnt_id;
    root_number_ = number_of(root).value_or(0);
    struct statfs system {};
    const bool told = ::fstatfs(fd, &system) == 0;
    const std::uint64_t seed = XXH3_64bits(handle.bytes.data(), handle.length);
    const std::uint64_t tag =
        told ? XXH3_64bits_withSeed(&system.f_fsid, sizeof system.f_fsid, seed) : seed;
    source_tag_ = static_cast<std::uint32_t>(tag >> 33);
    return;
  }
}

std::optional<std::uint64_t> DurableNumbers::number_of(const Seen& seen) const noexcept {
  const std::uint64_t ino = seen.stat.stx_ino;
  if (layout_ == nullptr || (ino >> kInoBits) != 0 || device_of(seen) != dev_) return std::nullopt;
  if (S_ISDIR(seen.stat.stx_mode) && !is_in_mount(seen)) return std::nullopt;
  if (seen.handle.type != layout_->type || seen.handle.length != layout_->length) {
    return std::nullopt;
  }
  const auto number = number_in({seen.handle.bytes.data(), layout_->length});
  if (!number || *number == root_number_) return std::nullopt;
  return (*number & ~Identity::kDurable) >> 32 == ino ? number : std::nullopt;
}

// REQUIRES: a handle of layout_.
std::optional<std::uint64_t> DurableNumbers::number_in(
    std::span<const std::uint8_t> bytes) const noexcept {
  const std::uint64_t ino = read(bytes.data(), layout_->ino_at, layout_->ino_bytes);
  if ((ino >> kInoBits) != 0) return std::nullopt;
  const std::uint64_t generation = read(bytes.data(), layout_->generation_at, kGenerationBytes);
  const std::uint64_t number = Identity::kDurable | ino << 32 | generation;
  const FileHandle again = handle_of(number);
  if (std::memcmp(again.bytes.data(), bytes.data(), layout_->length) != 0) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> DurableNumbers::number_of(const HandleView& handle) const noexcept {
  if (layout_ == nullptr || handle.type != layout_->type ||
      handle.bytes.size() != layout_->length) {
    return std::nullopt;
  }
  if (std::memcmp(handle.bytes.data(), root_.bytes.data(), layout_->length) == 0) return 1;
  return number_in(handle.bytes);
}

FileHandle DurableNumbers::handle_of(std::uint64_t number) const noexcept {
  FileHandle handle = same_;
  write(handle, layout_->ino_at, layout_->ino_bytes, (number & ~Identity::kDurable) >> 32);
  write(handle, layout_->generation_at, kGenerationBytes, number & 0xffff'ffffU);
  return handle;
}

}  // namespace evenfs::local
