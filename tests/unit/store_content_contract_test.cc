// SPDX-License-Identifier: LGPL-2.1-or-later
// What every store promises about what objects hold: attributes, data, listings, xattrs.
#include <linux/falloc.h>
#include <sys/xattr.h>

#include <map>
#include <set>
#include <utility>

#include "tests/support/store_contract.h"

namespace evenfs::test {
namespace {

TYPED_TEST(StoreContract, SetattrChangesWhatIsSetAndNothingElse) {
  auto& user = this->user_;
  const Held held = user.file(user.root, "f", "0123456789");
  SetAttr change;
  change.mode = 0604;
  change.size = 4;
  change.mtime = SetAttr::Time{false, Timestamp{1234, 567'000'000}};
  const Attr before = user.attr(held);
  const Result<Attr> after = this->store_.setattr(held.node(), change, nullptr);
  ASSERT_EQ(code(after), 0);
  EXPECT_EQ(after->mode, S_IFREG | 0604U);
  EXPECT_EQ(after->size, 4U);
  EXPECT_EQ(after->mtime, (Timestamp{1234, 567'000'000}));
  EXPECT_EQ(after->atime, before.atime);
  EXPECT_EQ(after->uid, before.uid);
  EXPECT_GE(after->ctime, before.ctime);
  EXPECT_EQ(user.attr(held), *after);
  EXPECT_EQ(user.content(held), "0123");
  SetAttr now;
  now.atime = SetAttr::Time{true, {}};
  EXPECT_GT(this->store_.setattr(held.node(), now, nullptr).value().atime.sec, 1234);
}

TYPED_TEST(StoreContract, TruncatingWhatIsNoFileIsRefused) {
  auto& user = this->user_;
  SetAttr change;
  change.size = 0;
  const Held dir = user.mkdir(user.root, "d");
  const Held link = user.take(this->store_.symlink(this->root(), name_of("l"), "d", user.cred));
  EXPECT_EQ(code(this->store_.setattr(dir.node(), change, nullptr)), EISDIR);
  EXPECT_EQ(code(this->store_.setattr(link.node(), change, nullptr)), EINVAL);
}

TYPED_TEST(StoreContract, ATruncateWithoutPrivilegeClearsSetUid) {
  auto& user = this->user_;
  const Held held = user.file(user.root, "f", "0123456789");
  SetAttr mode;
  mode.mode = 06755;
  EXPECT_EQ(this->store_.setattr(held.node(), mode, nullptr).value().mode, S_IFREG | 06755U);
  SetAttr change;
  change.size = 1;
  change.clear_suid_sgid = true;
  EXPECT_EQ(this->store_.setattr(held.node(), change, nullptr).value().mode, S_IFREG | 0755U);
}

TYPED_TEST(StoreContract, TimesOfASymbolicLinkAreItsOwn) {
  auto& user = this->user_;
  const Held file = user.file(user.root, "f");
  const Held link = user.take(this->store_.symlink(this->root(), name_of("l"), "f", user.cred));
  SetAttr change;
  change.mtime = SetAttr::Time{false, Timestamp{99, 0}};
  EXPECT_EQ(this->store_.setattr(link.node(), change, nullptr).value().mtime.sec, 99);
  EXPECT_NE(user.attr(file).mtime.sec, 99);
  SetAttr mode;
  mode.mode = 0600;
  EXPECT_EQ(code(this->store_.setattr(link.node(), mode, nullptr)), EOPNOTSUPP);
}

TYPED_TEST(StoreContract, ExtendedAttributesAreSetReadListedAndRemoved) {
  auto& user = this->user_;
  auto& store = this->store_;
  const Held held = user.file(user.root, "f");
  const Node& node = held.node();
  ASSERT_EQ(code(store.setxattr(node, "user.a", bytes_of("value"), 0)), 0);
  std::string into(16, '\0');
  const auto space = std::as_writable_bytes(std::span(into.data(), into.size()));
  EXPECT_EQ(store.getxattr(node, "user.a", {}).value(), 5U);
  EXPECT_EQ(store.getxattr(node, "user.a", space).value(), 5U);
  EXPECT_EQ(into.substr(0, 5), "value");
  EXPECT_EQ(code(store.getxattr(node, "user.a", space.first(4))), ERANGE);
  EXPECT_EQ(code(store.getxattr(node, "user.b", space)), ENODATA);
  EXPECT_EQ(code(store.getxattr(node, "nonsense.b", space)), EOPNOTSUPP);
  EXPECT_EQ(code(store.setxattr(node, "user.a", bytes_of("x"), XATTR_CREATE)), EEXIST);
  EXPECT_EQ(code(store.setxattr(node, "user.b", bytes_of("x"), XATTR_REPLACE)), ENODATA);
  EXPECT_EQ(store.listxattr(node, {}).value(), 7U);
  std::string names(7, 'x');
  EXPECT_EQ(store.listxattr(node, std::span(names.data(), 7)).value(), 7U);
  EXPECT_EQ(names, std::string_view("user.a\0", 7));
  EXPECT_EQ(code(store.listxattr(node, std::span(names.data(), 3))), ERANGE);
  EXPECT_EQ(code(store.removexattr(node, "user.a")), 0);
  EXPECT_EQ(code(store.removexattr(node, "user.a")), ENODATA);
}

TYPED_TEST(StoreContract, UserAttributesAreNotForSymbolicLinks) {
  auto& user = this->user_;
  const Held file = user.file(user.root, "f");
  const Held link = user.take(this->store_.symlink(this->root(), name_of("l"), "f", user.cred));
  EXPECT_EQ(code(this->store_.setxattr(link.node(), "user.a", bytes_of("x"), 0)), EPERM);
  EXPECT_EQ(code(this->store_.getxattr(link.node(), "user.a", {})), ENODATA);
  EXPECT_EQ(this->store_.listxattr(file.node(), {}).value(), 0U);
}

TYPED_TEST(StoreContract, AListingContinuesBehindAnyCookie) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  std::set<std::string> expected = {".", ".."};
  for (int i = 0; i < 2500; ++i) {
    const std::string name =
        "a rather long name, so that one buffer is not enough " + std::to_string(i);
    const Held made =
        user.take(this->store_.mknod(dir.node(), name_of(name), S_IFREG | 0600, 0, user.cred));
    expected.insert(name);
  }
  const std::unique_ptr<Directory> opened = this->store_.opendir(dir.node(), 0).value();
  std::vector<std::pair<std::string, std::uint64_t>> all;
  ASSERT_TRUE(opened
                  ->read(0,
                         [&all](const DirEntry& entry) {
                           all.emplace_back(entry.name, entry.next);
                           return true;
                         })
                  .ok());
  std::set<std::string> seen;
  for (const auto& [name, next] : all) seen.insert(name);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(seen.size(), all.size());
  // In pieces of 100, each from the cookie of the entry before, then from the middle at random.
  std::vector<std::string> pieces;
  std::uint64_t cookie = 0;
  for (std::size_t before = 1; before != pieces.size();) {
    before = pieces.size();
    int room = 100;
    ASSERT_TRUE(opened
                    ->read(cookie,
                           [&](const DirEntry& entry) {
                             if (room-- == 0) return false;
                             pieces.emplace_back(entry.name);
                             cookie = entry.next;
                             return true;
                           })
                    .ok());
  }
  EXPECT_EQ(pieces.size(), all.size());
  for (const std::size_t at : {std::size_t{7}, all.size() / 2, std::size_t{3}}) {
    std::string next;
    ASSERT_TRUE(opened
                    ->read(all[at].second,
                           [&next](const DirEntry& entry) {
                             next = entry.name;
                             return false;
                           })
                    .ok());
    EXPECT_EQ(next, all[at + 1].first);
  }
}

TYPED_TEST(StoreContract, AListingThatBeginsAgainShowsWhatIsThereNow) {
  const Held dir = this->user_.mkdir(this->user_.root, "d");
  const std::unique_ptr<Directory> opened = this->store_.opendir(dir.node(), 0).value();
  std::size_t names = 0;
  const auto take = [&](const DirEntry&) { return ++names, true; };
  // One that found no room for its first name begins again, too.
  EXPECT_TRUE(opened->read(0, [](const DirEntry&) { return false; }).ok());
  this->user_.file(dir, "a");
  EXPECT_TRUE(opened->read(0, take).ok());
  EXPECT_EQ(names, 3U);
  this->user_.file(dir, "b");
  names = 0;
  EXPECT_TRUE(opened->read(0, take).ok());
  EXPECT_EQ(names, 4U);
}

TYPED_TEST(StoreContract, AListingTellsNumbersAndTypes) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  const Held file = user.file(user.root, "f");
  std::map<std::string, std::pair<std::uint64_t, std::uint32_t>> seen;
  const std::unique_ptr<Directory> opened = this->store_.opendir(this->root(), 0).value();
  ASSERT_TRUE(opened
                  ->read(0,
                         [&seen](const DirEntry& entry) {
                           seen[std::string(entry.name)] = {entry.ino, entry.type};
                           return true;
                         })
                  .ok());
  EXPECT_EQ(seen["d"], std::make_pair(dir.attr().ino, std::uint32_t{S_IFDIR}));
  EXPECT_EQ(seen["f"], std::make_pair(file.attr().ino, std::uint32_t{S_IFREG}));
  EXPECT_EQ(seen["."].first, user.root.attr().ino);
  EXPECT_EQ(seen.size(), 4U);
}

