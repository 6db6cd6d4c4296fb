// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/store/local_store.h"
#include "fusefs/fuse_mount.h"
#include "fusefs/log.h"
#include "fusefs/option_values.h"
#include "fusefs/pruner.h"
#include "fusefs/request.h"
#include "fusefs/stats_json.h"
#include "fusefs/ticker.h"
#include "fusefs/watcher.h"

namespace evenfs {
namespace {

int fail(const std::string& line) {
  std::fprintf(stderr, "evenfs: %s\n", line.c_str());
  return kExitFailure;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Quotas and the blocks that a file system keeps in reserve are limits for those who write through the
// mount, whoever answers them. Threads inherit this.
void drop_resource_privilege() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return;
  sets[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
  ::syscall(SYS_capset, &header, sets.data());
}

constexpr auto kUntoldTicks = static_cast<std::uint64_t>(kUntoldS * 1000) / kTickMs;

CacheOptions cache_options(const Options& options) {
  CacheOptions cache;
  cache.memory_bytes = options.memory_bytes;
  const bool watched = options.coherence.mode == Coherence::Mode::kWatch;
  if (watched) cache.ttl_ticks = kWatchedTicks;
  if (options.cache_ttl) {
    const auto ms = static_cast<std::uint64_t>(options.cache_ttl->count());
    cache.ttl_ticks = (ms + kTickMs - 1) / kTickMs;
  }
  const auto least = static_cast<std::uint64_t>(options.coherence.ttl_least.count());
  if (least != 0 && cache.ttl_ticks != kForeverTicks) {
    cache.ttl_least_ticks = std::min((least + kTickMs - 1) / kTickMs, cache.ttl_ticks);
  }
  // What nobody tells of is asked for again after a while. A shorter time is for all.
  if (watched && cache.ttl_ticks / 4 > kUntoldTicks) cache.unnumbered_ttl_ticks = kUntoldTicks;
  return cache;
}

void warn_of_access_times(const Options& options, AtimeRule rule) {
  if (!options.atime || rule == *options.atime || rule == AtimeRule::kNever) return;
  spdlog::warn("access times go by the mount that {} is on: another rule takes CAP_SYS_ADMIN",
               options.source);
}

double seconds(std::chrono::milliseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

MountRequest mount_request(const Options& options) {
  MountRequest request{options.source, options.mountpoint, "evenfs", {}, options.debug};
  request.uring = options.transport == Transport::kUring;
  request.options.push_back("default_permissions");
  // Anybody else needs the administrator's leave for it (user_allow_other).
  if (::geteuid() == 0) request.options.push_back("allow_other");
  request.options.insert(request.options.end(), options.mount_options.begin(),
                         options.mount_options.end());
  return request;
}

std::string mounted_line(const Options& options) {
  const std::string transport = options.transport == Transport::kUring
                                    ? "io_uring"
                                    : fmt::format("{} threads", options.threads);
  const std::string note = options.coherence_note.empty()
                               ? ""
                               : fmt::format("evenfs: no watch: {}\n", options.coherence_note);
  return fmt::format(
      "evenfs: {} is mounted on {} ({}, {}, {}, coherence {}); end with "
      "Ctrl-C or: {} {}\n{}",
      options.source, options.mountpoint, locking_name(options.locking),
      format_size(options.memory_bytes), transport, coherence_text(options.coherence),
      ::geteuid() == 0 ? "umount" : "fusermount3 -u", options.mountpoint, note);
}

bool serves_nothing_twice(const Options& options) {
  return options.cache_ttl && options.cache_ttl->count() == 0;
}

// The kernel checks a directory's permissions at each component of a path, by attributes that it asks for as
// soon as they are outdated. It may use them for its next tick at least, 1 to 10 ms: they then cost one
// request each tick, and not one for each name. Where the cache itself serves nothing twice, neither may it.
double directory_timeout(const Options& options) {
  constexpr std::chrono::milliseconds kTick{1};
  return seconds(serves_nothing_twice(options) ? options.attr_timeout
                                               : std::max(options.attr_timeout, kTick));
}

bool always_asks(const Options& options) {
  return serves_nothing_twice(options) && options.attr_timeout.count() == 0;
}

void serve_on_thread(WorkerRegistry& registry, const std::function<void()>& serve) {
  ThreadState state(registry);
  this_thread_state = &state;
  serve();
  this_thread_state = nullptr;
}

// Lets the store mark what it meets. By names: of a handle nobody can say in which directory its object is.
Status mark_directories(std::unique_ptr<LocalStore>& store, const Options& options,
                        LocalStore::Options how, const UniqueFd& events) {
  UniqueFd twin(::fcntl(events.get(), F_DUPFD_CLOEXEC, 0));
  if (!twin) return Errno::last();
  if (store->caps().has_handles) {
    how.use_handles = false;
    Result<std::unique_ptr<LocalStore>> again = LocalStore::open(options.source, how);
    if (!again) return again.error();
    store = std::move(again).value();
    // It is the same directory, unless somebody was quick.
    if (const Status marked = local::mark_directory(events.get(), store->seen_by_others());
        !marked) {
      return marked;
    }
  }
  store->mark_directories(std::move(twin));
  return Status();
}

// What the mode that was asked for comes to here. `events`: what to read for a watch.
Status choose_coherence(Options& options, const LocalStore::Options& how,
                        std::unique_ptr<LocalStore>& store, UniqueFd& events) {
  const Coherence::Mode asked = options.coherence.mode;
  if (asked != Coherence::Mode::kAuto && asked != Coherence::Mode::kWatch) return Status();
  WatchStart start;
  std::optional<std::string> obstacle;
  if (asked == Coherence::Mode::kAuto && options.given.is_all()) {
    obstacle = "how long answers may serve is given for all four kinds";
  } else {
    obstacle = watch_obstacle(*store, start);
  }
  if (!obstacle && start.by_directory) {
    const Status marking = mark_directories(store, options, how, start.events);
    if (!marking) obstacle = std::strerror(marking.error().code());
  }
  if (!obstacle) {
    set_coherence(options, Coherence{Coherence::Mode::kWatch});
    events = std::move(start.events);
  } else if (asked == Coherence::Mode::kAuto) {
    options.coherence_note = *obstacle;
    set_coherence(options, Coherence{Coherence::Mode::kTtl, options.coherence.ttl});
  } else {
    fail(fmt::format("--coherence=watch: {}", *obstacle));
    return Errno(EOPNOTSUPP);
  }
  return Status();
}

void say_that_it_is_mounted(const Options& options) {
  if (options.foreground) {
    std::fputs(mounted_line(options).c_str(), stdout);
    std::fflush(stdout);
  } else {
    log_to_syslog();
  }
}

// Threads or descriptors are wanting.
std::string cannot_start(const std::string& what, int error) {
  return fmt::format("cannot start {}: {}", what, std::strerror(error));
}

// What went wrong, in one line; empty: nothing.
template <class Start>
std::string try_to_start(const std::string& what, Start start) {
  try {
    start();
  } catch (const std::system_error& error) {
    return cannot_start(what, error.code().value());
  }
  return {};
}

// The session comes later, and requests after that.
std::string start_pruner(std::optional<Pruner>& pruner, const Daemon& daemon) {
  return try_to_start("the pruner", [&] {
    pruner.emplace(daemon.cache, [&daemon](std::span<const std::uint64_t> numbers) {
      return send_prune(fuse_session_fd(daemon.session), numbers);
    });
  });
}

// Before the threads, who may be asked for its statistics.
std::string make_watch(std::optional<SourceWatch>& watch, const Options& options, Daemon& daemon,
                       const LocalStore& store) {
  return try_to_start("the watch", [&] {
    watch.emplace(fuse_session_fd(daemon.session), store, daemon.cache, options.watch_queue,
                  daemon.backing);
    daemon.teller = &*watch;
  });
}

std::string begin_watch(SourceWatch& watch, const Options& options, const Daemon& daemon,
                        UniqueFd events) {
  return try_to_start("the watch",
                      [&] { watch.begin(std::move(events), options.mountpoint, daemon.workers); });
}

std::string start_threads(WorkerLoop& loop, unsigned threads) {
  const Status started = loop.start();
  if (started) return {};
  return cannot_start(fmt::format("{} threads", threads), started.error().code());
}

// Whoever writes to the session's descriptor, before it is closed.
bool stop_telling(std::optional<SourceWatch>& watch, Pruner& pruner) noexcept {
  return (!watch || watch->stop(kStopPatience)) && pruner.stop(kStopPatience);
}

// Ends the mount, whose rings have threads that may still use everything.
int give_up(const std::string& line, std::unique_ptr<FuseMount>& mount, WorkerLoop& loop,
            std::optional<SourceWatch>& watch, Pruner& pruner) {
  (void)stop_telling(watch, pruner);
  loop.stop(kStopPatience);
  mount->detach();
  mount.reset();
  return fail(line);
}

int serve(const Options& options, Launcher& launcher, const fuse_lowlevel_ops& ops,
          LocalStore& store, Cache& cache, WorkerRegistry& registry, const EndSignals& signals,
          UniqueFd events) {
  BackingTable backing;  // Outlives the files that use it.
  OpenTable<OpenFile> files;
  OpenTable<OpenDirectory> directories;
  DaemonStats stats(options, cache, store, registry, files, directories);
  Daemon daemon{cache,
                store,
                seconds(options.entry_timeout),
                seconds(options.attr_timeout),
                seconds(options.negative_timeout),
                directory_timeout(options),
                !options.cache_ttl,
                stats,
                files,
                directories,
                registry,
                options.transport,
                options.coherence.mode == Coherence::Mode::kWatch,
                always_asks(options),
                seconds(options.coherence.ttl_least)};
  // Outlives libfuse's threads: they may be the ones who want memory.
  std::optional<Pruner> pruner;
  std::string wrong = start_pruner(pruner, daemon);
  if (!wrong.empty()) return fail(wrong);
  stats.set_pruner(*pruner);
  std::unique_ptr<FuseMount> mount = FuseMount::mount(mount_request(options), ops, &daemon, wrong);
  if (!mount) return fail(wrong);

  WorkerLoop loop(mount->session(), options.threads, [&registry](const auto& serve_requests) {
    serve_on_thread(registry, serve_requests);
  });
  std::optional<Ticker> ticker;
  wrong = try_to_start("the clock", [&] { ticker.emplace(cache, registry, loop); });
  stats.set_loop(loop);
  daemon.session = mount->session();
  daemon.loop = &loop;
  // For nobody else, and a mount that asks for it can be stacked upon one time less.
  if (options.passthrough && ::geteuid() == 0) {
    daemon.backing = &backing;
    stats.set_backing(backing);
  }
  std::optional<SourceWatch> watch;
  if (wrong.empty() && events) wrong = make_watch(watch, options, daemon, store);
  if (watch) stats.set_watch(*watch);
  if (wrong.empty()) wrong = start_threads(loop, options.threads);
  if (wrong.empty() && watch) wrong = begin_watch(*watch, options, daemon, std::move(events));
  if (!wrong.empty()) return give_up(wrong, mount, loop, watch, *pruner);
  // The kernel lets requests wait until the first thread has answered its INIT, so whoever looks
  // from now on sees the mount.
  say_that_it_is_mounted(options);
  launcher.ready();
  const int status =
      serve_until_end(*mount, loop, signals, [&] { return stop_telling(watch, *pruner); });
  backing.stop();
  // With the rings, whose threads have accounts in the loop, and may be asked for statistics.
  mount.reset();
  watch.reset();
  return status;
}

}  // namespace

int run_session(const Options& asked, Launcher& launcher, const fuse_lowlevel_ops& ops) {
  Options options = asked;
  const EndSignals signals;
  raise_descriptor_limit();
  drop_resource_privilege();
  LocalStore::Options store_options;
  store_options.switch_cred = ::geteuid() == 0;
  store_options.atime = options.atime;
  store_options.keep_dir_atime = options.keep_dir_atime;
  Result<std::unique_ptr<LocalStore>> store = LocalStore::open(options.source, store_options);
  if (!store) {
    return fail(
        fmt::format("cannot open {}: {}", options.source, std::strerror(store.error().code())));
  }
  warn_of_access_times(options, (*store)->caps().atime_rule);
  std::string note;
  options.transport = choose_transport(options.transport, (*store)->caps().may_be_slow, note);
  if (!note.empty()) spdlog::warn("{}; using /dev/fuse", note);
  UniqueFd events;
  if (!choose_coherence(options, store_options, *store, events)) return kExitFailure;
  WorkerRegistry registry;
  Result<std::unique_ptr<Cache>> cache =
      make_cache(options.locking, **store, cache_options(options));
  if (!cache) {
    return fail(fmt::format("cannot make the cache: {}", std::strerror(cache.error().code())));
  }
  const int status =
      serve(options, launcher, ops, **store, **cache, registry, signals, std::move(events));
  (*store)->end_marks();  // Or the cache, which ends now, would take them away one by one.
  return status;
}

}  // namespace evenfs
