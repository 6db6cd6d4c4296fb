// SPDX-License-Identifier: LGPL-2.1-or-later
// The statistics as JSON: what `getfattr -n evenfs.stats MOUNTPOINT` returns and evenfs-stat
// shows. Keys are stable; new ones may come.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "fusefs/options.h"
#include "fusefs/request.h"
#include "fusefs/worker_loop.h"

namespace evenfs {

inline constexpr std::string_view kStatsXattr = "evenfs.stats";

class Pruner;
class SourceWatch;

class DaemonStats {
 public:
  // All that is given must live as long as this.
  DaemonStats(const Options& options, const Cache& cache, const Store& store,
              const WorkerRegistry& workers, const OpenTable<OpenFile>& files,
              const OpenTable<OpenDirectory>& directories);

  // REQUIRES: once, before the first call of json().
  void set_loop(const WorkerLoop& loop) { loop_ = &loop; }
  void set_watch(const SourceWatch& watch) { watch_ = &watch; }
  void set_pruner(const Pruner& pruner) { pruner_ = &pruner; }
  void set_backing(const BackingTable& backing) { backing_ = &backing; }

  // Stops nobody: figures that belong together may differ by the requests of a moment.
  std::string json() const;

 private:
  const Options& options_;
  const Cache& cache_;
  const Store& store_;
  const WorkerRegistry& workers_;
  const OpenTable<OpenFile>& files_;
  const OpenTable<OpenDirectory>& directories_;
  const WorkerLoop* loop_ = nullptr;
  const SourceWatch* watch_ = nullptr;     // Null: not coherence=watch.
  const Pruner* pruner_ = nullptr;         // Null: no mount.
  const BackingTable* backing_ = nullptr;  // Null: no passthrough.
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace evenfs
