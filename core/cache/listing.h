// SPDX-License-Identifier: LGPL-2.1-or-later
// Listing: all names of one directory, as the store listed them from the first to the last, with the store's
// own cookies. ListingTable: the listings that a cache keeps, in a bounded amount of memory.
//
// A Listing is filled by one thread and never changes afterwards. Whether it is still right is not known
// here: BasicCache compares the lease that was taken before the directory was opened. Who reads one may go
// on with the store at any cookie, since they mean the same to both.
#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/unordered_set.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/node_id.h"
#include "core/store/store.h"
#include "core/sync/seqcount.h"

namespace evenfs {

// The bytes of all listings of a cache: those that are being read from the store, those that are kept, and
// those that somebody still reads after that. Any thread.
class ListingBudget {
 public:
  explicit ListingBudget(std::uint64_t bytes_max) noexcept : max_(bytes_max) {}
  // False: there is no room for so many.
  bool take(std::uint64_t bytes) noexcept {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= max_) return true;
    give(bytes);
    return false;
  }
  void give(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  std::uint64_t max() const noexcept { return max_; }

 private:
  const std::uint64_t max_;
  std::atomic<std::uint64_t> used_{0};
};

class Listing {
 public:
  explicit Listing(ListingBudget& budget) noexcept : budget_(budget) {}
  ~Listing() { budget_.give(charged_); }
  Listing(const Listing&) = delete;
  Listing& operator=(const Listing&) = delete;

  // Where a reader goes on without a search: behind the entry with this cookie.
  struct Place {
    std::uint64_t cookie = 0;
    std::size_t at = 0;  // Bytes.
  };

  // False: the budget does not allow it.
  bool append(const DirEntry& entry);
  // Nothing more is to come.
  void shrink();
  // As Directory::read, from `cookie` on; `place` is the reader's own. False: no entry has that cookie.
  bool read(std::uint64_t cookie, Place& place,
            const std::function<bool(const DirEntry&)>& visit) const;
  std::size_t bytes() const noexcept { return sizeof *this + bytes_.capacity(); }

 private:
  // Reads one entry and moves `at` behind it.
  DirEntry entry_at(std::size_t& at) const noexcept;
  bool find(std::uint64_t cookie, Place& place) const noexcept;

  ListingBudget& budget_;
  std::uint64_t charged_ = 0;  // Of the budget.
  std::vector<std::byte> bytes_;
};

// What a directory was when its listing began: its cseq and nseq. Odd: a change was under way, and nothing
// may be kept.
struct ListingLease {
  NodeId dir;
  Stamp content = 1;
  Stamp walk = 1;
  std::uint64_t until = 0;  // The tick up to which the listing may be served.
  bool is_of_use() const noexcept {
    return until != 0 && stamp_is_stable(content) && stamp_is_stable(walk);
  }
};

// A listing that is being read from the store, from its beginning, piece by piece. It is given up when a
// piece is left out or read twice, and when it grows too large.
class ListingUnderWay {
 public:
  ListingUnderWay() = default;
  // May have at most `bytes_max` of the budget.
  ListingUnderWay(const ListingLease& lease, ListingBudget& budget, std::size_t bytes_max);

  // The next piece begins at `cookie`.
  void go_on_at(std::uint64_t cookie) noexcept {
    if (cookie != next_) listing_.reset();
  }
  void append(const DirEntry& entry);
  // Behind the last entry; null if it was given up.
  std::shared_ptr<const Listing> finish();
  const ListingLease& lease() const noexcept { return lease_; }

 private:
  ListingLease lease_;
  std::size_t bytes_max_ = 0;
  std::uint64_t next_ = 0;
  std::shared_ptr<Listing> listing_;
};

// Threading: any function from any thread; one mutex, held for a few steps.
class ListingTable {
 public:
  struct Kept {
    ListingLease lease;
    std::shared_ptr<const Listing> listing;  // Null: none.
  };

  // No listing may take more than a quarter of `bytes_max`.
  explicit ListingTable(std::uint64_t bytes_max);
  ~ListingTable();
  ListingTable(const ListingTable&) = delete;
  ListingTable& operator=(const ListingTable&) = delete;

  // Bytes that one listing may have.
  std::size_t largest() const noexcept { return static_cast<std::size_t>(bytes_max_ / 4); }
  Kept find(NodeId dir);
  // In place of what is kept of that directory; those that were used least lately go.
  void put(const ListingLease& lease, std::shared_ptr<const Listing> listing);
  // If it is the one with that lease.
  void drop(const ListingLease& lease) noexcept;

  std::uint64_t bytes() const;
  std::uint64_t size() const;

 private:
  struct Entry : boost::intrusive::list_base_hook<>, boost::intrusive::unordered_set_base_hook<> {
    Kept kept;
  };
  struct KeyOf {
    using type = std::uint64_t;
    type operator()(const Entry& entry) const noexcept { return entry.kept.lease.dir.raw(); }
  };
  using Table = boost::intrusive::unordered_set<Entry, boost::intrusive::key_of_value<KeyOf>,
                                                boost::intrusive::power_2_buckets<true>>;
  using Order = boost::intrusive::list<Entry>;

  // With mutex_ held. The caller destroys the entry with the mutex released.
  std::unique_ptr<Entry> take_out(Entry& entry) noexcept;

  const std::uint64_t bytes_max_;
  mutable std::mutex mutex_;
  // Protected by mutex_.
  std::vector<Table::bucket_type> buckets_;
  Table table_;
  Order order_;  // The most recently used first.
  std::uint64_t bytes_ = 0;
};

}  // namespace evenfs
