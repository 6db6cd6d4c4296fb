// SPDX-License-Identifier: LGPL-2.1-or-later
// What every store promises about names: making, finding, linking, renaming, removing.
#include "tests/support/store_contract.h"

namespace evenfs::test {
namespace {

TYPED_TEST(StoreContract, TheRootIsADirectoryAndItsOwnParent) {
  auto& user = this->user_;
  EXPECT_TRUE(S_ISDIR(user.root.attr().mode));
  const Held parent = user.take(this->store_.lookup_parent(this->root()));
  EXPECT_EQ(parent.identity(), user.root.identity());
}

TYPED_TEST(StoreContract, LookupFindsWhatWasMadeAndTellsItsIdentity) {
  auto& user = this->user_;
  const Held made = user.file(user.root, "f", "hello");
  const Held found = user.look(user.root, "f");
  EXPECT_EQ(found.identity(), made.identity());
  EXPECT_EQ(found.attr().size, 5U);
  EXPECT_EQ(found.attr().nlink, 1U);
  EXPECT_EQ(found.attr().ino, found.identity().ino);
  EXPECT_EQ(found.attr(), user.attr(made));
}

TYPED_TEST(StoreContract, LookupErrorsNameTheReason) {
  auto& user = this->user_;
  const Held file = user.file(user.root, "f");
  EXPECT_EQ(user.look_error(user.root, "nothing"), ENOENT);
  EXPECT_EQ(user.look_error(file, "x"), ENOTDIR);
}

TYPED_TEST(StoreContract, NamesAreBytesUpTo255Long) {
  auto& user = this->user_;
  const std::string longest(255, 'n');
  const std::string bytes = "a\xff\n b";
  const Held a = user.file(user.root, longest);
  const Held b = user.file(user.root, bytes);
  EXPECT_EQ(user.look(user.root, longest).identity(), a.identity());
  EXPECT_EQ(user.look(user.root, bytes).identity(), b.identity());
}

TYPED_TEST(StoreContract, ParentOfADeepDirectoryIsTheOneAbove) {
  auto& user = this->user_;
  const Held a = user.mkdir(user.root, "a");
  const Held b = user.mkdir(a, "b");
  EXPECT_EQ(user.take(this->store_.lookup_parent(b.node())).identity(), a.identity());
  EXPECT_EQ(user.take(this->store_.lookup_parent(a.node())).identity(), user.root.identity());
}

TYPED_TEST(StoreContract, MakingANameThatIsThereIsEexist) {
  auto& user = this->user_;
  const Held file = user.file(user.root, "f");
  const NameRef name = name_of("f");
  EXPECT_EQ(code(this->store_.mkdir(this->root(), name, 0755, user.cred)), EEXIST);
  EXPECT_EQ(code(this->store_.mknod(this->root(), name, S_IFREG | 0644, 0, user.cred)), EEXIST);
  EXPECT_EQ(code(this->store_.symlink(this->root(), name, "x", user.cred)), EEXIST);
  EXPECT_EQ(code(this->store_.link(file.node(), this->root(), name)), EEXIST);
  EXPECT_EQ(code(this->store_.create(this->root(), name, 0644, O_RDWR | O_EXCL, user.cred)),
            EEXIST);
}

TYPED_TEST(StoreContract, CreateWithoutExclOpensWhatIsThere) {
  auto& user = this->user_;
  const Held file = user.file(user.root, "f", "hello");
  Result<Created> again = this->store_.create(this->root(), name_of("f"), 0600, O_RDWR, user.cred);
  ASSERT_EQ(code(again), 0);
  const Held held(this->store_, again->found);
  EXPECT_EQ(held.identity(), file.identity());
  EXPECT_EQ(user.content(held), "hello");
  Result<Created> emptied =
      this->store_.create(this->root(), name_of("f"), 0600, O_RDWR | O_TRUNC, user.cred);
  ASSERT_EQ(code(emptied), 0);
  this->store_.release(emptied->found.node);
  EXPECT_EQ(user.attr(held).size, 0U);
}

TYPED_TEST(StoreContract, TheCallersUmaskIsTakenOff) {
  auto& user = this->user_;
  Cred cred = user.cred;
  cred.umask = 0027;
  const Node& root = this->root();
  EXPECT_EQ(user.take(this->store_.mkdir(root, name_of("d"), 0777, cred)).attr().mode,
            S_IFDIR | 0750U);
  EXPECT_EQ(user.take(this->store_.mknod(root, name_of("p"), S_IFIFO | 0666, 0, cred)).attr().mode,
            S_IFIFO | 0640U);
  const Result<Created> file = this->store_.create(root, name_of("f"), 0676, O_RDWR, cred);
  ASSERT_EQ(code(file), 0);
  EXPECT_EQ(Held(this->store_, file->found).attr().mode, S_IFREG | 0650U);
  const Result<Created> tmp = this->store_.tmpfile(root, 0666, O_RDWR, cred);
  ASSERT_EQ(code(tmp), 0);
  EXPECT_EQ(Held(this->store_, tmp->found).attr().mode, S_IFREG | 0640U);
  EXPECT_EQ(user.take(this->store_.symlink(root, name_of("l"), "f", cred)).attr().mode,
            S_IFLNK | 0777U);
}

TYPED_TEST(StoreContract, CreateDoesNotOpenDirectoriesLinksOrFifos) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  const Held link = user.take(this->store_.symlink(this->root(), name_of("l"), "d", user.cred));
  const Held fifo =
      user.take(this->store_.mknod(this->root(), name_of("p"), S_IFIFO | 0600, 0, user.cred));
  const auto create = [&](const char* name) {
    return code(this->store_.create(this->root(), name_of(name), 0600, O_RDONLY, user.cred));
  };
  EXPECT_EQ(create("d"), EISDIR);
  EXPECT_EQ(create("l"), ELOOP);
  EXPECT_EQ(create("p"), ENXIO);
  EXPECT_EQ(code(this->store_.open(dir.node(), O_RDONLY)), EISDIR);
  EXPECT_EQ(code(this->store_.open(link.node(), O_RDONLY)), ELOOP);
  EXPECT_EQ(code(this->store_.open(fifo.node(), O_RDONLY)), ENXIO);
  EXPECT_EQ(code(this->store_.opendir(link.node(), 0)), ENOTDIR);
}

TYPED_TEST(StoreContract, RemovingTheWrongKindIsRefused) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  const Held below = user.file(dir, "f");
  EXPECT_EQ(this->unlink(user.root, "d"), EISDIR);
  EXPECT_EQ(this->rmdir(user.root, "d"), ENOTEMPTY);
  EXPECT_EQ(this->rmdir(dir, "f"), ENOTDIR);
  EXPECT_EQ(this->unlink(user.root, "x"), ENOENT);
  EXPECT_EQ(this->rmdir(user.root, "x"), ENOENT);
  EXPECT_EQ(this->unlink(below, "x"), ENOTDIR);
  EXPECT_EQ(this->unlink(dir, "f"), 0);
  EXPECT_EQ(this->rmdir(user.root, "d"), 0);
  EXPECT_EQ(user.look_error(user.root, "d"), ENOENT);
}

