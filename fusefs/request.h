// SPDX-License-Identifier: LGPL-2.1-or-later
// What every handler works with: the daemon's parts, the thread's own state, the request, and
// the Reply that answers it exactly once.
//
// Three rules hold in all handlers:
//   - Nothing that the reply could free is touched after it: the kernel may forget an inode or
//     release a file, on another thread, before the call that sent the reply has returned.
//   - A reply that could not be delivered gives back what it would have handed over.
//   - A request addressed by number whose object has gone is ESTALE, never ENOENT: at ESTALE the
//     kernel looks the path up once more, ENOENT it would hand to the program. That look must not be
//     answered from what is cached of the object (Request::gone).
#pragma once

#include <fuse_lowlevel.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "core/base/assert.h"
#include "core/cache/cache.h"
#include "core/cache/rest.h"
#include "fusefs/inode_numbers.h"
#include "fusefs/open_table.h"
#include "fusefs/transport.h"
#include "fusefs/worker_loop.h"

namespace evenfs {

class DaemonStats;

// Who tells the cache of what others do, a moment after they have done it.
class Teller {
 public:
  virtual ~Teller() = default;
  // Whether something that was done before this call may not have been told yet. Waits for nobody; from any
  // thread.
  virtual bool is_behind() const noexcept = 0;
};

// What the handlers share. Constant once INIT is answered, but for the tables, which have their own locks.
struct Daemon {
  Cache& cache;
  Store& store;
  double entry_timeout_s;
  double attr_timeout_s;
  double negative_timeout_s;
  double directory_timeout_s;  // Of a directory's attributes.
  bool told_of_changes;        // Nobody changes the source without our knowing; see `watched`.
  const DaemonStats& stats;
  OpenTable<OpenFile>& files;
  OpenTable<OpenDirectory>& directories;
  WorkerRegistry& workers;
  Transport transport = Transport::kFd;  // What is asked for at INIT.
  // Somebody tells of what others do to the objects that have a durable number, and to the root. The times are
  // then for these.
  bool watched = false;
  // Nothing may be served that the source was not asked for at once. At INIT it is cleared where the kernel
  // cannot map a file whose reads all come to us.
  bool always_asks = false;
  // If not 0, the times are the most: what has changed lately is for that long, and what has rested for longer.
  double least_timeout_s = 0;
  // Set at INIT. Linux 6.9 to 6.12 do not drop a listing when they are told to.
  bool keeps_listings = false;
  // Set before the threads start.
  fuse_session* session = nullptr;
  WorkerLoop* loop = nullptr;
  BackingTable* backing = nullptr;  // Null: no passthrough.
  const Teller* teller = nullptr;   // Null: nobody tells.
  std::unique_ptr<InodeNumbers> numbers =
      std::make_unique<InodeNumbers>(cache.device_of(cache.id_of_number(FUSE_ROOT_ID)));
};

// The most that a READ or a listing is answered with. What was agreed upon lets the kernel ask for no more
// (max_pages goes with max_write), and a request that does must not cost its size in memory.
inline constexpr std::size_t kAnswerBytesMax = kWriteBytesMax;

// Attributes that the kernel keeps for no longer than that need not be taken from it.
inline constexpr double kSoonS = 1;
// How long the kernel may use what it takes after a change without comparing when it asked, with a watch.
inline constexpr double kChangedS = 0.01;
// How long what nobody tells of may be used where the rest is told of.
inline constexpr double kUntoldS = 1;

// What one thread owns. Handlers find it by one thread-local pointer.
struct ThreadState {
  explicit ThreadState(WorkerRegistry& registry) : worker(registry) {}

  // `size` bytes, contents undefined, until the next call.
  std::span<std::byte> buffer(std::size_t size) {
    if (size > buffer_size) {
      bytes.reset();  // First, so that the peak is one buffer.
      buffer_size = 0;
      bytes = std::make_unique_for_overwrite<std::byte[]>(size);
      buffer_size = size;
    }
    return {bytes.get(), size};
  }

  Worker worker;
  std::vector<std::uint32_t> groups;
  std::unique_ptr<std::byte[]> bytes;
  std::size_t buffer_size = 0;
  RequestLane* lane =
      nullptr;  // Of a thread that libfuse has started; others are counted by the loop.
};

inline thread_local ThreadState* this_thread_state = nullptr;

// Of the calling thread. At its first request a thread that libfuse has started, for a ring, becomes known,
// until it ends.
ThreadState& thread_state(Daemon& fs) noexcept;

// Spans one request.
class AccountedRequest {
 public:
  AccountedRequest(RequestLane* lane, std::size_t opcode) noexcept : lane_(lane) {
    if (lane_ != nullptr) lane_->begin(opcode);
  }
  ~AccountedRequest() {
    if (lane_ != nullptr) lane_->end();
  }
  AccountedRequest(const AccountedRequest&) = delete;
  AccountedRequest& operator=(const AccountedRequest&) = delete;

