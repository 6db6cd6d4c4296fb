// SPDX-License-Identifier: LGPL-2.1-or-later
// BackingTable: which inodes the kernel reads and writes by itself, in the source's file (FUSE passthrough).
//
// The kernel wants one backing file for each inode, and all opens of an inode at a time in the same way: by
// its backing file, or by us. So the first open decides, and the table counts the opens until the last is
// released. (When the kernel sends RELEASE it has let go of the backing file already.)
//
// On the way of open and release only, in shards.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "core/base/cacheline.h"
#include "core/base/node_id.h"
#include "core/base/result.h"

namespace evenfs {

class BackingTable {
 public:
  // One open of one inode; ends with the object.
  class Use {
   public:
    Use() noexcept = default;
    Use(BackingTable* table, NodeId id, int backing_id) noexcept
        : table_(table), id_(id), backing_id_(backing_id) {}
    Use(Use&& other) noexcept { swap(other); }
    Use& operator=(Use&& other) noexcept {
      Use(std::move(other)).swap(*this);
      return *this;
    }
    ~Use() {
      if (table_ != nullptr) table_->drop(id_);
    }
    // For the answer to the open; 0: reads and writes come to us.
    int backing_id() const noexcept { return backing_id_; }

   private:
    void swap(Use& other) noexcept {
      std::swap(table_, other.table_);
      std::swap(id_, other.id_);
      std::swap(backing_id_, other.backing_id_);
    }
    BackingTable* table_ = nullptr;
    NodeId id_;
    int backing_id_ = 0;
  };

  BackingTable() = default;
  BackingTable(const BackingTable&) = delete;
  BackingTable& operator=(const BackingTable&) = delete;

  // From the session's INIT on, if the kernel agreed; `device` is the session's. `counts_writes`: a write by
  // a call outdates the attributes that the kernel has, also those that are just on their way to it.
  void start(int device, bool counts_writes) noexcept {
    counts_writes_.store(counts_writes, std::memory_order_relaxed);
    device_.store(device, std::memory_order_relaxed);
  }
  // Before the device is closed. What is in use then is forgotten by the kernel with it.
  void stop() noexcept { device_.store(-1, std::memory_order_relaxed); }
  bool counts_writes() const noexcept { return counts_writes_.load(std::memory_order_relaxed); }
  bool on() const noexcept { return device_.load(std::memory_order_relaxed) >= 0; }

  // One more open of `id`, as `fd` of the source. ENOMEM.
  Result<Use> open(NodeId id, int fd) noexcept;

  // Inodes that have a backing file.
  std::uint64_t size() const noexcept { return backed_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    int backing_id = 0;
    unsigned opens = 0;
  };
  struct alignas(kCacheLine) Shard {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, Entry> entries;  // By id. Under mutex.
  };

  Shard& shard_of(NodeId id) { return shards_[id.index() % shards_.size()]; }
  int make_backing(int fd) noexcept;
  void drop(NodeId id) noexcept;

  std::atomic<int> device_{-1};
  std::atomic<bool> counts_writes_{false};  // Written at INIT, before any file is open.
  std::atomic<std::uint64_t> backed_{0};
  std::array<Shard, 16> shards_;
};

}  // namespace evenfs
