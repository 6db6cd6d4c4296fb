// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/coherence.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/store/source_events.h"
#include "fusefs/option_values.h"

namespace evenfs {
namespace {

std::string obstacle_to_events(int error) {
  switch (error) {
    case EPERM:
      return "here it takes root (CAP_SYS_ADMIN): the kernel is older than Linux 5.17, or a filter "
             "of system "
             "calls forbids fanotify";
    case EINVAL:
    case ENOSYS:
      return "this kernel does not tell of changes with directory and name (Linux 5.17 does)";
    case EMFILE:
      return "there are no more descriptors, or as many watches as one user may have "
             "(fs.fanotify.max_user_groups)";
    default:
      return fmt::format("the source cannot be watched: {}", std::strerror(error));
  }
}

std::string obstacle_to_mark(int error) {
  switch (error) {
    case ENODEV:
    case EXDEV:
    case EOPNOTSUPP:
      return "the source's file system cannot be watched";
    case EACCES:
      return "the source cannot be watched: its top may not be read";
    case ENOSPC:
      return "as many directories are watched as one user may watch (fs.fanotify.max_user_marks)";
    default:
      return fmt::format("the source cannot be watched: {}", std::strerror(error));
  }
}

}  // namespace

namespace {

// "1s", or "1s..60s".
std::optional<Coherence> parse_ttl(std::string_view text) {
  constexpr std::string_view kTo = "..";
  const std::size_t to = text.find(kTo);
  Coherence coherence{Coherence::Mode::kTtl};
  if (to != std::string_view::npos) {
    const auto least = parse_duration(text.substr(0, to));
    if (!least || least->count() == 0) return std::nullopt;
    coherence.ttl_least = *least;
    text.remove_prefix(to + kTo.size());
  }
  const auto ttl = parse_duration(text);
  if (!ttl || *ttl < coherence.ttl_least) return std::nullopt;
  coherence.ttl = *ttl;
  return coherence;
}

}  // namespace

std::optional<Coherence> parse_coherence(std::string_view text) {
  constexpr std::string_view kTtl = "ttl=";
  if (text == "auto") return Coherence{Coherence::Mode::kAuto};
  if (text == "watch") return Coherence{Coherence::Mode::kWatch};
  if (text == "exclusive") return Coherence{Coherence::Mode::kExclusive};
  if (text == "strict") return Coherence{Coherence::Mode::kStrict};
  if (!text.starts_with(kTtl)) return std::nullopt;
  return parse_ttl(text.substr(kTtl.size()));
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
      if (coherence.ttl_least.count() == 0) return "ttl=" + format_duration(coherence.ttl);
      return fmt::format("ttl={}..{}", format_duration(coherence.ttl_least),
                         format_duration(coherence.ttl));
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

std::optional<std::string> watch_obstacle(const LocalStore& store, WatchStart& start) {
  if (store.caps().may_be_slow) {
    return "the source is not on a file system that is known to be of this machine alone";
  }
  if (!store.has_numbers()) return "the source's objects have no file handles that are known here";
  Result<UniqueFd> opened = local::open_events();
  if (!opened) return obstacle_to_events(opened.error().code());
  start.events = std::move(opened).value();
  const int top = store.seen_by_others();
  Status marked = Errno(EPERM);
  // A file system's events are about objects, wherever they are: only by handles are these found.
  if (store.caps().has_handles) marked = local::mark_file_system(start.events.get(), top);
  start.by_directory = !marked && marked.error() == Errno(EPERM);
  if (start.by_directory) marked = local::mark_directory(start.events.get(), top);
  if (marked) return std::nullopt;
  return obstacle_to_mark(marked.error().code());
}

}  // namespace evenfs