 private:
  RequestLane* const lane_;
};

struct stat to_stat(const Attr& attr, InodeNumbers& numbers) noexcept;
struct statx to_statx(const Attr& attr, InodeNumbers& numbers) noexcept;

// Answers one request exactly once. Functions that return bool say whether the kernel took the
// answer; if not, whatever the answer handed over is still ours.
class Reply {
 public:
  Reply(fuse_req_t req, InodeNumbers& numbers) noexcept : req_(req), numbers_(numbers) {}
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply() {
    EVENFS_ASSERT(req_ == nullptr);
    if (req_ != nullptr) fuse_reply_err(req_, EIO);
  }

  bool answered() const noexcept { return req_ == nullptr; }

  void error(Errno error) { fuse_reply_err(take(), error.code()); }
  void ok() { fuse_reply_err(take(), 0); }
  void none() { fuse_reply_none(take()); }
  void status(const Status& status) { status ? ok() : error(status.error()); }

  bool entry(const fuse_entry_param& entry) { return fuse_reply_entry(take(), &entry) == 0; }
  bool create(const fuse_entry_param& entry, const fuse_file_info& fi) {
    return fuse_reply_create(take(), &entry, &fi) == 0;
  }
  bool open(const fuse_file_info& fi) { return fuse_reply_open(take(), &fi) == 0; }

  void attr(const Attr& attr, double timeout_s) {
    const struct stat st = to_stat(attr, numbers_);
    fuse_reply_attr(take(), &st, timeout_s);
  }
  void statx(const Attr& attr, double timeout_s) {
    struct statx stx = to_statx(attr, numbers_);
    fuse_reply_statx(take(), 0, &stx, timeout_s);
  }
  void ioctl(std::span<const std::byte> out) {
    fuse_reply_ioctl(take(), 0, out.data(), out.size());
  }
  void link_target(const char* target) { fuse_reply_readlink(take(), target); }
  bool bytes(std::span<const std::byte> bytes) {
    return fuse_reply_buf(take(), reinterpret_cast<const char*>(bytes.data()), bytes.size()) == 0;
  }
  void written(std::size_t count) { fuse_reply_write(take(), count); }
  void offset(std::uint64_t offset) { fuse_reply_lseek(take(), static_cast<off_t>(offset)); }
  void statfs(const struct statvfs& st) { fuse_reply_statfs(take(), &st); }
  void xattr_size(std::size_t size) { fuse_reply_xattr(take(), size); }

 private:
  fuse_req_t take() noexcept {
    EVENFS_ASSERT(req_ != nullptr);
    return std::exchange(req_, nullptr);
  }
  fuse_req_t req_;
  InodeNumbers& numbers_;
};

struct Request {
  Request(fuse_req_t raw, Daemon& daemon, ThreadState& own)
      : req(raw), fs(daemon), thread(own), me(thread.worker), reply(raw, *daemon.numbers) {}

  // Who asks, without supplementary groups: enough for making something.
  Cred maker() const noexcept;
  // The same with groups, for who asks what he may. Valid until the next call.
  Cred cred();
  // The same, for what groups decide for root too.
  Cred cred_with_groups();

  // The inode that the kernel means. It holds a lookup count, so the id stays good for the request.
  NodeId id(fuse_ino_t number) const noexcept { return fs.cache.id_of_number(number); }

  // Memory for an answer of `size` bytes, contents undefined. In a ring it is where the answer goes. What
  // came with the request as names or data is then overwritten.
  std::span<std::byte> room(std::size_t size);

