// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/option_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace evenfs {
namespace {

using std::chrono::milliseconds;

constexpr double kTenYearsMs = 10.0 * 366 * 24 * 3600 * 1000;

// Reads digits with an optional fraction and leaves what follows in `text`. No sign, no exponent.
std::optional<double> take_decimal(std::string_view& text) {
  const std::size_t length = std::min(text.find_first_not_of("0123456789."), text.size());
  double value = 0;
  const char* end = text.data() + length;
  const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc() || stop != end) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

}  // namespace

std::optional<milliseconds> parse_duration(std::string_view text) {
  const std::optional<double> number = take_decimal(text);
  if (!number) return std::nullopt;
  double ms = *number;
  if (text == "s" || text.empty()) {
    ms *= 1000;
  } else if (text == "m") {
    ms *= 60 * 1000;
  } else if (text == "h") {
    ms *= 3600 * 1000;
  } else if (text != "ms") {
    return std::nullopt;
  }
  if (ms > kTenYearsMs) return std::nullopt;
  // Up, so that a very short time does not become none.
  return milliseconds(static_cast<std::int64_t>(std::ceil(ms)));
}

std::string format_duration(milliseconds duration) {
  const std::int64_t ms = duration.count();
  return ms % 1000 == 0 ? fmt::format("{}s", ms / 1000) : fmt::format("{}ms", ms);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit(stop, static_cast<std::size_t>(text.data() + text.size() - stop));
  unsigned shift = 0;
  if (unit == "K" || unit == "k") {
    shift = 10;
  } else if (unit == "M" || unit == "m") {
    shift = 20;
  } else if (unit == "G" || unit == "g") {
    shift = 30;
  } else if (unit == "T" || unit == "t") {
    shift = 40;
  } else if (!unit.empty()) {
    return std::nullopt;
  }
  if (value > (~std::uint64_t{0} >> shift)) return std::nullopt;
  return value << shift;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::optional<unsigned> parse_unsigned(std::string_view text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::vector<std::string> split_mount_options(std::string_view text) {
  std::vector<std::string> options(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      options.back() += text[++i];
    } else if (text[i] == ',') {
      options.emplace_back();
    } else {
      options.back() += text[i];
    }
  }
  std::erase(options, std::string());
  return options;
}

MountOption classify_mount_option(std::string_view option) {
  constexpr std::array<std::string_view, 18> kPass = {"rw",
                                                      "ro",
                                                      "suid",
                                                      "nosuid",
                                                      "dev",
                                                      "nodev",
                                                      "exec",
                                                      "noexec",
                                                      "sync",
                                                      "async",
                                                      "dirsync",
                                                      "noatime",
                                                      "nodiratime",
                                                      "symfollow",
                                                      "nosymfollow",
                                                      "allow_other",
                                                      "default_permissions",
                                                      "nostrictatime"};
  constexpr std::array<std::string_view, 6> kPassWithValue = {
      "fsname=", "subtype=", "context=", "fscontext=", "defcontext=", "rootcontext="};
  constexpr std::array<std::string_view, 19> kIgnore = {
      "defaults", "auto",     "noauto",     "user",          "nouser",     "users",       "owner",
      "group",    "_netdev",  "nofail",     "relatime",      "norelatime", "strictatime", "atime",
      "diratime", "lazytime", "nolazytime", "nostrictatime", "silent"};
  constexpr std::array<std::string_view, 5> kIgnoreWithValue = {"user=", "x-", "X-",
                                                                "comment=", "uhelper="};
  const auto begins = [&](std::string_view prefix) { return option.starts_with(prefix); };
  if (std::ranges::find(kPass, option) != kPass.end() ||
      std::ranges::any_of(kPassWithValue, begins)) {
    return MountOption::kPass;
  }
  if (std::ranges::find(kIgnore, option) != kIgnore.end() ||
      std::ranges::any_of(kIgnoreWithValue, begins)) {
    return MountOption::kIgnore;
  }
  return MountOption::kUnknown;
}

}  // namespace evenfs
