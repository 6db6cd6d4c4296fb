// SPDX-License-Identifier: LGPL-2.1-or-later
// What a run sends, and what its answer must look like.
#include <linux/falloc.h>
#include <linux/fs.h>

#include "tests/fuzz/protocol_run.h"
#include "tests/support/requests.h"

namespace evenfs::test {
namespace {

// Mostly what the kernel lets through; a few that no kernel sends.
constexpr std::uint32_t kModes[] = {S_IFREG | 0644,
                                    S_IFREG | 06755,
                                    S_IFIFO | 0600,
                                    S_IFSOCK,
                                    S_IFCHR | 0600,
                                    S_IFDIR | 0755,
                                    S_IFLNK | 0777,
                                    0,
                                    ~0U};
constexpr std::uint32_t kOpenFlags[] = {O_RDONLY,          O_WRONLY,        O_RDWR, O_TRUNC,
                                        O_RDWR | O_APPEND, O_RDWR | O_EXCL, ~0U,    O_ACCMODE};
constexpr const char* kXattrs[] = {
    "user.a",  "user.b", "trusted.t", "security.capability", "system.posix_acl_access",
    "unknown", "",       "user.",     "evenfs.stats"};

// Requests that answer with something about the number in their header, and with an error if there is none.
bool is_about_a_number(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_GETATTR:
    case FUSE_SETATTR:
    case FUSE_READLINK:
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_OPEN:
    case FUSE_OPENDIR:
    case FUSE_STATFS:
    case FUSE_ACCESS:
    case FUSE_CREATE:
    case FUSE_SETXATTR:
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
    case FUSE_REMOVEXATTR:
    case kOpTmpfile:
    case kOpStatx:
      return true;
    default:
      return false;
  }
}

// The length of an answer that is a structure; nothing where it varies.
std::optional<std::size_t> answer_bytes(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      return sizeof(fuse_entry_out);
    case FUSE_CREATE:
    case kOpTmpfile:
      return sizeof(fuse_entry_out) + sizeof(fuse_open_out);
    case FUSE_GETATTR:
    case FUSE_SETATTR:
      return sizeof(fuse_attr_out);
    case kOpStatx:
      return kStatxOutBytes;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return sizeof(fuse_open_out);
    case FUSE_WRITE:
    case FUSE_COPY_FILE_RANGE:
    case kOpCopyFileRange64:
    case FUSE_LSEEK:
      return sizeof(fuse_write_out);
    case FUSE_STATFS:
      return sizeof(fuse_statfs_out);
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_ACCESS:
    case FUSE_FLUSH:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_FALLOCATE:
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
      return 0;
    default:
      return std::nullopt;
  }
}

}  // namespace

void ProtocolRun::check_answer(std::uint32_t opcode, const Answer& answer) const {
  if (!answer.ok()) return;
  if (const auto bytes = answer_bytes(opcode)) EVENFS_CHECK(answer.body.size() == *bytes);
  // That there is no empty name is true of any directory.
  if (opcode == FUSE_LOOKUP && answer.get<fuse_entry_out>().nodeid == 0) return;
  EVENFS_CHECK(!nonsense_ || !is_about_a_number(opcode));
}

