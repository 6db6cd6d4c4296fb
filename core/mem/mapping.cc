// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/mem/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace evenfs {

namespace {

// Room at a multiple of the huge page, for huge pages need address and offset aligned alike.
// MAP_FAILED if there is none.
void* reserve_aligned(std::size_t bytes) noexcept {
  const std::size_t ask = bytes + Mapping::kHugePage;
  void* at = ::mmap(nullptr, ask, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return at;
  auto* begin = static_cast<std::byte*>(at);
  const std::size_t beyond = reinterpret_cast<std::uintptr_t>(begin) % Mapping::kHugePage;
  const std::size_t skip = beyond == 0 ? 0 : Mapping::kHugePage - beyond;
  if (skip != 0) ::munmap(begin, skip);
  ::munmap(begin + skip + bytes, ask - skip - bytes);
  return begin + skip;
}

}  // namespace

Mapping::~Mapping() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
}

Result<Mapping> Mapping::shared(const char* name, std::size_t bytes) {
  Mapping mapping;
  mapping.fd_.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!mapping.fd_) return Errno::last();
  if (::ftruncate(mapping.fd_.get(), static_cast<off_t>(bytes)) != 0) return Errno::last();
  if (::fcntl(mapping.fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) return Errno::last();
  void* room = reserve_aligned(bytes);
  if (room == MAP_FAILED) return Errno::last();
  mapping.base_ = static_cast<std::byte*>(room);
  mapping.bytes_ = bytes;
  void* base = ::mmap(room, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
                      mapping.fd_.get(), 0);
  if (base == MAP_FAILED) return Errno::last();
  return mapping;
}

Result<Mapping> Mapping::read_only(int fd) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return Errno::last();
  if (st.st_size <= 0) return Errno(EINVAL);
  Mapping mapping;
  const auto bytes = static_cast<std::size_t>(st.st_size);
  void* base = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) return Errno::last();
  mapping.base_ = static_cast<std::byte*>(base);
  mapping.bytes_ = bytes;
  return mapping;
}

Result<Mapping> Mapping::anonymous(std::size_t bytes) {
  Mapping mapping;
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return Errno::last();
  mapping.base_ = static_cast<std::byte*>(base);
  mapping.bytes_ = bytes;
  return mapping;
}

void Mapping::collapse(std::size_t from, std::size_t to) const noexcept {
  constexpr int kCollapse = 25;  // MADV_COLLAPSE, which older headers lack.
  const std::size_t begin = (from + kHugePage - 1) / kHugePage * kHugePage;
  const std::size_t end = to / kHugePage * kHugePage;
  if (begin < end) ::madvise(base_ + begin, end - begin, kCollapse);
}

}  // namespace evenfs