TYPED_TEST(StoreContract, NothingIsMadeInARemovedDirectory) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  ASSERT_EQ(this->rmdir(user.root, "d"), 0);
  const int error = code(this->store_.mkdir(dir.node(), name_of("x"), 0755, user.cred));
  EXPECT_TRUE(error == ENOENT || error == ESTALE) << error;
}

TYPED_TEST(StoreContract, HardLinksAreOneObject) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  const Held file = user.file(user.root, "a", "x");
  const Result<Attr> linked = this->store_.link(file.node(), dir.node(), name_of("b"));
  ASSERT_EQ(code(linked), 0);
  EXPECT_EQ(linked->nlink, 2U);
  const Held other = user.look(dir, "b");
  EXPECT_EQ(other.identity(), file.identity());
  EXPECT_EQ(this->unlink(user.root, "a"), 0);
  EXPECT_EQ(user.attr(file).nlink, 1U);
  EXPECT_EQ(user.content(other), "x");
  EXPECT_EQ(this->rename(dir, "b", user.root, "c"), 0);
  EXPECT_EQ(user.look(user.root, "c").identity(), file.identity());
  EXPECT_EQ(user.content(file), "x");
}

TYPED_TEST(StoreContract, DirectoriesAreNotLinked) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  EXPECT_EQ(code(this->store_.link(dir.node(), this->root(), name_of("e"))), EPERM);
}

