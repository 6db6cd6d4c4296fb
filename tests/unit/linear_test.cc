// SPDX-License-Identifier: LGPL-2.1-or-later
// The checker of histories, and the small file system that it compares with: which tales it believes.
#include "tests/torture/linear.h"

#include <gtest/gtest.h>

#include "tests/torture/file_tree.h"

namespace evenfs::test {
namespace {

using Op = FileTree::Op;
using Ask = FileTree::Ask;
using Object = FileTree::Object;
using Name = FileTree::Name;
using Checker = Linear<FileTree>;

constexpr Name kA{FileTree::kTop, 0};
constexpr Name kB{FileTree::kTop, 1};
constexpr Name kX{1, 0};       // x in the directory that is A at first.
constexpr Name kY{1, 1};       // y there.
constexpr Name kOtherX{2, 0};  // x in the directory that is B at first.
constexpr Object kOld{0644, 7, 1};

// A/x is file #2; B is empty.
FileTree::State at_first() {
  FileTree::State state;
  state.names[0][0] = 0;
  state.names[0][1] = 1;
  state.objects[0] = state.objects[1] = {0755, 0, 2};
  state.names[1][0] = 2;
  state.objects[2] = kOld;
  return state;
}

// --- What was asked.
Op lookup(Name at) {
  Op op;
  op.at = at;
  return op;
}
Op of(Ask ask, std::uint8_t object) {
  Op op;
  op.ask = ask;
  op.object = object;
  return op;
}
Op chmod(std::uint8_t object, std::uint16_t mode) {
  Op op = of(Ask::kSet, object);
  op.sets_mode = true;
  op.mode = mode;
  return op;
}
Op truncate(std::uint8_t object, std::uint8_t size) {
  Op op = of(Ask::kSet, object);
  op.sets_size = true;
  op.size = size;
  return op;
}
Op getattr(std::uint8_t object) { return of(Ask::kGetattr, object); }
Op change(Ask ask, Name at) {
  Op op = lookup(at);
  op.ask = ask;
  return op;
}
Op create(Name at, std::uint16_t mode) {
  Op op = change(Ask::kCreate, at);
  op.mode = mode;
  return op;
}
Op unlink(Name at) { return change(Ask::kUnlink, at); }
Op link(std::uint8_t object, Name at) {
  Op op = change(Ask::kLink, at);
  op.object = object;
  return op;
}
Op rename(Name at, Name to, RenameMode how = RenameMode::kReplace) {
  Op op = change(Ask::kRename, at);
  op.to = to;
  op.how = how;
  return op;
}
Op walk(Name at, Name to, bool anybody = false) {
  Op op = change(Ask::kWalk, at);
  op.to = to;
  op.anybody = anybody;
  return op;
}

// --- When, and what was told.
struct Tale {
  Checker::History history = Checker::History(3);

