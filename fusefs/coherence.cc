// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/coherence.h"

#include "fusefs/option_values.h"

namespace evenfs {

std::optional<Coherence> parse_coherence(std::string_view text) {
  constexpr std::string_view kTtl = "ttl=";
  if (text == "exclusive") return Coherence{Coherence::Mode::kExclusive};
  if (text == "strict") return Coherence{Coherence::Mode::kStrict};
  if (!text.starts_with(kTtl)) return std::nullopt;
  const auto ttl = parse_duration(text.substr(kTtl.size()));
  if (!ttl) return std::nullopt;
  return Coherence{Coherence::Mode::kTtl, *ttl};
}

std::string coherence_text(const Coherence& coherence) {
  switch (coherence.mode) {
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
    case Coherence::Mode::kExclusive:
      return {kKernelForever, kKernelForever, kKernelForever, std::nullopt};
    case Coherence::Mode::kTtl:
      return {coherence.ttl, coherence.ttl, coherence.ttl, coherence.ttl};
    case Coherence::Mode::kStrict:
      break;
  }
  return {Milliseconds(0), Milliseconds(0), Milliseconds(0), Milliseconds(0)};
}

}  // namespace evenfs
