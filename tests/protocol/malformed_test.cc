// SPDX-License-Identifier: LGPL-2.1-or-later
// Messages that no kernel sends: cut short at every length, longer than they say, names that no directory
// can hold. Each is answered once, and nothing that was counted or opened gets lost.
//
// libfuse 3.18 looks at no length but that of INIT: it takes fixed parts, and names up to a zero byte, from
// where they would be. What a message that was cut means is therefore what FakeKernel puts behind it, zeros,
// and these tests do not say which error comes. The number of an open file is never cut off.
#include "tests/support/protocol_fixture.h"

namespace evenfs::test {
namespace {

class Malformed : public ProtocolTest {
 protected:
  // A request and how much of its body has to be sent: up to the last number of an open file.
  struct Form {
    Message message;
    std::size_t keep;
  };

  Malformed() {
    dir_ = mkdir(kRootNumber, "d");
    const auto [node, fh] = create(dir_, "f");
    file_ = node;
    fh_ = fh;
    listing_ = handle(request::opendir(dir_));
  }

  std::vector<Form> by_number() {
    using namespace request;
    fuse_setattr_in all{};
    all.valid = ~static_cast<std::uint32_t>(FATTR_FH);
    all.mode = 0700;
    all.size = 10;
    return {{getattr(file_), 0},
            {setattr(file_, all), 0},
            {statx(file_), 0},
            {access(file_, R_OK), 0},
            {request::lookup(dir_, "f"), 0},
            {request::mknod(dir_, "mknod", S_IFREG | 0644), 0},
            {request::mkdir(dir_, "mkdir"), 0},
            {symlink(dir_, "symlink", "target"), 0},
            {link(file_, dir_, "link"), 0},
            {rename(dir_, "f", dir_, "g"), 0},
            {rename2(dir_, "g", kRootNumber, "h", 1), 0},
            {unlink(dir_, "none"), 0},
            {rmdir(dir_, "none"), 0},
            {request::create(dir_, "created"), 0},
            {tmpfile(dir_), 0},
            {open(file_, O_RDWR), 0},
            {opendir(dir_), 0},
            {setxattr(file_, "user.name", "value"), 0},
            {getxattr(file_, "user.name", 100), 0},
            {listxattr(file_, 100), 0},
            {removexattr(file_, "user.name"), 0},
            {statfs(file_), 0},
            {readlink(file_), 0}};
  }

  std::vector<Form> by_file() {
    using namespace request;
    constexpr std::size_t kFh = 8;
    fuse_setattr_in in{};
    in.valid = FATTR_FH | FATTR_SIZE;
    in.fh = fh_;
    return {{getattr_of_file(file_, fh_), 16},
            {setattr(file_, in), 16},
            {read(file_, fh_, 0, 100), kFh},
            {write(file_, fh_, 3, "some bytes"), kFh},
            {flush(file_, fh_), kFh},
            {fsync(FUSE_FSYNC, file_, fh_), kFh},
            {fallocate(file_, fh_, 0, 100), kFh},
            {lseek(file_, fh_, 0, SEEK_DATA), kFh},
            {copy_file_range(file_, fh_, file_, fh_, 10), 32},
            {ioctl(file_, fh_, 1, "in", 10), kFh},
            {readdir(dir_, listing_), kFh},
            {readdirplus(dir_, listing_), kFh},
            {fsync(FUSE_FSYNCDIR, dir_, listing_), kFh}};
  }

  // Takes note of what an answer hands over, and gives all of it back at once.
  void give_back(const Message& sent, const Answer& answer) {
    if (!answer.ok()) return;
    const std::uint32_t opcode = sent.header.opcode;
    if (opcode == FUSE_READDIRPLUS) {
      for (const Listed& one : parse_listing(answer, true)) {
        if (one.nodeid != 0) forget(one.nodeid);
      }
    } else if (opcode == FUSE_OPEN) {
      ask(request::release(file_, answer.get<fuse_open_out>().fh));
    } else if (opcode == FUSE_OPENDIR) {
      ask(request::releasedir(dir_, answer.get<fuse_open_out>().fh));
    } else if (opcode == FUSE_CREATE || opcode == kOpTmpfile) {
      const std::uint64_t fh = answer.get<fuse_open_out>(sizeof(fuse_entry_out)).fh;
      ask(request::release(answer.get<fuse_entry_out>().nodeid, fh));
    }
    const bool is_entry = opcode == FUSE_LOOKUP || opcode == FUSE_MKNOD || opcode == FUSE_MKDIR ||
                          opcode == FUSE_SYMLINK || opcode == FUSE_LINK || opcode == FUSE_CREATE ||
                          opcode == kOpTmpfile;
    if (!is_entry) return;
    const std::uint64_t node = answer.get<fuse_entry_out>().nodeid;
    if (node != 0) forget(node);
  }