TYPED_TEST(StoreContract, SymbolicLinksAreReadNotFollowed) {
  auto& user = this->user_;
  const Held link =
      user.take(this->store_.symlink(this->root(), name_of("l"), "/etc/passwd", user.cred));
  EXPECT_TRUE(S_ISLNK(link.attr().mode));
  EXPECT_EQ(link.attr().size, 11U);
  EXPECT_TRUE(S_ISLNK(user.look(user.root, "l").attr().mode));
  EXPECT_EQ(this->store_.readlink(link.node()).value(), "/etc/passwd");
  EXPECT_EQ(user.look_error(link, "x"), ENOTDIR);
  const Held file = user.file(user.root, "f");
  EXPECT_EQ(code(this->store_.readlink(file.node())), EINVAL);
  EXPECT_EQ(code(this->store_.link(link.node(), this->root(), name_of("l2"))), 0);
  EXPECT_EQ(this->store_.readlink(user.look(user.root, "l2").node()).value(), "/etc/passwd");
}

TYPED_TEST(StoreContract, RenameReplacesAndTheReplacedObjectLosesItsName) {
  auto& user = this->user_;
  const Held dir = user.mkdir(user.root, "d");
  const Held a = user.file(user.root, "a", "from a");
  const Held b = user.file(dir, "b", "from b");
  const std::unique_ptr<File> open_b = this->store_.open(b.node(), O_RDONLY).value();
  EXPECT_EQ(this->rename(user.root, "a", dir, "b"), 0);
  EXPECT_EQ(user.look_error(user.root, "a"), ENOENT);
  EXPECT_EQ(user.look(dir, "b").identity(), a.identity());
  EXPECT_EQ(user.content(a), "from a");
  EXPECT_EQ(this->store_.getattr(b.node(), open_b.get()).value().nlink, 0U);
  EXPECT_EQ(user.attr(b).nlink, 0U);
}

TYPED_TEST(StoreContract, RenameErrorsNameTheReason) {
  auto& user = this->user_;
  const Held d = user.mkdir(user.root, "d");
  const Held e = user.mkdir(user.root, "e");
  const Held below = user.mkdir(d, "below");
  const Held file = user.file(user.root, "f");
  const auto exchange = RenameMode::kExchange;
  EXPECT_EQ(this->rename(user.root, "x", user.root, "y"), ENOENT);
  EXPECT_EQ(this->rename(user.root, "f", user.root, "d"), EISDIR);
  EXPECT_EQ(this->rename(user.root, "d", user.root, "f"), ENOTDIR);
  EXPECT_EQ(this->rename(user.root, "e", user.root, "d"), ENOTEMPTY);
  EXPECT_EQ(this->rename(user.root, "d", below, "x"), EINVAL);
  EXPECT_EQ(this->rename(d, "below", user.root, "d"), ENOTEMPTY);
  EXPECT_EQ(this->rename(d, "below", user.root, "d", exchange), EINVAL);
  EXPECT_EQ(this->rename(user.root, "f", user.root, "e", RenameMode::kNoReplace), EEXIST);
  EXPECT_EQ(this->rename(user.root, "f", user.root, "x", exchange), ENOENT);
  EXPECT_EQ(this->rename(user.root, "f", file, "x"), ENOTDIR);
}

TYPED_TEST(StoreContract, RenameOfADirectoryTakesWhatIsBelowAlong) {
  auto& user = this->user_;
  const Held a = user.mkdir(user.root, "a");
  const Held b = user.mkdir(user.root, "b");
  const Held moved = user.mkdir(a, "m");
  const Held file = user.file(moved, "f", "deep");
  const std::uint32_t links = user.attr(b).nlink;
  EXPECT_EQ(this->rename(a, "m", b, "n"), 0);
  EXPECT_EQ(user.attr(b).nlink, links + 1);
  EXPECT_EQ(user.attr(a).nlink, 2U);
  EXPECT_EQ(user.content(file), "deep");
  EXPECT_EQ(user.take(this->store_.lookup_parent(moved.node())).identity(), b.identity());
  EXPECT_EQ(user.look(moved, "f").identity(), file.identity());
}

