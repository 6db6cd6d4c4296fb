// SPDX-License-Identifier: LGPL-2.1-or-later
// Open files and directories of the local store: a descriptor each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/store/open_files.h"
#include "core/store/store.h"

namespace evenfs {

class LocalFile final : public File {
 public:
  explicit LocalFile(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
  // For who allocates it before there is a descriptor, since afterwards nothing may fail.
  LocalFile() noexcept = default;
  ~LocalFile() override {
    if (listed_in_ != nullptr) listed_in_->remove(entry_);
  }
  void take(UniqueFd fd) noexcept { fd_ = std::move(fd); }
  // REQUIRES: as OpenFiles::add, once, and `files` lives longer.
  void list_in(OpenFiles& files, const Node& node) noexcept {
    files.add(entry_, node, fd_.get());
    listed_in_ = &files;
  }

  int fd() const noexcept override { return fd_.get(); }
  Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) override;
  // With O_APPEND the kernel writes at the end, whatever `offset` is.
  Result<std::size_t> write(std::span<const std::byte> from, std::uint64_t offset) override;
  Status fsync(bool data_only) override;
  Status flush() override;
  Status fallocate(int mode, std::uint64_t offset, std::uint64_t length) override;
  Result<std::uint64_t> lseek(std::uint64_t offset, int whence) override;
  // EXDEV where `to` is not a file of this kind or the system cannot copy between the two.
  Result<std::size_t> copy_range(std::uint64_t offset, File& to, std::uint64_t to_offset,
                                 std::size_t length) override;

 private:
  UniqueFd fd_;
  OpenFiles* listed_in_ = nullptr;
  OpenFiles::Entry entry_;
};

// Cookies are the file system's own (d_off), so they mean the same in every open of it.
class LocalDirectory final : public Directory {
 public:
  explicit LocalDirectory(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  int fd() const noexcept override { return fd_.get(); }
  // Starting at 0 reads afresh; going on may show what was read a moment ago.
  Status read(std::uint64_t cookie, const std::function<bool(const DirEntry&)>& visit) override;
  Result<Attr> getattr() override;
  Status fsync(bool data_only) override;

 private:
  static constexpr std::size_t kBufferBytes = 32768;

  Status seek(std::uint64_t cookie);
  Result<bool> fill();  // False at the end.

  UniqueFd fd_;
  std::vector<std::byte> buffer_;  // Allocated by the first read.
  std::size_t begin_ = 0;          // The first entry that was not visited yet;
  std::size_t end_ = 0;            // behind the last byte that is valid.
  std::uint64_t next_cookie_ = 0;  // Of the entry at begin_.
};

}  // namespace evenfs
