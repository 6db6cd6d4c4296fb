// SPDX-License-Identifier: LGPL-2.1-or-later
// The moment in which a directory gets its mark, and the one in which it loses it: what others do then is seen.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string_view>

#include "core/base/pause_point.h"
#include "tests/support/marked_store.h"

namespace evenfs::test {
namespace {

namespace fs = std::filesystem;

// Does something, once, when this thread reaches a point.
class AtPoint {
 public:
  AtPoint(std::string_view point, std::function<void()> what)
      : hook_([this, point, what = std::move(what)](const char* name) {
          if (reached_ || point != name) return;
          reached_ = true;
          what();
        }) {
    pause_hook = &hook_;
  }
  ~AtPoint() { pause_hook = nullptr; }
  AtPoint(const AtPoint&) = delete;
  AtPoint& operator=(const AtPoint&) = delete;
  bool reached() const { return reached_; }

 private:
  bool reached_ = false;
  const PauseHook hook_;
};

class MarksRace : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(dir_ / "d");
    marked_ = std::make_unique<MarkedStore>(dir_.path());
    if (!marked_->works()) GTEST_SKIP() << "directories cannot be marked here";
  }
  Held look() { return marked_->user->look(marked_->user->root, "d"); }

  TempDir dir_;
  std::unique_ptr<MarkedStore> marked_;
};

TEST_F(MarksRace, AttributesOfBeforeTheMarkAreAskedForAgain) {
  const AtPoint unseen("marks.seen", [&] { ::chmod((dir_ / "d").c_str(), 0751); });
  const Held d = look();
  EXPECT_TRUE(unseen.reached());
  EXPECT_EQ(d.attr().mode & 0777U, 0751U);
}

TEST_F(MarksRace, AMarkIsNotTakenFromWhoHasJustGotIt) {
  std::optional<Held> first = look();
  Held again;
  {
    const AtPoint late("unmark.found", [&] { again = look(); });
    first.reset();
    EXPECT_TRUE(late.reached());
  }
  ASSERT_TRUE(Identity::is_durable(again.identity().generation));
  EXPECT_EQ(marked_->store->marks().marked, 1U);
  std::ofstream(dir_ / "d/new") << "content";
  EXPECT_FALSE(marked_->told().empty());
}

}  // namespace
}  // namespace evenfs::test
