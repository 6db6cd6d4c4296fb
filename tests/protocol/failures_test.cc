// SPDX-License-Identifier: LGPL-2.1-or-later
// What the store or the memory does not give: which error the kernel is told, and that nothing else is lost.
#include "tests/support/hooked_store.h"
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class Failures : public HookedProtocolTest {
 protected:
  std::vector<Message> requests() const {
    using namespace request;
    const std::uint64_t root = kRootNumber;
    return {request::lookup(root, "x"),
            statx(node_, 0x2000),
            chmod(node_, 0600),
            truncate(node_, 1),
            access(node_, R_OK),
            request::mknod(root, "x", S_IFREG),
            request::mkdir(root, "x"),
            symlink(root, "x", "y"),
            link(node_, root, "x"),
            unlink(root, "f"),
            rmdir(root, "d"),
            rename(root, "f", root, "y"),
            rename2(root, "f", root, "d", 4),
            request::create(root, "x"),
            tmpfile(root),
            open(node_, O_RDWR),
            opendir(root),
            setxattr(node_, "user.a", "v"),
            getxattr(node_, "user.a", 10),
            listxattr(node_, 10),
            removexattr(node_, "user.a"),
            statfs(node_),
            read(node_, fh_, 0, 10),
            write(node_, fh_, 0, "x"),
            fallocate(node_, fh_, 0, 10),
            lseek(node_, fh_, 0, SEEK_DATA),
            copy_file_range(node_, fh_, node_, fh_, 1),
            flush(node_, fh_),
            fsync(FUSE_FSYNC, node_, fh_),
            readdir(root, listing_),
            readdirplus(root, listing_),
            fsync(FUSE_FSYNCDIR, root, listing_)};
  }

  void make_tree() {
    const auto [node, fh] = create(kRootNumber, "f");
    node_ = node;
    fh_ = fh;
    forget(mkdir(kRootNumber, "d"));
    listing_ = handle(request::opendir(kRootNumber));
    EXPECT_EQ(error_of(request::write(node_, fh_, 0, "bytes")), 0);
  }

  void expect_only_the_tree() {
    EXPECT_EQ(lookups(), 1U);
    EXPECT_EQ(excess(), 0U);
    EXPECT_EQ(kernel_.open_files(), 1U);
    EXPECT_EQ(kernel_.open_directories(), 1U);
    EXPECT_EQ(store_.objects(), 3U);
    EXPECT_EQ(ask(request::read(node_, fh_, 0, 10)).text(), "bytes");
    EXPECT_EQ(attr(node_).size, 5U);
    EXPECT_EQ(error_of(request::release(node_, fh_)), 0);
    EXPECT_EQ(error_of(request::releasedir(kRootNumber, listing_)), 0);
    forget(node_);
    expect_nothing_left();
  }

  std::uint64_t node_ = 0;
  std::uint64_t fh_ = 0;
  std::uint64_t listing_ = 0;
};

TEST_F(Failures, ARequestThatFindsNoMemoryIsAnsweredAndLosesNothing) {
  make_tree();
  for (const Message& message : requests()) {
    int asked = 0;
    before_each([&asked](std::string_view) -> Status {
      ++asked;
      throw std::bad_alloc();
    });
    EXPECT_EQ(error_of(message), ENOMEM) << message.header.opcode;
    EXPECT_GE(asked, 1) << message.header.opcode;
    no_hook();
  }
  expect_only_the_tree();
}

// At ESTALE the kernel looks the path up once more; ENOENT it would hand to the program.
TEST_F(Failures, AnObjectThatTheStoreNoLongerFindsIsStale) {
  make_tree();
  const std::uint64_t link = entry(request::symlink(kRootNumber, "l", "to"));
  before_each([](std::string_view) -> Status { return Errno(ENOENT); });
  kernel_.cache().invalidate(kernel_.cache().id_of_number(node_));
  EXPECT_EQ(error_of(request::getattr(node_)), ESTALE);
  EXPECT_EQ(error_of(request::statx(node_)), ESTALE);
  EXPECT_EQ(error_of(request::chmod(node_, 0600)), ESTALE);
  EXPECT_EQ(error_of(request::access(node_, R_OK)), ESTALE);
  EXPECT_EQ(error_of(request::statfs(node_)), ESTALE);
  EXPECT_EQ(error_of(request::open(node_, O_RDWR)), ESTALE);
  EXPECT_EQ(error_of(request::opendir(kRootNumber)), ESTALE);
  EXPECT_EQ(error_of(request::readdir(kRootNumber, listing_)), ESTALE);
  EXPECT_EQ(error_of(request::setxattr(node_, "user.a", "v")), ESTALE);
  EXPECT_EQ(error_of(request::getxattr(node_, "user.a", 10)), ESTALE);
  EXPECT_EQ(error_of(request::listxattr(node_, 10)), ESTALE);
  EXPECT_EQ(error_of(request::removexattr(node_, "user.a")), ESTALE);
  no_hook();
  EXPECT_EQ(error_of(request::unlink(kRootNumber, "l")), 0);
  forget(link);
  kernel_.cache().drop_unused(kernel_.me());
  expect_only_the_tree();
}

