// SPDX-License-Identifier: LGPL-2.1-or-later
// Cache: the public face of the dentry and inode cache.
//
// An answer is a value that was true at one instant between the call and its return; all of it
// at the same instant where it came from the cache. After a changing call has returned, no later
// call sees the state before it. Which locks stand behind that is the locking policy's business
// (core/policy/policy.h): one interface, four implementations made from the same code.
//
// Threading: any function from any thread, each thread with its own Worker. A Worker is used by
// the thread that made it only.
//
// Ids and counts: lookup() and every call that returns an Entry raise the inode's lookup count
// (FUSE's nlookup) by one; forget() gives counts back. While an inode's count is above zero its
// id stays valid. An id whose inode is gone is ESTALE, never another inode.
//
// Errors: those of the store, ESTALE for a dead id, ENOTDIR for a directory operation on
// something else, ENOMEM when no slot is left.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/base/attr.h"
#include "core/base/locking.h"
#include "core/base/name.h"
#include "core/base/node_id.h"
#include "core/base/result.h"
#include "core/cache/listing.h"
#include "core/stats/counters.h"
#include "core/store/store.h"
#include "core/sync/seqcount.h"

namespace evenfs {

inline constexpr std::uint64_t kForeverTicks = ~std::uint64_t{0};
inline constexpr std::uint64_t kTickMs = 10;  // Milliseconds in a tick of the cache's clock.
// As good as for ever, 497 days, and finite, so that Cache::invalidate_all has something to go by.
inline constexpr std::uint64_t kWatchedTicks = std::uint64_t{1} << 32;

struct CacheOptions {
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;  // Soft limit; at least 1 MiB.
  // How long what was read from the store may be served without asking again, in ticks; 0: not at all.
  std::uint64_t ttl_ticks = kForeverTicks;
  // Where whoever tells the cache what others change (invalidate_number) does so by durable numbers: the same
  // for objects that have none, and for names in such directories; the root has no need of one. And for
  // attributes that say so (Attr::untold). Less than a quarter of ttl_ticks, which is finite. 0: ttl_ticks is
  // for all.
  std::uint64_t unnumbered_ttl_ticks = 0;
  // If not 0: what has changed lately is served for that long, and only what has rested for longer, up to
  // ttl_ticks, see rest.h. At most ttl_ticks, which is finite; and without unnumbered_ttl_ticks.
  std::uint64_t ttl_least_ticks = 0;
  std::uint64_t hash_seed = 0;  // 0: from the system's random source.
  std::uint32_t slots_max = 0;  // Hard limit on inodes and on dentries each; 0: by address space.
  std::uint64_t seq_start = 0;  // For tests: slots begin their sequence counts near 2 * this.
};

// What a name led to.
struct Entry {
  NodeId id;
  Attr attr;
};

struct Opened {
  Entry entry;
  std::unique_ptr<File> file;
};

// What a change touches: attributes that only stat reports (size, times, link count), or also
// what a walk needs (mode, owner, ACL, and capabilities with it).
enum class Fields : std::uint8_t { kStat, kWalk };

// Gauges: the state of the cache when asked, read without stopping anybody.
struct CacheStats {
  std::uint64_t memory_limit = 0;  // Bytes.
  std::uint64_t memory_bytes = 0;  // Touched by slots, tables and string cells, and of listings.
  std::uint64_t listings = 0;      // Directories whose names are kept in the store's order.
  std::uint64_t listing_bytes = 0;
  std::uint64_t inodes = 0;       // In use.
  std::uint64_t inode_slots = 0;  // In use or free for reuse.
  std::uint64_t dentries = 0;     // Positive and negative.
  std::uint64_t negative_dentries = 0;
  std::uint64_t dentry_slots = 0;
  std::uint64_t cells = 0;  // For long names and link targets, 64 bytes each.
  std::uint64_t cell_slots = 0;
  std::uint64_t orphans = 0;         // Without a name, kept for the kernel: a descriptor each.
  std::uint64_t kernel_inodes = 0;   // Inodes with a lookup count; the root is not counted.
  std::uint64_t kernel_lookups = 0;  // Sum of their lookup counts.
};

class Cache {
 public:
  virtual ~Cache() = default;

  // --- Answers.

