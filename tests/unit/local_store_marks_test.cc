// SPDX-License-Identifier: LGPL-2.1-or-later
// The local store where single directories are watched: each is marked before anything of it is asked, for as
// long as it is known; and what the kernel does not tell of all the same is said to be untold. Skipped where
// directories cannot be marked.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/support/marked_store.h"
#include "tests/support/private_mounts.h"

namespace evenfs::test {
namespace {

namespace fs = std::filesystem;
using local::SourceEvent;

class LocalStoreMarks : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(dir_ / "source/d/e");
    fs::create_directories(dir_ / "outside");
    write("source/f");
    write("source/d/g");
    marked_ = std::make_unique<MarkedStore>(dir_ / "source");
    if (!marked_->works()) GTEST_SKIP() << "directories cannot be marked here";
  }
  void write(std::string_view name, std::string_view content = "content") {
    std::ofstream(dir_ / name) << content;
  }
  void move(std::string_view from, std::string_view to) { fs::rename(dir_ / from, dir_ / to); }
  Held look(const Held& dir, std::string_view name) { return marked_->user->look(dir, name); }
  const Held& root() { return marked_->user->root; }
  Attr attr(const Held& object, File* file = nullptr) {
    const Result<Attr> attr = marked_->store->getattr(object.node(), file);
    EXPECT_TRUE(attr.ok()) << code(attr);
    return attr ? *attr : Attr{};
  }

  TempDir dir_;
  std::unique_ptr<MarkedStore> marked_;
};

// Somebody who has no right that is not given to all.
class AsSomebodyElse {
 public:
  AsSomebodyElse() {
    if (was_root_) {
      EXPECT_EQ(::seteuid(65534), 0);
    }
  }
  ~AsSomebodyElse() {
    if (was_root_) {
      EXPECT_EQ(::seteuid(0), 0);
    }
  }
  AsSomebodyElse(const AsSomebodyElse&) = delete;
  AsSomebodyElse& operator=(const AsSomebodyElse&) = delete;

 private:
  const bool was_root_ = ::geteuid() == 0;
};

std::uint64_t number(const Held& object) { return object.identity().generation; }
bool has_number(const Held& object) { return Identity::is_durable(number(object)); }

TEST_F(LocalStoreMarks, NamesInWhatWasMetAreTold) {
  const Held d = look(root(), "d");
  ASSERT_TRUE(has_number(d));
  write("source/d/new");
  EXPECT_TRUE(marked_->told_of(SourceEvent::kMade, number(d), "new"));
  fs::rename(dir_ / "source/d/new", dir_ / "source/moved");
  const std::vector<Told> moved = marked_->told();
  ASSERT_FALSE(moved.empty());
  EXPECT_EQ(moved[0].what, SourceEvent::kMoved);
  EXPECT_EQ(moved[0].dir, number(d));
  fs::remove(dir_ / "source/f");
  EXPECT_TRUE(marked_->told_of(SourceEvent::kRemoved, 1, "f"));
  // Nobody has asked for what is in it.
  write("source/d/e/new");
  EXPECT_TRUE(marked_->told().empty());
}

TEST_F(LocalStoreMarks, AttributesAndContentAreToldByTheDirectory) {
  const Held f = look(root(), "f");
  const Held d = look(root(), "d");
  EXPECT_TRUE(has_number(f));
  EXPECT_FALSE(f.attr().untold);
  EXPECT_FALSE(d.attr().untold);
  EXPECT_EQ(::chmod((dir_ / "source/f").c_str(), 0600), 0);
  EXPECT_TRUE(marked_->told_of_object(SourceEvent::kAttributes, number(f)));
  write("source/f", "other");
  EXPECT_TRUE(marked_->told_of_object(SourceEvent::kContent, number(f)));
  EXPECT_EQ(::chmod((dir_ / "source/d").c_str(), 0700), 0);
  EXPECT_TRUE(marked_->told_of_object(SourceEvent::kAttributes, number(d)));
  EXPECT_EQ(::chmod((dir_ / "source").c_str(), 0700), 0);
  EXPECT_TRUE(marked_->told_of_object(SourceEvent::kAttributes, 1));
}

