// SPDX-License-Identifier: LGPL-2.1-or-later
// OpenFiles: the descriptors of files that are open, found by the Node of the object. A call about an object
// that is open anyway need not open it once more, and reaches its extended attributes by the descriptor and not
// by a path (docs/benchmarks.md has what each takes). Of an object that is open several times one is listed.
//
// Who closes a file takes it off first, and waits there until nobody uses its descriptor: what closing does to
// the file (blocks that were set aside for it are given back) is then done when he says so, and not when
// somebody else is ready. A use lasts for one call on the source, which is some system calls.
//
// Threading: any function from any thread; a mutex for each of some shards, held for a few steps. REQUIRES of
// who has a Use: that it waits for nothing that a file's owner holds.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

#include <boost/intrusive/unordered_set.hpp>

#include "core/base/cacheline.h"
#include "core/store/node_key.h"

namespace evenfs {

class OpenFiles {
 public:
  // A file, as part of what owns it; not moved while it is listed.
  class Entry : public boost::intrusive::unordered_set_base_hook<> {
    friend class OpenFiles;
    // Constant while it is listed.
    Node key_;
    int fd_ = -1;
    // Protected by the shard's mutex.
    unsigned users_ = 0;
    bool is_listed_ = false;
  };

  // The right to use a descriptor; false: there is none.
  class [[nodiscard]] Use {
   public:
    Use() noexcept = default;
    Use(Use&& other) noexcept
        : files_(other.files_), entry_(std::exchange(other.entry_, nullptr)) {}
    Use& operator=(Use&& other) noexcept {
      std::swap(files_, other.files_);
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Use() {
      if (entry_ != nullptr) files_->end_use(*entry_);
    }
    explicit operator bool() const noexcept { return entry_ != nullptr; }
    int fd() const noexcept { return entry_->fd_; }

   private:
    friend class OpenFiles;
    Use(OpenFiles& files, Entry& entry) noexcept : files_(&files), entry_(&entry) {}
    OpenFiles* files_ = nullptr;
    Entry* entry_ = nullptr;
  };

  OpenFiles();
  ~OpenFiles();
  OpenFiles(const OpenFiles&) = delete;
  OpenFiles& operator=(const OpenFiles&) = delete;

  // Until remove() `key` means this object. `fd` is no O_PATH descriptor.
  void add(Entry& entry, const Node& key, int fd) noexcept;
  // Returns when nobody uses the descriptor any more. REQUIRES: it was added.
  void remove(Entry& entry) noexcept;
  Use find(const Node& key) noexcept;

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kBuckets = 512;  // Of a shard.

  struct KeyOf {
    using type = Node;
    const Node& operator()(const Entry& entry) const noexcept { return entry.key_; }
  };
  using Table = boost::intrusive::unordered_set<
      Entry, boost::intrusive::key_of_value<KeyOf>, boost::intrusive::hash<NodeHash>,
      boost::intrusive::equal<NodeEqual>, boost::intrusive::power_2_buckets<true>>;
  struct alignas(kCacheLine) Shard {
    Shard() : table(Table::bucket_traits(buckets.data(), buckets.size())) {}
    std::mutex mutex;
    std::condition_variable unused;  // Somebody has ended the last use of an entry.
    // Protected by mutex.
    std::array<Table::bucket_type, kBuckets> buckets;
    Table table;
  };

  Shard& shard_of(const Node& key) noexcept;
  void end_use(Entry& entry) noexcept;

  std::array<Shard, kShards> shards_;
};

}  // namespace evenfs