  virtual Result<Entry> lookup(Worker& me, NodeId dir, NameRef name) = 0;
  // ".." of a directory; the root is its own parent.
  virtual Result<Entry> lookup_parent(Worker& me, NodeId dir) = 0;
  // As lookup(), but the store is asked, whatever is cached of the name.
  virtual Result<Entry> lookup_anew(Worker& me, NodeId dir, NameRef name) = 0;
  // The inode of a number (see number_of): as an exporting NFS server, or open_by_handle_at, asks for
  // ".". Unlike an id a durable number of an inode that was forgotten, or that another process over the
  // same source gave out, leads to the object as long as that exists.
  virtual Result<Entry> lookup_number(Worker& me, std::uint64_t number) = 0;
  // Gives back `n` lookup counts. More than were given out is refused and counted.
  virtual void forget(Worker& me, NodeId id, std::uint64_t n) = 0;

  // What the kernel is to call an inode: a durable number where the store has one for it, else the id
  // itself. Constant while the object lives. The caller has counted or pinned the inode.
  virtual std::uint64_t number_of(NodeId id) const noexcept = 0;
  // Its st_dev in the store, likewise.
  virtual std::uint64_t device_of(NodeId id) const noexcept = 0;
  // The id of the inode that has such a number now; one that is nobody's if none has. Lock-free under the
  // lockless policy. Nothing is counted: the id is good for as long as whoever gave the number holds
  // a lookup count.
  virtual NodeId id_of_number(std::uint64_t number) noexcept = 0;

  // As lookup, but nothing is counted: the id may be dead when the call returns.
  virtual Result<Entry> peek(Worker& me, NodeId dir, NameRef name) = 0;
  // Resolves `path` (components divided by '/') from `start` for `cred`: search permission in
  // every directory, symbolic links followed (the last one only if `follow`), ".." never above
  // the root, absolute links from the root. Nothing is counted. ELOOP after 40 links.
  virtual Result<Entry> walk(Worker& me, NodeId start, std::string_view path, const Cred& cred,
                             bool follow) = 0;

  // `file`, if any, is an open file of the inode; it is used when the store has to be asked.
  virtual Result<Attr> getattr(Worker& me, NodeId id, File* file) = 0;
  // Type and permission bits: as getattr, but answered from the cache also while only size and times
  // are not known, as between two writes. Not counted as a request.
  virtual Result<std::uint32_t> mode(Worker& me, NodeId id, File* file) = 0;
  // The attributes if they are cached; true then. Not counted as a request.
  virtual bool peek_attr(NodeId id, Attr& attr) = 0;
  virtual Result<std::string> readlink(Worker& me, NodeId id) = 0;
  virtual Status access(Worker& me, NodeId id, const Cred& cred, int mask) = 0;
  // As Store::getxattr. That a capability, an access control list or a label (absence.h) is not there is
  // answered from the cache. So whoever sets one, or what stands for it, does it in a Change of kWalk.
  virtual Result<std::size_t> getxattr(Worker& me, NodeId id, const char* name,
                                       std::span<std::byte> into) = 0;

  // --- Changes. Those that return an Entry count one lookup.

  virtual Result<Entry> mknod(Worker& me, NodeId dir, NameRef name, std::uint32_t mode,
                              std::uint64_t rdev, const Cred& cred) = 0;
  virtual Result<Entry> mkdir(Worker& me, NodeId dir, NameRef name, std::uint32_t mode,
                              const Cred& cred) = 0;
  virtual Result<Entry> symlink(Worker& me, NodeId dir, NameRef name, const char* target,
                                const Cred& cred) = 0;
  virtual Result<Entry> link(Worker& me, NodeId id, NodeId new_dir, NameRef new_name) = 0;
  virtual Result<Opened> create(Worker& me, NodeId dir, NameRef name, std::uint32_t mode, int flags,
                                const Cred& cred) = 0;
  virtual Result<Opened> tmpfile(Worker& me, NodeId dir, std::uint32_t mode, int flags,
                                 const Cred& cred) = 0;
  virtual Status unlink(Worker& me, NodeId dir, NameRef name) = 0;
  virtual Status rmdir(Worker& me, NodeId dir, NameRef name) = 0;
  virtual Status rename(Worker& me, NodeId dir, NameRef name, NodeId new_dir, NameRef new_name,
                        RenameMode mode, const Cred& cred) = 0;
  virtual Result<Attr> setattr(Worker& me, NodeId id, const SetAttr& change, File* file) = 0;
  virtual Result<std::unique_ptr<File>> open(Worker& me, NodeId id, int flags) = 0;
  // Whether the content is that of the last call for this inode, by size and times. `now`: what the
  // store says at this moment; null when that does not tell the content, and the next call will be
  // answered with false as well. False too when the inode is gone.
  virtual bool same_content(NodeId id, const Attr* now) noexcept = 0;

  // --- Everything else reaches the store through a Pin or a Change.