// The kernel tells the directory that the mounted file is in.
TEST_F(LocalStoreMarks, AFileThatIsMountedOnANameIsUntold) {
  write("outside/h");
  const std::string refused = in_private_mounts([this] {
    ASSERT_EQ(::mount((dir_ / "outside/h").c_str(), (dir_ / "source/f").c_str(), nullptr, MS_BIND,
                      nullptr),
              0);
    MarkedStore here(dir_ / "source");
    ASSERT_TRUE(here.works());
    const Held f = here.user->look(here.user->root, "f");
    EXPECT_TRUE(f.attr().untold);
    const Result<Attr> again = here.store->getattr(f.node(), nullptr);
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(again->untold);
    EXPECT_FALSE(here.user->look(here.user->look(here.user->root, "d"), "g").attr().untold);
  });
  if (!refused.empty()) GTEST_SKIP() << refused;
}

// What happens to a directory where nobody watches the one above.
TEST_F(LocalStoreMarks, ADirectoryThatIsMovedOrRemovedElsewhereTellsItself) {
  const Held d = look(root(), "d");
  const Held e = look(d, "e");
  move("source/d/e", "outside/e");
  EXPECT_FALSE(marked_->told().empty());
  move("outside/e", "outside/e2");
  EXPECT_TRUE(marked_->told_of_object(SourceEvent::kAttributes, number(e)));
  EXPECT_EQ(::chmod((dir_ / "outside/e2").c_str(), 0700), 0);
  EXPECT_TRUE(marked_->told_of_object(SourceEvent::kAttributes, number(e)));
}

TEST_F(LocalStoreMarks, WhatHasOtherNamesIsUntold) {
  const Held f = look(root(), "f");
  EXPECT_FALSE(attr(f).untold);
  fs::create_hard_link(dir_ / "source/f", dir_ / "outside/f");
  EXPECT_TRUE(look(root(), "f").attr().untold);
  EXPECT_TRUE(attr(f).untold);
  SetAttr change;
  change.mode = 0640;
  EXPECT_TRUE(marked_->store->setattr(f.node(), change, nullptr)->untold);
  fs::remove(dir_ / "outside/f");
  EXPECT_FALSE(attr(f).untold);
  EXPECT_TRUE(marked_->store->link(f.node(), root().node(), name_of("f2"))->untold);
}

// As where there are too many marks, or the directory may not be read.
TEST_F(LocalStoreMarks, WhatIsInADirectoryWithoutAMarkIsUntold) {
  const Held d = look(root(), "d");
  EXPECT_EQ(marked_->store->marks().marked, 1U);
  marked_->store->end_marks();
  const Held e = look(d, "e");
  EXPECT_FALSE(has_number(e));
  write("source/d/e/h");
  const Held h = look(e, "h");
  EXPECT_TRUE(has_number(h));  // If somebody tells of it all the same it is found.
  EXPECT_TRUE(h.attr().untold);
  EXPECT_TRUE(attr(h).untold);
  EXPECT_FALSE(attr(look(d, "g")).untold);
  // From here to there and back, by ourselves.
  const Held g = look(d, "g");
  const auto rename = [&](const Held& from, const Held& to) {
    return code(marked_->store->rename(from.node(), name_of("g"), to.node(), name_of("g"),
                                       RenameMode::kReplace, marked_->user->cred));
  };
  EXPECT_EQ(rename(d, e), 0);
  EXPECT_TRUE(attr(g).untold);
  EXPECT_EQ(rename(e, d), 0);
  EXPECT_FALSE(attr(g).untold);
}

TEST_F(LocalStoreMarks, ADirectoryIsMarkedOrNotForLife) {
  const Held d = look(root(), "d");
  const Identity identity = d.identity();
  marked_->store->end_marks();
  EXPECT_EQ(look(root(), "d").identity(), identity);
  const Held e = look(d, "e");
  EXPECT_FALSE(has_number(e));
  EXPECT_EQ(look(d, "e").identity(), e.identity());
}

