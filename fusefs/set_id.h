// SPDX-License-Identifier: LGPL-2.1-or-later
// Set-user-id, set-group-id and file capabilities: what a change of a file's content, owner or access
// control list takes away.
//
// The kernel leaves the bits to us (HANDLE_KILLPRIV_V2). A SETATTR of the size says if its caller
// lacks CAP_FSETID; a WRITE says it to libfuse, which does not say it to us, and others do not say: there
// /proc tells (caller.h), of which only a file that has bits makes use. Before it changes the content
// of a file that it knows to have bits or capabilities, the kernel also sends a SETATTR with nothing to
// set, which looks like chown(-1, -1). Where it writes by itself (backing.h) that is the time to act.
//
// Which bits go is the source's rule and not ours: the change is made on the source as if by somebody
// without CAP_FSETID, with the caller's groups. A source that goes by other credentials (NFS) may leave
// bits that always go; they are taken away afterwards.
//
// File capabilities the source takes away by itself, whoever writes; before a truncation or a chown, and
// where it knows of them, the kernel removes them by a REMOVEXATTR.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>

#include "fusefs/request.h"

namespace evenfs {

inline constexpr std::string_view kCapabilityXattr = "security.capability";

// What is written by a mapping costs no bits.
enum class WrittenBy { kCall, kMapping };

// Spans a change of the content of `id` on the source: the section of the change, and the lack of
// CAP_FSETID. See change_content.
class ContentChange {
 public:
  ContentChange(Request& r, NodeId id, File& file, WrittenBy by);
  ~ContentChange();
  ContentChange(const ContentChange&) = delete;
  ContentChange& operator=(const ContentChange&) = delete;

  const Status& status() const noexcept { return status_; }
  // After the call that changes it, which ended so; returns how all ended.
  Status finish(const Status& done);

 private:
  Status take_scope();  // REQUIRES: the file has bits.

  Request& r_;
  const NodeId id_;
  File& file_;
  Status status_;
  std::optional<Cache::Change> change_;
  bool may_lose_bits_ = false;
  std::unique_ptr<StoreScope> by_caller_;
};

// Calls `call`, which changes the content of `id` on the source, and returns what that returns.
template <class Call>
std::invoke_result_t<Call> change_content(Request& r, NodeId id, File& file, WrittenBy by,
                                          Call call) {
  ContentChange change(r, id, file, by);
  if (!change.status()) return change.status().error();
  std::invoke_result_t<Call> done = call();
  const Status finished = change.finish(done ? Status() : done.error());
  if (!finished) return finished.error();
  return done;
}

// For a chown, or a list that is set, which costs an object set-id bits by the caller's groups and
// CAP_FSETID: the scope to do it in, null if he has that.
std::unique_ptr<StoreScope> scope_of_caller(Request& r, const Attr& attr);

// A SETATTR. `lacks_fsetid`: what the request says of the caller, if it sets the size.
Result<Attr> set_attributes(Request& r, NodeId id, SetAttr change, File* file, bool lacks_fsetid);

// True if the request comes from a chown that the source refuses: by somebody who may not chmod the
// file, which would lose set-id bits. The kernel would check that by the mode that is set, and leaves
// the mode to us; it takes file capabilities away before it sends the SETATTR.
bool is_foreign_chown(Request& r, NodeId id);

}  // namespace evenfs