  // Keeps an inode's slot and node while it lives, without counting a lookup.
  class Pin {
   public:
    Pin() noexcept = default;
    Pin(Cache& cache, NodeId id, const Node& node) noexcept
        : cache_(&cache), id_(id), node_(node) {}
    Pin(Pin&& other) noexcept : cache_(other.cache_), id_(other.id_), node_(other.node_) {
      other.cache_ = nullptr;
    }
    Pin& operator=(Pin&& other) noexcept {
      std::swap(cache_, other.cache_);
      std::swap(id_, other.id_);
      std::swap(node_, other.node_);
      return *this;
    }
    ~Pin() {
      if (cache_ != nullptr) cache_->unpin(id_);
    }
    const Node& node() const noexcept { return node_; }
    NodeId id() const noexcept { return id_; }

   private:
    Cache* cache_ = nullptr;
    NodeId id_;
    Node node_;
  };
  virtual Result<Pin> pin(NodeId id) = 0;

  // An open write section of one inode: nothing is served from the cache for the fields it
  // covers until it ends, and afterwards only what was read later. Open it before the system
  // call that changes the object (write, fallocate, setxattr, ...) and let it end after that.
  // Several may be open on one inode at once. It pins the inode.
  class Change {
   public:
    Change(Cache& cache, Pin pin, Fields fields) noexcept
        : cache_(&cache), pin_(std::move(pin)), fields_(fields) {}
    Change(Change&& other) noexcept
        : cache_(other.cache_), pin_(std::move(other.pin_)), fields_(other.fields_) {
      other.cache_ = nullptr;
    }
    Change& operator=(Change&&) = delete;
    ~Change() {
      if (cache_ != nullptr) cache_->end_change(pin_.id(), fields_, nullptr, 0);
    }
    const Node& node() const noexcept { return pin_.node(); }

    // Ends the section with what the store said after the change. It is cached, until tick
    // `until` (taken before the store was told), if no other section overlapped with this one.
    void end_with(const Attr& now, std::uint64_t until) noexcept {
      std::exchange(cache_, nullptr)->end_change(pin_.id(), fields_, &now, until);
    }

   private:
    Cache* cache_;
    Pin pin_;
    Fields fields_;
  };
  virtual Result<Change> begin_change(NodeId id, Fields fields) = 0;

  // While one lives, somebody may read the object, or read and write it, without this cache being told:
  // the kernel, where it has been given the store's file (passthrough). With kWrites, which is by calls, and
  // kMaps, which is also by mappings, no attributes are served meanwhile; with kReads none that a read would
  // change, which is the access time. Any number at once. It pins the inode.
  enum class Unseen : std::uint8_t { kReads, kWrites, kMaps };
  class Bypass {
   public:
    Bypass(Cache& cache, Pin pin, Unseen what) noexcept
        : cache_(&cache), pin_(std::move(pin)), what_(what) {}
    Bypass(Bypass&& other) noexcept
        : cache_(other.cache_), pin_(std::move(other.pin_)), what_(other.what_) {
      other.cache_ = nullptr;
    }
    Bypass& operator=(Bypass&&) = delete;
    ~Bypass() {
      if (cache_ != nullptr) cache_->end_bypass(pin_.id(), what_);
    }

   private:
    Cache* cache_;
    Pin pin_;
    Unseen what_;
  };
  // Errors: those of pin(); EMFILE if there are 8191 who write, or 65535 who read.
  virtual Result<Bypass> begin_bypass(NodeId id, Unseen what) = 0;
  // Whether a Bypass with kWrites or kMaps is alive at this moment; and whether one with kMaps was since
  // there was none of both, or hide_writes() called. REQUIRES: the inode is counted or pinned.
  virtual bool writes_unseen(NodeId id) const noexcept = 0;
  virtual bool maps_unseen(NodeId id) const noexcept = 0;
  // Whether one with kMaps has been. Who has closed the file may have kept a mapping, of whose writes nobody is
  // told: attributes are served for no longer than those of what nobody tells of.
  virtual bool was_mapped(NodeId id) const noexcept = 0;
  // Whether one with kWrites or kMaps has been; of an inode that was forgotten it may be anything.
  virtual bool was_written(NodeId id) const noexcept = 0;
  // Who tells of what others do will not tell of writes, until there is no Bypass with kWrites or kMaps: that
  // is as if one of them had kMaps. REQUIRES: there is one.
  virtual void hide_writes(NodeId id) noexcept = 0;

  // --- Listings of directories (listing.h).

