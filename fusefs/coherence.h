// SPDX-License-Identifier: LGPL-2.1-or-later
// Coherence: how what others change in the source gets to be seen in the mount, and what follows from it for
// the times that the kernel and the cache may answer by themselves. docs/coherence.md says what it promises.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/unique_fd.h"
#include "core/store/local_store.h"

namespace evenfs {

using Milliseconds = std::chrono::milliseconds;

// As good as for ever, for the kernel: a year.
inline constexpr Milliseconds kKernelForever = std::chrono::hours(365 * 24);

struct Coherence {
  enum class Mode {
    kAuto,       // kWatch where that can be had, else kTtl. Only before choose_coherence().
    kWatch,      // What others do is told by the source's file system.
    kExclusive,  // Nobody else changes the source.
    kTtl,        // What is `ttl` old is asked for again.
    kStrict,     // Everything is.
  };
  Mode mode = Mode::kAuto;
  Milliseconds ttl{1000};  // For kTtl, and what kAuto comes to without a watch.
  Milliseconds
      ttl_least{};  // For kTtl: if not 0, what has changed lately; up to `ttl` for what has rested.
};

// How long each may answer by itself. A cache without a time does so for ever.
struct Timeouts {
  Milliseconds entry{}, attr{}, negative{};
  std::optional<Milliseconds> cache;
};

// "auto", "watch", "exclusive", "ttl=1s", "ttl=1s..60s", "strict"; nothing for anything else.
std::optional<Coherence> parse_coherence(std::string_view text);
std::string coherence_text(const Coherence& coherence);
Timeouts timeouts_of(const Coherence& coherence);

// A watch that is about to begin.
struct WatchStart {
  UniqueFd events;  // What to read (local::open_events).
  // Not the file system is marked but the source's top, and each directory has to be
  // (LocalStore::mark_directories).
  bool by_directory = false;
};

// What stands in the way of watching a source, in one line, or nothing: then `start` is set. To be asked before
// anything of the source is cached.
std::optional<std::string> watch_obstacle(const LocalStore& store, WatchStart& start);

}  // namespace evenfs
