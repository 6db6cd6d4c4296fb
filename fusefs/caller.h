// SPDX-License-Identifier: LGPL-2.1-or-later
// What /proc tells of the thread that waits for the answer to a request, where the request itself does not
// tell enough. Slow: for what happens seldom.
//
// /proc shows what a thread is, and a request whom it acts as: a file system above the mount acts as who
// mounted it, a kernel thread (io_uring, nfsd) for somebody else. If its uid and gid for files are not the
// request's, or it is such a thread, CAP_FSETID is denied to everybody, and the others are granted to uid 0
// alone. Where nothing can be seen (another process namespace) uid 0 has all and others none. Who cannot
// be seen to be of our user namespace has no CAP_FSETID.
#pragma once

#include <optional>

#include "fusefs/request.h"

namespace evenfs {

class Caller {
 public:
  explicit Caller(Request& r);

  // Whom the request acts as, with the groups of who is shown if that is he. Valid as Request::cred's.
  Cred cred() const;

  // By the kernel's rules: whether it has CAP_FSETID, which does not count in a user namespace of its own;
  // whether it has it over an object, which does count there, if the namespace knows owner and group;
  // and whether it may chmod an object, as its owner or by CAP_FOWNER, if its namespace knows the owner.
  bool has_fsetid() const;
  bool has_fsetid_over(const Attr& attr) const;
  bool may_chmod(const Attr& attr) const;

  // Whether it waits in chown(2) or one of its siblings. False where that cannot be seen, as with a
  // program of another architecture.
  bool is_in_chown() const;

 private:
  enum class Shown { kNothing, kAnother, kCaller };

  void look();
  bool has(unsigned capability) const;
  std::optional<bool> is_of_our_user_namespace() const;  // None: it cannot be seen.
  bool knows(const char* map, std::uint32_t id) const;   // `map`: "uid_map" or "gid_map".

  Request& r_;
  const std::uint32_t uid_;
  const std::uint32_t gid_;
  const pid_t thread_;  // 0: in a process namespace that we cannot see.
  Shown shown_ = Shown::kNothing;
  std::uint64_t effective_ = 0;  // Capabilities, if it is the caller who is shown.
};

}  // namespace evenfs