  // To be called before the directory is opened on the store, since some list what was there then.
  virtual ListingUnderWay begin_listing(NodeId dir) = 0;
  // Keeps what was listed under a lease, if nothing has happened to the directory since.
  virtual void keep_listing(const ListingLease& lease, std::shared_ptr<const Listing> listing) = 0;
  // The names of a directory at this moment, as the store would list them. Null: they are not kept.
  virtual std::shared_ptr<const Listing> kept_listing(NodeId dir) = 0;

  // --- Knowing all names of a directory.

  // A listing that looks whether each name it meets has a dentry. If all have, a name without one is not there,
  // and is answered so without the store as long as nothing else becomes known. To be begun before the
  // directory is opened on the store, since some sources list what was there then, and ended when all of
  // it was read. One that is not ended costs nothing. Where all names are known already it is of no use from
  // the start, and does not renew for how long they are.
  struct RollCall {
    NodeId dir;
    Stamp content = 1;  // Odd: it cannot lead to anything.
    std::uint64_t until = 0;
    bool is_of_use() const noexcept { return stamp_is_stable(content); }
  };
  virtual RollCall begin_roll_call(NodeId dir) = 0;
  // Whether the name leads somewhere, by a dentry. REQUIRES: the directory is counted or pinned.
  virtual bool has_name(NodeId dir, NameRef name) = 0;
  // REQUIRES: has_name() of each name, after the beginning. `lease`, of the same listing, is moved on past what
  // this does to the directory's count.
  virtual void end_roll_call(Worker& me, const RollCall& call, ListingLease& lease) = 0;

  // --- Keeping up with the world.

  // Forgets the attributes of `id`, or the dentry of a name, without changing anything; both forget also that
  // all names of the directory are known. Answers that are under way are not cached. Neither waits for a
  // change that is under way.
  virtual void invalidate(NodeId id) = 0;
  virtual void invalidate_name(Worker& me, NodeId dir, NameRef name) = 0;
  // As invalidate(), by a durable number, or by 1 for the root, and whether or not the object has an inode:
  // what somebody is just told of it, to enter it, is not served either. The id of its inode; none if it
  // has none.
  virtual NodeId invalidate_number(std::uint64_t number) = 0;
  // Forgets everything that the store has said up to now, in one step: nothing that was cached, or was asked
  // for, before this call began is served to a call that starts after it. REQUIRES: a finite ttl_ticks.
  virtual void invalidate_all() noexcept = 0;
  // Whether the inode of a number has a lookup count: the kernel knows it, or is just being told, or is
  // about to forget it.
  virtual bool is_counted(std::uint64_t number) noexcept = 0;
  // The number of the first inode with a lookup count in slot `at` or behind; `at` becomes the slot after it.
  // 0: there is none. The root is not counted.
  virtual std::uint64_t next_counted(std::uint32_t& at) noexcept = 0;
  // --- Memory.

  // `tell` is called, by whoever needs a slot, when little can be evicted because the kernel holds the rest.
  // It must not wait for anybody. REQUIRES: nobody else uses the cache yet.
  virtual void on_shortage(std::function<void()> tell) = 0;
  // The numbers of inodes that the kernel should be asked to give back; how many. 0: none are wanted now, or
  // there are none. By one thread. See prune.h.
  virtual std::size_t choose_to_prune(std::span<std::uint64_t> numbers) noexcept = 0;
  // The kernel cannot be asked: `tell` is not called any more.
  virtual void cannot_prune() noexcept = 0;

  // --- Time.

  // Sets the cache's clock, in ticks; it must never go back. One caller at a time.
  virtual void set_tick(std::uint64_t tick) noexcept = 0;
  // Does what others leave for later: frees the slots and nodes of what was removed, moves the
  // arena to huge pages as it grows. To be called a few times a second, by one thread.
  virtual void housekeep(Worker& me) = 0;
  // Frees all that can be freed: unreferenced dentries and inodes.
  virtual void drop_unused(Worker& me) = 0;

  virtual CacheStats stats() const = 0;
  virtual Locking locking() const noexcept = 0;
  virtual Store& store() noexcept = 0;

 protected:
  friend class Pin;
  friend class Change;
  friend class Bypass;
  virtual void unpin(NodeId id) noexcept = 0;
  virtual void end_change(NodeId id, Fields fields, const Attr* now,
                          std::uint64_t until) noexcept = 0;
  virtual void end_bypass(NodeId id, Unseen what) noexcept = 0;
};

// Errors: ENOMEM, EINVAL for options out of range, and those of Store::root().
Result<std::unique_ptr<Cache>> make_cache(Locking locking, Store& store,
                                          const CacheOptions& options);

}  // namespace evenfs
