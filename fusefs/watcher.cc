// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/watcher.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include <xxhash.h>

#include "core/store/local_sys.h"

namespace evenfs {
namespace {

using local::SourceEvent;

constexpr std::size_t kBufferBytes = 65536;
constexpr unsigned kMadeOnly = SourceEvent::kMade;
// What may be merged into an event that is about a name.
constexpr unsigned kAnyhow = SourceEvent::kContent | SourceEvent::kAttributes;
// Reads of that many bytes until somebody looks whether it is time to end.
constexpr int kReadsAtOnce = 16;
// Until events are read again, if nothing has come that somebody in the mount may wait for: to be woken for
// each costs those who change things more than the change. Meanwhile events gather, and the kernel makes
// one of many about one object.
constexpr int kPauseMs = 5;

UniqueFd got(int fd) {
  if (fd < 0) throw std::system_error(errno, std::generic_category());
  return UniqueFd(fd);
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 16384> part;
  if (::lseek(fd, 0, SEEK_SET) != 0) return text;
  for (ssize_t got = 0; (got = ::read(fd, part.data(), part.size())) > 0;) {
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

// Where the object of a descriptor is now; nothing if that cannot be said.
std::string path_of(int fd) {
  std::array<char, PATH_MAX> path;
  const ssize_t length = ::readlink(local::FdName(fd).path(), path.data(), path.size());
  return std::string(path.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
}

// A mountinfo path: blanks and some others are written in octal.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) { return static_cast<unsigned>(text[at] - '0'); };
    const bool octal = text[i] == '\\' && i + 3 < text.size() && digit(i + 1) < 4 &&
                       digit(i + 2) < 8 && digit(i + 3) < 8;
    if (octal) {
      plain += static_cast<char>(digit(i + 1) * 64 + digit(i + 2) * 8 + digit(i + 3));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string_view word(std::string_view line, int number) {
  for (; number > 0; --number) line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
  return line.substr(0, line.find(' '));
}

}  // namespace

// Whether what an event is about has an inode is not asked first: that would be the same search.
std::optional<std::uint64_t> OutsideChanges::outdate(const local::HandleView& handle) {
  if (handle.bytes.empty()) return std::nullopt;
  const std::optional<std::uint64_t> number = number_of_(handle);
  if (!number || cache_.invalidate_number(*number) == NodeId()) return std::nullopt;
  return number;
}

// False: the directory is unknown. Then nobody knows the name.
bool OutsideChanges::apply_name(Worker& me, const SourceEvent& event, const SourceEvent::Name& name,
                                std::optional<std::uint64_t> object) {
  const std::optional<std::uint64_t> dir = outdate(name.dir);
  if (!dir) return false;
  if (const Result<NameRef> ref = NameRef::make(name.name)) {
    cache_.invalidate_name(me, cache_.id_of_number(*dir), *ref);
  }
  // As removed, so that who watches the object in the mount (inotify) hears of it. Of what was moved, never:
  // the kernel would take the object for dead.
  const bool removed = event.what == SourceEvent::kRemoved && object;
  // What the kernel has under a name that came up is the new object, or nothing: what was there before has
  // gone, and the kernel was told of that.
  const auto what = removed                                ? Notice::What::kRemoved
                    : (event.what & ~kAnyhow) == kMadeOnly ? Notice::What::kNewName
                                                           : Notice::What::kName;
  notifier_.add({what, *dir, removed ? *object : 0, std::string(name.name)});
  // With the listing that the kernel may keep: its mtime need not tell, since that can be set back.
  notifier_.add({Notice::What::kContent, *dir});
  return true;
}

void OutsideChanges::apply_own(const SourceEvent& event) {
  count(own_events_);
  if ((event.what & SourceEvent::kMoved) == 0 || !event.names[1].dir.bytes.empty()) return;
  const std::optional<std::uint64_t> object = outdate(event.object);
  if (object) notifier_.add({Notice::What::kAttributes, *object});
}

bool OutsideChanges::apply(Worker& me, const SourceEvent& event) {
  count(events_);
  if ((event.what & SourceEvent::kLost) != 0) {
    count(overflows_);
    everything();
    return true;
  }
  if (event.pid == own_) {
    apply_own(event);
    return false;
  }
  const std::optional<std::uint64_t> object = outdate(event.object);
  bool known = object.has_value();
  constexpr unsigned kNaming = SourceEvent::kMade | SourceEvent::kRemoved | SourceEvent::kMoved;
  for (const SourceEvent::Name& name : event.names) {
    if ((event.what & kNaming) == 0 || name.dir.bytes.empty()) continue;
    if (apply_name(me, event, name, object)) known = true;
  }
  if (object) {
    const bool content = (event.what & SourceEvent::kContent) != 0;
    // First: if it is not to be told of the next one, the kernel must not know anything by then.
    if (content && backing_ != nullptr && backing_->size() != 0) {
      backing_->write_told(cache_.id_of_number(*object));
    }
    notifier_.add({content ? Notice::What::kContent : Notice::What::kAttributes, *object});
  }
  if (!known) count(elsewhere_);
  // Whoever writes what the mount has had open for writing may well be there.
  const bool from_here = (event.what & ~SourceEvent::kContent) == 0 && object &&
                         cache_.was_written(cache_.id_of_number(*object));
  return known && !from_here;
}

void OutsideChanges::everything() noexcept {
  cache_.invalidate_all();
  notifier_.everything();
}

void OutsideChanges::mounts_changed() noexcept {
  count(mounts_);
  everything();
}

WatcherStats OutsideChanges::stats() const noexcept {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  return {events_.load(kRelaxed), own_events_.load(kRelaxed), elsewhere_.load(kRelaxed),
          overflows_.load(kRelaxed), mounts_.load(kRelaxed)};
}

std::uint64_t mounts_below(std::string_view mountinfo, std::string_view directory) {
  std::uint64_t digest = 0;
  while (!mountinfo.empty()) {
    const std::string_view line = mountinfo.substr(0, mountinfo.find('\n'));
    mountinfo.remove_prefix(std::min(line.size() + 1, mountinfo.size()));
    const std::string at = unescaped(word(line, 4));
    const bool below =
        at == directory || directory == "/" ||
        (at.size() > directory.size() && at.starts_with(directory) && at[directory.size()] == '/');
    // By number, device and place; in any order, as a mount above may move them all.
    if (below) digest += XXH3_64bits(line.data(), line.size());
  }
  return digest;
}

Watcher::Watcher(UniqueFd events, int source, OutsideChanges& changes, WorkerRegistry& workers)
    : events_(std::move(events)),
      mounts_(got(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC))),
      end_(got(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))),
      buffer_(kBufferBytes),
      source_(source),
      changes_(changes),
      thread_([this, &workers] { run(workers); }) {}

Watcher::~Watcher() { stop(); }

void Watcher::stop() noexcept {
  if (!thread_.joinable()) return;
  ::eventfd_write(end_.get(), 1);
  thread_.join();
}

// An event is queued before the call that made it returns. Of those that are no longer there `applying_`
// tells: it was set before they were taken, under the queue's lock in the kernel, which poll takes, too.
bool Watcher::is_behind() const noexcept {
  pollfd queue{events_.get(), POLLIN, 0};
  if (::poll(&queue, 1, 0) != 0) return true;
  // acquire: pairs with the release in run(); what was told by then is in the cache.
  return applying_.load(std::memory_order_acquire);
}

// What finds no memory here is lost, as if the kernel had lost it. Whether to go on at once.
bool Watcher::read_events(Worker& me, std::span<std::byte> buffer) {
  bool is_urgent = false;
  for (int i = 0; i < kReadsAtOnce; ++i) {
    const ssize_t got = ::read(events_.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      if (got < 0 && errno != EAGAIN && errno != EINTR) changes_.everything();
      return is_urgent;
    }
    try {
      local::SourceEvents events(buffer.first(static_cast<std::size_t>(got)));
      for (SourceEvent event; events.next(event);) {
        if (changes_.apply(me, event)) is_urgent = true;
      }
    } catch (const std::bad_alloc&) {
      changes_.everything();
    }
  }
  return true;  // There may be more.
}

// Without memory to look, it is as if they had changed.
std::uint64_t Watcher::mounts_now() const noexcept try {
  const std::string source = path_of(source_);
  return source.empty() ? ++unseen_ : mounts_below(read_all(mounts_.get()), source);
} catch (const std::bad_alloc&) {
  return ++unseen_;
}

void Watcher::run(WorkerRegistry& workers) {
  Worker me(workers);
  std::uint64_t mounts = mounts_now();
  std::array<pollfd, 3> watched = {pollfd{end_.get(), POLLIN, 0}, pollfd{events_.get(), POLLIN, 0},
                                   pollfd{mounts_.get(), POLLPRI, 0}};
  while (watched[0].revents == 0) {
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched[1].revents != 0) {
      applying_.store(true, std::memory_order_relaxed);  // Pairs as is_behind() says.
      const bool is_urgent = read_events(me, buffer_);
      applying_.store(false, std::memory_order_release);  // Pairs with is_behind().
      if (!is_urgent) (void)::poll(watched.data(), 1, kPauseMs);
    }
    if (watched[2].revents == 0) continue;
    const std::uint64_t now = mounts_now();
    if (std::exchange(mounts, now) != now) changes_.mounts_changed();
  }
}

// The kernel asks after it was told, and then finds that its answer is good for no time; that passes through
// it, so no order is needed here.
bool IgnoredWrites::ignore(NodeId id, int fd) noexcept {
  cache_.hide_writes(id);
  return local::ignore_writes(events_, fd).ok();
}

void IgnoredWrites::heed(NodeId id, int fd) noexcept {
  local::heed_writes(events_, fd);
  notifier_.add({Notice::What::kAttributes, cache_.number_of(id)});
}

SourceWatch::SourceWatch(int device, const LocalStore& store, Cache& cache, std::size_t queue_max,
                         BackingTable* backing)
    : store_(store),
      cache_(cache),
      backing_(backing),
      sink_(device),
      notifier_(sink_, cache, queue_max),
      changes_(
          cache, notifier_,
          [&store](const local::HandleView& handle) { return store.number_of(handle); }, ::getpid(),
          backing) {}

void SourceWatch::begin(UniqueFd events, const std::string& mountpoint, WorkerRegistry& workers) {
  struct stat root {};
  (void)::stat(mountpoint.c_str(), &root);  // If that fails nobody else gets there either.
  const int read_by_it = events.get();
  watcher_.emplace(std::move(events), store_.seen_by_others(), changes_, workers);
  begun_.store(&*watcher_, std::memory_order_release);  // Pairs with is_behind().
  // With handles all of the file system is marked. By directory there is no passthrough, which takes the same
  // right.
  if (backing_ == nullptr || !store_.caps().has_handles) return;
  ignored_writes_.emplace(cache_, notifier_, read_by_it);
  backing_->set_watch(&*ignored_writes_);
}

// acquire: pairs with the release in begin(), for the watcher's members.
bool SourceWatch::is_behind() const noexcept {
  const Watcher* watcher = begun_.load(std::memory_order_acquire);
  return watcher == nullptr || watcher->is_behind();
}

bool SourceWatch::stop(std::chrono::milliseconds patience) noexcept {
  end_ignoring();
  if (watcher_) watcher_->stop();
  return notifier_.stop(patience);
}

}  // namespace evenfs
