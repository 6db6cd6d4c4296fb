// SPDX-License-Identifier: LGPL-2.1-or-later
// OpenTable: everything that the kernel has open and has not released yet.
//
// The kernel addresses an open file by the number we gave it, which is the object's address: it
// gives back only what it was given. The table exists for the end of the daemon, when releases
// may never come (an abort, a lazy unmount), and for the statistics. It is on the way of open and
// release only, and in shards, so that those do not meet on one lock either.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "core/base/cacheline.h"
#include "core/base/node_id.h"
#include "core/cache/cache.h"
#include "core/store/store.h"
#include "fusefs/backing.h"

namespace evenfs {

using OpenHook = boost::intrusive::list_member_hook<>;

struct OpenFile {
  NodeId id;
  std::unique_ptr<File> file;
  bool append_only = false;  // Every write goes to the end, whatever its offset.
  // Where the kernel reads and writes the source's file by itself. In this order: nothing is cached until the
  // other has ended, and that while there is a descriptor.
  std::optional<Cache::Bypass> bypass;
  BackingTable::Use backing;
  // If it was made by the request that opened it, what the kernel was told of it then.
  std::optional<Attr> made;
  OpenHook hook;
};

struct OpenDirectory {
  NodeId id;
  int flags = 0;  // For Store::opendir.
  // A store wants calls for one Directory one at a time; the kernel does not.
  std::mutex mutex;
  // Under mutex.
  std::unique_ptr<Directory> directory;  // Null until the source is wanted; see open_directory.h.
  bool from_source = false;  // The kernel keeps what it reads, as of when the directory was opened.
  // What the listing that is going on reads, if not the source, and where it goes on.
  std::shared_ptr<const Listing> kept;
  Listing::Place place;
  ListingUnderWay under_way;
  // Of the first listing since it was opened, as long as each name had a dentry and none was skipped; and where
  // it goes on.
  Cache::RollCall roll_call;
  std::uint64_t roll_call_at = 0;
  OpenHook hook;
};

template <class T>
class OpenTable {
 public:
  OpenTable() = default;
  OpenTable(const OpenTable&) = delete;
  OpenTable& operator=(const OpenTable&) = delete;
  ~OpenTable() {
    for (Shard& shard : shards_) {
      shard.list.clear_and_dispose([](T* object) { delete object; });
    }
  }

  // Takes the object in; the result is its number for the kernel.
  std::uint64_t add(std::unique_ptr<T> object) {
    T* const raw = object.release();
    Shard& shard = shard_of(raw);
    std::lock_guard lock(shard.mutex);
    shard.list.push_back(*raw);
    ++shard.size;
    return reinterpret_cast<std::uintptr_t>(raw);
  }

  // REQUIRES: `number` came from add() and has not been removed.
  static T& at(std::uint64_t number) { return *reinterpret_cast<T*>(number); }

  std::unique_ptr<T> remove(std::uint64_t number) {
    T* const raw = &at(number);
    Shard& shard = shard_of(raw);
    std::lock_guard lock(shard.mutex);
    shard.list.erase(shard.list.iterator_to(*raw));
    --shard.size;
    return std::unique_ptr<T>(raw);
  }

  std::uint64_t size() const {
    std::uint64_t sum = 0;
    for (const Shard& shard : shards_) {
      std::lock_guard lock(shard.mutex);
      sum += shard.size;
    }
    return sum;
  }

 private:
  using List = boost::intrusive::list<T, boost::intrusive::member_hook<T, OpenHook, &T::hook>,
                                      boost::intrusive::constant_time_size<false>>;
  struct alignas(kCacheLine) Shard {
    mutable std::mutex mutex;
    List list;               // Under mutex.
    std::uint64_t size = 0;  // Under mutex.
  };
  static constexpr std::size_t kShards = 16;

  Shard& shard_of(const T* object) {
    return shards_[(reinterpret_cast<std::uintptr_t>(object) / kCacheLine) % kShards];
  }

  std::array<Shard, kShards> shards_;
};

}  // namespace evenfs
