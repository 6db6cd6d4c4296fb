// SPDX-License-Identifier: LGPL-2.1-or-later
// Torture: everything at once, in an arena so small that slots change hands all the time, with counts that
// begin just below 2^32 or 2^63. Three threads change things, two ask in this process, one process asks
// from outside and is stopped and continued at any moment. Whatever is answered is held against the oracle.
//
// EVENFS_SEED repeats a run's choices (not its interleaving); EVENFS_TORTURE_SECONDS makes it longer.
#include <sys/mman.h>

#include <chrono>
#include <functional>
#include <new>
#include <vector>

#include "tests/torture/mutators.h"
#include "tests/torture/outside_reader.h"

namespace evenfs::test {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

// Shared with the reader outside.
struct SharedOracle {
  SharedOracle()
      : at(new (::mmap(nullptr, sizeof(Oracle), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) Oracle) {}
  ~SharedOracle() { ::munmap(at, sizeof *at); }
  SharedOracle(const SharedOracle&) = delete;
  SharedOracle& operator=(const SharedOracle&) = delete;
  Oracle* at;
};

// The walk as it is, and its lock-free half alone.
template <class Policy>
struct FullLook {
  static constexpr bool kOneInstant = false;
  std::optional<Seen> walk(NodeId start, std::string_view path, const Cred& cred) {
    const auto entry = w.cache->walk(me, start, path, cred, true);
    return entry ? Seen{0, entry->attr} : Seen{code(entry), {}};
  }
  World<Policy>& w;
  Worker& me;
};
template <class Policy>
struct FastLook {
  static constexpr bool kOneInstant = true;
  std::optional<Seen> walk(NodeId start, std::string_view path, const Cred& cred) {
    Entry entry;
    Seen seen;
    if (w.cache->try_walk(start, path, cred, true, entry, seen.error) != Outcome::kHit) {
      return std::nullopt;
    }
    seen.attr = entry.attr;
    return seen;
  }
  World<Policy>& w;
};

template <class Policy>
class Run {
 public:
  Run(std::uint64_t seed, std::uint64_t ttl)
      : seed_(seed), w_(options(seed, ttl), behind()), mutators_(w_, oracle_) {}

  void go() {
    OutsideReader outside(w_.cache->slots_for_test().fd(), oracle_, seed_ + 100);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 5; ++i) {
      threads.emplace_back([this, i] { work(i); });
    }
    steer(outside);
    oracle_.stop.store(true);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(outside.join(), 0);
    EXPECT_EQ(oracle_.wrong.load(), 0U) << oracle_.first_wrong;
    expect_tortured();
    expect_consistent();
  }

 private:
  static CacheOptions options(std::uint64_t seed, std::uint64_t ttl) {
    CacheOptions options = small_cache();
    options.slots_max = 48;
    options.ttl_ticks = ttl;
    options.seq_start =
        ((seed % 2 == 0 ? std::uint64_t{1} << 32 : std::uint64_t{1} << 63) - 64) / 2;
    return options;
  }
  static MemoryStore::Options behind() {
    MemoryStore::Options options;
    options.reuse_inode_numbers = true;
    options.has_acls = true;
    return options;
  }

