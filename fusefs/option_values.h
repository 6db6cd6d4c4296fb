// SPDX-License-Identifier: LGPL-2.1-or-later
// The words that option values are made of: durations, sizes, numbers; and which of mount(8)'s
// options mean something to us. Text in, values out; nothing here prints or exits.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenfs {

// "500ms", "1s", "2m", "1h", or plain seconds as "1" or "0.5". Nothing for anything else, for
// what is negative, and for more than ten years.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string format_duration(std::chrono::milliseconds duration);

// "4096", "64K", "64M", "1G", "2T" (powers of 1024). Nothing for anything else.
std::optional<std::uint64_t> parse_size(std::string_view text);
std::string format_size(std::uint64_t bytes);

std::optional<unsigned> parse_unsigned(std::string_view text);

// Splits "a,b=c" at its commas; "\," is a comma that belongs to a value.
std::vector<std::string> split_mount_options(std::string_view text);

enum class MountOption {
  kPass,    // libfuse or the kernel acts on it.
  kIgnore,  // Meant for mount(8), fstab or systemd; nothing to do for us.
  kUnknown,
};
MountOption classify_mount_option(std::string_view option);

}  // namespace evenfs