  Tale& tell(unsigned client, std::uint64_t call, std::uint64_t end, Op op, int error) {
    op.call = call;
    op.end = end;
    op.error = error;
    history[client].push_back(op);
    return *this;
  }
  Tale& tell(unsigned client, std::uint64_t call, std::uint64_t end, Op op, std::uint8_t told,
             Object attr) {
    op.told = told;
    op.attr = attr;
    return tell(client, call, end, op, 0);
  }
  bool holds() const { return Checker(history, at_first()).holds(); }
};

// The same told at one instant, and in steps.
Op in_steps(Op op) {
  op.at_once = false;
  return op;
}

TEST(Linear, NothingIsAHistory) { EXPECT_TRUE(Tale().holds()); }

TEST(Linear, OneAfterTheOtherIsToldWhatIsSo) {
  Tale tale;
  tale.tell(0, 1, 2, lookup(kX), 2, kOld);
  tale.tell(0, 3, 4, chmod(2, 0600), 2, {0600, 7, 1});
  tale.tell(1, 5, 6, link(2, kY), 2, {0600, 7, 2});
  tale.tell(1, 7, 8, unlink(kX), 0);
  tale.tell(2, 9, 10, lookup(kX), ENOENT);
  tale.tell(2, 11, 12, rename(kY, kOtherX), 0);
  tale.tell(2, 13, 14, walk(kB, kX), 2, {0600, 7, 1});
  EXPECT_TRUE(tale.holds());
}

TEST(Linear, DuringAChangeBothAreTrue) {
  for (const bool seen : {false, true}) {
    Tale tale;
    tale.tell(0, 1, 4, create(kY, 0600), 3, {0600, 0, 1});
    if (seen) {
      tale.tell(1, 2, 3, lookup(kY), 3, {0600, 0, 1});
    } else {
      tale.tell(1, 2, 3, lookup(kY), ENOENT);
    }
    EXPECT_TRUE(tale.holds()) << seen;
  }
}

TEST(Linear, AnAnswerOfBeforeTheChangeIsNotTrueAfterIt) {
  EXPECT_FALSE(Tale()
                   .tell(0, 1, 2, create(kY, 0600), 3, {0600, 0, 1})
                   .tell(1, 3, 4, lookup(kY), ENOENT)
                   .holds());
  EXPECT_FALSE(Tale().tell(0, 1, 2, unlink(kX), 0).tell(1, 3, 4, lookup(kX), 2, kOld).holds());
  EXPECT_FALSE(Tale()
                   .tell(0, 1, 2, chmod(2, 0600), 2, {0600, 7, 1})
                   .tell(1, 3, 4, getattr(2), 2, kOld)
                   .holds());
}

// Also while the change is not over: who was told of it first has made it so.
TEST(Linear, TimeDoesNotGoBack) {
  const auto tale = [](std::uint64_t new_at, std::uint64_t old_at) {
    return Tale()
        .tell(0, 1, 9, chmod(2, 0600), 2, {0600, 7, 1})
        .tell(1, new_at, new_at + 1, getattr(2), 2, {0600, 7, 1})
        .tell(2, old_at, old_at + 1, getattr(2), 2, kOld)
        .holds();
  };
  EXPECT_TRUE(tale(4, 2));
  EXPECT_FALSE(tale(2, 4));
}

TEST(Linear, OneOfTwoCreatesIsLost) {
  const auto tale = [](int second) {
    Tale both;
    both.tell(0, 1, 4, create(kY, 0600), 3, {0600, 0, 1});
    if (second == 0) {
      both.tell(1, 2, 3, create(kY, 0604), 4, {0604, 0, 1});
    } else {
      both.tell(1, 2, 3, create(kY, 0604), second);
    }
    return both.holds();
  };
  EXPECT_TRUE(tale(EEXIST));
  EXPECT_FALSE(tale(0));
}

TEST(Linear, WhatWasUnlinkedIsNotUnlinkedAgain) {
  EXPECT_FALSE(Tale().tell(0, 1, 4, unlink(kX), 0).tell(1, 2, 3, unlink(kX), 0).holds());
  EXPECT_TRUE(Tale().tell(0, 1, 4, unlink(kX), 0).tell(1, 2, 3, unlink(kX), ENOENT).holds());
}

// x becomes y meanwhile. Old name first, then new: both may be missed, not found; the other way round both may
// be found, not missed.
TEST(Linear, ARenameIsSeenAtOneNameAtATime) {
  const auto tale = [](Name first, bool first_there, Name second, bool second_there) {
    Tale seen;
    seen.tell(0, 1, 9, rename(kX, kY), 0);
    for (const auto& [at, call, there] :
         {std::tuple{first, 2U, first_there}, std::tuple{second, 4U, second_there}}) {
      if (there) {
        seen.tell(1, call, call + 1, lookup(at), 2, kOld);
      } else {
        seen.tell(1, call, call + 1, lookup(at), ENOENT);
      }
    }
    return seen.holds();
  };
  EXPECT_TRUE(tale(kX, true, kY, true));
  EXPECT_FALSE(tale(kX, false, kY, false));
  EXPECT_FALSE(tale(kY, true, kX, true));
  EXPECT_TRUE(tale(kY, false, kX, false));
}

TEST(Linear, AnExchangeIsSeenAtBothOrAtNeither) {
  const auto tale = [](std::uint8_t at_b) {
    return Tale()
        .tell(0, 1, 9, rename(kA, kB, RenameMode::kExchange), 0)
        .tell(1, 2, 3, lookup(kA), 1, {0755, 0, 2})
        .tell(1, 4, 5, lookup(kB), at_b, {0755, 0, 2})
        .holds();
  };
  EXPECT_TRUE(tale(0));
  EXPECT_FALSE(tale(1));
}

TEST(Linear, AttributesAreOfOneInstantInStepsToo) {
  for (const bool steps : {false, true}) {
    const auto tale = [&](Object attr) {
      return Tale()
          .tell(0, 1, 2, chmod(2, 0600), 2, {0600, 7, 1})
          .tell(0, 3, 4, truncate(2, 9), 2, {0600, 9, 1})
          .tell(1, 0, 5, steps ? in_steps(lookup(kX)) : lookup(kX), 2, attr)
          .holds();
    };
    EXPECT_TRUE(tale({0644, 7, 1})) << steps;
    EXPECT_TRUE(tale({0600, 7, 1})) << steps;
    EXPECT_TRUE(tale({0600, 9, 1})) << steps;
    EXPECT_FALSE(tale({0644, 9, 1})) << steps;
  }
}

// The name, then the attributes, each of an instant of its own; but not the other way round.
TEST(Linear, InStepsTheNameIsBeforeTheAttributes) {
  const auto tale = [](bool steps, std::uint64_t call) {
    return Tale()
        .tell(0, 2, 3, unlink(kX), 0)
        .tell(1, call, 5, steps ? in_steps(lookup(kX)) : lookup(kX), 2, {0644, 7, 0})
        .holds();
  };
  EXPECT_TRUE(tale(true, 1));
  EXPECT_FALSE(tale(false, 1));
  EXPECT_FALSE(tale(true, 4));
}

// At each instant there is an A/x: first another name is made, then the directories change places, then the old
// name goes.
TEST(Linear, AWalkAtOneInstantDoesNotMissWhatIsAlwaysThere) {
  const auto tale = [](const Op& asked) {
    return Tale()
        .tell(0, 1, 2, link(2, kOtherX), 2, {0644, 7, 2})
        .tell(0, 3, 4, rename(kA, kB, RenameMode::kExchange), 0)
        .tell(0, 5, 6, unlink(kX), 0)
        .tell(1, 0, 7, asked, ENOENT)
        .holds();
  };
  EXPECT_FALSE(tale(walk(kA, kX)));
  EXPECT_TRUE(tale(in_steps(walk(kA, kX))));
}

TEST(Linear, WhoMayNotSearchIsRefusedWhileThatIsSo) {
  for (const bool steps : {false, true}) {
    const auto tale = [&](bool anybody, std::uint64_t call, int error) {
      const Op asked = walk(kA, kX, anybody);
      Tale told;
      told.tell(0, 2, 3, chmod(0, 0700), 0, {0700, 0, 2});
      if (error == 0) {
        told.tell(1, call, 5, steps ? in_steps(asked) : asked, 2, kOld);
      } else {
        told.tell(1, call, 5, steps ? in_steps(asked) : asked, error);
      }
      return told.holds();
    };
    EXPECT_TRUE(tale(true, 1, EACCES)) << steps;
    EXPECT_TRUE(tale(true, 1, 0)) << steps;
    EXPECT_TRUE(tale(true, 4, EACCES)) << steps;
    EXPECT_FALSE(tale(true, 4, 0)) << steps;
    EXPECT_FALSE(tale(false, 4, EACCES)) << steps;
    EXPECT_TRUE(tale(false, 4, 0)) << steps;
  }
}

TEST(Linear, AnObjectThatWasNeverThereIsNotBelieved) {
  EXPECT_FALSE(Tale().tell(0, 1, 2, lookup(kX), FileTree::kNone, kOld).holds());
  EXPECT_FALSE(Tale().tell(0, 1, 2, in_steps(lookup(kX)), FileTree::kNone, kOld).holds());
  EXPECT_FALSE(Tale().tell(0, 1, 2, getattr(FileTree::kNone), FileTree::kNone, kOld).holds());
}

// And how far it came is told. Eight each at once, of which one cannot be: 9 * 9 * 9 places at most.
TEST(Linear, WhereItWasItDoesNotGoAgain) {
  Tale tale;
  for (unsigned client = 0; client < 3; ++client) {
    for (unsigned i = 0; i < 8; ++i) tale.tell(client, 0, 100, lookup(kX), 2, kOld);
  }
  tale.history[1][7].error = EIO;
  const Checker checker(tale.history, at_first());
  EXPECT_FALSE(checker.holds());
  EXPECT_LE(checker.visited(), 9U * 9 * 9);
  EXPECT_EQ(checker.reached().operations, 23U);
  EXPECT_EQ(checker.reached().done[1], 7U);
}

}  // namespace
}  // namespace evenfs::test