  void work(unsigned which) {
    Worker me(w_.registry);
    std::mt19937_64 random(seed_ + which);
    const Yields yields(seed_ + which);
    FullLook<Policy> full_look{w_, me};
    FastLook<Policy> fast_look{w_};
    Checks<FullLook<Policy>> full(oracle_, full_look, seed_ + 10 + which);
    Checks<FastLook<Policy>> fast(oracle_, fast_look, seed_ + 20 + which);
    std::vector<Known> known;
    while (!oracle_.stop.load()) {
      if (which == 0) {
        mutators_.change_tokens(me, random);
      } else if (which == 1) {
        mutators_.change_places(me, random);
      } else if (which == 2) {
        mutators_.come_and_go(me, random);
      } else if (which == 3) {
        if (!fast.ask()) (void)full.ask();
      } else {
        (void)full.ask();
        as_the_kernel_does(me, full, known);
        if (random() % 16 == 0) mutators_.list(me, random);
      }
      if (which < 3) changes_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  // An id that was told, and what it is an id of.
  struct Known {
    NodeId id;
    unsigned mode;
  };

  // LOOKUP, GETATTR, FORGET; and a GETATTR of what was forgotten long ago.
  template <class Asker>
  void as_the_kernel_does(Worker& me, Asker& asker, std::vector<Known>& known) {
    const bool token = asker.pick(2) == 0;
    const unsigned i = asker.pick(token ? kTokens : kChurned);
    const NodeId dir = token ? mutators_.home(asker.pick(kHomes)) : mutators_.churn();
    const unsigned mode = (token ? kTokenMode : kChurnedMode) | i;
    const std::string name = token ? token_name(i) : churned_name(i);
    const auto entry = w_.cache->lookup(me, dir, name_of(name));
    if (entry) {
      const auto attr = w_.cache->getattr(me, entry->id, nullptr);
      if (!attr || (attr->mode & 0777U) != mode || (entry->attr.mode & 0777U) != mode) {
        oracle_.report("%s: its id is no longer its own (%d)", name.c_str(), code(attr));
      }
      w_.cache->forget(me, entry->id, 1);
      known.push_back({entry->id, mode});
    } else if (code(entry) != ENOENT && code(entry) != ENOMEM) {
      oracle_.report("lookup of %s: error %d", name.c_str(), code(entry));
    }
    if (known.empty()) return;
    const Known& old = known[asker.pick(static_cast<unsigned>(known.size()))];
    const auto attr = w_.cache->getattr(me, old.id, nullptr);
    if (attr ? (attr->mode & 0777U) != old.mode : code(attr) != ESTALE) {
      oracle_.report("an old id: mode %o, error %d", attr ? attr->mode & 0777U : 0U, code(attr));
    }
    if (known.size() > 256) known.erase(known.begin(), known.begin() + 128);
  }

  // Until there was enough of everything, or time is up. Meanwhile the reader outside is stopped for some
  // changes, and runs for some.
  void steer(const OutsideReader& outside) {
    constexpr auto kAtMost = std::chrono::seconds(60);
    const auto begin = Clock::now();
    const auto at_least = std::chrono::seconds(number_from("EVENFS_TORTURE_SECONDS", 2));
    std::uint64_t tick = 0;
    bool stopped = false;
    std::uint64_t turn = 0;
    while (oracle_.wrong.load() == 0) {
      const auto gone = Clock::now() - begin;
      if (gone > at_least && (missing().empty() || gone > at_least + kAtMost)) return;
      w_.cache->set_tick(++tick / 64);
      std::this_thread::yield();
      if (changes_.load(std::memory_order_relaxed) < turn) continue;
      stopped = !stopped;
      outside.signal(stopped ? SIGSTOP : SIGCONT);
      turn = changes_.load(std::memory_order_relaxed) + 50;
    }
  }

  // What has to have happened and has not.
  std::string missing() const {
    std::vector<Counter> wanted = {Counter::kDentryKilled,       Counter::kDentryEvicted,
                                   Counter::kInodeReclaimed,     Counter::kDentryInserted,
                                   Counter::kNegativeInserted,   Counter::kFillPublished,
                                   Counter::kFillLost,           Counter::kWalkHit,
                                   Counter::kLookupHit,          Counter::kGetattrHit,
                                   Counter::kLookupComplete,     Counter::kNamesComplete,
                                   Counter::kFallMiss,           Counter::kFallAttrInvalid,
                                   Counter::kFallStaleId,        Counter::kFallAclUnknown,
                                   Counter::kFallSymlinkUncached};
    // Locks keep these out of the other policies, and want of luck out of builds without pause points.
    if (Yields::kInEffect && Policy::kLocking == Locking::kLockless) {
      wanted.insert(wanted.end(), {Counter::kFallInodeBusy, Counter::kFallInodeChanged,
                                   Counter::kInodeRevived, Counter::kDentryLeaseLost});
    }
    std::string none;
    for (const Counter counter : wanted) {
      if (w_.count(counter) > 0) continue;
      none += kCounterInfo[static_cast<std::size_t>(counter)].name;
      none += " ";
    }
    if (oracle_.outside_answers.load() < 100) none += "answers outside ";
    if (oracle_.moves[0].state() < 10 || oracle_.exchange.state() < 10) none += "renames ";
    return none;
  }

  void expect_tortured() const {
    EXPECT_EQ(missing(), "");
    std::printf(
        "seed %llu: %llu changes, %llu inodes reclaimed, %llu dentries evicted, %llu walks "
        "without a lock, %llu with; outside %llu answers, %llu times none\n",
        static_cast<unsigned long long>(seed_), total(changes_.load()),
        total(w_.count(Counter::kInodeReclaimed)), total(w_.count(Counter::kDentryEvicted)),
        total(w_.count(Counter::kWalkHit)), total(w_.count(Counter::kWalkLocked)),
        total(oracle_.outside_answers.load()), total(oracle_.outside_turned_away.load()));
  }
  static unsigned long long total(std::uint64_t n) { return n; }

  // S1, L4: whoever is free is odd. And nothing is left that the kernel does not hold.
  void expect_consistent() {
    mutators_.forget_all();
    w_.expect_nothing_left();
    const Slots& slots = w_.cache->slots_for_test();
    for (std::uint32_t i = 1; i < slots.inode_bound(); ++i) {
      const bool free = slots.inode_priv(i).state == SlotState::kFree;
      const InodePub& pub = slots.inode(i);
      for (const Seqcount* count : {&pub.nseq, &pub.aseq, &pub.cseq}) {
        EXPECT_EQ(stamp_is_stable(count->sample()), !free) << i;
        EXPECT_GE(count->sample(), 2 * options(seed_, 0).seq_start);
      }
    }
    for (std::uint32_t i = 1; i < slots.dentry_bound(); ++i) {
      EXPECT_FALSE(stamp_is_stable(slots.dentry(i).seq.sample())) << i;
    }
  }

  const std::uint64_t seed_;
  SharedOracle shared_;
  Oracle& oracle_ = *shared_.at;
  World<Policy> w_;
  Mutators<Policy> mutators_;
  std::atomic<std::uint64_t> changes_{0};
};

template <class Policy>
class Torture : public CacheTest<Policy> {};
TYPED_TEST_SUITE(Torture, AllPolicies, PolicyNames);

TYPED_TEST(Torture, EverythingAtOnce) {
  const std::uint64_t seed = number_from("EVENFS_SEED", 20260701);
  Run<TypeParam>(seed, kForeverTicks).go();
}

// What is cached ends after two ticks, so everything is confirmed all the time.
TYPED_TEST(Torture, EverythingAtOnceWithATimeLimit) {
  const std::uint64_t seed = number_from("EVENFS_SEED", 20260702);
  Run<TypeParam>(seed, 2).go();
}

}  // namespace
}  // namespace evenfs::test
