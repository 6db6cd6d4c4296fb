// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/request.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace evenfs {
namespace {

timespec to_timespec(Timestamp time) noexcept {
  return {static_cast<time_t>(time.sec), static_cast<long>(time.nsec)};
}

statx_timestamp to_statx_time(Timestamp time) noexcept {
  statx_timestamp out{};
  out.tv_sec = time.sec;
  out.tv_nsec = time.nsec;
  return out;
}

}  // namespace

struct stat to_stat(const Attr& attr, InodeNumbers& numbers) noexcept {
  struct stat st {};
  st.st_ino = numbers.of(attr.dev, attr.ino);
  st.st_mode = attr.mode;
  st.st_nlink = attr.nlink;
  st.st_uid = attr.uid;
  st.st_gid = attr.gid;
  st.st_rdev = attr.rdev;
  st.st_size = static_cast<off_t>(attr.size);
  st.st_blocks = static_cast<blkcnt_t>(attr.blocks);
  st.st_blksize = static_cast<blksize_t>(attr.blksize);
  st.st_atim = to_timespec(attr.atime);
  st.st_mtim = to_timespec(attr.mtime);
  st.st_ctim = to_timespec(attr.ctime);
  return st;
}

struct statx to_statx(const Attr& attr, InodeNumbers& numbers) noexcept {
  struct statx stx {};
  stx.stx_mask = STATX_BASIC_STATS;
  if (attr.btime != Timestamp{}) stx.stx_mask |= STATX_BTIME;
  stx.stx_blksize = attr.blksize;
  stx.stx_nlink = attr.nlink;
  stx.stx_uid = attr.uid;
  stx.stx_gid = attr.gid;
  stx.stx_mode = static_cast<__u16>(attr.mode);
  stx.stx_ino = numbers.of(attr.dev, attr.ino);
  stx.stx_size = attr.size;
  stx.stx_blocks = attr.blocks;
  stx.stx_atime = to_statx_time(attr.atime);
  stx.stx_btime = to_statx_time(attr.btime);
  stx.stx_ctime = to_statx_time(attr.ctime);
  stx.stx_mtime = to_statx_time(attr.mtime);
  stx.stx_rdev_major = major(attr.rdev);
  stx.stx_rdev_minor = minor(attr.rdev);
  return stx;
}

ThreadState& thread_state(Daemon& fs) noexcept {
  if (this_thread_state != nullptr) return *this_thread_state;
  struct Known {
    explicit Known(Daemon& daemon) : loop(*daemon.loop), state(daemon.workers) {
      loop.join(lane);
      state.lane = &lane;
      this_thread_state = &state;
      // libfuse ends its threads by waking them and by pthread_cancel(), which would unwind handlers.
      ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    }
    ~Known() {
      this_thread_state = nullptr;
      loop.leave(lane);
    }
    WorkerLoop& loop;
    RequestLane lane;
    ThreadState state;
  };
  thread_local Known known(fs);  // Takes no memory: nothing could be answered without it.
  return known.state;
}

Cred Request::maker() const noexcept {
  const fuse_ctx& context = *fuse_req_ctx(req);
  return {context.uid, context.gid, context.umask, {}};
}

Cred Request::cred() {
  const Cred cred = maker();
  return cred.uid == 0 ? cred : cred_with_groups();  // Root needs no group to be allowed anything.
}

Cred Request::cred_with_groups() {
  Cred cred = maker();
  // Reads a file under /proc, of the very thread that asked: it may have ids of its own. A caller who
  // has died meanwhile, or who lives in a namespace that we cannot see, has no groups.
  std::vector<std::uint32_t>& groups = thread.groups;
  if (groups.empty()) groups.resize(64);
  int count = fuse_req_getgroups(req, static_cast<int>(groups.size()), groups.data());
  if (count > static_cast<int>(groups.size())) {
    groups.resize(static_cast<std::size_t>(count));
    count = fuse_req_getgroups(req, count, groups.data());
  }
  const auto known = static_cast<std::size_t>(std::max(count, 0));
  cred.groups = std::span(groups).first(std::min(known, groups.size()));
  return cred;
}

std::span<std::byte> Request::room(std::size_t size) {
  char* payload = nullptr;
  std::size_t payload_size = 0;
  if (thread.lane != nullptr && fuse_req_get_payload(req, &payload, &payload_size, nullptr) == 0 &&
      size <= payload_size) {
    return {reinterpret_cast<std::byte*>(payload), size};
  }
  return thread.buffer(size);
}

// Whoever tells of changes tells the cache first, then the kernel, and that again for as long as the kernel
// does not know an inode that is counted. So if the cache still says the same, now that it is counted, the
// kernel will be told; if not, it may have been too early for that, and the kernel is to ask again.
double Request::entry_attr_timeout(const Entry& entry, fuse_ino_t number) const noexcept {
  const double timeout = attr_timeout(entry.id, number, entry.attr);
  Attr now;
  if (!fs.watched || untold(number)) return timeout;
  return fs.cache.peek_attr(entry.id, now) && now == entry.attr ? timeout : 0;
}

double Request::name_timeout(fuse_ino_t dir, double timeout) const noexcept {
  timeout = timeout_of(dir, timeout);
  if (fs.least_timeout_s == 0) return timeout;
  Attr attr;
  return fs.cache.peek_attr(id(dir), attr) ? rested(attr, timeout)
                                           : std::min(timeout, fs.least_timeout_s);
}

fuse_entry_param Request::entry_param(const Entry& entry, fuse_ino_t dir) const noexcept {
  fuse_entry_param param{};
  param.ino = fs.cache.number_of(entry.id);
  // Part of a file handle, and compared by the kernel, which wants 0 for the root, as it is. A durable number
  // says which object of a source is meant, and not of which source.
  if (Identity::is_durable(param.ino)) {
    param.generation = fs.store.caps().source_tag;
  } else {
    param.generation = entry.id.generation();
  }
  param.attr = to_stat(entry.attr, *fs.numbers);
  param.attr_timeout = entry_attr_timeout(entry, param.ino);
  param.entry_timeout = name_timeout(dir, fs.entry_timeout_s);
  return param;
}

// What was removed through the mount has no name to look up, and its attributes are the last that can be had.
Errno Request::gone(NodeId id, Errno error) const {
  if (error != Errno(ENOENT) && error != Errno(ESTALE)) return error;
  Attr last;
  if (!fs.cache.peek_attr(id, last) || last.nlink != 0) fs.cache.invalidate(id);
  return Errno(ESTALE);
}

void Request::reply_entry(const fuse_entry_param& param, NodeId id) {
  // The count was made before the reply is sent: with the reply the kernel may forget at once.
  if (!reply.entry(param)) fs.cache.forget(me, id, 1);
}

}  // namespace evenfs
