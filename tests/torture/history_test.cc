// SPDX-License-Identifier: LGPL-2.1-or-later
// Histories: four clients change and ask for the same few names, all at once and a few times each, over an
// arena so small that slots change hands; then somebody looks at what is left. What they were told, and when,
// must be what FileTree would have told them in some order (linear.h). Thousands of times, each time from
// what is there.
//
// The oracle of torture knows one writer for each object, and holds each answer against that object's
// history; here everybody changes everything, and all answers are held against each other.
//
// EVENFS_SEED repeats a run's choices (not its interleaving); EVENFS_TORTURE_SECONDS makes it longer.
#include <chrono>
#include <map>
#include <optional>
#include <thread>

#include "tests/torture/clients.h"
#include "tests/torture/stalls.h"

namespace evenfs::test {
namespace {

using Clock = std::chrono::steady_clock;
using Checker = Linear<FileTree>;

constexpr unsigned kAtOnce = FileTree::kClients - 1;  // The last looks at what is left.
constexpr unsigned kEach = 6;                         // Operations of a client.

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

void add_to(std::atomic<std::uint64_t>& count) {
  count.fetch_add(1);
  count.notify_all();
}
void wait_for(const std::atomic<std::uint64_t>& count, std::uint64_t wanted) {
  for (std::uint64_t now = count.load(); now < wanted; now = count.load()) count.wait(now);
}

template <class Policy>
class Run {
 public:
  Run(std::uint64_t seed, std::uint64_t ttl) : seed_(seed), w_(options(ttl), behind()) {
    w_.store.after_each = Stalls::here;
    shared_.tables[0] = kRoot;
    for (unsigned i = 1; i < FileTree::kTables; ++i) {
      const Entry made = w_.mkdir(kRoot, i == 1 ? "A" : "B");
      shared_.tables[i] = made.id;
      shared_.table_inos[i] = made.attr.ino;
    }
  }

  void go() {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kAtOnce; ++i) {
      threads.emplace_back([this, i] { work(i); });
    }
    w_.me.reset();  // This thread's worker is that of `last`.
    std::optional<Client<Policy>> last(std::in_place, *w_.cache, shared_, kAtOnce, seed_);
    const auto begin = Clock::now();
    const auto at_least = std::chrono::seconds(number_from("EVENFS_TORTURE_SECONDS", 2));
    constexpr auto kAtMost = std::chrono::seconds(60);
    while (!::testing::Test::HasFailure()) {
      const auto gone = Clock::now() - begin;
      if (gone > at_least && (missing().empty() || gone > at_least + kAtMost)) break;
      one_history(*last);
    }
    stop_.store(true);
    add_to(round_);
    for (std::thread& thread : threads) thread.join();
    seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
    expect_enough();
    last.reset();
    w_.me.emplace(w_.registry);
    for (unsigned i = 1; i < FileTree::kTables; ++i) w_.forget(shared_.tables[i]);
    w_.expect_nothing_left();
  }

 private:
  static CacheOptions options(std::uint64_t ttl) {
    CacheOptions options = small_cache();
    options.slots_max = 24;
    options.ttl_ticks = ttl;
    return options;
  }
  static MemoryStore::Options behind() {
    MemoryStore::Options options;
    options.before = [](std::string_view) {
      Stalls::here();
      return Status();
    };
    return options;
  }

  // --- The clients' threads: each waits for a round, does its share, and says so.

  void work(unsigned which) {
    Client<Policy> client(*w_.cache, shared_, which, seed_);
    const Stalls stalls(shared_.clock, seed_ + which);
    for (std::uint64_t round = 1;; ++round) {
      wait_for(round_, round);
      if (stop_.load()) break;
      add_to(ready_);
      wait_for(ready_, round * kAtOnce);
      for (unsigned i = 0; i < kEach; ++i) client.act();
      records_[which].swap(client.record);
      client.record.clear();
      totals_[which] = client.totals();
      client.let_go();
      add_to(done_);
    }
  }

  // --- One history.

