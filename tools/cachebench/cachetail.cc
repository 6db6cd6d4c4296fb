// SPDX-License-Identifier: LGPL-2.1-or-later
// cachetail: how long a stat waits beside those who change the same directory. The cache without
// FUSE, over the memory store, whose every call may take a given time.
//
// Readers do what an in-process user does: a lookup (peek) and a getattr of a random name among
// --files that nobody changes. Writers create, rename and unlink names of their own in that very
// directory, without pause. Prints one line of JSON. Exit status: 1 if an answer was wrong.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <thread>

#include "tools/cachebench/world.h"
#include "tools/statloop/histogram.h"

namespace evenfs::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTick{10};

struct Options {
  std::string locking = "lockless";
  unsigned readers = 2;
  unsigned writers = 4;
  unsigned files = 1000;
  double seconds = 1;
  unsigned store_us = 0;
  std::uint64_t seed = 1;
};

struct Reader {
  statloop::Histogram latency_ns;
  std::uint64_t wrong = 0;
};

struct Writer {
  std::uint64_t changes = 0;
  std::uint64_t wrong = 0;
};

MemoryStore::Options store_options(const std::atomic<unsigned>& delay_us) {
  MemoryStore::Options options;
  options.before = [&delay_us](std::string_view) {
    const unsigned us = delay_us.load(std::memory_order_relaxed);
    if (us != 0) std::this_thread::sleep_for(std::chrono::microseconds(us));
    return Status();
  };
  return options;
}

class Run {
 public:
  Run(const Options& options, Locking locking)
      : options_(options),
        store_(store_options(delay_us_)),
        cache_(expect(make_cache(locking, store_, CacheOptions{}), "cache")) {
    Worker me(registry_);
    dir_ = expect(cache_->mkdir(me, NodeId::root(), name_ref("dir"), 0755, Cred{}), "mkdir").id;
    for (unsigned i = 0; i < options.files; ++i) {
      const std::string name = fmt::format("file-{:011}", i);
      const Entry made =
          expect(cache_->mknod(me, dir_, name_ref(name), S_IFREG | 0644, 0, Cred{}), "mknod");
      files_.push_back({dir_, name, made.id});
      expect(cache_->getattr(me, made.id, nullptr), "warm up");
    }
    cache_->housekeep(me);
    delay_us_.store(options.store_us, std::memory_order_relaxed);  // Threads start after it.
  }

  void go(std::vector<Reader>& readers, std::vector<Writer>& writers) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < writers.size(); ++i) {
      threads.emplace_back([&, i] { write(i, writers[i]); });
    }
    for (unsigned i = 0; i < readers.size(); ++i) {
      threads.emplace_back([&, i] { read(i, readers[i]); });
    }
    const auto end = Clock::now() + std::chrono::duration<double>(options_.seconds);
    Worker me(registry_);
    while (Clock::now() < end) {
      std::this_thread::sleep_for(kTick);
      cache_->housekeep(me);  // As the daemon's clock does.
    }
    stop_.store(true, std::memory_order_relaxed);
    for (std::thread& thread : threads) thread.join();
  }

 private:
  bool going() const noexcept { return !stop_.load(std::memory_order_relaxed); }

  void read(unsigned number, Reader& mine) {
    std::mt19937_64 random(options_.seed * 1000 + number);
    Worker me(registry_);
    while (going()) {
      const File& file = files_[random() % files_.size()];
      const NameRef name = name_ref(file.name);
      const auto begin = Clock::now();
      const auto entry = cache_->peek(me, dir_, name);
      const auto attr =
          entry ? cache_->getattr(me, entry->id, nullptr) : Result<Attr>(Errno(ENOENT));
      const auto took = std::chrono::nanoseconds(Clock::now() - begin).count();
      mine.latency_ns.record(static_cast<std::uint64_t>(took));
      if (!attr || entry->id != file.id || attr->nlink != 1) ++mine.wrong;
    }
  }

  void write(unsigned number, Writer& mine) {
    const std::string one = fmt::format("one-{}", number);
    const std::string two = fmt::format("two-{}", number);
    Worker me(registry_);
    while (going()) {
      const auto made = cache_->mknod(me, dir_, name_ref(one), S_IFREG | 0644, 0, Cred{});
      const bool done = made &&
                        cache_->rename(me, dir_, name_ref(one), dir_, name_ref(two),
                                       RenameMode::kReplace, Cred{}) &&
                        cache_->unlink(me, dir_, name_ref(two));
      if (made) cache_->forget(me, made->id, 1);
      mine.changes += 3;
      if (!done) ++mine.wrong;
    }
  }

  const Options options_;
  std::atomic<unsigned> delay_us_{0};  // Written once, before the threads start.
  MemoryStore store_;
  WorkerRegistry registry_;
  std::unique_ptr<Cache> cache_;
  NodeId dir_;
  std::vector<File> files_;
  std::atomic<bool> stop_{false};
};

int run(const Options& options, Locking locking) {
  Run bench(options, locking);
  std::vector<Reader> readers(options.readers);
  std::vector<Writer> writers(options.writers);
  bench.go(readers, writers);

  const auto all = std::make_unique<Reader>();
  for (const Reader& reader : readers) {
    all->latency_ns.merge(reader.latency_ns);
    all->wrong += reader.wrong;
  }
  Writer changed;
  for (const Writer& writer : writers) {
    changed.changes += writer.changes;
    changed.wrong += writer.wrong;
  }
  const statloop::Histogram& of = all->latency_ns;
  const nlohmann::json report = {
      {"locking", options.locking},
      {"readers", options.readers},
      {"writers", options.writers},
      {"store_us", options.store_us},
      {"stats_per_second", static_cast<double>(of.total()) / options.seconds},
      {"changes_per_second", static_cast<double>(changed.changes) / options.seconds},
      {"latency_ns",
       {{"p50", of.quantile(0.5)},
        {"p99", of.quantile(0.99)},
        {"p99_9", of.quantile(0.999)},
        {"max", of.max()}}},
      {"wrong", all->wrong + changed.wrong}};
  fmt::print("{}\n", report.dump());
  return all->wrong + changed.wrong == 0 && of.total() != 0 ? 0 : 1;
}

}  // namespace
}  // namespace evenfs::bench

int main(int argc, char** argv) {
  using evenfs::Locking;
  evenfs::bench::Options options;
  CLI::App app("How long a stat waits beside those who change the same directory, without FUSE.");
  app.add_option("--locking", options.locking)
      ->check(CLI::IsMember({"lockless", "sharded", "rwlock", "mutex"}))
      ->capture_default_str();
  app.add_option("--readers", options.readers)->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--writers", options.writers)->check(CLI::Range(0, 64))->capture_default_str();
  app.add_option("--files", options.files, "Names that are asked for")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds)
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_option("--store-us", options.store_us, "Microseconds that each call of the store takes")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  for (const Locking locking :
       {Locking::kLockless, Locking::kSharded, Locking::kRwlock, Locking::kMutex}) {
    if (evenfs::locking_name(locking) == options.locking) {
      return evenfs::bench::run(options, locking);
    }
  }
  return 2;
}
