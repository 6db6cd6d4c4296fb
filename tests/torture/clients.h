// SPDX-License-Identifier: LGPL-2.1-or-later
// Client: a thread that uses a cache at random and keeps a record of what it asked and what it was told, in
// the terms of FileTree. Objects are told apart by their inode numbers, which the store does not use again.
#pragma once

#include <sched.h>

#include <atomic>
#include <random>
#include <vector>

#include "tests/support/cache_fixture.h"
#include "tests/torture/file_tree.h"

namespace evenfs::test {

// The record of one operation, before inode numbers have become objects.
struct Recorded {
  FileTree::Op op;
  std::uint64_t id_ino = 0;    // Of the object whose id was given.
  std::uint64_t told_ino = 0;  // Of the object that was told.
};

// What clients share.
struct Shared {
  NodeId tables[FileTree::kTables];  // Ids of the directories, counted.
  std::uint64_t table_inos[FileTree::kTables] = {};
  // Sequentially consistent: an operation that was over before another was called has the lesser numbers.
  std::atomic<std::uint64_t> clock{0};
  std::atomic<std::uint64_t> no_slot{0};  // Answers that every slot was in use.
  std::atomic<std::uint64_t> untold{0};   // Creates among them: something was made.
  std::uint64_t tick = 0;                 // By the first client.
};

inline constexpr Cred kStranger{.uid = 11, .gid = 21};

inline NameRef spelled(FileTree::Name at) {
  static constexpr const char* kSpelled[2][FileTree::kNames] = {
      {"A", "B", "C"}, {"x", "y", "a name that is longer than what fits into a dentry"}};
  return name_of(kSpelled[at.table == FileTree::kTop ? 0 : 1][at.name]);
}
inline FileTree::Object object_of(const Attr& attr) {
  const auto size = static_cast<std::uint8_t>(S_ISDIR(attr.mode) ? 0 : attr.size);
  return {static_cast<std::uint16_t>(attr.mode & 07777U), size,
          static_cast<std::uint8_t>(attr.nlink)};
}

template <class Policy>
class Client {
 public:
  using Op = FileTree::Op;
  using Ask = FileTree::Ask;
  using Name = FileTree::Name;

  Client(BasicCache<Policy>& cache, Shared& shared, unsigned which, std::uint64_t seed)
      : cache_(cache), shared_(shared), which_(which), random_(seed + which), me_(registry_) {}

  // --- One history.
  std::vector<Recorded> record;

  void act() {
    if (pick(8) == 0) return disturb();
    switch (pick(16)) {
      case 0:
      case 1:
        return lookup(pick(2) == 0, any_name());
      case 2:
        return lookup(true, file_name());
      case 3:
      case 4:
        return walk();
      case 5:
      case 6:
        return getattr();
      case 7:
        return mode();
      case 8:
      case 9:
        return create();
      case 10:
        return link();
      case 11:
        return unlink();
      case 12:
      case 13:
        return rename();
      default:
        return set();
    }
  }
  // Afterwards, by itself: what is left.
  void look_at_everything() {
    for (std::uint8_t table = 0; table < FileTree::kTables; ++table) {
      for (std::uint8_t name = 0; name < FileTree::kNames; ++name) lookup(false, {table, name});
    }
  }
  void let_go() {
    for (const Known& known : held_) cache_.forget(me_, known.id, 1);
    held_.clear();
    dead_.clear();
  }

  CounterTotals totals() const { return registry_.totals(); }

 private:
  static constexpr std::size_t kHeld = 2;
  struct Known {
    NodeId id;
    std::uint64_t ino;
  };

  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }
  Name any_name() { return {small(FileTree::kTables), a_name()}; }
  Name file_name() { return {static_cast<std::uint8_t>(1 + pick(2)), a_name()}; }
  // Half of all are the first.
  std::uint8_t a_name() { return pick(2) == 0 ? std::uint8_t{0} : small(FileTree::kNames); }
  std::uint8_t small(std::uint32_t below) { return static_cast<std::uint8_t>(pick(below)); }
  NodeId table(Name at) const { return shared_.tables[at.table]; }
  // Answers so far that were given without asking the store.
  std::uint64_t hits() const {
    const CounterTotals now = registry_.totals();
    const auto of = [&](Counter counter) { return now[static_cast<std::size_t>(counter)]; };
    return of(Counter::kLookupHit) + of(Counter::kLookupNegative) + of(Counter::kWalkHit);
  }

