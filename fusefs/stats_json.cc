// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/stats_json.h"

#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fusefs/pruner.h"
#include "fusefs/watcher.h"

namespace evenfs {
namespace {

using Json = nlohmann::json;

// Bytes of this process that are in memory; 0 if the system does not tell.
std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return 0;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Descriptors of this process; 0 if the system does not tell.
std::uint64_t descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc/self/fd"), &::closedir);
  if (!dir) return 0;
  std::uint64_t count = 0;
  while (::readdir(dir.get()) != nullptr) ++count;
  return count - 3;  // ".", ".." and the one just opened.
}

double seconds(std::chrono::milliseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

// Writes objects member by member. Json stands for single values only: one that has others in it allocates
// when it is destroyed, and where memory is wanting that is the end of the process.
class Writer {
 public:
  template <class Fill>
  void object(std::string_view name, Fill fill) {
    open(name, '{');
    fill();
    close('}');
  }
  // Of an array without a name.
  void member(const Json& value) { member({}, value); }
  void member(std::string_view name, const Json& value) {
    separate(name);
    text_ += dump(value);
  }
  void list(std::string_view name, const std::vector<std::string>& values) {
    open(name, '[');
    for (const std::string& value : values) member(value);
    close(']');
  }
  std::string take() { return std::move(text_); }

 private:
  // Paths are bytes and need not be UTF-8.
  static std::string dump(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  void separate(std::string_view name) {
    if (!std::exchange(first_, false)) text_ += ',';
    if (!name.empty()) text_.append(dump(name)).push_back(':');
  }
  void open(std::string_view name, char bracket) {
    separate(name);
    text_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    text_ += bracket;
    first_ = false;
  }

  std::string text_;
  bool first_ = true;  // Of the innermost object or list.
};

// Of what others do in the source, and how the kernel was told.
void write_watch(Writer& out, const SourceWatch& watch) {
  const WatcherStats watcher = watch.watcher_stats();
  out.member("events", watcher.events);
  out.member("own", watcher.own);
  out.member("elsewhere", watcher.elsewhere);
  out.member("overflows", watcher.overflows);
  out.member("mounts", watcher.mounts);
  // Directories, where not the whole file system is marked.
  const local::MarkStats marks = watch.mark_stats();
  out.member("marked", marks.marked);
  out.member("marks_refused", marks.refused);
  // Files that are open for writing here, of whose writes the kernel does not tell.
  out.member("ignored", watch.ignored());
  const NotifierStats notifier = watch.notifier_stats();
  out.member("notices_sent", notifier.sent);
  out.member("notices_unknown", notifier.unknown);
  out.member("notices_merged", notifier.merged);
  out.member("notices_dropped", notifier.dropped);
  out.member("notices_waiting", notifier.waiting);
  out.member("queue_overflows", notifier.overflows);
  out.member("everything", notifier.everything);
}

// Of how the kernel was asked to give inodes back.
void write_prune(Writer& out, const PrunerStats& stats) {
  out.member("able", stats.able);
  out.member("asked", stats.asked);
  out.member("messages", stats.messages);
}

void write_options(Writer& out, const Options& options) {
  out.member("source", options.source);
  out.member("mountpoint", options.mountpoint);
  out.member("locking", locking_name(options.locking));
  out.member("coherence", coherence_text(options.coherence));
  out.member("coherence_note", options.coherence_note);
  out.member("entry_timeout_s", seconds(options.entry_timeout));
  out.member("attr_timeout_s", seconds(options.attr_timeout));
  out.member("negative_timeout_s", seconds(options.negative_timeout));
  out.member("cache_ttl_s", options.cache_ttl ? Json(seconds(*options.cache_ttl)) : Json("inf"));
  out.member("threads", options.threads);
  out.member("transport", transport_name(options.transport));
  out.member("passthrough", options.passthrough ? "auto" : "off");
  out.list("mount_options", options.mount_options);
}

void write_requests(Writer& out, const WorkerLoop& loop) {
  const RequestCounts counts = loop.requests();
  for (std::size_t opcode = 0; opcode < counts.size(); ++opcode) {
    if (counts[opcode] == 0) continue;
    const std::string_view name = kOpcodeNames[opcode];
    out.member(name.empty() ? "opcode_" + std::to_string(opcode) : std::string(name),
               counts[opcode]);
  }
}

void write_counters(Writer& out, const WorkerRegistry& workers) {
  const CounterTotals totals = workers.totals();
  for (std::size_t i = 0; i < kCounterCount; ++i) out.member(kCounterInfo[i].name, totals[i]);
}

void write_cache(Writer& out, const CacheStats& cache) {
  out.member("inodes", cache.inodes);
  out.member("inode_slots", cache.inode_slots);
  out.member("dentries", cache.dentries);
  out.member("negative_dentries", cache.negative_dentries);
  out.member("dentry_slots", cache.dentry_slots);
  out.member("cells", cache.cells);
  out.member("cell_slots", cache.cell_slots);
  out.member("orphans", cache.orphans);
  out.member("listings", cache.listings);
  out.member("kernel_inodes", cache.kernel_inodes);
  out.member("kernel_lookups", cache.kernel_lookups);
}

void write_memory(Writer& out, const CacheStats& cache, const StoreStats& store) {
  const std::uint64_t resident = resident_bytes();
  out.member("limit_bytes", cache.memory_limit);
  out.member("cache_bytes", cache.memory_bytes);
  out.member("listing_bytes", cache.listing_bytes);
  out.member("store_bytes", store.node_bytes);
  out.member("resident_bytes", resident);
  // All that the daemon occupies, over the names it knows: code and buffers are in it too, so
  // the figure means something from some ten thousand names on.
  out.member("resident_bytes_per_dentry", cache.dentries == 0 ? 0 : resident / cache.dentries);
}

}  // namespace

DaemonStats::DaemonStats(const Options& options, const Cache& cache, const Store& store,
                         const WorkerRegistry& workers, const OpenTable<OpenFile>& files,
                         const OpenTable<OpenDirectory>& directories)
    : options_(options),
      cache_(cache),
      store_(store),
      workers_(workers),
      files_(files),
      directories_(directories) {}

std::string DaemonStats::json() const {
  const CacheStats cache = cache_.stats();
  const StoreStats store = store_.stats();
  const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - started_;
  Writer out;
  out.object({}, [&] {
    out.member("version", EVENFS_VERSION);
    out.member("pid", ::getpid());
    out.member("uptime_s", uptime.count());
    out.object("options", [&] { write_options(out, options_); });
    out.object("requests", [&] { write_requests(out, *loop_); });
    out.member("requests_in_flight", loop_->in_flight());
    out.member("threads", loop_->alive());
    // Threads of libfuse's that have answered a request, one for each processor's ring.
    out.member("ring_threads", loop_->joined());
    if (watch_ != nullptr) out.object("watch", [&] { write_watch(out, *watch_); });
    if (pruner_ != nullptr) out.object("prune", [&] { write_prune(out, pruner_->stats()); });
    out.object("counters", [&] { write_counters(out, workers_); });
    out.object("cache", [&] { write_cache(out, cache); });
    out.object("memory", [&] { write_memory(out, cache, store); });
    out.object("descriptors", [&] {
      out.member("total", descriptors());
      out.member("open_files", files_.size());
      out.member("open_directories", directories_.size());
      // Inodes that the kernel reads and writes by itself.
      out.member("backing_files", backing_ == nullptr ? 0 : backing_->size());
      out.member("store_cached", store.cached_descriptors);
      out.member("store_pinned", store.pinned_descriptors);
    });
  });
  return out.take();
}

}  // namespace evenfs
