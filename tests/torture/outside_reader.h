// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader in another process: it maps the arena read-only, is registered with nobody, and waits for
// nobody, nor does anybody wait for it. Slots are reused under it, also while it is stopped; only the
// counts tell it. It runs the same walk as the daemon's threads.
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "core/cache/basic_cache.h"
#include "core/store/memory_store.h"
#include "tests/torture/checks.h"
#include "tests/torture/yields.h"

namespace evenfs::test {

// Like LocklessPolicy's side of readers, without the read sections.
class OutsidePolicy {
 public:
  static constexpr Locking kLocking = Locking::kLockless;
  NoGuard read() noexcept { return {}; }
  NoGuard read_by_id() noexcept { return {}; }
  NoGuard read_bucket(std::uint32_t) noexcept { return {}; }
  NoGuard read_inode(FutexMutex&) noexcept { return {}; }
  NoGuard read_table(std::mutex&) noexcept { return {}; }
  NoGuard write_bucket(std::uint32_t) noexcept { return {}; }
  NoGuard write_inode(FutexMutex&) noexcept { return {}; }
  void synchronize() noexcept {}
};
static_assert(LockingPolicy<OutsidePolicy>);

class OutsideLook {
 public:
  static constexpr bool kOneInstant = true;

  explicit OutsideLook(int arena)
      : core_(store_, Slots::attach(arena).value(), kForeverTicks), dentries_(core_) {}

  std::optional<Seen> walk(NodeId start, std::string_view path, const Cred& cred) {
    Entry entry;
    Seen seen;
    FastWalk<OutsidePolicy> walk(core_, dentries_, cred);
    if (walk.run(start, path, true, entry, seen.error) != Outcome::kHit) return std::nullopt;
    seen.attr = entry.attr;
    return seen;
  }

 private:
  MemoryStore store_;  // Asked for what it can do, and for nothing else.
  Core<OutsidePolicy> core_;
  DentryTable<OutsidePolicy> dentries_;
};

// The process. It ends when oracle.stop is set, or with its parent.
class OutsideReader {
 public:
  // REQUIRES: this process has no other thread yet.
  OutsideReader(int arena, Oracle& oracle, std::uint64_t seed) {
    child_ = ::fork();
    if (child_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const Yields yields(seed);
    OutsideLook look(arena);
    Checks<OutsideLook> checks(oracle, look, seed);
    while (!oracle.stop.load()) {
      (checks.ask() ? oracle.outside_answers : oracle.outside_turned_away).fetch_add(1);
    }
    ::_exit(0);
  }
  // The status it ended with; 0 is as it should be.
  int join() {
    signal(SIGCONT);
    int status = -1;
    if (::waitpid(child_, &status, 0) != child_) return -1;
    child_ = -1;
    return status;
  }
  ~OutsideReader() {
    if (child_ <= 0) return;
    signal(SIGKILL);
    (void)join();
  }
  OutsideReader(const OutsideReader&) = delete;
  OutsideReader& operator=(const OutsideReader&) = delete;

  void signal(int number) const { (void)::kill(child_, number); }

 private:
  pid_t child_ = -1;
};

}  // namespace evenfs::test