// It may be marked later on; but by then something in it may be known that was asked for before.
TEST_F(LocalStoreMarks, WhatMayNotBeReadHasNoMarkForLife) {
  EXPECT_EQ(::chmod((dir_ / "source/d").c_str(), 0311), 0);
  Held d;
  {
    const AsSomebodyElse other;
    d = look(root(), "d");
  }
  EXPECT_FALSE(has_number(d));
  EXPECT_EQ(marked_->store->marks().refused, 1U);
  EXPECT_EQ(::chmod((dir_ / "source/d").c_str(), 0755), 0);
  EXPECT_EQ(look(root(), "d").identity(), d.identity());
  EXPECT_EQ(marked_->store->marks().marked, 0U);
  EXPECT_TRUE(look(d, "g").attr().untold);
  d = Held();
  EXPECT_TRUE(has_number(look(root(), "d")));
}

TEST_F(LocalStoreMarks, AMarkGoesWithTheLastWhoKnowsTheDirectory) {
  for (const std::size_t cached : {std::size_t{32}, std::size_t{0}}) {
    MarkedStore marked(dir_ / "source", cached);
    std::optional<Held> d = marked.user->look(marked.user->root, "d");
    std::optional<Held> g = marked.user->look(*d, "g");
    EXPECT_EQ(marked.store->marks().marked, 1U);
    d.reset();  // The file's directory is kept, with its mark.
    write("source/d/new");
    EXPECT_FALSE(marked.told().empty());
    g.reset();
    EXPECT_EQ(marked.store->marks().marked, 0U);
    write("source/d/new", "more");
    EXPECT_TRUE(marked.told().empty()) << cached;
    d = marked.user->look(marked.user->root, "d");
    write("source/d/new", "and more");
    EXPECT_FALSE(marked.told().empty());
  }
}

TEST_F(LocalStoreMarks, ManyMeetADirectoryAndForgetItAtOnce) {
  std::vector<std::thread> others;
  for (int i = 0; i < 4; ++i) {
    others.emplace_back([this] {
      for (int times = 0; times < 500; ++times) {
        const Held d = look(root(), "d");
        EXPECT_TRUE(has_number(d));
        const Held g = look(d, "g");
        EXPECT_FALSE(g.attr().untold);
      }
    });
  }
  for (std::thread& other : others) other.join();
  EXPECT_EQ(marked_->store->marks().marked, 0U);
  EXPECT_EQ(marked_->store->marks().refused, 0U);
  const Held d = look(root(), "d");
  write("source/d/new");
  EXPECT_TRUE(marked_->told_of(SourceEvent::kMade, number(d), "new"));
}

// The way by names leads to the file, but not over the directory in which it is known.
TEST_F(LocalStoreMarks, AnotherDirectoryOfTheSameNameIsNotTakenForTheMarkedOne) {
  MarkedStore marked(dir_ / "source", 0);
  const Held d = marked.user->look(marked.user->root, "d");
  const Held g = marked.user->look(d, "g");
  move("source/d", "outside/d");
  fs::create_directory(dir_ / "source/d");
  move("outside/d/g", "source/d/g");
  EXPECT_EQ(code(marked.store->getattr(g.node(), nullptr)), ESTALE);
}

TEST_F(LocalStoreMarks, AnOpenFileThatWasMovedIsUntold) {
  const Held d = look(root(), "d");
  const Held g = look(d, "g");
  const Result<std::unique_ptr<File>> file = marked_->store->open(g.node(), O_RDONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(attr(g, file->get()).untold);
  move("source/d/g", "outside/g");
  EXPECT_TRUE(attr(g, file->get()).untold);
  fs::remove(dir_ / "outside/g");
  EXPECT_TRUE(attr(g, file->get()).untold);
  EXPECT_EQ(attr(g, file->get()).nlink, 0U);
}

TEST_F(LocalStoreMarks, ANumberFindsNothingByItself) {
  const Held f = look(root(), "f");
  EXPECT_EQ(code(marked_->store->find(number(f))), ESTALE);
}

}  // namespace
}  // namespace evenfs::test
