// SPDX-License-Identifier: LGPL-2.1-or-later
// Watcher: reads what others do in the source, and tells the cache, and then the kernel.
//
// OutsideChanges says what follows from one event; Watcher is the thread, and looks besides whether something
// was mounted or unmounted in the source, of which events do not tell; SourceWatch is all of it for a session.
//
// Own changes are known by the process that made them, and left alone: the cache and the kernel have been
// told more exactly by those who made them. What a program writes into a file that the kernel has from us
// (passthrough) counts as somebody else's: it costs the file its cached attributes, and nothing else, since the
// kernel has no pages of ours of such a file; if it goes on, the source is asked to tell no more of it
// (IgnoredWrites, and BackingTable, which says when). What we have moved to where nobody tells of it was told
// for long until now: the kernel is told, once, to ask for its attributes.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/cache/cache.h"
#include "core/store/local_store.h"
#include "core/store/source_events.h"
#include "fusefs/backing.h"
#include "fusefs/notifier.h"
#include "fusefs/request.h"

namespace evenfs {

struct WatcherStats {
  std::uint64_t events = 0;     // All that were read.
  std::uint64_t own = 0;        // Of those, our own changes.
  std::uint64_t elsewhere = 0;  // And what is about nothing that the cache knows.
  std::uint64_t overflows = 0;  // How often events were lost.
  std::uint64_t mounts = 0;     // How often the mounts in the source were others than before.
};

class OutsideChanges {
 public:
  // The number of the object of a handle, as Cache::invalidate_number takes it.
  using NumberOf = std::function<std::optional<std::uint64_t>(const local::HandleView&)>;

  // `backing`: is told of writes; or null.
  OutsideChanges(Cache& cache, Notifier& notifier, NumberOf number_of, pid_t own,
                 BackingTable* backing) noexcept
      : cache_(cache),
        notifier_(notifier),
        number_of_(std::move(number_of)),
        own_(own),
        backing_(backing) {}

  // By one thread. Whether somebody in the mount may be about to look at what has changed: not if nobody there
  // knows it, nor if it was changed from there.
  bool apply(Worker& me, const local::SourceEvent& event);
  void everything() noexcept;
  void mounts_changed() noexcept;

  WatcherStats stats() const noexcept;

 private:
  using Gauge = std::atomic<std::uint64_t>;  // One writer.
  static void count(Gauge& gauge) noexcept {
    gauge.store(gauge.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  std::optional<std::uint64_t> outdate(const local::HandleView& handle);
  void apply_own(const local::SourceEvent& event);
  bool apply_name(Worker& me, const local::SourceEvent& event, const local::SourceEvent::Name& name,
                  std::optional<std::uint64_t> object);

  Cache& cache_;
  Notifier& notifier_;
  const NumberOf number_of_;
  const pid_t own_;
  BackingTable* const backing_;
  Gauge events_{0}, own_events_{0}, elsewhere_{0}, overflows_{0}, mounts_{0};
};

class Watcher {
 public:
  // `events`: of local::open_events. `source`: a descriptor of the source's top: others may rename it.
  // Throws std::system_error.
  Watcher(UniqueFd events, int source, OutsideChanges& changes, WorkerRegistry& workers);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Nothing is read any more, and so it is behind if there are events.
  void stop() noexcept;
  // As Teller says.
  bool is_behind() const noexcept;

 private:
  void run(WorkerRegistry& workers);
  std::uint64_t mounts_now() const noexcept;
  bool read_events(Worker& me, std::span<std::byte> buffer);

  const UniqueFd events_;
  const UniqueFd mounts_;  // Of /proc/self/mountinfo.
  const UniqueFd end_;
  std::vector<std::byte> buffer_;
  const int source_;
  OutsideChanges& changes_;
  std::atomic<bool> applying_{false};  // What was read is not all told. The thread's own to write.
  mutable std::uint64_t unseen_ = 0;   // The thread's own.
  std::thread thread_;                 // Last: it uses the rest.
};

// Has the kernel not tell of writes to single files. For as long as it does not, it keeps no attributes of them
// itself: first none that it gets are good for longer, then the writes are ignored, then it is told that
// those it has are outdated, as always after a write. When writes are told again, an answer may be on its way
// to the kernel that was true before the last one that was not told, so it is told once more.
class IgnoredWrites final : public WriteWatch {
 public:
  // `events`: with a mark of the whole file system. Of a file that is ignored the caller tells the kernel.
  IgnoredWrites(Cache& cache, Notifier& notifier, int events) noexcept
      : cache_(cache), notifier_(notifier), events_(events) {}
  bool ignore(NodeId id, int fd) noexcept override;
  void heed(NodeId id, int fd) noexcept override;

 private:
  Cache& cache_;
  Notifier& notifier_;
  const int events_;
};

class SourceWatch final : public Teller {
 public:
  // `device`: the session's; `backing`: null without passthrough. Throws std::system_error.
  SourceWatch(int device, const LocalStore& store, Cache& cache, std::size_t queue_max,
              BackingTable* backing);
  ~SourceWatch() { end_ignoring(); }
  SourceWatch(const SourceWatch&) = delete;
  SourceWatch& operator=(const SourceWatch&) = delete;

  // From now on it is told. `events`: of watch_obstacle(), from before anything was cached. The kernel has no
  // attributes of the mount's root until it has asked for them, and drops an answer if it is told in between
  // that they change, and then nobody may pass; so before that it is made to ask. REQUIRES: requests are
  // answered. Throws std::system_error.
  void begin(UniqueFd events, const std::string& mountpoint, WorkerRegistry& workers);

  // Nothing is told any more. To be called while requests are still answered; false: the kernel waits, in a
  // message of ours, for an answer that does not come.
  bool stop(std::chrono::milliseconds patience) noexcept;

  bool is_behind() const noexcept override;

  WatcherStats watcher_stats() const noexcept { return changes_.stats(); }
  NotifierStats notifier_stats() const noexcept { return notifier_.stats(); }
  local::MarkStats mark_stats() const { return store_.marks(); }
  // Files of whose writes nothing is told now.
  std::uint64_t ignored() const noexcept { return backing_ != nullptr ? backing_->ignored() : 0; }

 private:
  void end_ignoring() noexcept {
    if (backing_ != nullptr) backing_->set_watch(nullptr);
  }

  const LocalStore& store_;
  Cache& cache_;
  BackingTable* const backing_;
  KernelSink sink_;
  Notifier notifier_;
  OutsideChanges changes_;
  std::optional<Watcher> watcher_;
  std::atomic<const Watcher*> begun_{nullptr};  // Written by begin().
  std::optional<IgnoredWrites> ignored_writes_;
};

// A digest of the mounts at and below a directory, from the text of /proc/self/mountinfo.
std::uint64_t mounts_below(std::string_view mountinfo, std::string_view directory);

}  // namespace evenfs
