// SPDX-License-Identifier: LGPL-2.1-or-later
// BasicCache<Policy>: the cache of cache.h over one locking policy. This file is the table of
// contents; what answers is in fast_path.h, answer.h and walk.h, what changes in change.h, slots,
// pins and counts in lifetime.h, what knows all names of a directory, and keeps its listing, in
// roll_call.h, what others change in outside.h.
#pragma once

#include <mutex>

#include "core/cache/eviction.h"
#include "core/cache/fast_path.h"

namespace evenfs {

template <LockingPolicy Policy>
class BasicCache final : public Cache {
 public:
  static Result<std::unique_ptr<BasicCache>> create(Store& store, const CacheOptions& options);
  ~BasicCache() override;

  Result<Entry> lookup(Worker& me, NodeId dir, NameRef name) override;
  Result<Entry> lookup_parent(Worker& me, NodeId dir) override;
  Result<Entry> lookup_anew(Worker& me, NodeId dir, NameRef name) override;
  Result<Entry> lookup_number(Worker& me, std::uint64_t number) override;
  std::uint64_t number_of(NodeId id) const noexcept override;
  std::uint64_t device_of(NodeId id) const noexcept override {
    return core_.slots.inode(id.index()).dev.load(std::memory_order_relaxed);
  }
  NodeId id_of_number(std::uint64_t number) noexcept override {
    return Identity::is_durable(number) ? inodes_.find_durable(number) : NodeId(number);
  }
  void forget(Worker& me, NodeId id, std::uint64_t n) override;
  Result<Entry> peek(Worker& me, NodeId dir, NameRef name) override;
  Result<Entry> walk(Worker& me, NodeId start, std::string_view path, const Cred& cred,
                     bool follow) override;
  Result<Attr> getattr(Worker& me, NodeId id, File* file) override;
  Result<std::uint32_t> mode(Worker& me, NodeId id, File* file) override;
  bool peek_attr(NodeId id, Attr& attr) override {
    return fast_.getattr(id, attr) == Outcome::kHit;
  }
  Result<std::string> readlink(Worker& me, NodeId id) override;
  Status access(Worker& me, NodeId id, const Cred& cred, int mask) override;
  Result<std::size_t> getxattr(Worker& me, NodeId id, const char* name,
                               std::span<std::byte> into) override;

  Result<Entry> mknod(Worker& me, NodeId dir, NameRef name, std::uint32_t mode, std::uint64_t rdev,
                      const Cred& cred) override;
  Result<Entry> mkdir(Worker& me, NodeId dir, NameRef name, std::uint32_t mode,
                      const Cred& cred) override;
  Result<Entry> symlink(Worker& me, NodeId dir, NameRef name, const char* target,
                        const Cred& cred) override;
  Result<Entry> link(Worker& me, NodeId id, NodeId new_dir, NameRef new_name) override;
  Result<Opened> create(Worker& me, NodeId dir, NameRef name, std::uint32_t mode, int flags,
                        const Cred& cred) override;
  Result<Opened> tmpfile(Worker& me, NodeId dir, std::uint32_t mode, int flags,
                         const Cred& cred) override;
  Status unlink(Worker& me, NodeId dir, NameRef name) override;
  Status rmdir(Worker& me, NodeId dir, NameRef name) override;
  Status rename(Worker& me, NodeId dir, NameRef name, NodeId new_dir, NameRef new_name,
                RenameMode mode, const Cred& cred) override;
  Result<Attr> setattr(Worker& me, NodeId id, const SetAttr& change, File* file) override;
  Result<std::unique_ptr<File>> open(Worker& me, NodeId id, int flags) override;

