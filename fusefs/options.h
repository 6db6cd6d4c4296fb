// SPDX-License-Identifier: LGPL-2.1-or-later
// What the user asked for on the command line, checked as far as text can be checked. Whether
// the paths are usable is fusefs/mount_point.h's question.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/cache/cache.h"
#include "core/store/store.h"
#include "fusefs/coherence.h"
#include "fusefs/transport.h"

namespace evenfs {

// Changes that may wait to be told to the kernel.
inline constexpr std::size_t kWatchQueueDefault = 16384;

struct Options {
  std::string source;
  std::string mountpoint;

  Coherence coherence;
  std::string coherence_note;  // Why it is not a watch, where one was asked for if possible.
  struct Given {               // What is not by coherence.
    std::optional<std::chrono::milliseconds> entry, attr, negative;
    std::optional<std::optional<std::chrono::milliseconds>> cache;
    bool is_all() const noexcept { return entry && attr && negative && cache; }
  } given;
  // How long the kernel may use a name, attributes, or the absence of a name without asking.
  std::chrono::milliseconds entry_timeout{1000};
  std::chrono::milliseconds attr_timeout{1000};
  std::chrono::milliseconds negative_timeout{1000};
  // How long the cache serves what it read from the source; none is for ever.
  std::optional<std::chrono::milliseconds> cache_ttl{1000};

  Locking locking = Locking::kLockless;
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;
  std::size_t watch_queue = kWatchQueueDefault;
  unsigned threads = 0;  // Set by parse_command: never 0 afterwards.
  Transport transport = Transport::kAuto;
  bool passthrough = true;  // Where it can be had.

  // Which reads move access times, and whether listings do; none and false: as in the source.
  std::optional<AtimeRule> atime;
  bool keep_dir_atime = false;

  bool foreground = false;
  bool debug = false;
  bool check_only = false;                 // mount(8)'s "fake": check everything, mount nothing.
  bool remount = false;                    // Only give the mount that is there other flags.
  std::vector<std::string> mount_options;  // For libfuse and the kernel, one each.
};

// Puts a mode in force, with its times but for those that were given.
void set_coherence(Options& options, const Coherence& coherence);

inline constexpr int kExitUsage = 2;    // The command line is wrong; nothing was mounted.
inline constexpr int kExitFailure = 1;  // The mount failed, or ended by an error.

// Either options, or what to print and the status to exit with.
struct Command {
  std::optional<Options> options;
  std::string text;  // To standard output if `status` is 0, else to standard error.
  int status = 0;
};

// Under the name mount.fuse.evenfs the conventions of mount(8)'s helpers hold: -f is fake, and
// -s, -n, -v, -t TYPE and -N NAMESPACE are accepted.
Command parse_command(int argc, const char* const* argv);

unsigned default_threads();

}  // namespace evenfs