  void one_history(Client<Policy>& last) {
    std::map<std::uint64_t, std::uint8_t> objects;
    const FileTree::State before = as_it_is(objects);
    const std::uint64_t untold = shared_.untold.load();
    add_to(round_);
    ++rounds_;
    wait_for(done_, rounds_ * kAtOnce);
    last.look_at_everything();
    records_[kAtOnce].swap(last.record);
    last.record.clear();
    if (shared_.untold.load() != untold) return;  // Of what, nobody knows.
    const Checker::History history = in_terms_of(objects);
    count(history);
    const Checker checker(history, before);
    visited_ += checker.visited();
    if (!checker.holds()) ADD_FAILURE() << telling(history, before, checker.reached());
  }

  // What the store says while nobody uses it.
  FileTree::State as_it_is(std::map<std::uint64_t, std::uint8_t>& objects) {
    FileTree::State state;
    Node nodes[FileTree::kTables] = {w_.root_node(), w_.root_node(), w_.root_node()};
    for (std::uint8_t table = 0; table < FileTree::kTables; ++table) {
      for (std::uint8_t name = 0; name < FileTree::kNames; ++name) {
        const auto found = w_.behind(nodes[table], spelled({table, name}).view());
        if (!found) continue;
        auto object = static_cast<std::uint8_t>(objects.size());
        if (table == FileTree::kTop) {
          object = found->attr.ino == shared_.table_inos[1] ? 0 : 1;
          nodes[object + 1U] = found->node;
        }
        object = objects.try_emplace(found->attr.ino, object).first->second;
        state.names[table][name] = object;
        state.objects[object] = object_of(found->attr);
      }
    }
    return state;
  }

  // Numbers objects as they are made. Who was told of one that was never there was told kNone.
  Checker::History in_terms_of(std::map<std::uint64_t, std::uint8_t>& objects) const {
    for (const auto& client : records_) {
      for (const Recorded& did : client) {
        if (did.op.ask != FileTree::Ask::kCreate || did.op.error != 0) continue;
        objects.try_emplace(did.told_ino, static_cast<std::uint8_t>(objects.size()));
      }
    }
    const auto object = [&](std::uint64_t ino) {
      const auto at = objects.find(ino);
      return at == objects.end() ? FileTree::kNone : at->second;
    };
    Checker::History history(FileTree::kClients);
    for (unsigned i = 0; i < FileTree::kClients; ++i) {
      for (const Recorded& did : records_[i]) {
        history[i].push_back(did.op);
        history[i].back().object = object(did.id_ino);
        history[i].back().told = object(did.told_ino);
      }
    }
    return history;
  }

  static std::string telling(const Checker::History& history, const FileTree::State& before,
                             const Checker::Reached& reached) {
    std::map<std::uint64_t, std::string> lines;
    for (std::size_t i = 0; i < history.size(); ++i) {
      for (std::size_t n = 0; n < history[i].size(); ++n) {
        const FileTree::Op& op = history[i][n];
        const char* mark = n < reached.done[i] ? "  " : (n == reached.done[i] ? "->" : " -");
        lines[op.call] = std::string(mark) + " client " + std::to_string(i) + "  [" +
                         std::to_string(op.call) + ", " + std::to_string(op.end) + "]  " +
                         FileTree::text(op);
      }
    }
    std::string out = "no order explains this history. Before it:\n" + FileTree::text(before) +
                      "  and then (-> next, - not reached in the longest attempt):\n";
    for (const auto& [call, line] : lines) out += "  " + line + "\n";
    return out + "  The longest attempt came to:\n" + FileTree::text(reached.state);
  }

  // --- That there was something to find.

  void count(const Checker::History& history) {
    ++histories_;
    std::uint64_t pairs = 0;
    for (unsigned i = 0; i < kAtOnce; ++i) {
      operations_ += history[i].size();
      for (const FileTree::Op& op : history[i]) {
        if (op.at_once && op.ask <= FileTree::Ask::kWalk) ++at_once_;
        for (unsigned j = 0; j < i; ++j) {
          for (const FileTree::Op& other : history[j]) {
            pairs += op.call < other.end && other.call < op.end ? 1 : 0;
          }
        }
      }
    }
    overlapping_pairs_ += pairs;
    overlapping_ += pairs != 0 ? 1 : 0;
  }

