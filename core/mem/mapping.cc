// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/mem/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>

namespace evenfs {

Mapping::~Mapping() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
}

Result<Mapping> Mapping::shared(const char* name, std::size_t bytes) {
  Mapping mapping;
  mapping.fd_.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!mapping.fd_) return Errno::last();
  if (::ftruncate(mapping.fd_.get(), static_cast<off_t>(bytes)) != 0) return Errno::last();
  if (::fcntl(mapping.fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) return Errno::last();
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                      mapping.fd_.get(), 0);
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

}  // namespace evenfs