  // `call` returns the error, and fills in what it was told.
  template <class Call>
  int note(Recorded did, Call call) {
    Op& op = did.op;
    if (pick(8) == 0) ::sched_yield();
    const std::uint64_t before = hits();
    op.call = shared_.clock.fetch_add(1);
    op.error = call(did);
    op.end = shared_.clock.fetch_add(1);
    if (op.ask == Ask::kLookup || op.ask == Ask::kWalk) op.at_once = hits() != before;
    if (op.error == ENOMEM) {
      shared_.no_slot.fetch_add(1);
      if (op.ask == Ask::kCreate) shared_.untold.fetch_add(1);
      return ENOMEM;
    }
    record.push_back(did);
    return op.error;
  }
  static void tell(Recorded& did, const Attr& attr) {
    did.told_ino = attr.ino;
    did.op.attr = object_of(attr);
  }
  static int tell(Recorded& did, const Result<Attr>& attr) {
    if (attr) tell(did, *attr);
    return code(attr);
  }
  static int tell(Recorded& did, const Result<Entry>& entry) {
    if (entry) tell(did, entry->attr);
    return code(entry);
  }

  void hold(const Entry& entry) {
    held_.push_back({entry.id, entry.attr.ino});
    if (held_.size() <= kHeld) return;
    dead_.push_back(held_.front());
    cache_.forget(me_, held_.front().id, 1);
    held_.erase(held_.begin());
  }
  // One whose id is counted: the directories' always are.
  Known held() {
    if (held_.empty() || pick(8) == 0) {
      const std::uint32_t table = 1 + pick(2);
      return {shared_.tables[table], shared_.table_inos[table]};
    }
    return held_[pick(static_cast<std::uint32_t>(held_.size()))];
  }

