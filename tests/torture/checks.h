// SPDX-License-Identifier: LGPL-2.1-or-later
// The questions that readers ask, and what the oracle has to say of the answers. `Look` is how they ask:
//
//   std::optional<Seen> walk(start, path, cred)   nothing: no answer was given
//   kOneInstant                                   an answer is for the whole path at one instant
#pragma once

#include <sys/stat.h>

#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "core/cache/cache.h"
#include "tests/torture/oracle.h"

namespace evenfs::test {

inline constexpr Cred kAnybody{.uid = 11, .gid = 21};

struct Seen {
  int error = 0;
  Attr attr;
  unsigned mode() const { return attr.mode & 0777U; }
};

inline std::string token_name(unsigned token) { return "t" + std::to_string(token); }
inline std::string home_name(unsigned home) { return "home" + std::to_string(home); }
// Odd ones do not fit into a dentry.
inline std::string churned_name(unsigned i) {
  return (i % 2 != 0 ? std::string(60, 'c') : std::string("c")) + std::to_string(i);
}
inline std::string hard_name(unsigned i) { return "h" + std::to_string(i); }

template <class Look>
class Checks {
 public:
  Checks(Oracle& oracle, Look& look, std::uint64_t seed)
      : oracle_(oracle), look_(look), random_(seed) {}

  // Asks one of the questions. False: there was no answer.
  bool ask() {
    switch (random_() % 8) {
      case 0:
      case 1:
        return token(pick(kTokens), pick(kHomes));
      case 2:
        return vault();
      case 3:
        return exchange(pick(2) == 0);
      case 4:
        return parent();
      case 5:
        return link();
      case 6:
        return churned(pick(kChurned));
      default:
        return hard(pick(kHardLinks));
    }
  }

  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }

 private:
  static constexpr NodeId kTop = NodeId::root();

  bool token(unsigned token, unsigned home) {
    const Watch moves(oracle_.moves[token]);
    const Watch versions(oracle_.versions[token]);
    const std::string path = home_name(home) + "/" + token_name(token);
    const auto seen = look_.walk(kTop, path, Cred{});
    if (!seen) return false;
    const bool there = seen->error == 0;
    if (!there && seen->error != ENOENT) return odd_error(path, *seen);
    if (!moves.could([&](std::uint64_t n) { return (home_of(token, n) == home) == there; })) {
      oracle_.report("%s was %s", path.c_str(), there ? "found" : "missed");
    }
    if (!there) return true;
    if (seen->mode() != (kTokenMode | token)) {
      oracle_.report("%s has mode %o", path.c_str(), seen->mode());
    }
    if (!versions.spans(seen->attr.size)) {
      oracle_.report("%s has a size of another time", path.c_str());
    }
    return true;
  }

  // The secret is written while the vault is closed, and gone before it is opened again.
  bool vault() {
    const Watch watch(oracle_.vault);
    const auto seen = look_.walk(kTop, "vault/f", kAnybody);
    if (!seen) return false;
    if (seen->error != 0 && seen->error != EACCES) return odd_error("vault/f", *seen);
    const bool open = seen->error == 0;
    if (!watch.could([&](std::uint64_t n) { return (n % 2 == 0) == open; })) {
      oracle_.report("the vault was %s", open ? "open" : "closed");
    }
    if (open && seen->mode() != kOpenMode && (Look::kOneInstant || seen->mode() != kSecretMode)) {
      oracle_.report("the vault showed %o", seen->mode());
    }
    return true;
  }

  // Now and then by a way that is longer than a lock-free walk can keep.
  bool exchange(bool in_p) {
    const Watch watch(oracle_.exchange);
    const char* path = in_p ? "p/t" : "q/t";
    std::string way;
    const int detours = pick(32) == 0 ? 40 : 0;
    for (int i = 0; i < detours; ++i) way += "home0/../home1/../";
    return one_of(path, watch, look_.walk(kTop, way + path, Cred{}),
                  [&](std::uint64_t n) { return exchanged_mode(in_p, n); });
  }

  bool parent() {
    const Watch watch(oracle_.mover);
    return one_of("m/../who", watch, look_.walk(oracle_.moving, "../who", Cred{}), parent_mode);
  }

  bool link() {
    const Watch watch(oracle_.link);
    return one_of("l", watch, look_.walk(kTop, "l", Cred{}), link_mode);
  }

  // A name that is always there, with a mode that changes with its history.
  template <class ModeOf>
  bool one_of(const char* path, const Watch& watch, const std::optional<Seen>& seen,
              ModeOf mode_of) {
    if (!seen) return false;
    if (seen->error != 0) return odd_error(path, *seen);
    if (!watch.could([&](std::uint64_t n) { return mode_of(n) == seen->mode(); })) {
      oracle_.report("%s has mode %o", path, seen->mode());
    }
    return true;
  }

  bool churned(unsigned i) {
    return comes_and_goes("churn/" + churned_name(i), oracle_.churn[i], kChurnedMode | i);
  }
  bool hard(unsigned i) { return comes_and_goes(hard_name(i), oracle_.hard[i], kHardMode); }

  bool comes_and_goes(const std::string& path, const History& history, unsigned mode) {
    const Watch watch(history);
    const auto seen = look_.walk(kTop, path, Cred{});
    if (!seen) return false;
    if (seen->error != 0 && seen->error != ENOENT) return odd_error(path, *seen);
    const bool there = seen->error == 0;
    if (!watch.could([&](std::uint64_t n) { return (n % 2 != 0) == there; })) {
      oracle_.report("%s was %s", path.c_str(), there ? "found" : "missed");
    }
    if (there && seen->mode() != mode) {
      oracle_.report("%s has mode %o", path.c_str(), seen->mode());
    }
    return true;
  }

  bool odd_error(std::string_view path, const Seen& seen) {
    if (!Look::kOneInstant && seen.error == ENOMEM) return false;  // Every slot is in use.
    oracle_.report("%.*s: error %d", static_cast<int>(path.size()), path.data(), seen.error);
    return true;
  }

  Oracle& oracle_;
  Look& look_;
  std::mt19937_64 random_;
};

}  // namespace evenfs::test
