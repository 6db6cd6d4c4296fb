// SPDX-License-Identifier: LGPL-2.1-or-later
// What a lock-free hit does not do: no system call, and no store to memory that threads share. Each is
// shown by taking the possibility away and going on: the kernel kills who makes a system call or
// stores to a page that is read-only. The same of a locked policy must end in that.
//
// Not in the sanitizer lanes, whose run time makes system calls of its own.
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {
namespace {

constexpr int kHits = 10000;

template <class Policy>
struct HitWorld : World<Policy> {
  NodeId dir = this->mkdir(kRoot, "d").id;
  NodeId file = this->mknod(dir, "file").id;
  NodeId link = this->symlink(kRoot, "l", "d/file").id;
  const std::string long_name = std::string(200, 'n');

  // One of each. The first round fills the cache and sets the marks of the clock.
  bool hit_all() {
    auto& c = *this->cache;
    bool all = c.peek(*this->me, dir, name_of("file")).ok();
    all = c.peek(*this->me, dir, name_of(long_name)).ok() && all;
    all = code(c.peek(*this->me, dir, name_of("missing"))) == ENOENT && all;
    all = c.getattr(*this->me, file, nullptr).ok() && all;
    all = c.walk(*this->me, kRoot, "l", kSuper, true).ok() && all;
    all = code(c.getxattr(*this->me, file, "security.capability", {})) == ENODATA && all;
    return all;
  }

  HitWorld() {
    (void)this->mknod(dir, long_name);
    (void)this->cache->readlink(*this->me, link);
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(hit_all());
  }

  std::uint64_t misses() const {
    return this->count(Counter::kLookupLocked) + this->count(Counter::kGetattrLocked) +
           this->count(Counter::kWalkLocked) + this->count(Counter::kGetxattrLocked);
  }
};

// How a child ends that calls `restrict` and then hits: 0, or the signal that killed it.
template <class Policy, class Restrict>
int end_of_child(HitWorld<Policy>& w, Restrict restrict) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::uint64_t before = w.misses();
    restrict();
    bool all = true;
    for (int i = 0; i < kHits; ++i) all = w.hit_all() && all;
    all = all && w.misses() == before;
    ::syscall(SYS_exit, all ? 0 : 1);  // Unlike exit_group, one of the four that are let through.
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) return WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "not everything was a hit";
  return 0;
}

TEST(Hit, MakesNoSystemCall) {
  HitWorld<LocklessPolicy> w;
  const auto forbid = [] { ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); };
  EXPECT_EQ(end_of_child(w, forbid), 0);
  // That a call would have been noticed:
  EXPECT_EQ(end_of_child(w,
                         [&] {
                           forbid();
                           (void)::getppid();
                         }),
            SIGKILL);
}

// The arena, and the cache's own object but for the pages that it shares with others.
template <class Policy>
void make_read_only(HitWorld<Policy>& w) {
  constexpr std::uintptr_t kPage = 4096;
  w.cache->slots_for_test().make_read_only_for_test();
  const auto begin = reinterpret_cast<std::uintptr_t>(w.cache.get());
  const std::uintptr_t from = (begin + kPage - 1) / kPage * kPage;
  const std::uintptr_t to = (begin + sizeof *w.cache) / kPage * kPage;
  if (from < to) ::mprotect(reinterpret_cast<void*>(from), to - from, PROT_READ);
}

TEST(Hit, StoresNothingThatIsShared) {
  HitWorld<LocklessPolicy> w;
  EXPECT_EQ(end_of_child(w, [&] { make_read_only(w); }), 0);
}

// The inode's lock is in the arena.
TEST(Hit, OfALockedPolicyStores) {
  HitWorld<ShardedPolicy> w;
  EXPECT_EQ(end_of_child(w, [&] { make_read_only(w); }), SIGSEGV);
}

}  // namespace
}  // namespace evenfs::test
