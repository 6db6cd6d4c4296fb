// SPDX-License-Identifier: LGPL-2.1-or-later
// Linear: whether what several clients were told could have been told if each operation had been done at one
// instant between its call and its return, one after the other (Wing and Gong, 1993).
//
// The search takes, from what each client has not had done yet, one operation that no other was over before it
// was called, does it to a copy of the state, and goes on if it could have been told that. Where it has
// been with the same state and the same operations done it does not go again (Lowe, 2017). A client calls one
// operation after the other, so what is done is a number for each client.
//
// An operation may be done in several steps, in order, each at an instant of its own: that is how an answer
// is described which is put together from what was true at moments within the call.
//
//   Spec::Op      has `call` and `end`, numbers of one clock that all clients share
//   Spec::State   bytes without padding
//   Spec::step(op, n, client, state)   does step n: whether it could be so, and whether it was the last
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <vector>

namespace evenfs::test {

enum class Step : std::uint8_t { kNo, kMore, kDone };

template <class Spec>
class Linear {
 public:
  using Op = typename Spec::Op;
  using State = typename Spec::State;
  using History = std::vector<std::vector<Op>>;  // For each client what it did, in order.
  static_assert(std::has_unique_object_representations_v<State>);

  // How far the search came that did most.
  struct Reached {
    std::vector<std::size_t> done;  // Operations of each client.
    State state{};
    std::size_t operations = 0;
  };

  Linear(const History& history, const State& initial) : history_(history) {
    const Progress start(history.size());
    reached_ = {std::vector<std::size_t>(history.size()), initial, 0};
    holds_ = search(start, initial);
  }
  bool holds() const { return holds_; }
  const Reached& reached() const { return reached_; }
  std::size_t visited() const { return seen_.size(); }

 private:
  struct Place {
    std::uint16_t done = 0;
    std::uint16_t step = 0;
  };
  using Progress = std::vector<Place>;

  const Op* next_of(const Progress& progress, std::size_t client) const {
    const std::vector<Op>& ops = history_[client];
    return progress[client].done < ops.size() ? &ops[progress[client].done] : nullptr;
  }

  bool is_new(const Progress& progress, const State& state) {
    std::string key(progress.size() * sizeof(Place) + sizeof state, '\0');
    std::memcpy(key.data(), progress.data(), progress.size() * sizeof(Place));
    std::memcpy(key.data() + progress.size() * sizeof(Place), &state, sizeof state);
    return seen_.insert(std::move(key)).second;
  }

  void note(const Progress& progress, const State& state) {
    std::size_t operations = 0;
    for (const Place& place : progress) operations += place.done;
    if (operations <= reached_.operations) return;
    for (std::size_t i = 0; i < progress.size(); ++i) reached_.done[i] = progress[i].done;
    reached_.state = state;
    reached_.operations = operations;
  }

  bool search(const Progress& progress, const State& state) {
    if (!is_new(progress, state)) return false;
    note(progress, state);
    std::uint64_t first_end = std::numeric_limits<std::uint64_t>::max();
    for (std::size_t i = 0; i < progress.size(); ++i) {
      if (const Op* op = next_of(progress, i)) first_end = std::min(first_end, op->end);
    }
    if (first_end == std::numeric_limits<std::uint64_t>::max()) return true;  // All is done.
    for (std::size_t i = 0; i < progress.size(); ++i) {
      const Op* op = next_of(progress, i);
      if (op == nullptr || op->call > first_end) continue;
      State after = state;
      const Step step = Spec::step(*op, progress[i].step, static_cast<unsigned>(i), after);
      if (step == Step::kNo) continue;
      Progress further = progress;
      if (step == Step::kDone) {
        ++further[i].done;
        further[i].step = 0;
      } else {
        ++further[i].step;
      }
      if (search(further, after)) return true;
    }
    return false;
  }

  const History& history_;
  std::unordered_set<std::string> seen_;
  Reached reached_;
  bool holds_ = false;
};

}  // namespace evenfs::test
