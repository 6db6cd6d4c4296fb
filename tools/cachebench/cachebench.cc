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
//               shared    random names of one directory of 10,000, or of --files=N
//               tree      random names of all directories but that one
//               own       random names of a directory that only this thread uses
//   pair/AXIS+writer: thread 0 changes modes and renames there instead of reading
// The counter `ns` is the sum over the threads that read of the nanoseconds one operation took.
// Threads: 1, 2, 4 ... to the number of processors, or to --max_threads=N (at most 64). --iterations=N: as many
// of each and not more, for who counts instructions.
// Everything is chosen before the clock starts. A miss or an error ends the run: it must not be
// measured as a hit. Run `cachebench --benchmark_help` for the options of Google Benchmark.
#include <benchmark/benchmark.h>

#include <charconv>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>

#include "tools/cachebench/world.h"

namespace evenfs::bench {
namespace {

// By the command line, before anything runs.
int threads_max = static_cast<int>(std::max(2U, std::thread::hardware_concurrency()));
int files = 10'000;  // In the directory that all share.
int iterations = 0;  // Of a run; 0: as many as take the time that was asked for.
// Accesses chosen in advance, used round and round: for a million files enough to find none of what a lookup
// reads in a processor's cache.
std::size_t plan_length = 4096;

World& world_of(Locking locking) {
  static std::map<Locking, std::unique_ptr<World>> worlds;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  auto& world = worlds[locking];
  if (!world) world = std::make_unique<World>(locking, static_cast<std::size_t>(files));
  return *world;
}

enum class Axis { kOne, kShared, kTree, kOwn };

const char* name_of(Axis axis) {
  static constexpr const char* kNames[] = {"one", "shared", "tree", "own"};
  return kNames[static_cast<int>(axis)];
}

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
  std::vector<const File*> chosen(plan_length, &world.all()[0]);
  for (const File*& file : chosen) {
    if (axis == Axis::kOne) break;
    const std::vector<File>& from = axis == Axis::kShared ? world.all()
                                    : axis == Axis::kTree
                                        ? world.own(random())
                                        : world.own(static_cast<std::size_t>(thread));
    file = &from[random() % from.size()];
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
  const std::size_t length = accesses.accesses.size();
  std::size_t i = 0;
  // Not a range-for, for a clock that is this thread's own: all do as many iterations, and one that
  // writes needs longer for them.
  auto at = state.begin();
  const auto end = state.end();  // Waits for all threads.
  const auto begin = std::chrono::steady_clock::now();
  for (; at != end; ++at) {
    if (!operation(world.cache(), me, accesses.accesses[i])) {
      state.SkipWithError("an access was not answered");
      break;
    }
    if (++i == length) i = 0;
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  state.counters["ns"] = took.count() / static_cast<double>(state.iterations());
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

// Thread 0 changes what the others read: modes, and names that it moves away and back.
void with_writer(benchmark::State& state, Locking locking, Axis axis) {
  if (state.thread_index() != 0) return loop(state, locking, axis, pair_under_writer);
  World& world = world_of(locking);
  const Plan accesses = plan(world, axis, 0);
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
    if (++i == accesses.accesses.size()) i = 0;
  }
}

void configure(benchmark::internal::Benchmark* benchmark, int threads_min) {
  benchmark->ThreadRange(threads_min, threads_max)->UseRealTime();
  if (iterations != 0) benchmark->Iterations(iterations);
}

template <class Operation>
void add(Locking locking, const char* operation_name, Axis axis, Operation operation) {
  const std::string name =
      fmt::format("{}/{}/{}", locking_name(locking), operation_name, name_of(axis));
  configure(
      benchmark::RegisterBenchmark(
          name.c_str(), [=](benchmark::State& state) { loop(state, locking, axis, operation); }),
      1);
}

void add_with_writer(Locking locking, Axis axis) {
  const std::string name = fmt::format("{}/pair/{}+writer", locking_name(locking), name_of(axis));
  configure(benchmark::RegisterBenchmark(
                name.c_str(), [=](benchmark::State& state) { with_writer(state, locking, axis); }),
            2);
}

void add_all(Locking locking) {
  for (const Axis axis : {Axis::kOne, Axis::kShared, Axis::kTree, Axis::kOwn}) {
    add(locking, "pair", axis, pair);
    add(locking, "lookup", axis, lookup);
    add(locking, "getattr", axis, getattr);
    add(locking, "counted", axis, counted);
  }
  add(locking, "missing", Axis::kOne, missing);
  add(locking, "walk", Axis::kOne, walk);
  for (const Axis axis : {Axis::kOne, Axis::kShared, Axis::kTree}) add_with_writer(locking, axis);
}

// Takes OPTION=NUMBER away from the options, which are Google Benchmark's. False, and a line, if it is wrong.
bool take(std::string_view option, int min, int max, int& value, int& argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view given = argv[i];
    if (!given.starts_with(option)) {
      argv[kept++] = argv[i];
      continue;
    }
    const char* end = given.data() + given.size();
    const auto [stop, error] = std::from_chars(given.data() + option.size(), end, value);
    if (error != std::errc() || stop != end || value < min || value > max) {
      fmt::print(stderr, "cachebench: {} a number from {} to {}\n", option, min, max);
      return false;
    }
  }
  argc = kept;
  return true;
}

bool take_options(int& argc, char** argv) {
  constexpr int kMany = 1'000'000;
  if (!take("--max_threads=", 2, 64, threads_max, argc, argv) ||
      !take("--files=", 1, 10 * kMany, files, argc, argv) ||
      !take("--iterations=", 1, 100 * kMany, iterations, argc, argv)) {
    return false;
  }
  if (files >= kMany) plan_length = 1 << 18;
  return true;
}

}  // namespace
}  // namespace evenfs::bench

int main(int argc, char** argv) {
  using evenfs::Locking;
  if (!evenfs::bench::take_options(argc, argv)) return 2;
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
