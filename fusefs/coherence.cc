// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/coherence.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/store/source_events.h"
#include "fusefs/option_values.h"

namespace evenfs {

std::optional<Coherence> parse_coherence(std::string_view text) {
  constexpr std::string_view kTtl = "ttl=";
  if (text == "auto") return Coherence{Coherence::Mode::kAuto};
  if (text == "watch") return Coherence{Coherence::Mode::kWatch};
  if (text == "exclusive") return Coherence{Coherence::Mode::kExclusive};
  if (text == "strict") return Coherence{Coherence::Mode::kStrict};
  if (!text.starts_with(kTtl)) return std::nullopt;
  const auto ttl = parse_duration(text.substr(kTtl.size()));
  if (!ttl) return std::nullopt;
  return Coherence{Coherence::Mode::kTtl, *ttl};
}

std::string coherence_text(const Coherence& coherence) {
  switch (coherence.mode) {
    case Coherence::Mode::kAuto:
      return "auto";
    case Coherence::Mode::kWatch:
      return "watch";
    case Coherence::Mode::kExclusive:
      return "exclusive";
    case Coherence::Mode::kTtl:
      return "ttl=" + format_duration(coherence.ttl);
    case Coherence::Mode::kStrict:
      break;
  }
  return "strict";
}

Timeouts timeouts_of(const Coherence& coherence) {
  switch (coherence.mode) {
    case Coherence::Mode::kWatch:
    case Coherence::Mode::kExclusive:
      return {kKernelForever, kKernelForever, kKernelForever, std::nullopt};
    case Coherence::Mode::kAuto:
    case Coherence::Mode::kTtl:
      return {coherence.ttl, coherence.ttl, coherence.ttl, coherence.ttl};
    case Coherence::Mode::kStrict:
      break;
  }
  return {Milliseconds(0), Milliseconds(0), Milliseconds(0), Milliseconds(0)};
}

std::optional<std::string> watch_obstacle(const LocalStore& store, UniqueFd& events) {
  if (store.caps().may_be_slow) {
    return "the source is not on a file system that is known to be of this machine alone";
  }
  if (!store.has_numbers()) return "the source's objects have no file handles that are known here";
  Result<UniqueFd> opened = local::watch_file_system(store.seen_by_others());
  if (opened) {
    events = std::move(*opened);
    return std::nullopt;
  }
  switch (opened.error().code()) {
    case EPERM:
      return "to watch a file system takes root (CAP_SYS_ADMIN)";
    case EINVAL:
    case ENOSYS:
      return "this kernel does not tell of changes with directory and name (Linux 5.17 does)";
    case ENODEV:
    case EXDEV:
    case EOPNOTSUPP:
      return "the source's file system cannot be watched";
    default:
      return fmt::format("the source cannot be watched: {}", std::strerror(opened.error().code()));
  }
}

}  // namespace evenfs
