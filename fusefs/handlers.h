// SPDX-License-Identifier: LGPL-2.1-or-later
// The table of operations, filled by one function for each file of handlers.
//
// Left out, with what the kernel then does:
//   getlk, setlk, flock   POSIX, OFD and flock locks are kept by the kernel among the processes
//                         that use this mount. Forwarding them would need a thread of ours for
//                         each waiter, and lockers outside the mount are not seen either way.
//   bmap                  Asked of block-device mounts only.
//   poll                  The kernel answers that a file is always ready, as for any local file.
//   retrieve_reply        We do not ask for the kernel's pages.
//   write_buf             It would turn splicing of every request on; see transport.cc.
#pragma once

#include <fuse_lowlevel.h>

namespace evenfs {

void add_init_handler(fuse_lowlevel_ops& ops);        // init
void add_lookup_handlers(fuse_lowlevel_ops& ops);     // lookup, forget
void add_attr_handlers(fuse_lowlevel_ops& ops);       // getattr, statx, setattr, access, statfs
void add_namespace_handlers(fuse_lowlevel_ops& ops);  // mknod, mkdir, unlink, rename, ...
void add_dir_handlers(fuse_lowlevel_ops& ops);        // opendir, readdir, readdirplus, ...
void add_io_handlers(fuse_lowlevel_ops& ops);         // open, create, read, write, ...
void add_xattr_handlers(fuse_lowlevel_ops& ops);      // getxattr, ... and evenfs.stats
void add_ioctl_handlers(fuse_lowlevel_ops& ops);      // ioctl: what chattr(1) shows and sets

inline fuse_lowlevel_ops make_handlers() {
  fuse_lowlevel_ops ops{};
  add_init_handler(ops);
  add_lookup_handlers(ops);
  add_attr_handlers(ops);
  add_namespace_handlers(ops);
  add_dir_handlers(ops);
  add_io_handlers(ops);
  add_xattr_handlers(ops);
  add_ioctl_handlers(ops);
  return ops;
}

}  // namespace evenfs
