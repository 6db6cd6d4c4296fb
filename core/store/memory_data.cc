// SPDX-License-Identifier: LGPL-2.1-or-later
// Sparse file contents for the memory store.
#include <algorithm>
#include <cstring>

#include "core/store/memory_inode.h"

namespace evenfs {

MemoryData::Page& MemoryData::page(std::uint64_t index) {
  if (const auto found = pages_.find(index); found != pages_.end()) return *found->second;
  auto zeros = std::make_unique<Page>();  // First, so that none is missing should this fail.
  return *pages_.emplace(index, std::move(zeros)).first->second;
}

std::size_t MemoryData::read(std::span<std::byte> into, std::uint64_t offset) const {
  if (offset >= size_) return 0;
  const std::size_t total = std::min<std::uint64_t>(into.size(), size_ - offset);
  for (std::size_t done = 0; done < total;) {
    const std::uint64_t at = offset + done;
    const std::size_t step = std::min<std::uint64_t>(kPage - at % kPage, total - done);
    const auto found = pages_.find(at / kPage);
    if (found == pages_.end()) {
      std::memset(into.data() + done, 0, step);
    } else {
      std::memcpy(into.data() + done, found->second->data() + at % kPage, step);
    }
    done += step;
  }
  return total;
}

void MemoryData::write(std::span<const std::byte> from, std::uint64_t offset) {
  for (std::size_t done = 0; done < from.size();) {
    const std::uint64_t at = offset + done;
    const std::size_t step = std::min<std::uint64_t>(kPage - at % kPage, from.size() - done);
    std::memcpy(page(at / kPage).data() + at % kPage, from.data() + done, step);
    done += step;
  }
  if (!from.empty()) size_ = std::max(size_, offset + from.size());
}

void MemoryData::truncate(std::uint64_t size) {
  if (size < size_) punch(size, size_ - size);
  size_ = size;
  pages_.erase(pages_.lower_bound((size + kPage - 1) / kPage), pages_.end());
}

void MemoryData::punch(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  const std::uint64_t first_whole = (offset + kPage - 1) / kPage;
  // A page that ends behind the file is whole once everything the file has of it goes.
  const std::uint64_t end_whole = end >= size_ ? (end + kPage - 1) / kPage : end / kPage;
  const auto zero = [this](std::uint64_t from, std::uint64_t to) {
    const auto found = pages_.find(from / kPage);
    if (found == pages_.end() || from >= to) return;
    std::memset(found->second->data() + from % kPage, 0, to - from);
  };
  zero(offset, std::min(end, first_whole * kPage));
  if (end_whole * kPage >= offset) zero(std::max(offset, end_whole * kPage), end);
  if (first_whole < end_whole) {
    pages_.erase(pages_.lower_bound(first_whole), pages_.lower_bound(end_whole));
  }
}

void MemoryData::allocate(std::uint64_t offset, std::uint64_t length) {
  for (std::uint64_t at = offset / kPage; at * kPage < offset + length; ++at) page(at);
}

std::uint64_t MemoryData::next_data(std::uint64_t offset) const {
  const auto found = pages_.lower_bound(offset / kPage);
  if (found == pages_.end()) return size_;
  return std::min(size_, std::max(offset, found->first * kPage));
}

std::uint64_t MemoryData::next_hole(std::uint64_t offset) const {
  std::uint64_t index = offset / kPage;
  for (auto at = pages_.find(index); at != pages_.end() && at->first == index; ++at) ++index;
  return std::min(size_, std::max(offset, index * kPage));
}

}  // namespace evenfs