  void lookup(bool count, Name at) {
    Recorded did;
    did.op.at = at;
    Result<Entry> entry = Errno(ENOENT);
    note(did, [&](Recorded& told) {
      entry = count ? cache_.lookup(me_, table(at), spelled(at))
                    : cache_.peek(me_, table(at), spelled(at));
      return tell(told, entry);
    });
    if (entry && count) hold(*entry);
    if (entry && !count) dead_.push_back({entry->id, entry->attr.ino});
  }
  void walk() {
    Recorded did;
    did.op.ask = Ask::kWalk;
    did.op.at = {FileTree::kTop, a_name()};
    did.op.to = file_name();
    did.op.anybody = pick(2) == 0;
    const std::string path =
        std::string(spelled(did.op.at).view()) + "/" + std::string(spelled(did.op.to).view());
    note(did, [&](Recorded& told) {
      return tell(told, cache_.walk(me_, kRoot, path, did.op.anybody ? kStranger : kSuper, true));
    });
  }
  // ESTALE says nothing of an id that nobody counts.
  void getattr() {
    const bool dead = !dead_.empty() && pick(4) == 0;
    const Known known = dead ? dead_[pick(static_cast<std::uint32_t>(dead_.size()))] : held();
    Recorded did;
    did.op.ask = Ask::kGetattr;
    did.id_ino = known.ino;
    const int error = note(
        did, [&](Recorded& told) { return tell(told, cache_.getattr(me_, known.id, nullptr)); });
    if (dead && error == ESTALE) record.pop_back();
  }
  void mode() {
    const Known known = held();
    Recorded did;
    did.op.ask = Ask::kMode;
    did.id_ino = known.ino;
    note(did, [&](Recorded& told) {
      const Result<std::uint32_t> mode = cache_.mode(me_, known.id, nullptr);
      if (mode) told.op.attr.mode = static_cast<std::uint16_t>(*mode & 07777U);
      return code(mode);
    });
  }
  void create() {
    Recorded did;
    did.op.ask = Ask::kCreate;
    did.op.at = file_name();
    did.op.mode = static_cast<std::uint16_t>(pick(01000));
    Result<Entry> made = Errno(ENOENT);
    note(did, [&](Recorded& told) {
      made =
          cache_.mknod(me_, table(did.op.at), spelled(did.op.at), S_IFREG | did.op.mode, 0, kSuper);
      return tell(told, made);
    });
    if (made) hold(*made);
  }
  void link() {
    if (held_.empty()) return;
    const Known known = held_[pick(static_cast<std::uint32_t>(held_.size()))];
    if (is_table(known)) return;
    Recorded did;
    did.op.ask = Ask::kLink;
    did.op.at = file_name();
    did.id_ino = known.ino;
    Result<Entry> made = Errno(ENOENT);
    note(did, [&](Recorded& told) {
      made = cache_.link(me_, known.id, table(did.op.at), spelled(did.op.at));
      return tell(told, made);
    });
    if (made) cache_.forget(me_, made->id, 1);
  }
  void unlink() {
    Recorded did;
    did.op.ask = Ask::kUnlink;
    did.op.at = file_name();
    note(did,
         [&](Recorded&) { return code(cache_.unlink(me_, table(did.op.at), spelled(did.op.at))); });
  }
  void rename() {
    const bool top = pick(3) == 0;
    Recorded did;
    did.op.ask = Ask::kRename;
    do {
      did.op.at = top ? Name{FileTree::kTop, small(FileTree::kNames)} : file_name();
      did.op.to = top ? Name{FileTree::kTop, small(FileTree::kNames)} : file_name();
    } while (did.op.at == did.op.to);
    static constexpr RenameMode kHow[] = {RenameMode::kExchange, RenameMode::kNoReplace,
                                          RenameMode::kReplace};
    did.op.how = kHow[pick(top ? 2 : 3)];
    note(did, [&](Recorded&) {
      return code(cache_.rename(me_, table(did.op.at), spelled(did.op.at), table(did.op.to),
                                spelled(did.op.to), did.op.how, kSuper));
    });
  }
  void set() {
    const Known known = held();
    SetAttr change;
    Recorded did;
    did.id_ino = known.ino;
    did.op.ask = Ask::kSet;
    const std::uint32_t what = is_table(known) ? 0 : pick(3);  // Both at once show what is torn.
    did.op.sets_mode = what != 1;
    did.op.sets_size = what != 0;
    did.op.mode = static_cast<std::uint16_t>(!is_table(known) ? pick(01000)
                                             : pick(2) == 0   ? 0700
                                                              : 0755);
    did.op.size = small(200);
    if (did.op.sets_mode) change.mode = did.op.mode;
    if (did.op.sets_size) change.size = did.op.size;
    note(did, [&](Recorded& told) {
      return tell(told, cache_.setattr(me_, known.id, change, nullptr));
    });
  }
  bool is_table(const Known& known) const {
    return known.ino == shared_.table_inos[1] || known.ino == shared_.table_inos[2];
  }

  // What changes nothing that can be asked for.
  void disturb() {
    switch (pick(8)) {
      case 0:
        return cache_.drop_unused(me_);
      case 1:
        return cache_.housekeep(me_);
      case 2:
        return cache_.invalidate(held().id);
      case 3:
      case 4: {
        const Name at = any_name();
        return cache_.invalidate_name(me_, table(at), spelled(at));
      }
      case 5:
        return (void)list_names(cache_, me_, held().id);
      default:
        if (which_ == 0) cache_.set_tick(++shared_.tick);
    }
  }

  BasicCache<Policy>& cache_;
  Shared& shared_;
  const unsigned which_;
  std::mt19937_64 random_;
  WorkerRegistry registry_;  // Its own, so that it can tell how it was answered.
  Worker me_;
  std::vector<Known> held_;
  std::vector<Known> dead_;  // Ids that it does not count.
};

}  // namespace evenfs::test
