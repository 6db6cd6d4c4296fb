// SPDX-License-Identifier: LGPL-2.1-or-later
// Strings in the arena: what does not fit into a dentry (the rest of a long name), and the targets
// of symbolic links. A chain of cells belongs to one dentry or inode and is validated by its count.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/cache/slots.h"

namespace evenfs {

// A new chain that holds `bytes` (not empty), or 0 when there is no memory for it.
std::uint32_t make_string(Slots& slots, std::string_view bytes) noexcept;
void free_string(Slots& slots, std::uint32_t first) noexcept;

// For readers that validate afterwards: whatever the chain holds, these end and stay in bounds.
bool string_equals(const Slots& slots, std::uint32_t first, std::string_view bytes) noexcept;
// False when the chain cannot be a string of at most `max` bytes.
bool copy_string(const Slots& slots, std::uint32_t first, char* into, std::uint32_t max,
                 std::uint32_t& length) noexcept;

}  // namespace evenfs
