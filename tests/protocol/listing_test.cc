// SPDX-License-Identifier: LGPL-2.1-or-later
// When a listing makes all names of a directory known, so that absent ones are denied without the store: if it
// goes from the opening to the end, without a gap, and each name is cached.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class Listing : public ProtocolTest {
 protected:
  Listing() {
    const Node root = store_.root()->node;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      const Result<Found> made = store_.mknod(root, name_of(name), S_IFREG | 0644, 0, Cred{});
      store_.release(made->node);
    }
    store_.release(root);
  }

  static NameRef name_of(std::string_view name) { return *NameRef::make(name); }

  // From `offset` to the end, with room for a few entries each time.
  void list_from(std::uint64_t fh, std::uint64_t offset, bool plus, int calls_at_most = 100) {
    for (int i = 0; i < calls_at_most; ++i) {
      const Answer answer = ask(plus ? request::readdirplus(kRootNumber, fh, offset, 400)
                                     : request::readdir(kRootNumber, fh, offset, 80));
      ASSERT_TRUE(answer.ok());
      if (answer.body.empty()) return;
      for (const Listed& one : parse_listing(answer, plus)) offset = one.next;
    }
  }
  void list(bool plus) {
    const std::uint64_t fh = handle(request::opendir(kRootNumber));
    list_from(fh, 0, plus);
    EXPECT_EQ(error_of(request::releasedir(kRootNumber, fh)), 0);
  }
  bool denied_without_the_store() {
    const std::uint64_t before = kernel_.count(Counter::kLookupComplete);
    EXPECT_NE(kernel_.cache().peek(kernel_.me(), NodeId::root(), name_of("none")).ok(), true);
    const bool denied = kernel_.count(Counter::kLookupComplete) == before + 1;
    // Or a negative dentry would be the answer the next time.
    kernel_.cache().drop_unused(kernel_.me());
    return denied;
  }
};

TEST_F(Listing, WithAttributesMakesAllNamesKnown) {
  list(true);
  EXPECT_TRUE(denied_without_the_store());
}

TEST_F(Listing, WithoutThemDoesSoIfAllAreCached) {
  list(false);
  EXPECT_FALSE(denied_without_the_store());
  for (const char* name : {"a", "b", "c", "d"}) (void)lookup(kRootNumber, name);
  list(false);
  EXPECT_FALSE(denied_without_the_store());
  for (const char* name : {"a", "b", "c", "d", "e"}) (void)lookup(kRootNumber, name);
  list(false);
  EXPECT_TRUE(denied_without_the_store());
}

TEST_F(Listing, OfOtherKindsInTurnDoesSoToo) {
  const std::uint64_t fh = handle(request::opendir(kRootNumber));
  (void)lookup(kRootNumber, "e");
  (void)lookup(kRootNumber, "d");
  const Answer first = ask(request::readdirplus(kRootNumber, fh, 0, 800));
  std::uint64_t offset = 0;
  for (const Listed& one : parse_listing(first, true)) offset = one.next;
  EXPECT_GT(offset, 3U);
  list_from(fh, offset, false);
  EXPECT_TRUE(denied_without_the_store());
}

// Others have the kernel put the offset where they like.
TEST_F(Listing, WithAGapDoesNot) {
  const std::uint64_t whole = handle(request::opendir(kRootNumber));
  list_from(whole, 4, true);
  EXPECT_FALSE(denied_without_the_store());
  // From the start on, once more: what it shows may be of when it was opened.
  list_from(whole, 0, true);
  EXPECT_FALSE(denied_without_the_store());
  const std::uint64_t jumped = handle(request::opendir(kRootNumber));
  list_from(jumped, 0, true, 1);
  list_from(jumped, 6, true);
  EXPECT_FALSE(denied_without_the_store());
}

TEST_F(Listing, ThatDoesNotReachTheEndDoesNot) {
  const std::uint64_t fh = handle(request::opendir(kRootNumber));
  list_from(fh, 0, true, 2);
  EXPECT_EQ(error_of(request::releasedir(kRootNumber, fh)), 0);
  EXPECT_FALSE(denied_without_the_store());
}

TEST_F(Listing, OfADirectoryThatChangedSinceItWasOpenedDoesNot) {
  const std::uint64_t fh = handle(request::opendir(kRootNumber));
  (void)mknod(kRootNumber, "f");
  list_from(fh, 0, true);
  EXPECT_FALSE(denied_without_the_store());
  list(true);
  EXPECT_TRUE(denied_without_the_store());
}

}  // namespace
}  // namespace evenfs::test
