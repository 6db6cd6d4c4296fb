// SPDX-License-Identifier: LGPL-2.1-or-later
// Self-describing names: what a stat of the name must report can be told from the name alone.
//
//   <class><id>-<min>-<max>[.a|.b]       for example f12-100-356
//
//   class  what happens to it                      what a reader may be told
//   f      chmod and writes                        always there, one link, the same inode number
//   s      replaced by rename, exchanged (.a, .b)  always there; 0 links while being replaced
//   u      created and unlinked                    there or ENOENT
//   r      renamed between .a and .b               there or ENOENT
//   m      nothing: the name never existed         ENOENT
//   l      nothing: symbolic link to the f name    always there; the target is the f name
//   t      the temporary that replaces an s        not looked at
//
// Every file is regular, its size is exactly min or max, its mode 0644 or 0640. Sizes that are
// not fixed by an option stay below 4096 with both ends in one page, so that no file system shows
// a write of max - min bytes half done.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evenfs::statloop {

enum class NameClass : char {
  kStable = 'f',
  kReplaced = 's',
  kComesAndGoes = 'u',
  kMoved = 'r',
  kMissing = 'm',
  kLink = 'l',
  kTemporary = 't',
};

inline constexpr mode_t kModeA = 0644;
inline constexpr mode_t kModeB = 0640;

struct Expect {
  NameClass cls = NameClass::kStable;
  std::uint32_t id = 0;
  std::uint64_t min_size = 0;
  std::uint64_t max_size = 0;

  bool may_be_missing() const noexcept {
    return cls == NameClass::kComesAndGoes || cls == NameClass::kMoved ||
           cls == NameClass::kMissing;
  }
};

// The name for `expect`; `side` is 'a' or 'b' for a name of a pair, else 0.
std::string make_name(const Expect& expect, char side = 0);
// Nothing if `name` is not of the form above.
std::optional<Expect> parse_name(std::string_view name);

// What a stat call said.
struct Seen {
  mode_t mode = 0;
  std::uint64_t size = 0;
  std::uint64_t links = 0;
  std::uint64_t ino = 0;
};

inline Seen seen_of(const struct stat& from) noexcept {
  return {.mode = from.st_mode,
          .size = static_cast<std::uint64_t>(from.st_size),
          .links = from.st_nlink,
          .ino = from.st_ino};
}

// Says what is wrong with an answer for a name; empty if it is right. `known_ino` 0: unknown.
std::string_view wrong_stat(const Expect& expect, const Seen& seen, std::uint64_t known_ino);

// What an errno means for a name.
enum class Judgement { kRight, kWrong, kUnexpected };
Judgement judge_error(const Expect& expect, int error) noexcept;

// A well mixed 64-bit value: sizes and random choices derive from it. Two rounds of it over
// consecutive inputs are independent enough for picking names.
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// A sequence from a seed, the same on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(mix64(seed)) {}
  std::uint64_t next() noexcept { return mix64(state_++); }
  // In [0, end); `end` is not 0.
  std::uint64_t below(std::uint64_t end) noexcept { return next() % end; }

 private:
  std::uint64_t state_;
};

}  // namespace evenfs::statloop
