// SPDX-License-Identifier: LGPL-2.1-or-later
// cachebench: the cache without FUSE, over the memory store, in the four locking policies.
//
// Names are POLICY/OPERATION/AXIS/threads:N.
//   operations  pair      peek and then getattr, as an in-process user calls them; one item is both
//               lookup    peek alone
//               getattr   getattr alone
//               counted   lookup and forget, as the kernel calls them: each stores to the inode's count
//               missing   peek of a name that a negative dentry answers
//               walk      a path of five components, with permission checks
//   axes        one       every thread the same name and inode
//               shared    random names of one directory of 10,000
//               own       random names of a directory that only this thread uses
//               writer    shared, and thread 0 changes modes and renames instead of reading
// Everything is chosen before the clock starts. A miss or an error ends the run: it must not be
// measured as a hit. Run `cachebench --benchmark_help` for the options of Google Benchmark.
#include <benchmark/benchmark.h>

#include <array>
#include <map>
#include <mutex>
#include <thread>

#include "tools/cachebench/world.h"

namespace evenfs::bench {
namespace {

constexpr std::size_t kPlan = 4096;  // Accesses chosen in advance, used round and round.

World& world_of(Locking locking) {
  static std::map<Locking, std::unique_ptr<World>> worlds;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  auto& world = worlds[locking];
  if (!world) world = std::make_unique<World>(locking);
  return *world;
}

enum class Axis { kOne, kShared, kOwn };

// What to access, in order: compact, so that walking through it costs the caches little.
struct Access {
  NodeId dir;
  NodeId id;
  NameRef name;
};
struct Plan {
  std::string names;
  std::vector<Access> accesses;
};

Plan plan(const World& world, Axis axis, int thread) {
  std::mt19937_64 random(static_cast<std::uint64_t>(thread) + 1);
  const std::vector<File>& files =
      axis == Axis::kOwn ? world.own(static_cast<std::size_t>(thread)) : world.all();
  std::vector<const File*> chosen(kPlan, &files[0]);
  if (axis != Axis::kOne) {
    for (const File*& file : chosen) file = &files[random() % files.size()];
  }
  Plan made;
  for (const File* file : chosen) made.names += file->name;
  std::size_t at = 0;
  for (const File* file : chosen) {
    const std::string_view name = std::string_view(made.names).substr(at, file->name.size());
    made.accesses.push_back({file->dir, file->id, name_ref(name)});
    at += file->name.size();
  }
  return made;
}

template <class Operation>
void loop(benchmark::State& state, Locking locking, Axis axis, Operation operation) {
  World& world = world_of(locking);
  const Plan accesses = plan(world, axis, state.thread_index());
  Worker me(world.registry());
  std::size_t i = 0;
  for (auto _ : state) {
    if (!operation(world.cache(), me, accesses.accesses[i])) {
      state.SkipWithError("an access was not answered");
      break;
    }
    i = (i + 1) % kPlan;
  }
  state.SetItemsProcessed(state.iterations());
}

bool pair(Cache& cache, Worker& me, const Access& file) {
  const auto entry = cache.peek(me, file.dir, file.name);
  if (!entry) return false;
  const auto attr = cache.getattr(me, entry->id, nullptr);
  return attr && attr->ino == entry->attr.ino;
}
bool lookup(Cache& cache, Worker& me, const Access& file) {
  const auto entry = cache.peek(me, file.dir, file.name);
  return entry && entry->id == file.id;
}
bool getattr(Cache& cache, Worker& me, const Access& file) {
  const auto attr = cache.getattr(me, file.id, nullptr);
  return attr && attr->nlink == 1;
}
bool counted(Cache& cache, Worker& me, const Access& file) {
  const auto entry = cache.lookup(me, file.dir, file.name);
  if (!entry) return false;
  cache.forget(me, entry->id, 1);
  return true;
}
bool missing(Cache& cache, Worker& me, const Access& file) {
  static const NameRef absent = name_ref("no-such-file-here");
  const auto entry = cache.peek(me, file.dir, absent);
  return !entry && entry.error() == Errno(ENOENT);
}
bool walk(Cache& cache, Worker& me, const Access&) {
  const std::uint32_t groups[] = {1000};
  return cache.walk(me, NodeId::root(), kDeepPath, Cred{1000, 1000, 0, groups}, true).ok();
}

// A name that thread 0 is moving may be absent; nothing else may go wrong.
bool pair_under_writer(Cache& cache, Worker& me, const Access& file) {
  const auto entry = cache.peek(me, file.dir, file.name);
  if (!entry) return entry.error() == Errno(ENOENT);
  return cache.getattr(me, entry->id, nullptr).ok();
}

// Thread 0 changes what the others read: modes, and names that it moves away and back. Its items
// are not counted, so the rate is that of the readers.
void with_writer(benchmark::State& state, Locking locking) {
  if (state.thread_index() != 0) return loop(state, locking, Axis::kShared, pair_under_writer);
  World& world = world_of(locking);
  const Plan accesses = plan(world, Axis::kShared, 0);
  const NameRef away = name_ref("moved-away");
  Worker me(world.registry());
  std::size_t i = 0;
  for (auto _ : state) {
    const Access& file = accesses.accesses[i];
    SetAttr change;
    change.mode = 0600;
    const bool done =
        world.cache().setattr(me, file.id, change, nullptr) &&
        world.cache().rename(me, file.dir, file.name, file.dir, away, RenameMode::kReplace,
                             Cred{}) &&
        world.cache().rename(me, file.dir, away, file.dir, file.name, RenameMode::kReplace, Cred{});
    if (!done) {
      state.SkipWithError("a change failed");
      break;
    }
    i = (i + 1) % kPlan;
  }
}

int threads_max() { return static_cast<int>(std::max(2U, std::thread::hardware_concurrency())); }

template <class Operation>
void add(Locking locking, const char* operation_name, Axis axis, Operation operation) {
  static constexpr const char* kAxes[] = {"one", "shared", "own"};
  const std::string name =
      fmt::format("{}/{}/{}", locking_name(locking), operation_name, kAxes[static_cast<int>(axis)]);
  benchmark::RegisterBenchmark(
      name.c_str(), [=](benchmark::State& state) { loop(state, locking, axis, operation); })
      ->ThreadRange(1, threads_max())
      ->UseRealTime();
}

void add_all(Locking locking) {
  for (const Axis axis : {Axis::kOne, Axis::kShared, Axis::kOwn}) {
    add(locking, "pair", axis, pair);
    add(locking, "lookup", axis, lookup);
    add(locking, "getattr", axis, getattr);
    add(locking, "counted", axis, counted);
  }
  add(locking, "missing", Axis::kOne, missing);
  add(locking, "walk", Axis::kOne, walk);
  const std::string name = fmt::format("{}/pair/writer", locking_name(locking));
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { with_writer(state, locking); })
      ->ThreadRange(2, threads_max())
      ->UseRealTime();
}

}  // namespace
}  // namespace evenfs::bench

int main(int argc, char** argv) {
  using evenfs::Locking;
  for (const Locking locking :
       {Locking::kLockless, Locking::kSharded, Locking::kRwlock, Locking::kMutex}) {
    evenfs::bench::add_all(locking);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("rcu_read_side", "urcu-memb, inlined");
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