  void send_cut_at_every_length(const std::vector<Form>& forms) {
    for (const Form& form : forms) {
      for (std::size_t length = form.keep; length <= form.message.body.size(); ++length) {
        Message cut = form.message;
        cut.cut(length);
        const Answer answer = ask(cut);
        EXPECT_TRUE(answer.came);
        give_back(cut, answer);
      }
    }
  }

  void expect_only_what_was_opened() {
    EXPECT_EQ(lookups(), 2U);
    EXPECT_EQ(excess(), 0U);
    EXPECT_EQ(kernel_.open_files(), 1U);
    EXPECT_EQ(kernel_.open_directories(), 1U);
    EXPECT_EQ(error_of(request::release(file_, fh_)), 0);
    EXPECT_EQ(error_of(request::releasedir(dir_, listing_)), 0);
    forget(file_);
    forget(dir_);
    expect_nothing_left();
  }

  std::uint64_t dir_ = 0;
  std::uint64_t file_ = 0;
  std::uint64_t fh_ = 0;
  std::uint64_t listing_ = 0;
};

TEST_F(Malformed, RequestsByNumberCutAtEveryLengthAreAnsweredAndLoseNothing) {
  send_cut_at_every_length(by_number());
  expect_only_what_was_opened();
}

TEST_F(Malformed, RequestsByOpenFileCutBehindItsNumberAreAnsweredAndLoseNothing) {
  send_cut_at_every_length(by_file());
  expect_only_what_was_opened();
}

TEST_F(Malformed, ForgetsCutAtEveryLengthTakeNothingThatIsNotThere) {
  const Message one = request::forget(file_, 1);
  for (std::size_t length = 0; length < one.body.size(); ++length) {
    Message cut = one;
    ask(cut.cut(length));
    // A count of which a part has come is still 1; it is given back already after the first.
    if (length != 0) {
      EXPECT_EQ(lookups(), 1U);
    }
  }
  const Message batch = request::batch_forget({{dir_, 1}, {dir_, 1}});
  for (std::size_t length = 0; length < batch.body.size(); ++length) {
    Message cut = batch;
    ask(cut.cut(length));
  }
  EXPECT_EQ(lookups(), 0U);
  EXPECT_EQ(attr(dir_).nlink, 2U);
}

TEST_F(Malformed, ALengthInTheHeaderThatLiesChangesNothing) {
  for (const std::uint32_t length : {1U, 39U, 40U, 41U, 1U << 20U, ~0U}) {
    Message message = request::lookup(dir_, "f");
    message.header.len = length;
    const Answer answer = ask(message);
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer.get<fuse_entry_out>().nodeid, file_);
    forget(file_);
  }
  expect_only_what_was_opened();
}

TEST_F(Malformed, BytesBehindAMessageAreNotLookedAt) {
  for (const std::size_t more : {std::size_t{1}, std::size_t{5000}, kWriteBytesMax}) {
    Message message = request::lookup(dir_, "f");
    message.text(std::string(more, 'x'));
    const Answer answer = ask(message);
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer.get<fuse_entry_out>().nodeid, file_);
    forget(file_);
  }
  expect_only_what_was_opened();
}

