// SPDX-License-Identifier: LGPL-2.1-or-later
// What statloop was asked to do, and the command line that says so.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evenfs::statloop {

enum class Op : std::uint8_t { kStat, kLookup, kFstat, kAccess, kReadlink, kMix, kNone };
enum class Set : std::uint8_t { kOneFile, kOneDir, kOwnDir, kDeep, kMissing, kMix };
enum class Mutation : std::uint8_t { kCreate, kUnlink, kRename, kChmod, kWrite };

inline constexpr std::array<std::string_view, 7> kOpNames = {
    "stat", "lookup", "fstat", "access", "readlink", "mix", "none"};
inline constexpr std::array<std::string_view, 6> kSetNames = {"one-file", "one-dir", "own-dir",
                                                              "deep",     "missing", "mix"};
inline constexpr std::array<std::string_view, 5> kMutationNames = {"create", "unlink", "rename",
                                                                   "chmod", "write"};

inline constexpr std::string_view name_of(Op op) { return kOpNames[static_cast<int>(op)]; }
inline constexpr std::string_view name_of(Set set) { return kSetNames[static_cast<int>(set)]; }

struct Options {
  std::string dir;
  Op op = Op::kStat;
  Set set = Set::kOneDir;
  unsigned workers = 1;
  bool processes = false;             // Workers and mutators are processes, not threads.
  unsigned files = 1000;              // Stable files in each directory of the set.
  unsigned depth = 8;                 // Directories above a file of the set `deep`.
  std::optional<std::uint64_t> size;  // Of every file; unset: by the name.

  double seconds = 0;     // 0: no limit; then `ops` is set.
  std::uint64_t ops = 0;  // Of each worker; 0: no limit.
  double warmup_s = 0;
  unsigned sample = 1;  // Every how many operations one is timed.
  std::uint64_t seed = 1;
  bool pin = false;

  unsigned mutators = 0;
  std::array<bool, kMutationNames.size()> mutate{true, true, true, true, true};
  bool exchange = true;   // Whether rename exchanges names, too.
  double rate = 0;        // Mutations per second and mutator; 0: as fast as they go.
  unsigned changing = 8;  // Names of each changing class for each mutator.

  bool create = true;
  bool keep = false;
  std::string json;
};

// Parses the command line. No value: the program ends with `status`; what there was to say has
// been printed, one line for an error.
std::optional<Options> parse_options(int argc, char** argv, int& status);

}  // namespace evenfs::statloop