  // How long the kernel may use these attributes of an inode that is counted or pinned, as an answer to a
  // question for them: the kernel compares when it asked with when it was last told that they change.
  double attr_timeout(NodeId id, fuse_ino_t number, const Attr& attr) const noexcept {
    if (S_ISDIR(attr.mode)) return rested(attr, timeout_of(number, fs.directory_timeout_s));
    if (fs.attr_timeout_s == 0) return 0;  // First: the rest is in memory of its own.
    if (fs.backing != nullptr && kernel_cannot_tell(id)) return 0;
    const double timeout = rested(attr, timeout_of(number, fs.attr_timeout_s));
    const bool told = !attr.untold && !(fs.watched && fs.cache.was_mapped(id));
    return told ? timeout : std::min(timeout, kUntoldS);
  }
  // The same where it does not compare: after a change, to an inode that it knows. What it is told of too early
  // then is stale for that long; it is enough for what it asks next, as before it opens what it has made.
  double changed_timeout(NodeId id, fuse_ino_t number, const Attr& attr) const noexcept {
    const double timeout = attr_timeout(id, number, attr);
    return fs.watched ? std::min(timeout, kChangedS) : timeout;
  }
  // A time as it is for an object, or for names in a directory, of which somebody tells or does not.
  double timeout_of(fuse_ino_t number, double timeout) const noexcept {
    return untold(number) ? std::min(timeout, kUntoldS) : timeout;
  }
  // A time for what has these attributes, if times grow.
  double rested(const Attr& attr, double timeout) const noexcept {
    if (fs.least_timeout_s == 0) return timeout;
    const double rest_s = static_cast<double>(rest_ms(attr.ctime)) / 1000;
    return std::min(timeout, std::max(fs.least_timeout_s, rest_s));
  }
  // The same for names in a directory, or what is not there.
  double name_timeout(fuse_ino_t dir, double timeout) const noexcept;
  // Whether the kernel may change an inode by itself and not know that it does, so that it has to ask: by a
  // mapping, or, if it is an older one, by any write.
  bool kernel_cannot_tell(NodeId id) const noexcept {
    return fs.backing->counts_writes() ? fs.cache.maps_unseen(id) : fs.cache.writes_unseen(id);
  }

  double entry_attr_timeout(const Entry& entry, fuse_ino_t number) const noexcept;
  // Of an entry that was counted, found in `dir`.
  fuse_entry_param entry_param(const Entry& entry, fuse_ino_t dir) const noexcept;
  // Answers with an entry that was counted once; takes the count back if nobody received it.
  void reply_entry(const fuse_entry_param& param, NodeId id);
  void reply_entry(const Result<Entry>& entry, fuse_ino_t dir) {
    entry ? reply_entry(entry_param(*entry, dir), entry->id) : reply.error(entry.error());
  }

  // Makes the kernel ask for the attributes of an inode before it uses them again: for a request that has
  // changed more than the kernel expects of it. Attributes only: that takes no lock of the kernel's which
  // the request could hold, as invalidating pages would. By the kernel's own number: there may be no inode
  // of that number, when the request has failed.
  void outdate_in_kernel(fuse_ino_t number) noexcept {
    fuse_lowlevel_notify_inval_inode(fs.session, number, -1, 0);
  }

  // The same where it matters little, as for the blocks that a file takes: if the kernel would not ask soon.
  void outdate_if_kept(fuse_ino_t number) noexcept {
    if (fs.attr_timeout_s > kSoonS) outdate_in_kernel(number);
  }

  // What a request for an inode answers when the store has given `error`: ESTALE if the object has gone,
  // and then the next to look up its name asks the store.
  Errno gone(NodeId id, Errno error) const;
  Status gone(NodeId id, const Status& status) const {
    return status ? status : Status(gone(id, status.error()));
  }

  // Whether nobody tells of what others do to the object of a number, although the times count on it.
  bool untold(fuse_ino_t number) const noexcept {
    return fs.watched && !Identity::is_durable(number) && number != FUSE_ROOT_ID;
  }

  fuse_req_t req;  // For reading its context only; `reply` answers it.
  Daemon& fs;
  ThreadState& thread;
  Worker& me;
  Reply reply;
};

namespace request_detail {

template <std::size_t Opcode, auto Handler>
struct Op;

template <std::size_t Opcode, class... Args, void (*Handler)(Request&, Args...)>
struct Op<Opcode, Handler> {
  // The one place where an exception of a handler is caught: handlers are called from C, and the only one
  // that they let through is the want of memory.
  static void call(fuse_req_t req, Args... args) noexcept {
    Daemon& fs = *static_cast<Daemon*>(fuse_req_userdata(req));
    ThreadState& thread = thread_state(fs);
    const AccountedRequest accounted(thread.lane, Opcode);
    Request request(req, fs, thread);
    try {
      Handler(request, args...);
    } catch (const std::bad_alloc&) {
      if (!request.reply.answered()) request.reply.error(Errno(ENOMEM));
    }
  }
};

}  // namespace request_detail

// The function for libfuse's table that runs `Handler`; `Opcode` is for the account.
template <std::size_t Opcode, auto Handler>
inline constexpr auto op = &request_detail::Op<Opcode, Handler>::call;

}  // namespace evenfs
