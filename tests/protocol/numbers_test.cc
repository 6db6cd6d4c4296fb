// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers of inodes that are dead, or were never anybody's: ESTALE, and nothing else happens. A kernel sends
// the former after a file handle was kept for long, and never the latter.
//
// Numbers of open files are addresses of ours. The kernel gives back what it was given, so a forged one is
// outside of what evenfs answers for, and of these tests.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

MemoryStore::Options durable() {
  MemoryStore::Options options;
  options.durable = true;
  return options;
}

// Of no life, of index 0, beyond all slots, the root by a generation, durable and of no object.
constexpr std::uint64_t kNobody[] = {
    0,
    2,
    ~std::uint64_t{0},
    std::uint64_t{7} << 32,
    (std::uint64_t{7} << 32) + 2,
    (std::uint64_t{7} << 32) + 0xffff'ffff,
    (std::uint64_t{1} << 32) + 1,
    std::uint64_t{1} << 63,
    (std::uint64_t{1} << 63) + 1,
    (std::uint64_t{0xffff'ffff} << 32) + 1,
};

class Numbers : public ProtocolTest {
 protected:
  explicit Numbers(MemoryStore::Options behind = {}) : ProtocolTest(std::move(behind)) {}

  // Every request that leads to an inode by its number alone.
  std::vector<Message> requests_for(std::uint64_t node) {
    using namespace request;
    fuse_setattr_in chown_in{};
    chown_in.valid = FATTR_UID;
    return {request::lookup(node, "x"),
            request::lookup(node, "."),
            request::lookup(node, ".."),
            getattr(node),
            statx(node),
            statx(node, 0x2000),
            chmod(node, 0600),
            truncate(node, 1),
            setattr(node, chown_in),
            setattr(node, fuse_setattr_in{}),
            access(node, R_OK),
            readlink(node),
            statfs(node),
            request::mknod(node, "x", S_IFREG),
            request::mkdir(node, "x"),
            symlink(node, "x", "y"),
            link(node, kRootNumber, "x"),
            link(file_, node, "x"),
            unlink(node, "x"),
            rmdir(node, "x"),
            rename(node, "x", kRootNumber, "y"),
            rename(kRootNumber, "f", node, "y"),
            rename2(node, "x", node, "y", 2),
            rename2(node, "x", kRootNumber, "y", 4),
            rename2(kRootNumber, "f", node, "y", 4),
            request::create(node, "x"),
            tmpfile(node),
            open(node, O_RDONLY),
            opendir(node),
            setxattr(node, "user.a", "v"),
            setxattr(node, "system.posix_acl_access", "v"),
            getxattr(node, "user.a", 10),
            getxattr(node, "evenfs.stats", 65536),
            listxattr(node, 10),
            removexattr(node, "user.a"),
            removexattr(node, "security.capability")};
  }

  void expect_stale(std::uint64_t node) {
    const std::uint64_t objects = store_.objects();
    for (const Message& message : requests_for(node)) {
      EXPECT_EQ(error_of(message), ESTALE) << node << ' ' << message.header.opcode;
    }
    EXPECT_EQ(store_.objects(), objects);
    EXPECT_EQ(lookups(), 1U);
    EXPECT_EQ(kernel_.open_files() + kernel_.open_directories(), 0U);
  }

  void make_file() { file_ = mknod(kRootNumber, "f"); }

  std::uint64_t file_ = 0;
};

class DurableNumbersOfAStore : public Numbers {
 protected:
  DurableNumbersOfAStore() : Numbers(durable()) {}
};

TEST_F(Numbers, OnesThatNobodyHasAreStaleInEveryRequest) {
  make_file();
  for (const std::uint64_t node : kNobody) expect_stale(node);
}

TEST_F(DurableNumbersOfAStore, OnesThatNobodyHasAreStaleInEveryRequest) {
  make_file();
  for (const std::uint64_t node : kNobody) expect_stale(node);
}

TEST_F(Numbers, OnesOfAnEarlierAndALaterLifeAreStale) {
  make_file();
  constexpr std::uint64_t kGeneration = std::uint64_t{1} << 32;
  for (const std::uint64_t node : {file_ - kGeneration, file_ + kGeneration}) expect_stale(node);
}

TEST_F(Numbers, OnesWhoseObjectIsGoneAreStaleAlsoWhenTheSlotIsUsedAgain) {
  make_file();
  for (int round = 0; round < 3; ++round) {
    const std::uint64_t dead = mkdir(kRootNumber, "d");
    EXPECT_EQ(error_of(request::rmdir(kRootNumber, "d")), 0);
    EXPECT_EQ(attr(dead).nlink, 0U);  // Still held.
    forget(dead);
    kernel_.cache().drop_unused(kernel_.me());
    expect_stale(dead);
    const std::uint64_t next = mkdir(kRootNumber, "e");
    EXPECT_EQ(static_cast<std::uint32_t>(next), static_cast<std::uint32_t>(dead));
    EXPECT_EQ(error_of(request::getattr(dead)), ESTALE);
    EXPECT_EQ(error_of(request::rmdir(kRootNumber, "e")), 0);
    forget(next);
  }
}

TEST_F(DurableNumbersOfAStore, OnesWhoseObjectIsGoneAreStale) {
  make_file();
  const std::uint64_t dead = mkdir(kRootNumber, "d");
  EXPECT_TRUE(Identity::is_durable(dead));
  EXPECT_EQ(error_of(request::rmdir(kRootNumber, "d")), 0);
  forget(dead);
  kernel_.cache().drop_unused(kernel_.me());
  expect_stale(dead);
}

TEST_F(DurableNumbersOfAStore, OneThatWasForgottenLeadsToItsObjectByDotAlone) {
  const std::uint64_t file = mknod(kRootNumber, "f");
  forget(file);
  kernel_.cache().drop_unused(kernel_.me());
  EXPECT_EQ(error_of(request::getattr(file)), ESTALE);
  EXPECT_EQ(lookup(file, "."), file);
  EXPECT_EQ(attr(file).nlink, 1U);
  forget(file);
  expect_nothing_left();
}

// With it a file handle names the object as long as that lives, whichever inode is the cache's for it.
TEST_F(DurableNumbersOfAStore, TheGenerationThatComesWithOneIsTheSources) {
  const auto out = ask(request::mknod(kRootNumber, "f", S_IFREG)).get<fuse_entry_out>();
  EXPECT_TRUE(Identity::is_durable(out.nodeid));
  EXPECT_EQ(out.generation, store_.caps().source_tag);
}

// RENAME_WHITEOUT that fails tells the kernel to ask for the directories' attributes again: by the numbers
// in the request, since there may be no inodes.
TEST_F(DurableNumbersOfAStore, AWhiteoutThatFailsOutdatesDirectoriesByTheKernelsNumbers) {
  make_file();
  constexpr std::uint32_t kWhiteout = 4;
  for (const std::uint64_t node : kNobody) {
    EXPECT_EQ(error_of(request::rename2(node, "x", node, "y", kWhiteout)), ESTALE);
  }
  const std::vector<int> all(2 * std::size(kNobody), FUSE_NOTIFY_INVAL_INODE);
  EXPECT_EQ(kernel_.notifications(), all);
}

// The kernel has an inode of every file that it has open; should it not, nothing must happen to another.
TEST_F(Numbers, AnOpenFileWorksUnderAStaleNumberOrIsStaleToo) {
  const auto [file, fh] = create(kRootNumber, "f");
  for (const std::uint64_t node : kNobody) {
    EXPECT_EQ(error_of(request::read(node, fh, 0, 10)), 0);
    EXPECT_EQ(error_of(request::write(node, fh, 0, "x")), ESTALE);
    EXPECT_EQ(error_of(request::fallocate(node, fh, 0, 10)), ESTALE);
    EXPECT_EQ(error_of(request::copy_file_range(file, fh, node, fh, 10)), ESTALE);
    EXPECT_EQ(error_of(request::fsync(FUSE_FSYNC, node, fh)), ESTALE);
    EXPECT_EQ(error_of(request::getattr_of_file(node, fh)), ESTALE);
    EXPECT_EQ(error_of(request::flush(node, fh)), 0);
  }
  EXPECT_EQ(attr(file).size, 0U);
  EXPECT_EQ(error_of(request::release(kNobody[3], fh)), 0);
  EXPECT_EQ(kernel_.open_files(), 0U);
}

}  // namespace
}  // namespace evenfs::test