TYPED_TEST(StoreContract, ReadingStopsAtTheEndOfTheFile) {
  auto& user = this->user_;
  const Held held = user.file(user.root, "f", "0123456789");
  const std::unique_ptr<File> file = this->store_.open(held.node(), O_RDONLY).value();
  std::string bytes(100, '\0');
  const auto space = std::as_writable_bytes(std::span(bytes.data(), bytes.size()));
  EXPECT_EQ(file->read(space, 4).value(), 6U);
  EXPECT_EQ(file->read(space, 10).value(), 0U);
  EXPECT_EQ(code(file->write(bytes_of("x"), 0)), EBADF);
  EXPECT_TRUE(file->flush().ok());
  EXPECT_TRUE(file->fsync(true).ok());
}

TYPED_TEST(StoreContract, AppendedDataGoesToTheEnd) {
  auto& user = this->user_;
  const Held held = user.file(user.root, "f", "0123");
  const std::unique_ptr<File> file = this->store_.open(held.node(), O_WRONLY | O_APPEND).value();
  EXPECT_EQ(file->write(bytes_of("45"), 0).value(), 2U);
  EXPECT_EQ(user.content(held), "012345");
}

TYPED_TEST(StoreContract, HolesArePunchedFoundAndReadAsZeros) {
  auto& user = this->user_;
  const Held held = user.file(user.root, "f", std::string(3 * 4096, 'x'));
  const std::unique_ptr<File> file = this->store_.open(held.node(), O_RDWR).value();
  ASSERT_TRUE(file->fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096).ok());
  EXPECT_EQ(file->lseek(0, SEEK_HOLE).value(), 4096U);
  EXPECT_EQ(file->lseek(4096, SEEK_DATA).value(), 2U * 4096);
  EXPECT_EQ(code(file->lseek(5 * 4096, SEEK_DATA)), ENXIO);
  char byte = 'y';
  EXPECT_EQ(file->read(std::as_writable_bytes(std::span(&byte, 1)), 5000).value(), 1U);
  EXPECT_EQ(byte, '\0');
  ASSERT_TRUE(file->fallocate(0, 0, 5 * 4096).ok());
  EXPECT_EQ(user.attr(held).size, 5U * 4096);
}

