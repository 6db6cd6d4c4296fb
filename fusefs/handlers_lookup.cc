// SPDX-License-Identifier: LGPL-2.1-or-later
// lookup and forget: how the kernel comes to know an inode and how it lets go of it. They are
// one protocol and are read together: lookup counts before it replies, forget gives counts back.
#include <string_view>

#include "fusefs/handlers.h"
#include "fusefs/request.h"

namespace evenfs {
namespace {

Result<Entry> find(Request& r, fuse_ino_t number, std::string_view name) {
  // Only for a file handle, of which the kernel does not know the inode or its directory.
  if (name == ".") return r.fs.cache.lookup_number(r.me, number);
  const NodeId dir = r.id(number);
  if (name == "..") return r.fs.cache.lookup_parent(r.me, dir);
  const Result<NameRef> checked = NameRef::make(name);
  if (!checked) return checked.error();
  Result<Entry> found = r.fs.cache.lookup(r.me, dir, *checked);
  if (found || found.error() != Errno(ENOENT) || r.fs.teller == nullptr) return found;
  // That a name is not there is the answer that programs go wrong by, when somebody has just made it and told
  // them; so it is not given if there may be news of it. If there is none now the cache has been told of all
  // that was done before, but perhaps only since it answered.
  return r.fs.teller->is_behind() ? r.fs.cache.lookup_anew(r.me, dir, *checked)
                                  : r.fs.cache.lookup(r.me, dir, *checked);
}

void lookup(Request& r, fuse_ino_t parent, const char* name) {
  const Result<Entry> found = find(r, parent, name);
  if (found) return r.reply_entry(found, parent);
  if (found.error() == Errno(ENOENT) && r.fs.negative_timeout_s > 0) {
    // An entry without an inode: the kernel remembers that there is none.
    fuse_entry_param none{};
    none.entry_timeout = r.name_timeout(parent, r.fs.negative_timeout_s);
    r.reply.entry(none);
    return;
  }
  // The directory has gone, as a name of its own shows to whoever looks that up.
  r.reply.error(found.error() == Errno(ESTALE) ? r.gone(r.id(parent), found.error())
                                               : found.error());
}

void forget(Request& r, fuse_ino_t ino, std::uint64_t count) {
  r.fs.cache.forget(r.me, r.id(ino), count);
  r.reply.none();
}

void forget_multi(Request& r, std::size_t count, fuse_forget_data* forgets) {
  for (const fuse_forget_data& one : std::span(forgets, count)) {
    r.fs.cache.forget(r.me, r.id(one.ino), one.nlookup);
  }
  r.reply.none();
}

}  // namespace

void add_lookup_handlers(fuse_lowlevel_ops& ops) {
  ops.lookup = op<opcode("lookup"), lookup>;
  ops.forget = op<opcode("forget"), forget>;
  ops.forget_multi = op<opcode("batch_forget"), forget_multi>;
}

}  // namespace evenfs
