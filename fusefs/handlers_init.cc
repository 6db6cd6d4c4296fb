// SPDX-License-Identifier: LGPL-2.1-or-later
// init: what evenfs and the kernel agree upon, by the first request of a session. A handler like the
// others, so that a test that plays the kernel negotiates with the real one.
#include "fusefs/handlers.h"
#include "fusefs/request.h"
#include "fusefs/transport.h"

namespace evenfs {
namespace {

// Linux 6.14. From 6.12 on the kernel counts a write that it passes through as a change of attributes.
constexpr unsigned kCountsWrites = 42;
// Linux 6.9; and 6.14, the first number that is not 6.12's, too. In between it keeps a directory's listing also
// when it is told not to.
constexpr unsigned kKeepsTooLong = 40;
constexpr unsigned kKeepsAsTold = 42;

// What READLINK told may be kept for ever, since no link changes its target. But what is kept is read without
// the access time being moved.
bool keeps_links(const Daemon& fs) { return fs.store.caps().atime_rule == AtimeRule::kNever; }

// Linux 6.16. Whoever loses track of what others change can then have the kernel look all names up again; else
// names must be looked up again after a while in any case.
constexpr unsigned kForgetsNames = 44;

// Called once, on whichever thread receives the first request.
void init(void* userdata, fuse_conn_info* conn) {
  Daemon& fs = *static_cast<Daemon*>(userdata);
  set_transport(conn, fs.transport);
  fs.keeps_listings = conn->proto_minor < kKeepsTooLong || conn->proto_minor >= kKeepsAsTold;
  fs.always_asks = fs.always_asks && fuse_set_feature_flag(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
  if (keeps_links(fs)) fuse_set_feature_flag(conn, FUSE_CAP_CACHE_SYMLINKS);
  if (fs.backing != nullptr && fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH)) {
    conn->max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;
    fs.backing->start(fuse_session_fd(fs.session), conn->proto_minor >= kCountsWrites);
  }
  if (fs.watched && conn->proto_minor < kForgetsNames) {
    fs.entry_timeout_s = std::min(fs.entry_timeout_s, kUntoldS);
    fs.negative_timeout_s = std::min(fs.negative_timeout_s, kUntoldS);
  }
  for (const std::uint64_t capability : {
           FUSE_CAP_READDIRPLUS,
           FUSE_CAP_READDIRPLUS_AUTO,  // Attributes with names, when used.
           FUSE_CAP_ASYNC_READ,
           FUSE_CAP_AUTO_INVAL_DATA,  // Pages go when size or mtime changed behind them.
           FUSE_CAP_EXPORT_SUPPORT,   // Numbers are never used again, so NFS can keep them.
           FUSE_CAP_POSIX_ACL,        // The kernel checks permission by the source's ACLs;
           FUSE_CAP_DONT_MASK,        // a default ACL decides whether the umask applies.
           // Set-id bits are for us to clear (set_id.h). So the kernel need not ask for a file's
           // capabilities before each write; those the source takes away by itself.
           FUSE_CAP_HANDLE_KILLPRIV_V2,
       }) {
    fuse_set_feature_flag(conn, capability);
  }
  // Off. O_TRUNC comes as a SETATTR before the OPEN, which changes no size if it may not.
  fuse_unset_feature_flag(
      conn, FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_WRITEBACK_CACHE);
}

}  // namespace

void add_init_handler(fuse_lowlevel_ops& ops) { ops.init = init; }

}  // namespace evenfs
