// SPDX-License-Identifier: LGPL-2.1-or-later
// World: a cache over a memory store, filled with files, that one benchmark after another uses.
//
//   /d0 ... /d63       a directory for each thread, 256 files each
//   /all               10,000 files, or as many as --files says
//   /p1/p2/p3/p4/file  a path of five components
//
// Names are 16 bytes, as most are (docs/benchmarks.md).
#pragma once

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/cache/cache.h"
#include "core/store/memory_store.h"

namespace evenfs::bench {

inline constexpr std::size_t kOwnFiles = 256;
inline constexpr std::size_t kOwnDirs = 64;
inline constexpr std::string_view kDeepPath = "p1/p2/p3/p4/file";

struct File {
  NodeId dir;
  std::string name;
  NodeId id;
};

// Ends the program with a line: a benchmark that measured something else would be worse.
template <class T>
T expect(Result<T> result, const char* what) {
  if (result) return std::move(result).value();
  fmt::print(stderr, "cachebench: {}: {}\n", what, std::strerror(result.error().code()));
  std::exit(1);
}

inline NameRef name_ref(std::string_view name) { return expect(NameRef::make(name), "name"); }

class World {
 public:
  World(Locking locking, std::size_t shared_files)
      : cache_(expect(make_cache(locking, store_, CacheOptions{}), "cache")) {
    Worker me(registry_);
    add_files(me, "all", shared_files, all_);
    for (std::size_t d = 0; d < kOwnDirs; ++d) {
      own_.emplace_back();
      add_files(me, fmt::format("d{}", d), kOwnFiles, own_.back());
    }
    NodeId at = NodeId::root();
    for (const char* part : {"p1", "p2", "p3", "p4"}) {
      at = expect(cache_->mkdir(me, at, name_ref(part), 0755, Cred{}), part).id;
    }
    expect(cache_->mknod(me, at, name_ref("file"), S_IFREG | 0644, 0, Cred{}), "file");
    // What making the files left uncached is read once, so that every later access is a hit.
    for (const File& file : all_) expect(cache_->getattr(me, file.id, nullptr), "warm up");
    for (const std::vector<File>& files : own_) {
      for (const File& file : files) expect(cache_->getattr(me, file.id, nullptr), "warm up");
    }
    expect(cache_->walk(me, NodeId::root(), kDeepPath, Cred{}, true), "warm up");
    cache_->housekeep(me);  // As the daemon's clock does.
  }

  Cache& cache() noexcept { return *cache_; }
  WorkerRegistry& registry() noexcept { return registry_; }
  const std::vector<File>& all() const noexcept { return all_; }
  const std::vector<File>& own(std::size_t thread) const { return own_[thread % kOwnDirs]; }

 private:
  void add_files(Worker& me, const std::string& dir, std::size_t count, std::vector<File>& into) {
    const Entry parent =
        expect(cache_->mkdir(me, NodeId::root(), name_ref(dir), 0755, Cred{}), "mkdir");
    for (std::size_t i = 0; i < count; ++i) {
      const std::string name = fmt::format("file-{:011}", i);
      const Entry made =
          expect(cache_->mknod(me, parent.id, name_ref(name), S_IFREG | 0644, 0, Cred{}), "mknod");
      into.push_back({parent.id, name, made.id});
    }
  }

  MemoryStore store_;
  WorkerRegistry registry_;
  std::unique_ptr<Cache> cache_;
  std::vector<File> all_;
  std::vector<std::vector<File>> own_;
};

}  // namespace evenfs::bench
