// SPDX-License-Identifier: LGPL-2.1-or-later
// Mapping: a range of address space that is reserved at once and takes memory as it is touched.
//
// It never moves and never shrinks, so a slot's address is computed from its index for as long as
// the mapping lives.
#pragma once

#include <cstddef>
#include <utility>

#include "core/base/result.h"
#include "core/base/unique_fd.h"

namespace evenfs {

class Mapping {
 public:
  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept
      : fd_(std::move(other.fd_)),
        base_(std::exchange(other.base_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(base_, other.base_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();

  // Zeroed memory in a memfd, which another process can map. It is sealed against shrinking.
  static Result<Mapping> shared(const char* name, std::size_t bytes);
  // All of somebody else's shared mapping, for reading. `fd` remains the caller's.
  static Result<Mapping> read_only(int fd);
  // Zeroed memory of this process alone.
  static Result<Mapping> anonymous(std::size_t bytes);

  // Asks the kernel to back [from, to) with huge pages (MADV_COLLAPSE, Linux 6.1), which costs a
  // copy of what is there; only whole huge pages within the range, all of which should be in use. A
  // kernel that refuses leaves everything as it was. Others may use the memory meanwhile.
  void collapse(std::size_t from, std::size_t to) const noexcept;
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;

  std::byte* base() const noexcept { return base_; }
  std::size_t bytes() const noexcept { return bytes_; }
  int fd() const noexcept { return fd_.get(); }  // -1 for anonymous memory.

 private:
  UniqueFd fd_;
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace evenfs
