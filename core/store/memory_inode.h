// SPDX-License-Identifier: LGPL-2.1-or-later
// MemoryInode: one object of the memory store. Internal to the store; its mutex protects all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <boost/intrusive/list.hpp>

#include "core/base/attr.h"

namespace evenfs {

// The bytes of a file in pages; a page that is not there is a hole and reads as zeros.
class MemoryData {
 public:
  static constexpr std::uint64_t kPage = 4096;  // Bytes.

  std::uint64_t size() const noexcept { return size_; }
  std::uint64_t pages() const noexcept { return pages_.size(); }

  std::size_t read(std::span<std::byte> into, std::uint64_t offset) const;
  void write(std::span<const std::byte> from, std::uint64_t offset);
  void truncate(std::uint64_t size);
  // Makes [offset, offset + length) read as zeros; whole pages become holes.
  void punch(std::uint64_t offset, std::uint64_t length);
  // Puts pages behind the range without changing what it reads as, nor the size.
  void allocate(std::uint64_t offset, std::uint64_t length);
  // First offset >= `offset` with (or without) a page behind it; size() when there is none.
  std::uint64_t next_data(std::uint64_t offset) const;
  std::uint64_t next_hole(std::uint64_t offset) const;

 private:
  using Page = std::array<std::byte, kPage>;
  Page& page(std::uint64_t index);

  std::uint64_t size_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

struct MemoryInode : boost::intrusive::list_base_hook<> {
  struct Child {
    MemoryInode* inode = nullptr;
    std::uint64_t cookie = 0;
  };
  using Children = std::map<std::string, Child, std::less<>>;

  Attr attr;  // size and blocks are filled in when they are asked for.
  std::uint64_t generation = 1;
  std::uint64_t refs = 0;  // Nodes handed out and files open; it lives while this or nlink > 0.
  bool linkable = false;   // Made without a name; link() may give it one.

  MemoryData data;
  std::string target;  // Of a symbolic link.
  std::map<std::string, std::string, std::less<>> xattrs;

  MemoryInode* parent = nullptr;  // Of a directory; none once it is removed.
  Children children;
  std::map<std::uint64_t, Children::iterator> by_cookie;  // In the order of creation.
  std::uint64_t next_cookie = 3;                          // 1 and 2 are "." and "..".

  bool is_dir() const noexcept { return (attr.mode & 0170000U) == 0040000U; }
  bool is_symlink() const noexcept { return (attr.mode & 0170000U) == 0120000U; }
  bool is_regular() const noexcept { return (attr.mode & 0170000U) == 0100000U; }

  void add_child(std::string_view name, MemoryInode* child) {
    const auto [at, added] = children.emplace(std::string(name), Child{child, next_cookie});
    if (added) by_cookie.emplace(next_cookie++, at);
  }
  void remove_child(Children::iterator at) {
    by_cookie.erase(at->second.cookie);
    children.erase(at);
  }

  Attr snapshot() const {
    Attr now = attr;
    if (is_regular()) now.size = data.size();
    if (is_symlink()) now.size = target.size();
    if (is_dir()) now.size = MemoryData::kPage;
    now.blocks = data.pages() * (MemoryData::kPage / 512);
    return now;
  }
};

}  // namespace evenfs