// Then the kernel asks for the name, once, and what is cached of the object must not answer.
TEST_F(Failures, ANameIsAskedForAgainWhenItsObjectIsStale) {
  make_tree();
  const std::uint64_t dir = lookup(kRootNumber, "d");
  // How often the store is asked for a lookup.
  const auto asked_for = [this](std::string_view name) {
    int asked = 0;
    before_each([&asked](std::string_view) {
      ++asked;
      return Status();
    });
    forget(lookup(kRootNumber, name));
    no_hook();
    return asked;
  };
  const std::vector<std::pair<std::string_view, Message>> requests = {
      {"f", request::open(node_, O_RDWR)},
      {"f", request::statfs(node_)},
      {"f", request::getxattr(node_, "user.a", 10)},
      {"f", request::listxattr(node_, 10)},
      {"d", request::opendir(dir)},
      {"d", request::lookup(dir, "x")},
      {"d", request::mkdir(dir, "x")}};
  for (const auto& [name, message] : requests) {
    asked_for(name);
    EXPECT_EQ(asked_for(name), 0) << message.header.opcode;
    before_each([](std::string_view) -> Status { return Errno(ESTALE); });
    EXPECT_EQ(error_of(message), ESTALE) << message.header.opcode;
    no_hook();
    EXPECT_GE(asked_for(name), 1) << message.header.opcode;
  }
  forget(dir);
  expect_only_the_tree();
}

// chattr +a: the source opens it only to append. What a mapping has written has a place.
TEST_F(Failures, AFileThatOnlyAppendsTakesNoPagesThatAreWrittenBack) {
  make_tree();
  int opens = 0;
  before_each([&opens](std::string_view operation) {
    return operation == "open" && opens++ == 0 ? Status(Errno(EPERM)) : Status();
  });
  EXPECT_EQ(error_of(request::open(node_, O_RDWR)), EPERM);
  opens = 0;
  const std::uint64_t fh = handle(request::open(node_, O_RDWR | O_APPEND));
  no_hook();
  EXPECT_EQ(error_of(request::write_back(node_, fh, 0, "X")), EPERM);
  EXPECT_EQ(ask(request::read(node_, fh_, 0, 10)).text(), "bytes");
  EXPECT_EQ(error_of(request::write(node_, fh, 0, "+")), 0);
  EXPECT_EQ(ask(request::read(node_, fh_, 0, 10)).text(), "bytes+");
  EXPECT_EQ(error_of(request::release(node_, fh)), 0);
}

// A directory whose listing ends with an error behind the dots and one more name.
class BreaksOff final : public Directory {
 public:
  explicit BreaksOff(std::unique_ptr<Directory> whole) : whole_(std::move(whole)) {}
  int fd() const noexcept override { return -1; }
  Status fsync(bool data_only) override { return whole_->fsync(data_only); }
  Result<Attr> getattr() override { return whole_->getattr(); }
  Status read(std::uint64_t cookie, const std::function<bool(const DirEntry&)>& visit) override {
    bool broken = false;
    const Status status = whole_->read(cookie, [&](const DirEntry& entry) {
      broken = entry.next > 3;
      return !broken && visit(entry);
    });
    return broken ? Status(Errno(EIO)) : status;
  }

 private:
  std::unique_ptr<Directory> whole_;
};

TEST(FailingListing, NamesBeforeTheErrorAreDeliveredAndTheErrorComesWithTheNextCall) {
  MemoryStore memory;
  HookedStore store(memory);
  store.wrap_directory = [](std::unique_ptr<Directory> whole) {
    return std::make_unique<BreaksOff>(std::move(whole));
  };
  FakeKernel kernel(store);
  kernel.negotiate();
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TRUE(kernel.ask(request::mknod(kRootNumber, name, S_IFREG)).ok());
  }
  const Answer open = kernel.ask(request::opendir(kRootNumber));
  const std::uint64_t fh = open.get<fuse_open_out>().fh;
  const Answer first = kernel.ask(request::readdirplus(kRootNumber, fh));
  ASSERT_TRUE(first.ok());
  const std::vector<Listed> names = parse_listing(first, true);
  ASSERT_EQ(names.size(), 3U);
  EXPECT_EQ(names.back().name, "a");
  EXPECT_EQ(kernel.stats().kernel_lookups, 4U);
  EXPECT_EQ(kernel.ask(request::readdirplus(kRootNumber, fh, names.back().next)).error, EIO);
  EXPECT_EQ(kernel.stats().kernel_lookups, 4U);
}

}  // namespace
}  // namespace evenfs::test