TYPED_TEST(StoreContract, RenameWithoutReplacingMovesToAFreeName) {
  auto& user = this->user_;
  const Held file = user.file(user.root, "a", "x");
  EXPECT_EQ(this->rename(user.root, "a", user.root, "b", RenameMode::kNoReplace), 0);
  EXPECT_EQ(user.content(file), "x");
  EXPECT_EQ(user.look(user.root, "b").identity(), file.identity());
}

TYPED_TEST(StoreContract, ExchangeSwapsAFileAndADirectory) {
  auto& user = this->user_;
  const Held d = user.mkdir(user.root, "d");
  const Held inner = user.mkdir(d, "inner");
  const Held deep = user.file(inner, "deep", "deep");
  const Held file = user.file(user.root, "f", "file");
  EXPECT_EQ(this->rename(d, "inner", user.root, "f", RenameMode::kExchange), 0);
  EXPECT_EQ(user.look(user.root, "f").identity(), inner.identity());
  EXPECT_EQ(user.look(d, "inner").identity(), file.identity());
  EXPECT_EQ(user.content(file), "file");
  EXPECT_EQ(user.content(deep), "deep");
  EXPECT_EQ(user.attr(d).nlink, 2U);
  EXPECT_EQ(user.take(this->store_.lookup_parent(inner.node())).identity(), user.root.identity());
}

TYPED_TEST(StoreContract, RenameOntoAnotherNameOfTheSameFileDoesNothing) {
  auto& user = this->user_;
  const Held file = user.file(user.root, "a", "x");
  ASSERT_EQ(code(this->store_.link(file.node(), this->root(), name_of("b"))), 0);
  EXPECT_EQ(this->rename(user.root, "a", user.root, "b"), 0);
  EXPECT_EQ(user.look(user.root, "a").identity(), file.identity());
  EXPECT_EQ(user.look(user.root, "b").identity(), file.identity());
  EXPECT_EQ(this->unlink(user.root, "a"), 0);
  EXPECT_EQ(user.look(user.root, "b").identity(), file.identity());
  EXPECT_EQ(user.content(file), "x");
}

TYPED_TEST(StoreContract, OpenFilesOutliveTheirName) {
  auto& user = this->user_;
  const Held held = user.file(user.root, "f", "still here");
  const std::unique_ptr<File> file = this->store_.open(held.node(), O_RDWR).value();
  ASSERT_EQ(this->unlink(user.root, "f"), 0);
  const Held next = user.file(user.root, "f", "another");
  std::string bytes(10, '\0');
  EXPECT_EQ(file->read(std::as_writable_bytes(std::span(bytes.data(), 10)), 0).value(), 10U);
  EXPECT_EQ(bytes, "still here");
  EXPECT_EQ(this->store_.getattr(held.node(), file.get()).value().nlink, 0U);
  EXPECT_EQ(user.attr(held).nlink, 0U);
  EXPECT_EQ(user.content(held), "still here");
  EXPECT_NE(next.identity(), held.identity());
  SetAttr change;
  change.size = 3;
  EXPECT_EQ(this->store_.setattr(held.node(), change, file.get()).value().size, 3U);
}

TYPED_TEST(StoreContract, TmpfileHasNoNameUntilItIsLinked) {
  auto& user = this->user_;
  Result<Created> made = this->store_.tmpfile(this->root(), 0640, O_RDWR, user.cred);
  ASSERT_EQ(code(made), 0);
  const Held held(this->store_, made->found);
  EXPECT_EQ(held.attr().nlink, 0U);
  EXPECT_EQ(held.attr().mode, S_IFREG | 0640U);
  EXPECT_TRUE(made->file->write(bytes_of("tmp"), 0).ok());
  EXPECT_EQ(user.list(user.root).size(), 2U);
  EXPECT_EQ(user.content(held), "tmp");
  const Result<Attr> linked = this->store_.link(held.node(), this->root(), name_of("t"));
  ASSERT_EQ(code(linked), 0);
  EXPECT_EQ(linked->nlink, 1U);
  made->file.reset();
  EXPECT_EQ(user.look(user.root, "t").identity(), held.identity());
  EXPECT_EQ(user.content(held), "tmp");
}

}  // namespace
}  // namespace evenfs::test