TEST_F(Malformed, NamesThatNoDirectoryCanHoldAreRefusedByAllWhoMakeOrRemove) {
  const std::pair<std::string, int> names[] = {
      {"", ENOENT},
      {".", EINVAL},
      {"..", EINVAL},
      {"/", EINVAL},
      {"a/b", EINVAL},
      {"../f", EINVAL},
      {std::string(256, 'n'), ENAMETOOLONG},
      {std::string(5000, 'n'), ENAMETOOLONG},
  };
  for (const auto& [name, error] : names) {
    EXPECT_EQ(error_of(request::mknod(dir_, name, S_IFREG)), error) << name;
    EXPECT_EQ(error_of(request::mkdir(dir_, name)), error) << name;
    EXPECT_EQ(error_of(request::symlink(dir_, name, "t")), error) << name;
    EXPECT_EQ(error_of(request::link(file_, dir_, name)), error) << name;
    EXPECT_EQ(error_of(request::create(dir_, name)), error) << name;
    EXPECT_EQ(error_of(request::unlink(dir_, name)), error) << name;
    EXPECT_EQ(error_of(request::rmdir(dir_, name)), error) << name;
    EXPECT_EQ(error_of(request::rename(dir_, name, dir_, "x")), error) << name;
    EXPECT_EQ(error_of(request::rename(dir_, "f", dir_, name)), error) << name;
    EXPECT_EQ(error_of(request::rename2(dir_, "f", dir_, name, 2)), error) << name;
    // A lookup may ask for the dots, and there is no empty name to be found.
    if (error == ENAMETOOLONG || name.find('/') != name.npos) {
      EXPECT_EQ(error_of(request::lookup(dir_, name)), error) << name;
    }
  }
  EXPECT_EQ(error_of(request::rmdir(kRootNumber, "d")), ENOTEMPTY);
  EXPECT_EQ(lookup(dir_, "f"), file_);
  forget(file_);
  expect_only_what_was_opened();
}

TEST_F(Malformed, ANameOfTheGreatestLengthIsAName) {
  const std::string name(255, 'n');
  const std::uint64_t node = mknod(dir_, name);
  EXPECT_EQ(lookup(dir_, name), node);
  forget(node, 2);
  expect_only_what_was_opened();
}

TEST_F(Malformed, LinkTargetsAndAttributeNamesAtTheirLimitsAreTakenOrRefused) {
  const std::string longest(4095, 't');
  const std::uint64_t link = entry(request::symlink(dir_, "l", longest));
  EXPECT_EQ(ask(request::readlink(link)).text(), longest);
  forget(link);
  EXPECT_EQ(error_of(request::symlink(dir_, "m", longest + "t")), ENAMETOOLONG);
  EXPECT_EQ(error_of(request::symlink(dir_, "m", "")), ENOENT);
  EXPECT_EQ(error_of(request::setxattr(file_, "", "v")), ERANGE);
  EXPECT_EQ(error_of(request::setxattr(file_, "user.", "v")), EOPNOTSUPP);
  EXPECT_EQ(error_of(request::setxattr(file_, "user." + std::string(251, 'n'), "v")), ERANGE);
  EXPECT_EQ(error_of(request::setxattr(file_, "user.a", std::string(65536, 'v'))), 0);
  EXPECT_EQ(error_of(request::setxattr(file_, "user.a", std::string(65537, 'v'))), E2BIG);
  EXPECT_EQ(ask(request::getxattr(file_, "user.a", ~0U)).body.size(), 65536U);
  EXPECT_EQ(ask(request::listxattr(file_, ~0U)).body.size(), 7U);
  expect_only_what_was_opened();
}

TEST_F(Malformed, OffsetsAndLengthsBeyondAllFilesAreErrorsOrTheEnd) {
  const std::uint64_t far[] = {1ULL << 43U, 1ULL << 62U, ~0ULL >> 1U, 1ULL << 63U, ~0ULL};
  for (const std::uint64_t offset : far) {
    EXPECT_TRUE(ask(request::read(file_, fh_, offset, 100)).body.empty());
    EXPECT_EQ(error_of(request::write(file_, fh_, offset, "x")), EFBIG) << offset;
    EXPECT_EQ(error_of(request::fallocate(file_, fh_, offset, 1)), EFBIG) << offset;
    EXPECT_EQ(error_of(request::fallocate(file_, fh_, 1, offset)), EFBIG) << offset;
    EXPECT_EQ(error_of(request::lseek(file_, fh_, offset, SEEK_DATA)), ENXIO) << offset;
    EXPECT_EQ(ask(request::copy_file_range(file_, fh_, file_, fh_, offset)).error, 0) << offset;
    EXPECT_TRUE(ask(request::readdir(dir_, listing_, offset)).body.empty());
    EXPECT_TRUE(ask(request::readdirplus(dir_, listing_, offset)).body.empty());
  }
  EXPECT_EQ(error_of(request::truncate(file_, (1ULL << 43U) + 1)), EFBIG);
  EXPECT_EQ(attr(file_).size, 0U);
  expect_only_what_was_opened();
}

}  // namespace
}  // namespace evenfs::test
