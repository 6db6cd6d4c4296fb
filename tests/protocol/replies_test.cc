// SPDX-License-Identifier: LGPL-2.1-or-later
// With an answer the kernel has what it hands over, and may give it back at once, on another thread, before the
// call that sent the answer has returned.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class Replies : public ProtocolTest {
 protected:
  void forget_at_once(std::uint64_t number) {
    ++forgotten_;
    kernel_.cache().forget(kernel_.me(), kernel_.cache().id_of_number(number), 1);
  }
  // From now on the entry of each answer has been counted when the kernel has it, and is forgotten then.
  void forget_each_entry() {
    kernel_.when_answered([this, held = lookups()](const Answer& answer) {
      if (!answer.ok() || answer.get<fuse_entry_out>().nodeid == 0) return;
      EXPECT_EQ(lookups(), held + 1);
      forget_at_once(answer.get<fuse_entry_out>().nodeid);
    });
  }
  void stop_forgetting() { kernel_.when_answered(nullptr); }

  int forgotten_ = 0;
};

TEST_F(Replies, AnEntryIsCountedBeforeTheKernelHasIt) {
  const std::uint64_t dir = mkdir(kRootNumber, "d");
  const std::uint64_t inner = mkdir(dir, "inner");
  const std::uint64_t file = mknod(dir, "f");
  forget_each_entry();
  EXPECT_EQ(error_of(request::lookup(dir, "f")), 0);
  EXPECT_EQ(error_of(request::lookup(dir, ".")), 0);
  EXPECT_EQ(error_of(request::lookup(inner, "..")), 0);
  EXPECT_EQ(error_of(request::lookup(dir, "none")), 0);
  EXPECT_EQ(error_of(request::mknod(dir, "node", S_IFREG)), 0);
  EXPECT_EQ(error_of(request::mkdir(dir, "dir")), 0);
  EXPECT_EQ(error_of(request::symlink(dir, "link", "to")), 0);
  EXPECT_EQ(error_of(request::link(file, dir, "g")), 0);
  EXPECT_EQ(forgotten_, 7);
  EXPECT_EQ(excess(), 0U);
  EXPECT_EQ(lookups(), 3U);
  stop_forgetting();
  for (const std::uint64_t node : {file, inner, dir}) forget(node);
  expect_nothing_left();
}

TEST_F(Replies, AFileThatIsMadeIsCountedBeforeTheKernelHasIt) {
  forget_each_entry();
  const auto [file, fh] = create(kRootNumber, "f");
  const auto [temporary, temporary_fh] = opened(request::tmpfile(kRootNumber));
  EXPECT_EQ(forgotten_, 2);
  EXPECT_EQ(excess(), 0U);
  stop_forgetting();
  EXPECT_EQ(error_of(request::release(file, fh)), 0);
  EXPECT_EQ(error_of(request::release(temporary, temporary_fh)), 0);
  expect_nothing_left();
}

TEST_F(Replies, NamesOfAListingAreCountedBeforeTheKernelHasThem) {
  for (const char* name : {"a", "b", "c"}) forget(mknod(kRootNumber, name));
  const std::uint64_t fh = handle(request::opendir(kRootNumber));
  kernel_.when_answered([this](const Answer& answer) {
    EXPECT_EQ(lookups(), 3U);
    for (const Listed& one : parse_listing(answer, true)) {
      if (one.nodeid != 0) forget_at_once(one.nodeid);
    }
  });
  EXPECT_EQ(error_of(request::readdirplus(kRootNumber, fh)), 0);
  stop_forgetting();
  EXPECT_EQ(forgotten_, 3);
  EXPECT_EQ(excess(), 0U);
  EXPECT_EQ(error_of(request::releasedir(kRootNumber, fh)), 0);
  expect_nothing_left();
}

}  // namespace
}  // namespace evenfs::test