TYPED_TEST(StoreContract, RangesAreCopiedBetweenFiles) {
  auto& user = this->user_;
  const Held a = user.file(user.root, "a", "0123456789");
  const Held b = user.file(user.root, "b");
  const std::unique_ptr<File> from = this->store_.open(a.node(), O_RDONLY).value();
  const std::unique_ptr<File> to = this->store_.open(b.node(), O_WRONLY).value();
  EXPECT_EQ(from->copy_range(2, *to, 0, 5).value(), 5U);
  EXPECT_EQ(user.content(b), "23456");
}

TYPED_TEST(StoreContract, StatfsTellsSizesAndTheLongestName) {
  const Result<struct statvfs> stat = this->store_.statfs(this->root());
  ASSERT_EQ(code(stat), 0);
  EXPECT_GT(stat->f_bsize, 0U);
  EXPECT_GT(stat->f_blocks, 0U);
  EXPECT_EQ(stat->f_namemax, 255U);
}

TYPED_TEST(StoreContract, MknodMakesFilesFifosAndSockets) {
  auto& user = this->user_;
  constexpr std::uint32_t kTypes[] = {S_IFREG, S_IFIFO, S_IFSOCK};
  for (const std::uint32_t type : kTypes) {
    const std::string name = "n" + std::to_string(type);
    const Held made =
        user.take(this->store_.mknod(this->root(), name_of(name), type | 0600U, 0, user.cred));
    EXPECT_EQ(made.attr().mode, type | 0600U);
    EXPECT_EQ(user.attr(made), made.attr());
  }
}

TYPED_TEST(StoreContract, AccessIsDecidedByTheModeOfTheCaller) {
  auto& user = this->user_;
  const Held held = user.file(user.root, "f");
  SetAttr change;
  change.mode = 0640;
  ASSERT_TRUE(this->store_.setattr(held.node(), change, nullptr).ok());
  EXPECT_EQ(code(this->store_.access(held.node(), user.cred, R_OK | W_OK)), 0);
  EXPECT_EQ(code(this->store_.access(held.node(), user.cred, X_OK)), EACCES);
  Cred stranger;
  stranger.uid = user.cred.uid + 4321;
  stranger.gid = user.cred.gid + 4321;
  EXPECT_EQ(code(this->store_.access(held.node(), stranger, R_OK)), EACCES);
  const std::uint32_t groups[] = {user.cred.gid};
  stranger.groups = groups;
  EXPECT_EQ(code(this->store_.access(held.node(), stranger, R_OK)), 0);
  EXPECT_EQ(code(this->store_.access(held.node(), stranger, W_OK)), EACCES);
}

}  // namespace
}  // namespace evenfs::test
