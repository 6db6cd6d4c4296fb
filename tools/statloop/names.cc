// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/names.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>

namespace evenfs::statloop {
namespace {

// Takes a decimal number off the front of `text`.
template <class T>
bool take_number(std::string_view& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string make_name(const Expect& expect, char side) {
  std::string name = fmt::format("{}{}-{}-{}", static_cast<char>(expect.cls), expect.id,
                                 expect.min_size, expect.max_size);
  if (side != 0) name.append({'.', side});
  return name;
}

std::optional<Expect> parse_name(std::string_view name) {
  if (name.empty() || std::string_view("fsurmlt").find(name.front()) == std::string_view::npos) {
    return std::nullopt;
  }
  Expect expect;
  expect.cls = static_cast<NameClass>(name.front());
  name.remove_prefix(1);
  if (!take_number(name, expect.id) || !take(name, '-') || !take_number(name, expect.min_size) ||
      !take(name, '-') || !take_number(name, expect.max_size)) {
    return std::nullopt;
  }
  if (!name.empty() && name != ".a" && name != ".b") return std::nullopt;
  return expect;
}

std::string_view wrong_stat(const Expect& expect, const Seen& seen, std::uint64_t known_ino) {
  if (expect.cls == NameClass::kMissing) return "present, but the name never existed";
  if (!S_ISREG(seen.mode)) return "not a regular file";
  const mode_t mode = seen.mode & 07777;
  if (mode != kModeA && mode != kModeB) return "mode is neither 0644 nor 0640";
  if (seen.size != expect.min_size && seen.size != expect.max_size) return "size not in the name";
  // A file may be unlinked, by a replacing rename too, between its lookup and its stat.
  const bool may_be_unlinked =
      expect.cls == NameClass::kComesAndGoes || expect.cls == NameClass::kReplaced;
  if (seen.links != 1 && !(seen.links == 0 && may_be_unlinked)) return "wrong link count";
  if (known_ino != 0 && seen.ino != known_ino) return "another inode number than at first";
  return {};
}

Judgement judge_error(const Expect& expect, int error) noexcept {
  if (error != ENOENT) return Judgement::kUnexpected;
  return expect.may_be_missing() ? Judgement::kRight : Judgement::kWrong;
}

}  // namespace evenfs::statloop
