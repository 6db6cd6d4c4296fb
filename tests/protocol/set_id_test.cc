// SPDX-License-Identifier: LGPL-2.1-or-later
// What a change of content costs a file of its set-id bits. Requests without a process: root has all
// capabilities, others have none. Real callers are in tests/mount/set_id_test.sh.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

constexpr std::uint32_t kUser = 1000;

class SetId : public ProtocolTest {
 protected:
  SetId() {
    const auto [node, fh] = create(kRootNumber, "f");
    node_ = node;
    fh_ = fh;
    EXPECT_EQ(error_of(request::write(node_, fh_, 0, "bytes")), 0);
    give_bits();
  }

  static Message by_user(Message message) {
    message.header.uid = message.header.gid = kUser;
    return message;
  }
  void give_bits() {
    EXPECT_EQ(error_of(request::chmod(node_, 06755)), 0);
    EXPECT_EQ(attr(node_).mode, S_IFREG | 06755U);
  }
  // The mode that the daemon believes, and that of the store, must be the same.
  std::uint32_t bits() {
    const NodeId id = kernel_.cache().id_of_number(node_);
    const std::uint32_t believed = *kernel_.cache().mode(kernel_.me(), id, nullptr);
    EXPECT_EQ(attr(node_).mode, believed);
    return believed & 06000U;
  }

  std::uint64_t node_ = 0;
  std::uint64_t fh_ = 0;
};

TEST_F(SetId, AUsersChangeOfContentTakesTheBitsAndTheKernelIsTold) {
  const auto [other, other_fh] = create(kRootNumber, "g");
  EXPECT_EQ(error_of(request::write(other, other_fh, 0, "others")), 0);
  const Message changes[] = {request::write(node_, fh_, 0, "B"),
                             request::fallocate(node_, fh_, 0, 100),
                             request::copy_file_range(other, other_fh, node_, fh_, 3)};
  std::vector<int> told;
  for (const Message& change : changes) {
    EXPECT_EQ(bits(), 06000U);
    EXPECT_EQ(error_of(by_user(change)), 0);
    EXPECT_EQ(bits(), 0U) << change.header.opcode;
    told.push_back(FUSE_NOTIFY_INVAL_INODE);
    EXPECT_EQ(kernel_.notifications(), told) << change.header.opcode;
    give_bits();
  }
}

TEST_F(SetId, RootsChangeAndWhatAMappingHasWrittenTakeNothing) {
  EXPECT_EQ(error_of(request::write(node_, fh_, 0, "B")), 0);
  EXPECT_EQ(error_of(request::truncate(node_, 3)), 0);
  EXPECT_EQ(error_of(by_user(request::write_back(node_, fh_, 0, "B"))), 0);
  EXPECT_EQ(bits(), 06000U);
  EXPECT_TRUE(kernel_.notifications().empty());
}

TEST_F(SetId, AChangeThatFailsTakesNothing) {
  const std::uint64_t reader = handle(request::open(node_, O_RDONLY));
  EXPECT_EQ(error_of(by_user(request::write(node_, reader, 0, "B"))), EBADF);
  EXPECT_EQ(bits(), 06000U);
  EXPECT_EQ(error_of(request::release(node_, reader, O_RDONLY)), 0);
}

TEST_F(SetId, ATruncationTakesTheBitsByWhatTheKernelSaysOfTheCallerOrByWhoHeIs) {
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE | FATTR_KILL_SUIDGID;
  in.size = 3;
  EXPECT_EQ(error_of(request::setattr(node_, in)), 0);
  EXPECT_EQ(bits(), 0U);
  give_bits();
  EXPECT_EQ(error_of(by_user(request::truncate(node_, 2))), 0);
  EXPECT_EQ(bits(), 0U);
}

}  // namespace
}  // namespace evenfs::test
