// SPDX-License-Identifier: LGPL-2.1-or-later
// Oracle: what was true when, kept beside the cache in memory that the reader in another process shares.
//
// Everything that changes has a History: its states are numbered, and a function of the number says what
// a reader sees in that state. One mutator writes a history: `started` before the change may show, `done`
// after the call has returned. A reader notes `done`, asks, and notes `started`: what it was told must be
// so in one of the states between. That is recency (nothing from before the call) and, where one answer
// tells of several things, one instant. (The histories of CacheLib's ValueTracker are the idea.)
#pragma once

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>

#include "core/base/node_id.h"

namespace evenfs::test {

inline constexpr unsigned kTokens = 6;
inline constexpr unsigned kHomes = 3;     // Directories between which the tokens move.
inline constexpr unsigned kChurned = 16;  // Names that come and go.
inline constexpr unsigned kHardLinks = 4;

struct History {
  // Sequentially consistent, all of it: the oracle must not be what reorders.
  std::atomic<std::uint64_t> started{0};
  std::atomic<std::uint64_t> done{0};

  std::uint64_t state() const { return done.load(); }
  std::uint64_t begin() { return started.fetch_add(1) + 1; }  // The state that comes.
  void end() { done.fetch_add(1); }
};

// A reader's view of a history: from its construction to the call of `could`.
class Watch {
 public:
  explicit Watch(const History& history) : history_(history), first_(history.done.load()) {}

  // Whether `holds` is true of a state that the history may have been in since.
  template <class Holds>
  bool could(Holds holds) const {
    constexpr std::uint64_t kEnough = 64;  // By then every function has had all of its values.
    const std::uint64_t last = history_.started.load();
    if (last - first_ >= kEnough) return true;
    for (std::uint64_t n = first_; n <= last; ++n) {
      if (holds(n)) return true;
    }
    return false;
  }
  // Whether the history may have been in state `n` since: for what tells its state itself.
  bool spans(std::uint64_t n) const { return first_ <= n && n <= history_.started.load(); }

 private:
  const History& history_;
  const std::uint64_t first_;
};

struct Oracle {
  History moves[kTokens];     // Which home a token is in.
  History versions[kTokens];  // A token's size is its version.
  History vault;              // Odd: closed.
  History exchange;           // Odd: p/t and q/t have changed places.
  History mover;              // Odd: m is in q, not in p.
  History link;               // Odd: "l" leads to "two", not to "one".
  History churn[kChurned];    // Odd: the name is there.
  History hard[kHardLinks];   // The same.

  NodeId moving;  // The directory m.
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> outside_answers{0};
  std::atomic<std::uint64_t> outside_turned_away{0};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<bool> told{false};
  char first_wrong[256] = {};  // By whoever sets `told`.

  [[gnu::format(printf, 2, 3)]] void report(const char* format, ...) {
    wrong.fetch_add(1);
    if (told.exchange(true)) return;
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(first_wrong, sizeof first_wrong, format, arguments);
    va_end(arguments);
  }
};

inline unsigned home_of(unsigned token, std::uint64_t n) {
  return static_cast<unsigned>((token + n * (1 + token % 2)) % kHomes);
}

// Modes tell what an object is, so an answer can be checked by itself.
inline constexpr unsigned kTokenMode = 0400;    // | token.
inline constexpr unsigned kChurnedMode = 0500;  // | number.
inline constexpr unsigned kHardMode = 0600;
inline constexpr unsigned kOpenMode = 0111;    // Of vault/f while the vault may be open.
inline constexpr unsigned kSecretMode = 0222;  // Of vault/f only while the vault is closed.
inline unsigned exchanged_mode(bool in_p, std::uint64_t n) {
  return in_p == (n % 2 == 0) ? 0101U : 0102U;
}
inline unsigned parent_mode(std::uint64_t n) { return n % 2 == 0 ? 0103U : 0104U; }  // Of m/../who.
inline unsigned link_mode(std::uint64_t n) { return n % 2 == 0 ? 0105U : 0106U; }

}  // namespace evenfs::test
