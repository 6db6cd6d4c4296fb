// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/cred_switch.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace evenfs {
namespace {

// These two never fail loudly: they return the id that was set before the call.
std::uint32_t set_fsuid(std::uint32_t uid) noexcept {
  return static_cast<std::uint32_t>(::syscall(SYS_setfsuid, uid));
}
std::uint32_t set_fsgid(std::uint32_t gid) noexcept {
  return static_cast<std::uint32_t>(::syscall(SYS_setfsgid, gid));
}
// An id that is never valid changes nothing, so the answer is the present one.
constexpr std::uint32_t kNoId = ~std::uint32_t{0};

// Of this thread. True if that changed something.
bool set_fsetid(bool on) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, sets) != 0) return false;
  __u32& effective = sets[CAP_TO_INDEX(CAP_FSETID)].effective;
  const __u32 before = effective;
  effective = on ? before | CAP_TO_MASK(CAP_FSETID) : before & ~CAP_TO_MASK(CAP_FSETID);
  return effective != before && ::syscall(SYS_capset, &header, sets) == 0;
}

// Tries once per thread; a thread that may not stays as it is.
void keep_capabilities() noexcept {
  static thread_local bool tried = false;
  if (tried) return;
  tried = true;
  const int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits >= 0 && (bits & SECBIT_NO_SETUID_FIXUP) == 0) {
    ::prctl(PR_SET_SECUREBITS, static_cast<unsigned long>(bits | SECBIT_NO_SETUID_FIXUP));
  }
}

// Whether this thread's umask is its own. Asked for once per thread.
bool has_own_umask() noexcept {
  static thread_local const bool own = ::unshare(CLONE_FS) == 0;
  return own;
}

}  // namespace

CredSwitch::CredSwitch(bool enabled, const Cred& cred) noexcept {
  if (!enabled) return;
  keep_capabilities();
  // The group first: without the capabilities (see above) it could not be set behind the user.
  old_gid_ = set_fsgid(cred.gid);
  gid_changed_ = old_gid_ != cred.gid;
  old_uid_ = set_fsuid(cred.uid);
  uid_changed_ = old_uid_ != cred.uid;
  ok_ = (!gid_changed_ || set_fsgid(kNoId) == cred.gid) &&
        (!uid_changed_ || set_fsuid(kNoId) == cred.uid);
}

CredSwitch::~CredSwitch() {
  if (uid_changed_) set_fsuid(old_uid_);
  if (gid_changed_) set_fsgid(old_gid_);
}

bool CredSwitch::works() noexcept {
  Cred nobody;
  nobody.uid = nobody.gid = 65534;
  return ::geteuid() == 0 && CredSwitch(true, nobody).status().ok();
}

UmaskSwitch::UmaskSwitch(const Cred& cred) noexcept : switched_(has_own_umask()) {
  if (switched_) {
    old_ = ::umask(cred.umask);
  } else {
    taken_ = cred.umask;
  }
}

UmaskSwitch::~UmaskSwitch() {
  if (switched_) ::umask(old_);
}

GroupsSwitch::GroupsSwitch(std::span<const std::uint32_t> groups) {
  const long count = ::syscall(SYS_getgroups, 0, nullptr);
  if (count < 0) return;
  old_.resize(static_cast<std::size_t>(count));
  if (::syscall(SYS_getgroups, count, old_.data()) != count) return;
  changed_ = ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

GroupsSwitch::~GroupsSwitch() {
  if (changed_) ::syscall(SYS_setgroups, old_.size(), old_.data());
}

FsetidDrop::FsetidDrop(const Cred& cred)
    : groups_(cred.groups), old_gid_(set_fsgid(cred.gid)), dropped_(set_fsetid(false)) {}

FsetidDrop::~FsetidDrop() {
  if (dropped_) set_fsetid(true);
  set_fsgid(old_gid_);
}

CredCheck::CredCheck(const Cred& cred) : groups_(cred.groups) {
  if (!groups_.ok()) return;
  old_bits_ = ::prctl(PR_GET_SECUREBITS);
  const int without = old_bits_ & ~SECBIT_NO_SETUID_FIXUP;
  const bool fixes_up =
      old_bits_ >= 0 && (without == old_bits_ ||
                         ::prctl(PR_SET_SECUREBITS, static_cast<unsigned long>(without)) == 0);
  old_gid_ = set_fsgid(cred.gid);
  old_uid_ = set_fsuid(cred.uid);  // From 0 to another: the file capabilities are dropped.
  ok_ = fixes_up && set_fsgid(kNoId) == cred.gid && set_fsuid(kNoId) == cred.uid;
}

CredCheck::~CredCheck() {
  if (!groups_.ok()) return;
  set_fsuid(old_uid_);  // Back to 0: they return.
  set_fsgid(old_gid_);
  if (old_bits_ >= 0 && (old_bits_ & SECBIT_NO_SETUID_FIXUP) != 0) {
    ::prctl(PR_SET_SECUREBITS, static_cast<unsigned long>(old_bits_));
  }
}

}  // namespace evenfs