// Mostly one that is held; else one that was, or that was never given.
std::uint64_t ProtocolRun::number() {
  const std::uint8_t choice = in_.byte();
  nonsense_ = false;
  if (choice < 100 && !held_.empty()) {
    return std::next(held_.begin(), static_cast<long>(choice % held_.size()))->first;
  }
  const std::uint64_t known = known_[choice % known_.size()];
  if (choice < 216) return known;
  if (choice < 228) return known - (std::uint64_t{1} << 32);  // Of an earlier life, or nobody's.
  if (choice < 236) return known + (std::uint64_t{1} << 32);
  // Of no index, of index 0, beyond all slots, the root by a generation, durable and of no object.
  static constexpr std::uint64_t kNobody[] = {0,
                                              ~std::uint64_t{0},
                                              std::uint64_t{7} << 32,
                                              (std::uint64_t{7} << 32) + 0xffff'ffff,
                                              (std::uint64_t{1} << 32) + 1,
                                              2,
                                              (std::uint64_t{1} << 63),
                                              (std::uint64_t{0xffff'ffff} << 32) + 1};
  nonsense_ = true;
  return kNobody[choice % std::size(kNobody)];
}

const ProtocolRun::Handle& ProtocolRun::handle(std::vector<Handle>& handles) {
  return handles[in_.below(handles.size())];
}

// The inode's own number, or one that is nobody's. That of another inode never comes with an open file: the
// kernel vouches for that, and what is written would be a change of the other one.
std::uint64_t ProtocolRun::node_for(const Handle& handle) {
  if (in_.byte() < 230) return handle.node;
  const std::uint64_t node = number();
  return nonsense_ ? node : handle.node;
}

void ProtocolRun::step() {
  nonsense_ = false;
  const std::uint8_t choice = in_.byte();
  const std::uint8_t kind = choice % 32;
  const auto detail = static_cast<std::uint8_t>(choice / 32);
  if (kind < 8) {
    send(names_request(static_cast<std::uint8_t>(kind)));
  } else if (kind < 11) {
    send(two_names_request(detail));
  } else if (kind < 14) {
    send(attributes_request(detail));
  } else if (kind < 16) {
    send(xattr_request(detail));
  } else if (kind < 20) {
    send(forget_request(detail));
  } else if (kind < 22) {
    send(open_request(detail));
  } else if (kind < 25) {
    send(files_.empty() ? open_request(detail) : file_request(in_.byte()));
  } else if (kind < 28) {
    send(directories_.empty() ? open_request(7) : directory_request(detail));
  } else if (kind == 28) {
    send(odd_request());
  } else if (kind == 29) {
    ask_twice();
  } else {
    housekeeping(detail);
  }
}

void ProtocolRun::housekeeping(std::uint8_t choice) {
  static constexpr int kErrors[] = {EIO, ENOSPC, ENOENT, ESTALE, EACCES, ENOMEM};
  switch (choice) {
    case 0:
      return kernel_->cache().housekeep(kernel_->me());
    case 1:
      return kernel_->cache().drop_unused(kernel_->me());
    case 2:
      return kernel_->cache().set_tick(++tick_);
    default:
      failure_ = in_.one_of(kErrors);
      failure_after_ = choice - 3U;
  }
}

ProtocolRun::Built ProtocolRun::names_request(std::uint8_t choice) {
  const std::uint64_t dir = number();
  const std::string name = in_.name();
  switch (choice) {
    case 0:
      return {request::unlink(dir, name)};
    case 1:
      return {request::rmdir(dir, name)};
    case 2:
      return {request::mknod(dir, name, in_.one_of(kModes), in_.byte())};
    case 3:
      return {request::mkdir(dir, name, in_.one_of(kModes))};
    case 4:
      return {request::symlink(dir, name, std::string(in_.byte() * 20U, 't'))};
    case 5:
      return {request::create(dir, name, in_.one_of(kOpenFlags), in_.one_of(kModes))};
    default:
      return {request::lookup(dir, name)};
  }
}

ProtocolRun::Built ProtocolRun::two_names_request(std::uint8_t choice) {
  static constexpr std::uint32_t kFlags[] = {0, 1, 2, 4, 5, 3, 8, ~0U};
  const std::uint64_t from = number();
  const std::string name = in_.name();
  const std::uint64_t to = number();
  const std::string new_name = in_.name();
  if (choice < 3) return {request::rename(from, name, to, new_name)};
  if (choice < 6) return {request::rename2(from, name, to, new_name, in_.one_of(kFlags))};
  return {request::link(from, to, new_name)};
}

ProtocolRun::Built ProtocolRun::setattr_request() {
  fuse_setattr_in in{};
  in.valid = in_.byte() | static_cast<std::uint32_t>(in_.byte()) << 8U;
  in.valid &= ~static_cast<std::uint32_t>(FATTR_FH);
  in.size = in_.number();
  in.mode = in_.one_of(kModes);
  in.uid = in.gid = in_.byte();
  in.atime = in.mtime = in_.number();
  in.atimensec = in_.size();
  const bool with_file = in_.byte() % 4 == 0 && !files_.empty();
  if (!with_file) return {request::setattr(number(), in)};
  const Handle& file = handle(files_);
  in.valid |= FATTR_FH;
  in.fh = file.fh;
  return {request::setattr(file.node, in), offsetof(fuse_setattr_in, size)};
}

ProtocolRun::Built ProtocolRun::attributes_request(std::uint8_t choice) {
  if (choice < 2) return setattr_request();
  const std::uint64_t node = number();
  switch (choice) {
    case 2:
      return {request::statx(node, in_.byte() % 2 == 0 ? 0U : 0x2000U)};  // AT_STATX_FORCE_SYNC
    case 3:
      return {request::readlink(node)};
    case 4:
      return {request::access(node, in_.byte())};
    case 5:
      return {request::statfs(node)};
    default:
      return {request::getattr(node)};
  }
}

ProtocolRun::Built ProtocolRun::xattr_request(std::uint8_t choice) {
  const std::uint64_t node = number();
  const char* name = in_.one_of(kXattrs);
  if (choice < 3) {
    return {request::setxattr(node, name, std::string(in_.byte() * 4U, 'v'), in_.byte())};
  }
  if (choice < 5) return {request::getxattr(node, name, in_.size())};
  if (choice < 7) return {request::listxattr(node, in_.size())};
  return {request::removexattr(node, name)};
}

ProtocolRun::Built ProtocolRun::forget_request(std::uint8_t choice) {
  static constexpr std::uint64_t kCounts[] = {1, 1, 2, 0, 3, 1ULL << 40U, ~0ULL, 1ULL << 63U};
  const auto count = [this](std::uint64_t node) {
    // All that is held, or what may be more than that.
    const auto held = held_.find(node);
    return in_.byte() < 128 && held != held_.end() ? held->second : in_.one_of(kCounts);
  };
  if (choice < 5) {
    const std::uint64_t node = number();
    return {request::forget(node, count(node))};
  }
  std::vector<fuse_forget_one> forgets(in_.below(9));
  for (fuse_forget_one& one : forgets) {
    one.nodeid = number();
    one.nlookup = count(one.nodeid);
  }
  const std::size_t more = choice == 7 ? in_.byte() : 0;
  return {request::batch_forget(forgets, static_cast<std::uint32_t>(forgets.size() + more))};
}

// Requests that no handler answers, or that come from no kernel of today.
ProtocolRun::Built ProtocolRun::odd_request() {
  static constexpr std::uint32_t kOpcodes[] = {FUSE_GETLK,
                                               FUSE_SETLK,
                                               FUSE_SETLKW,
                                               FUSE_BMAP,
                                               FUSE_POLL,
                                               FUSE_INTERRUPT,
                                               FUSE_SETUPMAPPING,
                                               FUSE_REMOVEMAPPING,
                                               kOpSyncfs,
                                               FUSE_INIT,
                                               0,
                                               7,
                                               19,
                                               63,
                                               0x7fff'ffff,
                                               4096,
                                               ~0U};
  Message message(in_.one_of(kOpcodes), number());
  message.text(in_.bytes(in_.below(64)));
  return {message};
}

ProtocolRun::Built ProtocolRun::open_request(std::uint8_t choice) {
  const std::uint64_t node = number();
  if (choice < 5) return {request::open(node, in_.one_of(kOpenFlags))};
  if (choice < 6) return {request::tmpfile(node, in_.one_of(kOpenFlags))};
  return {request::opendir(node)};
}

ProtocolRun::Built ProtocolRun::file_request(std::uint8_t choice) {
  static constexpr std::uint32_t kAllocate[] = {0, FALLOC_FL_KEEP_SIZE,
                                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                                FALLOC_FL_ZERO_RANGE, ~0U};
  static constexpr std::uint32_t kCommands[] = {FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR,
                                                FS_IOC_FSSETXATTR, 0};
  const Handle file = handle(files_);
  const std::uint64_t fh = file.fh;
  const std::uint64_t node = node_for(file);
  constexpr std::size_t kKeep = sizeof(fh);
  switch (choice % 12) {
    case 0:
      return {request::read(node, fh, in_.number(), in_.size()), kKeep};
    case 1:
    case 2:
      return {request::write(node, fh, in_.number(), std::string(in_.byte() * 40U, 'w')), kKeep};
    case 3:
      return {request::flush(node, fh), kKeep};
    case 4:
      return {request::fsync(FUSE_FSYNC, node, fh), kKeep};
    case 5:
      return {request::fallocate(node, fh, in_.number(), in_.number(), in_.one_of(kAllocate)),
              kKeep};
    case 6:
      return {request::lseek(node, fh, in_.number(), in_.byte() % 6U), kKeep};
    case 7: {
      const Handle& to = handle(files_);
      return {request::copy_file_range(node, fh, to.node, to.fh, in_.number()),
              offsetof(fuse_copy_file_range_in, off_out)};
    }
    case 8:
      return {request::getattr_of_file(node, fh), sizeof(fuse_getattr_in)};
    case 9:
      return {request::ioctl(node, fh, in_.one_of(kCommands), in_.bytes(in_.below(40)), in_.size()),
              kKeep};
    default:
      return {request::release(node, fh, in_.one_of(kOpenFlags)), kKeep};
  }
}

ProtocolRun::Built ProtocolRun::directory_request(std::uint8_t choice) {
  const Handle dir = handle(directories_);
  constexpr std::size_t kKeep = sizeof(dir.fh);
  const std::uint64_t node = node_for(dir);
  if (choice < 4) {
    return {request::readdirplus(node, dir.fh, in_.below(8), in_.size()), kKeep};
  }
  if (choice < 6) return {request::readdir(node, dir.fh, in_.number(), in_.size()), kKeep};
  if (choice < 7) return {request::fsync(FUSE_FSYNCDIR, node, dir.fh), kKeep};
  return {request::releasedir(node, dir.fh), kKeep};
}

// What the cache has answered must be what the store says: nobody else changes it.
void ProtocolRun::ask_twice() {
  const std::uint64_t node = number();
  const std::string name = in_.name();
  if (failure_ != 0 || !held_.contains(node)) return;
  Cache& cache = kernel_->cache();
  const Answer first = kernel_->ask(request::getattr(node));
  cache.invalidate(cache.id_of_number(node));
  const Answer second = kernel_->ask(request::getattr(node));
  EVENFS_CHECK(first.ok() && second.ok() && first.body == second.body);

  const Answer cached = kernel_->ask(request::lookup(node, name));
  learn(FUSE_LOOKUP, cached);
  const Result<NameRef> ref = NameRef::make(name);
  if (ref) cache.invalidate_name(kernel_->me(), cache.id_of_number(node), *ref);
  const Answer asked = kernel_->ask(request::lookup(node, name));
  learn(FUSE_LOOKUP, asked);
  if (cached.error == ENOMEM || asked.error == ENOMEM) return;  // There was no slot left.
  EVENFS_CHECK(cached.error == asked.error && cached.body == asked.body);
}

}  // namespace evenfs::test
