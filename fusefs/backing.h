// SPDX-License-Identifier: LGPL-2.1-or-later
// BackingTable: which inodes the kernel reads and writes by itself, in the source's file (FUSE passthrough).
//
// The kernel wants one backing file for each inode, and all opens of an inode at a time in the same way: by
// its backing file, or by us. So the first open decides, and the table counts the opens until the last is
// released. (When the kernel sends RELEASE it has let go of the backing file already.)
//
// A file that is open for writing may have a watch that tells of each write. Nothing comes of that: its
// attributes are not cached, and the kernel has no pages of ours. So after the kIgnoredAfter-th time the
// source is asked to tell no more, until the last who can write closes it: before its attributes may be
// cached again, which is when the Cache::Bypass ends that each such open has around it. A file that is
// written and closed soon never comes to that, and one that does has been told of as often as asking twice
// costs. The shard's lock orders what was told, which may have been long ago, with who opens and closes the
// file.
//
// On the way of open and release, and of what a watch tells of a write, only; in shards.
#pragma once

#include <array>
#include <atomic>
#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "core/base/cacheline.h"
#include "core/base/node_id.h"
#include "core/base/result.h"

namespace evenfs {

// Who has the source tell of writes to a file, or not. Called under a shard's lock.
class WriteWatch {
 public:
  virtual ~WriteWatch() = default;
  // They are ignored from now on. `fd`: a descriptor of it. False: that cannot be.
  virtual bool ignore(NodeId id, int fd) noexcept = 0;
  // They are told again, of the next one on. Once for each ignore() that was true.
  virtual void heed(NodeId id, int fd) noexcept = 0;
};

class BackingTable {
 public:
  // How often a write to a file is told, since somebody has it open for writing, before it is ignored.
  static constexpr unsigned kIgnoredAfter = 16;

  // One open of one inode; ends with the object.
  class Use {
   public:
    Use() noexcept = default;
    Use(BackingTable* table, NodeId id, int fd, int backing_id, bool writes) noexcept
        : table_(table), id_(id), fd_(fd), backing_id_(backing_id), writes_(writes) {}
    Use(Use&& other) noexcept { swap(other); }
    Use& operator=(Use&& other) noexcept {
      Use(std::move(other)).swap(*this);
      return *this;
    }
    ~Use() {
      if (table_ != nullptr) table_->drop(*this);
    }
    // For the answer to the open; 0: reads and writes come to us.
    int backing_id() const noexcept { return backing_id_; }

   private:
    friend class BackingTable;
    void swap(Use& other) noexcept {
      std::swap(table_, other.table_);
      std::swap(id_, other.id_);
      std::swap(fd_, other.fd_);
      std::swap(backing_id_, other.backing_id_);
      std::swap(writes_, other.writes_);
    }
    BackingTable* table_ = nullptr;
    NodeId id_;
    int fd_ = -1;
    int backing_id_ = 0;
    bool writes_ = false;  // Only by a backing file.
  };

  BackingTable() = default;
  virtual ~BackingTable() = default;
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

  // One more open of `id`, as `fd` of the source, which outlives it; `writes`: not for reading only. ENOMEM.
  Result<Use> open(NodeId id, int fd, bool writes) noexcept;

  // From now on `watch` may be called, or nobody; who was before is not any more. What was ignored then is
  // left to him.
  void set_watch(WriteWatch* watch) noexcept;
  // A write to `id` was told of, by whomever and whenever it was.
  void write_told(NodeId id) noexcept;

  // Inodes that have a backing file, and those of them to which writes are ignored.
  std::uint64_t size() const noexcept { return backed_.load(std::memory_order_relaxed); }
  std::uint64_t ignored() const noexcept { return ignored_.load(std::memory_order_relaxed); }

 protected:
  // The kernel's part; what they do else is for tests. 0: it does not want one.
  virtual int make_backing(int fd) noexcept;
  virtual void end_backing(int backing_id) noexcept;

 private:
  struct Entry {
    int backing_id = 0;
    unsigned opens = 0;
    unsigned told = 0;                               // How often, since there are writers.
    bool ignored = false;                            // By the shard's watch.
    boost::container::small_vector<int, 2> writers;  // Their descriptors.
  };
  struct alignas(kCacheLine) Shard {
    std::mutex mutex;
    // Under mutex.
    std::unordered_map<std::uint64_t, Entry> entries;  // By id.
    WriteWatch* watch = nullptr;                       // The same in all.
  };

  Shard& shard_of(NodeId id) { return shards_[id.index() % shards_.size()]; }
  void drop(const Use& use) noexcept;
  void drop_writer(Shard& shard, Entry& entry, const Use& use) noexcept;

  std::atomic<int> device_{-1};
  std::atomic<bool> counts_writes_{false};  // Written at INIT, before any file is open.
  // For who asks how many: changed under a shard's mutex.
  std::atomic<std::uint64_t> backed_{0};
  std::atomic<std::uint64_t> ignored_{0};
  std::array<Shard, 16> shards_;
};

}  // namespace evenfs
