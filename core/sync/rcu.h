// SPDX-License-Identifier: LGPL-2.1-or-later
// RCU: the right to stand on a dentry that somebody else is removing. The only file that includes
// <urcu/*>.
//
// What a grace period gives here is modest, on purpose. Slots are type-stable and every answer is
// validated by sequence counts, so RCU is not what keeps readers right. It (a) keeps slots from
// being reused under a reader, which would cost it a second try, and (b) makes the reclaimer's
// decision exact: after a grace period no reader that saw an inode alive can still raise its
// lookup count (docs/lifetimes.md).
//
// TSan does not see into liburcu, so the promise of a grace period is drawn for it by hand:
// a read section that ended happens before synchronize() returns.
#pragma once

#include <urcu/urcu-memb.h>

#if defined(__SANITIZE_THREAD__)
#define EVENFS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EVENFS_TSAN 1
#endif
#endif

#ifdef EVENFS_TSAN
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#endif

namespace evenfs {

namespace rcu_detail {
#ifdef EVENFS_TSAN
inline char tsan_token;
inline void section_ends() noexcept { __tsan_release(&tsan_token); }
inline void grace_period_over() noexcept { __tsan_acquire(&tsan_token); }
#else
inline void section_ends() noexcept {}
inline void grace_period_over() noexcept {}
#endif
}  // namespace rcu_detail

// One for each thread that will ever hold an RcuGuard, for as long as it may.
class RcuThread {
 public:
  RcuThread() noexcept { urcu_memb_register_thread(); }
  ~RcuThread() { urcu_memb_unregister_thread(); }
  RcuThread(const RcuThread&) = delete;
  RcuThread& operator=(const RcuThread&) = delete;
};

// While one is alive, no slot that could be reached at its start is reused. Within it: no system
// call, no allocation, no lock, no reply to the kernel.
class [[nodiscard]] RcuGuard {
 public:
  RcuGuard() noexcept { urcu_memb_read_lock(); }
  ~RcuGuard() {
    rcu_detail::section_ends();
    urcu_memb_read_unlock();
  }
  RcuGuard(const RcuGuard&) = delete;
  RcuGuard& operator=(const RcuGuard&) = delete;
};

// Returns when every RcuGuard that was alive at the call has ended. Never called under one.
inline void rcu_synchronize() noexcept {
  urcu_memb_synchronize_rcu();
  rcu_detail::grace_period_over();
}

}  // namespace evenfs
