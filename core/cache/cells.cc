// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/cache/cells.h"

#include <algorithm>
#include <cstring>

namespace evenfs {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

void store_bytes(StringCell& cell, std::string_view part) noexcept {
  for (std::uint32_t word = 0; word * 8 < part.size(); ++word) {
    std::uint64_t value = 0;
    std::memcpy(&value, part.data() + word * 8, std::min<std::size_t>(8, part.size() - word * 8));
    cell.bytes[word].store(value, kRelaxed);
  }
}

void load_bytes(const StringCell& cell, char* into, std::size_t count) noexcept {
  for (std::uint32_t word = 0; word * 8 < count; ++word) {
    const std::uint64_t value = cell.bytes[word].load(kRelaxed);
    std::memcpy(into + word * 8, &value, std::min<std::size_t>(8, count - word * 8));
  }
}

}  // namespace

std::uint32_t make_string(Slots& slots, std::string_view bytes) noexcept {
  // Built from the end, so that each cell is complete when the one before it is linked.
  std::uint32_t next = 0;
  std::size_t at = (bytes.size() - 1) / kCellBytes * kCellBytes;
  while (true) {
    const auto index = slots.take_cell();
    if (!index) {
      free_string(slots, next);
      return 0;
    }
    StringCell& cell = slots.cell(*index);
    store_bytes(cell, bytes.substr(at, kCellBytes));
    cell.length.store(static_cast<std::uint32_t>(bytes.size() - at), kRelaxed);
    cell.next.store(next, kRelaxed);
    next = *index;
    if (at == 0) return next;
    at -= kCellBytes;
  }
}

void free_string(Slots& slots, std::uint32_t first) noexcept {
  while (first != 0) {
    const std::uint32_t next = slots.cell(first).next.load(kRelaxed);
    slots.free_cell(first);
    first = next;
  }
}

bool copy_string(const Slots& slots, std::uint32_t first, char* into, std::uint32_t max,
                 std::uint32_t& length) noexcept {
  const std::uint32_t bound = slots.cell_pool().high_water();
  if (first == 0 || first >= bound) return false;
  length = slots.cell(first).length.load(kRelaxed);
  if (length == 0 || length > max) return false;
  std::uint32_t cell = first;
  for (std::uint32_t at = 0; at < length; at += kCellBytes) {
    if (cell == 0 || cell >= bound) return false;
    load_bytes(slots.cell(cell), into + at, std::min(kCellBytes, length - at));
    cell = slots.cell(cell).next.load(kRelaxed);
  }
  return true;
}

bool string_equals(const Slots& slots, std::uint32_t first, std::string_view bytes) noexcept {
  char copy[kNameMax];
  std::uint32_t length = 0;
  return bytes.size() <= sizeof copy &&
         copy_string(slots, first, copy, static_cast<std::uint32_t>(bytes.size()), length) &&
         length == bytes.size() && std::memcmp(copy, bytes.data(), length) == 0;
}

}  // namespace evenfs
