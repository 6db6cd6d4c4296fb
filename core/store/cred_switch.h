// SPDX-License-Identifier: LGPL-2.1-or-later
// Acting as the caller of a request, for one system call of one thread, or a few.
//
// The guards change the calling thread alone (raw system calls: the C library's setters change
// all threads) and restore it always. They must not be nested. A side effect of the kernel's: a
// process that ever changed its fsuid is no longer dumpable (no core file, no ptrace by its user).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/attr.h"
#include "core/base/result.h"
#include "core/store/store.h"

namespace evenfs {

// Makes new objects belong to the caller: sets fsuid and fsgid and keeps the capabilities, as the
// permission was decided before, in the caller's own context. Keeping them needs the thread's
// SECBIT_NO_SETUID_FIXUP, set once per thread; where it cannot be set (no CAP_SETPCAP) the
// capabilities go with the uid, and the backing system checks the caller's rights once more, by
// its ids without supplementary groups.
class [[nodiscard]] CredSwitch {
 public:
  // Does nothing unless `enabled`.
  CredSwitch(bool enabled, const Cred& cred) noexcept;
  ~CredSwitch();
  CredSwitch(const CredSwitch&) = delete;
  CredSwitch& operator=(const CredSwitch&) = delete;

  // EPERM when the ids could not be taken on (not mapped in this user namespace).
  Status status() const noexcept { return ok_ ? Status() : Status(Errno(EPERM)); }

  // True iff this process may take on other ids at all.
  static bool works() noexcept;

 private:
  bool ok_ = true;
  bool gid_changed_ = false;
  bool uid_changed_ = false;
  std::uint32_t old_gid_ = 0;
  std::uint32_t old_uid_ = 0;
};

// Lets new objects be made with the caller's umask. It is the backing system that applies it, since it
// alone knows whether a default ACL of the directory takes its place. The umask belongs to a thread's
// file system context (umask, working directory, root), which threads share: the first use on a
// thread gives it one of its own (unshare(CLONE_FS)).
class [[nodiscard]] UmaskSwitch {
 public:
  explicit UmaskSwitch(const Cred& cred) noexcept;
  ~UmaskSwitch();
  UmaskSwitch(const UmaskSwitch&) = delete;
  UmaskSwitch& operator=(const UmaskSwitch&) = delete;

  // The mode to make the object with. Where the thread could not get a context of its own, the umask
  // is taken off here, and default ACLs come short.
  std::uint32_t permissions(std::uint32_t mode) const noexcept { return mode & 07777U & ~taken_; }

 private:
  bool switched_ = false;
  std::uint32_t taken_ = 0;
  std::uint32_t old_ = 0;
};

// Takes on supplementary groups.
class [[nodiscard]] GroupsSwitch {
 public:
  explicit GroupsSwitch(std::span<const std::uint32_t> groups);
  ~GroupsSwitch();
  GroupsSwitch(const GroupsSwitch&) = delete;
  GroupsSwitch& operator=(const GroupsSwitch&) = delete;

  bool ok() const noexcept { return changed_; }

 private:
  bool changed_ = false;
  std::vector<std::uint32_t> old_;
};

// Gives up CAP_FSETID and takes on the caller's groups, by which the kernel decides whether a change of
// content, owner or access control list costs a file its set-id bits. All else stays as it is: the
// change itself has been permitted before. Where groups cannot be taken on, a set-group-id bit without
// execution by the group, which means nothing to who runs the file, may stay or go by our own.
class [[nodiscard]] FsetidDrop final : public StoreScope {
 public:
  explicit FsetidDrop(const Cred& cred);
  ~FsetidDrop() override;
  FsetidDrop(const FsetidDrop&) = delete;
  FsetidDrop& operator=(const FsetidDrop&) = delete;

 private:
  const GroupsSwitch groups_;
  const std::uint32_t old_gid_;
  bool dropped_ = false;
};

// Takes on the caller's ids, groups and lack of capabilities, so that the kernel decides what the
// caller may, access control lists included. For asking, not for making.
class [[nodiscard]] CredCheck {
 public:
  explicit CredCheck(const Cred& cred);
  ~CredCheck();
  CredCheck(const CredCheck&) = delete;
  CredCheck& operator=(const CredCheck&) = delete;

  // False: nothing was taken on, and the kernel's answer would be about us.
  bool ok() const noexcept { return ok_; }

 private:
  const GroupsSwitch groups_;
  bool ok_ = false;
  int old_bits_ = 0;
  std::uint32_t old_gid_ = 0;
  std::uint32_t old_uid_ = 0;
};

}  // namespace evenfs