  bool same_content(NodeId id, const Attr* now) noexcept override;
  Result<Pin> pin(NodeId id) override;
  Result<Change> begin_change(NodeId id, Fields fields) override;
  Result<Bypass> begin_bypass(NodeId id, Unseen what) override;
  void hide_writes(NodeId id) noexcept override;
  bool writes_unseen(NodeId id) const noexcept override {
    return (unseen_writers(id) & kUnseenMax) != 0;
  }
  bool maps_unseen(NodeId id) const noexcept override {
    return (unseen_writers(id) & kUnseenMap) != 0;
  }
  bool was_mapped(NodeId id) const noexcept override {
    return (unseen_writers(id) & kOnceMapped) != 0;
  }
  bool was_written(NodeId id) const noexcept override {
    return (unseen_writers(id) & kOnceWritten) != 0;
  }
  ListingUnderWay begin_listing(NodeId dir) override;
  void keep_listing(const ListingLease& lease, std::shared_ptr<const Listing> listing) override;
  std::shared_ptr<const Listing> kept_listing(NodeId dir) override;
  void invalidate(NodeId id) override;
  void invalidate_name(Worker& me, NodeId dir, NameRef name) override;
  RollCall begin_roll_call(NodeId dir) override;
  bool has_name(NodeId dir, NameRef name) override { return dentries_.has(dir.index(), name); }
  void end_roll_call(Worker& me, const RollCall& call, ListingLease& lease) override;
  NodeId invalidate_number(std::uint64_t number) override;
  void invalidate_all() noexcept override { core_.clock.expire_all(core_.ttl_ticks); }
  bool is_counted(std::uint64_t number) noexcept override;
  std::uint64_t next_counted(std::uint32_t& at) noexcept override;
  void on_shortage(std::function<void()> tell) override { pruning_.on_shortage(std::move(tell)); }
  std::size_t choose_to_prune(std::span<std::uint64_t> numbers) noexcept override {
    return pruning_.choose(numbers);
  }
  void cannot_prune() noexcept override { pruning_.give_up(); }
  void set_tick(std::uint64_t tick) noexcept override { core_.clock.set(tick); }
  void housekeep(Worker& me) override;
  void drop_unused(Worker& me) override { evictor_.drop_unused(me); }
  CacheStats stats() const override;
  Locking locking() const noexcept override { return Policy::kLocking; }
  Store& store() noexcept override { return core_.store; }

  const Slots& slots_for_test() const noexcept { return core_.slots; }

  // The lock-free paths themselves, for in-process users who go elsewhere on a fallback.
  Outcome try_getattr(NodeId id, Attr& attr) noexcept { return fast_.getattr(id, attr); }
  Outcome try_lacks(NodeId id, std::uint64_t absence) noexcept { return fast_.lacks(id, absence); }
  Outcome try_lookup(NodeId dir, NameRef name, Count count, Entry& entry) noexcept {
    return fast_.lookup(dir, name, count, entry);
  }
  Outcome try_walk(NodeId start, std::string_view path, const Cred& cred, bool follow, Entry& entry,
                   int& error);

 protected:
  void unpin(NodeId id) noexcept override { drop_refs(id.index(), kPinUnit); }
  void end_change(NodeId id, Fields fields, const Attr* now, std::uint64_t until) noexcept override;
  void end_bypass(NodeId id, Unseen what) noexcept override;

 private:
  class DirChange;
  class Counted;
  static constexpr int kCreateTries = 4;
  static constexpr std::uint64_t kListingShare =
      16;  // One part of the memory in so many is for listings.
  std::uint16_t unseen_writers(NodeId id) const noexcept {
    return core_.slots.inode_priv(id.index()).unseen_writers.load(std::memory_order_relaxed);
  }

  BasicCache(Store& store, std::unique_ptr<Slots> slots, const CacheOptions& options);

  // --- answer.h
  Result<Entry> answer_lookup(Worker& me, NodeId dir, NameRef name, Count count);
  // A lookup that the lock-free path left. Adds `lookups` to the inode's count.
  Result<Entry> ask_lookup(Worker& me, NodeId dir, NameRef name, std::uint64_t lookups);
  // The inode of a name, pinned, whether it is cached or not, and until when that may be believed.
  struct Resolved {
    Pin pin;
    std::uint64_t until;
  };
  // With `attr` the store is asked in any case, and tells the attributes too. With `hold` it is then asked for
  // what keeps the object in being.
  Result<Resolved> resolve(Worker& me, const Pin& dir, NameRef name, Attr* attr,
                           std::unique_ptr<File>* hold = nullptr);
  Result<Found> ask_for_name(const Node& dir, NameRef name, std::unique_ptr<File>* hold);
  // The inode of a name, pinned, and its attributes: from the cache or the store.
  Result<Pin> find_child(Worker& me, const Pin& dir, NameRef name, Attr& attr);
  // The inode of `found`, whose node this takes, with `refs` added.
  // `empty`: see InodeBirth::finish.
  Result<NodeId> adopt(Worker& me, const Found& found, typename InodeTable<Policy>::Ticket ticket,
                       std::uint64_t until, std::uint64_t refs, bool empty = false);
  // `lease`: as DentryTable::insert's `content`. True: the name has a dentry, or had one.
  bool cache_name(Worker& me, NodeId dir, NameRef name, NodeId child, Stamp lease,
                  std::uint64_t until);
  void cache_negative(Worker& me, NodeId dir, NameRef name, Stamp lease, std::uint64_t until);
  // Asks the store and caches what it says.
  Result<Attr> ask_getattr(Worker& me, const Pin& held, File* file);
  Result<Attr> attr_of(Worker& me, const Pin& held);
  Result<Entry> lookup_self(Worker& me, NodeId id);
  // Caches what the store said, unless aseq is no longer `before`.
  bool publish(NodeId id, const Attr& attr, Stamp before, std::uint64_t until);
  // Notes that the store has said so, unless nseq is no longer `before`: false then.
  bool note_absence(NodeId id, std::uint64_t absence, Stamp before, std::uint64_t until);
  void remember_link(NodeId id, std::string_view target);

