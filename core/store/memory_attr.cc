// SPDX-License-Identifier: LGPL-2.1-or-later
// Attributes, permissions and extended attributes of the memory store.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cstring>
#include <limits>

#include "core/store/memory_store.h"
#include "core/store/permission.h"

namespace evenfs {
namespace {

constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 43;  // Bytes in a file: 8 TiB.
constexpr std::size_t kXattrSizeMax = 65536;                // As XATTR_SIZE_MAX.

// EOPNOTSUPP outside the four name spaces; `denied` where user attributes are not for this type.
Status check_xattr_name(const MemoryInode& inode, std::string_view name, bool has_acls,
                        int denied) {
  const auto begins = [name](std::string_view prefix) {
    return name.size() > prefix.size() && name.substr(0, prefix.size()) == prefix;
  };
  if (name.size() > kNameMax || name.empty()) return Errno(ERANGE);
  if (begins("user.")) {
    return inode.is_regular() || inode.is_dir() ? Status() : Status(Errno(denied));
  }
  if (begins("trusted.") || begins("security.")) return Status();
  if (has_acls && begins("system.posix_acl_")) return Status();
  return Errno(EOPNOTSUPP);
}

}  // namespace

Result<Attr> MemoryStore::getattr(const Node& node, File* /*file*/) {
  if (const Status status = enter("getattr"); !status) return status.error();
  const Guard guard(mutex_);
  return inode_of(node).snapshot();
}

Result<Attr> MemoryStore::setattr(const Node& node, const SetAttr& change, File* /*file*/) {
  if (const Status status = enter("setattr"); !status) return status.error();
  const Guard guard(mutex_);
  MemoryInode& inode = inode_of(node);
  Attr& attr = inode.attr;
  if (change.size.has_value()) {
    if (inode.is_dir()) return Errno(EISDIR);
    if (!inode.is_regular()) return Errno(EINVAL);
    if (*change.size > kSizeMax) return Errno(EFBIG);
  }
  if (change.mode.has_value() && inode.is_symlink()) return Errno(EOPNOTSUPP);
  const Timestamp at = now();
  if (change.size.has_value()) {
    inode.data.truncate(*change.size);
    attr.mtime = at;
  }
  if (change.uid.has_value()) attr.uid = *change.uid;
  if (change.gid.has_value()) attr.gid = *change.gid;
  const bool owner = change.uid.has_value() || change.gid.has_value();
  if (owner || change.clear_suid_sgid) attr.mode = without_suid_sgid(attr.mode);
  if (change.mode.has_value()) attr.mode = (attr.mode & S_IFMT) | (*change.mode & 07777U);
  if (change.atime.has_value()) attr.atime = change.atime->now ? at : change.atime->at;
  if (change.mtime.has_value()) attr.mtime = change.mtime->now ? at : change.mtime->at;
  attr.ctime = at;
  return inode.snapshot();
}

Status MemoryStore::access(const Node& node, const Cred& cred, int mask) {
  if (const Status status = enter("access"); !status) return status;
  const Guard guard(mutex_);
  return check_mode_bits(inode_of(node).attr, cred, mask);
}

Result<std::string> MemoryStore::readlink(const Node& node) {
  if (const Status status = enter("readlink"); !status) return status.error();
  const Guard guard(mutex_);
  const MemoryInode& inode = inode_of(node);
  if (!inode.is_symlink()) return Errno(EINVAL);
  return inode.target;
}

Result<struct statvfs> MemoryStore::statfs(const Node& /*node*/) {
  if (const Status status = enter("statfs"); !status) return status.error();
  const Guard guard(mutex_);
  std::uint64_t pages = 0;
  for (const MemoryInode& inode : inodes_) pages += inode.data.pages();
  struct statvfs out {};
  out.f_bsize = out.f_frsize = MemoryData::kPage;
  out.f_blocks = kSizeMax / MemoryData::kPage;
  out.f_bfree = out.f_bavail = out.f_blocks - pages;
  out.f_files = std::numeric_limits<std::uint32_t>::max();
  out.f_ffree = out.f_favail = out.f_files - inodes_.size();
  out.f_namemax = kNameMax;
  return out;
}

Result<std::size_t> MemoryStore::getxattr(const Node& node, const char* name,
                                          std::span<std::byte> into) {
  if (const Status status = enter("getxattr"); !status) return status.error();
  const Guard guard(mutex_);
  const MemoryInode& inode = inode_of(node);
  if (const Status status = check_xattr_name(inode, name, caps_.has_acls, ENODATA); !status) {
    return status.error();
  }
  const auto found = inode.xattrs.find(std::string_view(name));
  if (found == inode.xattrs.end()) return Errno(ENODATA);
  const std::string& value = found->second;
  if (into.empty()) return value.size();
  if (into.size() < value.size()) return Errno(ERANGE);
  std::memcpy(into.data(), value.data(), value.size());
  return value.size();
}

Result<std::size_t> MemoryStore::listxattr(const Node& node, std::span<char> into) {
  if (const Status status = enter("listxattr"); !status) return status.error();
  const Guard guard(mutex_);
  std::string names;
  for (const auto& [name, value] : inode_of(node).xattrs) names.append(name).push_back('\0');
  if (into.empty()) return names.size();
  if (into.size() < names.size()) return Errno(ERANGE);
  std::memcpy(into.data(), names.data(), names.size());
  return names.size();
}

Status MemoryStore::setxattr(const Node& node, const char* name, std::span<const std::byte> value,
                             int flags) {
  if (const Status status = enter("setxattr"); !status) return status;
  const Guard guard(mutex_);
  MemoryInode& inode = inode_of(node);
  if (const Status status = check_xattr_name(inode, name, caps_.has_acls, EPERM); !status)
    return status;
  if (value.size() > kXattrSizeMax) return Errno(E2BIG);
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) return Errno(EINVAL);
  const bool exists = inode.xattrs.find(std::string_view(name)) != inode.xattrs.end();
  if ((flags & XATTR_CREATE) != 0 && exists) return Errno(EEXIST);
  if ((flags & XATTR_REPLACE) != 0 && !exists) return Errno(ENODATA);
  inode.xattrs[name] = std::string(reinterpret_cast<const char*>(value.data()), value.size());
  touch(inode, false);
  return Status();
}

Status MemoryStore::removexattr(const Node& node, const char* name) {
  if (const Status status = enter("removexattr"); !status) return status;
  const Guard guard(mutex_);
  MemoryInode& inode = inode_of(node);
  if (const Status status = check_xattr_name(inode, name, caps_.has_acls, EPERM); !status)
    return status;
  const auto found = inode.xattrs.find(std::string_view(name));
  if (found == inode.xattrs.end()) return Errno(ENODATA);
  inode.xattrs.erase(found);
  touch(inode, false);
  return Status();
}

}  // namespace evenfs
