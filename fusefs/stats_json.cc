// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/stats_json.h"

#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

namespace evenfs {
namespace {

using Json = nlohmann::ordered_json;

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

Json options_json(const Options& options) {
  return {
      {"source", options.source},
      {"mountpoint", options.mountpoint},
      {"locking", locking_name(options.locking)},
      {"entry_timeout_s", seconds(options.entry_timeout)},
      {"attr_timeout_s", seconds(options.attr_timeout)},
      {"negative_timeout_s", seconds(options.negative_timeout)},
      {"cache_ttl_s", options.cache_ttl ? Json(seconds(*options.cache_ttl)) : Json("inf")},
      {"threads", options.threads},
      {"transport", transport_name(options.transport)},
      {"passthrough", options.passthrough ? "auto" : "off"},
      {"mount_options", options.mount_options},
  };
}

Json requests_json(const WorkerLoop& loop) {
  Json requests = Json::object();
  const RequestCounts counts = loop.requests();
  for (std::size_t opcode = 0; opcode < counts.size(); ++opcode) {
    if (counts[opcode] == 0) continue;
    const std::string_view name = kOpcodeNames[opcode];
    requests[name.empty() ? "opcode_" + std::to_string(opcode) : std::string(name)] =
        counts[opcode];
  }
  return requests;
}

Json counters_json(const WorkerRegistry& workers) {
  Json counters = Json::object();
  const CounterTotals totals = workers.totals();
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    counters[std::string(kCounterInfo[i].name)] = totals[i];
  }
  return counters;
}

Json memory_json(const CacheStats& cache, const StoreStats& store) {
  const std::uint64_t resident = resident_bytes();
  return {
      {"limit_bytes", cache.memory_limit},
      {"cache_bytes", cache.memory_bytes},
      {"store_bytes", store.node_bytes},
      {"resident_bytes", resident},
      // All that the daemon occupies, over the names it knows: code and buffers are in it too, so
      // the figure means something from some ten thousand names on.
      {"resident_bytes_per_dentry", cache.dentries == 0 ? 0 : resident / cache.dentries},
  };
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
  const Json json = {
      {"version", EVENFS_VERSION},
      {"pid", ::getpid()},
      {"uptime_s", uptime.count()},
      {"options", options_json(options_)},
      {"requests", requests_json(*loop_)},
      {"requests_in_flight", loop_->in_flight()},
      // Threads of libfuse's that have answered a request, one for each processor's ring.
      {"ring_threads", loop_->joined()},
      {"counters", counters_json(workers_)},
      {"cache",
       {{"inodes", cache.inodes},
        {"inode_slots", cache.inode_slots},
        {"dentries", cache.dentries},
        {"negative_dentries", cache.negative_dentries},
        {"dentry_slots", cache.dentry_slots},
        {"cells", cache.cells},
        {"cell_slots", cache.cell_slots},
        {"orphans", cache.orphans},
        {"kernel_inodes", cache.kernel_inodes},
        {"kernel_lookups", cache.kernel_lookups}}},
      {"memory", memory_json(cache, store)},
      {"descriptors",
       {{"total", descriptors()},
        {"open_files", files_.size()},
        {"open_directories", directories_.size()},
        // Inodes that the kernel reads and writes by itself.
        {"backing_files", backing_ == nullptr ? 0 : backing_->size()},
        {"store_cached", store.cached_descriptors},
        {"store_pinned", store.pinned_descriptors}}},
  };
  // Paths are bytes and need not be UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace evenfs