  // --- change.h
  template <class Make>
  Result<Entry> make_node(Worker& me, NodeId dir, NameRef name, Make make);
  template <class Make>
  Result<Entry> make_node_in(Worker& me, const Pin& parent, NameRef name, bool empty, Make make);
  template <class Remove>
  Status remove(Worker& me, NodeId dir, NameRef name, Fields fields, Remove call);
  void kill_name(Worker& me, NodeId dir, NameRef name);
  struct Renamed {
    Resolved child;
    std::unique_ptr<Orphan> held;  // Null unless it is to lose the name, and the store can keep it.
    bool last_name;                // It has no other, as far as was known a moment ago.
  };
  // As resolve(), for a name that is about to be renamed, or, if it `goes`, to be removed.
  Result<Renamed> resolve_to_change(Worker& me, const Pin& dir, NameRef name, bool goes);
  Result<Opened> make_or_open(Worker& me, NodeId dir, NameRef name, std::uint32_t mode, int flags,
                              const Cred& cred);
  Result<std::unique_ptr<File>> open_for(Worker& me, NodeId id, int flags, const Cred& cred);
  void set_parent(NodeId child, NodeId parent);

  // --- walk.h
  Result<Entry> locked_walk(Worker& me, NodeId start, std::string_view path, const Cred& cred,
                            bool follow);
  Status may_search(Worker& me, const Pin& dir, const Cred& cred);

  // --- roll_call.h
  // What others have done to a name ends what is cached of it, and what is known of the directory's names.
  void outdate_name(Worker& me, NodeId dir, NameRef name);
  // Whether a listing of the directory, on the store, shows each name that a lookup finds.
  bool lists_all(const Pin& dir);

  // --- lifetime.h
  std::uint32_t take_inode_slot(Worker& me);   // 0: none.
  std::uint32_t take_dentry_slot(Worker& me);  // 0: none.
  Pin pinned(std::uint32_t index) noexcept;
  void drop_refs(std::uint32_t index, std::uint64_t refs) noexcept;
  // False: more than there is.
  bool give_back(NodeId id, std::uint64_t n, std::unique_ptr<Orphan>& forgotten) noexcept;
  // For an inode that has lost its last name, when the kernel has yet to forget it. False: it is not kept, and
  // `orphan` is as it was.
  bool keep_orphan(std::unique_ptr<Orphan>& orphan) noexcept;
  void end_nameless(Change& change, Renamed& lost, std::uint64_t until);
  // Whether nothing has happened to the directory since.
  bool holds(const ListingLease& lease) noexcept;
  NodeId id_of(std::uint32_t index) const noexcept {
    return NodeId(index, core_.slots.inode(index).generation.load(std::memory_order_relaxed));
  }

  Core<Policy> core_;
  DentryTable<Policy> dentries_;
  InodeTable<Policy> inodes_;
  Reclaimer<Policy> reclaimer_;
  Pruning<Policy> pruning_;
  Evictor<Policy> evictor_;
  FastPath<Policy> fast_;
  ListingBudget listing_budget_;
  ListingTable listings_;
};

}  // namespace evenfs

#include "core/cache/answer.h"
#include "core/cache/change.h"
#include "core/cache/lifetime.h"
#include "core/cache/outside.h"
#include "core/cache/roll_call.h"
#include "core/cache/walk.h"