  std::uint64_t total(Counter counter) const {
    std::uint64_t sum = 0;
    for (const CounterTotals& totals : totals_) sum += totals[static_cast<std::size_t>(counter)];
    return sum;
  }

  // What has to have happened and has not.
  std::string missing() const {
    std::vector<Counter> wanted = {
        Counter::kDentryKilled,   Counter::kDentryEvicted,    Counter::kInodeReclaimed,
        Counter::kDentryInserted, Counter::kNegativeInserted, Counter::kFillPublished,
        Counter::kLookupHit,      Counter::kLookupNegative,   Counter::kGetattrHit,
        Counter::kWalkHit,        Counter::kWalkLocked,       Counter::kFallMiss,
        Counter::kFallAttrInvalid};
    if (Stalls::kAtPausePoints && Policy::kLocking == Locking::kLockless) {
      wanted.insert(wanted.end(), {Counter::kFallInodeBusy, Counter::kFallInodeChanged,
                                   Counter::kFillLost, Counter::kDentryLeaseLost});
    }
    std::string none;
    for (const Counter counter : wanted) {
      if (total(counter) > 0) continue;
      none += kCounterInfo[static_cast<std::size_t>(counter)].name;
      none += " ";
    }
    if (overlapping_ < 100) none += "overlaps ";
    if (at_once_ < 100) none += "answers at once ";
    return none;
  }

  void expect_enough() const {
    EXPECT_EQ(missing(), "");
    std::printf(
        "seed %llu: %llu histories (%.0f in a second), %llu of them with overlaps, %.1f pairs "
        "each; %llu "
        "operations, %llu names answered at one instant, %llu inodes reclaimed, %llu times no "
        "slot; %.0f "
        "places searched each\n",
        number(seed_), number(histories_), static_cast<double>(histories_) / seconds_,
        number(overlapping_), per_history(overlapping_pairs_), number(operations_),
        number(at_once_), number(total(Counter::kInodeReclaimed)), number(shared_.no_slot.load()),
        per_history(visited_));
  }
  static unsigned long long number(std::uint64_t n) { return n; }
  double per_history(std::uint64_t n) const {
    return static_cast<double>(n) / static_cast<double>(std::max<std::uint64_t>(histories_, 1));
  }

  const std::uint64_t seed_;
  World<Policy> w_;
  Shared shared_;
  std::atomic<std::uint64_t> round_{0};
  std::atomic<std::uint64_t> ready_{0};
  std::atomic<std::uint64_t> done_{0};
  std::atomic<bool> stop_{false};
  // A client's own until it is done, then the main thread's.
  std::vector<Recorded> records_[FileTree::kClients];
  CounterTotals totals_[kAtOnce] = {};
  std::uint64_t rounds_ = 0;
  std::uint64_t histories_ = 0;
  std::uint64_t overlapping_ = 0;
  std::uint64_t overlapping_pairs_ = 0;
  std::uint64_t operations_ = 0;
  std::uint64_t at_once_ = 0;
  std::uint64_t visited_ = 0;
  double seconds_ = 0;
};

template <class Policy>
class History : public CacheTest<Policy> {};
TYPED_TEST_SUITE(History, AllPolicies, PolicyNames);

TYPED_TEST(History, CanBeExplainedByOneOrder) {
  Run<TypeParam>(number_from("EVENFS_SEED", 20260703), kForeverTicks).go();
}

// What is cached ends after two ticks, so everything is confirmed all the time.
TYPED_TEST(History, CanBeExplainedByOneOrderWithATimeLimit) {
  Run<TypeParam>(number_from("EVENFS_SEED", 20260704), 2).go();
}

}  // namespace
}  // namespace evenfs::test
