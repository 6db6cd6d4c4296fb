// SPDX-License-Identifier: LGPL-2.1-or-later
// Extended attributes: the source's, and one of our own on the root that is read but not listed.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "fusefs/handlers.h"
#include "fusefs/request.h"
#include "fusefs/set_id.h"
#include "fusefs/stats_json.h"

namespace evenfs {
namespace {

// The largest value that Linux lets through, in bytes. Some file systems store less.
constexpr std::size_t kValueMax = 65536;
constexpr std::size_t kListMax = 65536;  // Likewise, of a list of names.

// The statistics may grow by some digits between the question for the size and the one for the
// value.
constexpr std::size_t kStatsSlack = 512;

void get_stats(Request& r, std::size_t size) {
  const std::string json = r.fs.stats.json();
  if (size == 0) return r.reply.xattr_size(json.size() + kStatsSlack);
  if (size < json.size()) return r.reply.error(Errno(ERANGE));
  r.reply.bytes(std::as_bytes(std::span(json)));
}

// Answers a call that wants a size if `size` is 0, else a value of at most `size` bytes.
template <class Read>
void reply_value(Request& r, NodeId id, std::size_t size, Read read) {
  const std::span<std::byte> room =
      size == 0 ? std::span<std::byte>() : r.thread.buffer(std::min(size, kValueMax));
  const Result<std::size_t> got = read(room);
  if (!got) return r.reply.error(r.gone(id, got.error()));
  if (size == 0) return r.reply.xattr_size(*got);
  r.reply.bytes(room.first(*got));
}

void getxattr(Request& r, fuse_ino_t ino, const char* name, std::size_t size) {
  const NodeId id = r.id(ino);
  if (id.is_root() && std::string_view(name) == kStatsXattr) return get_stats(r, size);
  reply_value(r, id, size,
              [&](std::span<std::byte> into) { return r.fs.cache.getxattr(r.me, id, name, into); });
}

// Takes out of a list of names, each with a NUL behind it, those that only a superuser may know of: the
// source has shown them to us, who are one. Returns what is left of its length.
std::size_t hide_trusted(std::span<char> list) {
  std::size_t kept = 0;
  for (std::size_t at = 0; at < list.size();) {
    const std::string_view name(list.data() + at);
    if (!name.starts_with("trusted.")) {
      std::memmove(list.data() + kept, name.data(), name.size() + 1);
      kept += name.size() + 1;
    }
    at += name.size() + 1;
  }
  return kept;
}

void listxattr(Request& r, fuse_ino_t ino, std::size_t size) {
  const Result<Cache::Pin> pin = r.fs.cache.pin(r.id(ino));
  if (!pin) return r.reply.error(pin.error());
  const std::span<std::byte> room = r.thread.buffer(kListMax);
  const std::span<char> list(reinterpret_cast<char*>(room.data()), room.size());
  const Result<std::size_t> got = r.fs.store.listxattr(pin->node(), list);
  if (!got) return r.reply.error(r.gone(pin->id(), got.error()));
  const std::size_t length = r.maker().uid == 0 ? *got : hide_trusted(list.first(*got));
  if (size == 0) return r.reply.xattr_size(length);
  if (size < length) return r.reply.error(Errno(ERANGE));
  r.reply.bytes(room.first(length));
}

// An ACL decides who may pass a directory, and setting one may change the mode. That it is absent, or a
// capability, is cached (Cache::getxattr), and a file system may have another name for the same (XFS:
// trusted.SGI_ACL_FILE). What is the user's changes nothing but the time of change.
Fields fields_of(std::string_view name) {
  return name.starts_with("user.") ? Fields::kStat : Fields::kWalk;
}

// An access control list that is set sets the mode, too, and may cost the object its set-group-id.
Result<std::unique_ptr<StoreScope>> acl_scope(Request& r, NodeId id, std::string_view name) {
  using Scope = std::unique_ptr<StoreScope>;
  if (name != "system.posix_acl_access") return Scope();
  const Result<Attr> attr = r.fs.cache.getattr(r.me, id, nullptr);
  if (!attr) return attr.error();
  return (attr->mode & S_ISGID) != 0 ? scope_of_caller(r, *attr) : Scope();
}

void setxattr(Request& r, fuse_ino_t ino, const char* name, const char* value, std::size_t size,
              int flags) {
  const Status status = [&]() -> Status {
    const auto by_caller = acl_scope(r, r.id(ino), name);
    if (!by_caller) return by_caller.error();
    const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), fields_of(name));
    if (!change) return change.error();
    return r.fs.store.setxattr(change->node(), name, std::as_bytes(std::span(value, size)), flags);
  }();
  r.reply.status(r.gone(r.id(ino), status));
}

void removexattr(Request& r, fuse_ino_t ino, const char* name) {
  const Status status = [&]() -> Status {
    if (std::string_view(name) == kCapabilityXattr && is_foreign_chown(r, r.id(ino))) {
      return Errno(EPERM);
    }
    const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), fields_of(name));
    if (!change) return change.error();
    return r.fs.store.removexattr(change->node(), name);
  }();
  r.reply.status(r.gone(r.id(ino), status));
}

}  // namespace

void add_xattr_handlers(fuse_lowlevel_ops& ops) {
  ops.getxattr = op<opcode("getxattr"), getxattr>;
  ops.listxattr = op<opcode("listxattr"), listxattr>;
  ops.setxattr = op<opcode("setxattr"), setxattr>;
  ops.removexattr = op<opcode("removexattr"), removexattr>;
}

}  // namespace evenfs
