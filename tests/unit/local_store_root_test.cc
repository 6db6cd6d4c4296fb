// SPDX-License-Identifier: LGPL-2.1-or-later
// What the local store does with a superuser's rights: making objects as the caller, access
// control lists, mounts below the root. Skipped, with the reason, where the rights are missing.
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <array>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include "core/store/cred_switch.h"
#include "core/store/local_store.h"
#include "tests/support/private_mounts.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kUser = 1000;
constexpr std::uint32_t kGroup = 1000;

// Present fsuid, or fsgid: an id that is never valid changes nothing.
std::uint32_t fs_uid() { return static_cast<std::uint32_t>(::syscall(SYS_setfsuid, -1)); }
std::uint32_t fs_gid() { return static_cast<std::uint32_t>(::syscall(SYS_setfsgid, -1)); }

// An access control list as the kernel's interface has it (version 2): the owner may `owner`, kUser may
// `user`, everybody else nothing.
auto acl(std::uint16_t owner, std::uint16_t user) {
  struct Entry {
    std::uint16_t tag, perm;
    std::uint32_t id;
  };
  const Entry entries[] = {
      {1, owner, ~0U}, {2, user, kUser}, {4, 0, ~0U}, {16, user, ~0U}, {32, 0, ~0U}};
  std::array<std::byte, 4 + sizeof(entries)> list{};
  list[0] = std::byte{2};
  std::memcpy(list.data() + 4, entries, sizeof(entries));
  return list;
}

class LocalStoreAsRoot : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs a superuser";
    old_umask_ = ::umask(0077);  // Ours must not matter.
    open();
    caller_.uid = kUser;
    caller_.gid = kGroup;
  }
  void TearDown() override {
    if (store_ != nullptr) ::umask(old_umask_);
  }
  void open() {
    ASSERT_TRUE(CredSwitch::works());
    user_.reset();
    LocalStore::Options options;
    options.use_handles = GetParam();
    options.switch_cred = true;
    store_ = LocalStore::open(dir_.path(), options).value();
    user_ = std::make_unique<StoreUser>(*store_);
  }
  void with_private_mounts(const std::function<void()>& body);
  Held create(const Held& dir, const char* name, std::uint32_t mode) {
    Result<Created> made =
        store_->create(dir.node(), name_of(name), mode, O_RDWR | O_EXCL, caller_);
    EXPECT_EQ(code(made), 0);
    return made ? Held(*store_, made->found) : Held();
  }

  TempDir dir_;
  mode_t old_umask_ = 0;
  Cred caller_;
  std::unique_ptr<LocalStore> store_;
  std::unique_ptr<StoreUser> user_;
};

INSTANTIATE_TEST_SUITE_P(Nodes, LocalStoreAsRoot, ::testing::Values(true, false),
                         [](const auto& param) { return param.param ? "Handles" : "Names"; });

TEST_P(LocalStoreAsRoot, WithoutFsetidAWriteCostsSetIdBitsByTheCallersGroups) {
  constexpr std::uint32_t kTeam = 1001;
  const std::vector<std::uint32_t> team = {kTeam};
  const std::array<std::byte, 1> byte{};
  const Held held = user_->file(user_->root, "f");
  const auto file = store_->open(held.node(), O_RDWR).value();
  SetAttr mode;
  mode.gid = kTeam;
  mode.mode = 06745;  // Without execution by the group: then it depends on who writes.
  const auto left = [&](std::span<const std::uint32_t> groups) {
    EXPECT_EQ(code(store_->setattr(held.node(), mode, nullptr)), 0);
    caller_.groups = groups;
    const auto by_caller = store_->without_fsetid(caller_);
    EXPECT_EQ(code(file->write(byte, 0)), 0);
    return user_->attr(held).mode & 07777U;
  };
  const int groups = ::getgroups(0, nullptr);
  EXPECT_EQ(left({}), 0745U);
  EXPECT_EQ(left(team), 02745U);
  // All is as before.
  EXPECT_EQ(fs_gid(), 0U);
  EXPECT_EQ(::getgroups(0, nullptr), groups);
  EXPECT_EQ(code(store_->setattr(held.node(), mode, nullptr)), 0);
  EXPECT_EQ(code(file->write(byte, 0)), 0);
  EXPECT_EQ(user_->attr(held).mode & 07777U, 06745U);
}

// The root directory is 0700 and root's (mkdtemp): the caller alone could not even enter it.
TEST_P(LocalStoreAsRoot, NewObjectsBelongToTheCallerAlsoWhereTheCallerMayNotGo) {
  ASSERT_EQ(user_->root.attr().mode & 0777U, 0700U);
  const NameRef d = name_of("d"), l = name_of("l"), p = name_of("p");
  const Node& root = user_->root.node();
  const Held made[] = {
      create(user_->root, "f", 0640),
      user_->take(store_->mkdir(root, d, 0750, caller_)),
      user_->take(store_->symlink(root, l, "x", caller_)),
      user_->take(store_->mknod(root, p, S_IFIFO | 0666, 0, caller_)),
  };
  for (const Held& one : made) {
    EXPECT_EQ(one.attr().uid, kUser);
    EXPECT_EQ(one.attr().gid, kGroup);
  }
  EXPECT_EQ(made[0].attr().mode & 07777U, 0640U);
  EXPECT_EQ(made[1].attr().mode & 07777U, 0750U);
  EXPECT_EQ(made[3].attr().mode & 07777U, 0666U);
  EXPECT_EQ(fs_uid(), ::geteuid());
  EXPECT_EQ(fs_gid(), ::getegid());
}

TEST_P(LocalStoreAsRoot, InASetGidDirectoryTheGroupIsTheDirectorys) {
  const Held dir = user_->mkdir(user_->root, "d");
  SetAttr change;
  change.uid = 2000;
  change.gid = 3000;
  change.mode = 02700;
  ASSERT_EQ(store_->setattr(dir.node(), change, nullptr).value().mode, S_IFDIR | 02700U);
  const Held file = create(dir, "f", 0660);
  EXPECT_EQ(file.attr().uid, kUser);
  EXPECT_EQ(file.attr().gid, 3000U);
  EXPECT_EQ(file.attr().mode & 07777U, 0660U);
  const Held below = user_->take(store_->mkdir(dir.node(), name_of("b"), 0755, caller_));
  EXPECT_EQ(below.attr().uid, kUser);
  EXPECT_EQ(below.attr().gid, 3000U);
  EXPECT_EQ(below.attr().mode & 07777U, 02755U);
  Result<Created> tmp = store_->tmpfile(dir.node(), 0600, O_RDWR, caller_);
  ASSERT_EQ(code(tmp), 0);
  EXPECT_EQ(tmp->found.attr.uid, kUser);
  EXPECT_EQ(tmp->found.attr.gid, 3000U);
  store_->release(tmp->found.node);
}

TEST_P(LocalStoreAsRoot, EachThreadSwitchesForItself) {
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      Cred cred;
      cred.uid = 5000 + t;
      cred.gid = 6000 + t;
      for (int i = 0; i < 100; ++i) {
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        const Held made =
            user_->take(store_->mknod(user_->root.node(), name_of(name), S_IFREG | 0600, 0, cred));
        EXPECT_EQ(made.attr().uid, cred.uid);
        EXPECT_EQ(made.attr().gid, cred.gid);
      }
      EXPECT_EQ(fs_uid(), ::geteuid());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(LocalStoreAsRoot, AnExistingFileIsOpenedByCreateOnlyIfTheCallerMay) {
  const Held dir = user_->mkdir(user_->root, "d", 0777);
  const Held secret = user_->file(dir, "f", "root's");
  SetAttr change;
  change.mode = 0600;
  ASSERT_TRUE(store_->setattr(secret.node(), change, nullptr).ok());
  const auto create = [&](int flags) {
    Result<Created> made = store_->create(dir.node(), name_of("f"), 0600, flags, caller_);
    if (made) store_->release(made->found.node);
    return code(made);
  };
  EXPECT_EQ(create(O_RDONLY), EACCES);
  EXPECT_EQ(create(O_RDWR), EACCES);
  change.mode = 0604;
  ASSERT_TRUE(store_->setattr(secret.node(), change, nullptr).ok());
  EXPECT_EQ(create(O_RDONLY), 0);
  EXPECT_EQ(create(O_RDONLY | O_TRUNC), EACCES);
  EXPECT_EQ(user_->content(secret), "root's");
}

TEST_P(LocalStoreAsRoot, AccessHonoursAccessControlLists) {
  const Held file = user_->file(user_->root, "f");
  SetAttr change;
  change.mode = 0600;
  ASSERT_TRUE(store_->setattr(file.node(), change, nullptr).ok());
  EXPECT_EQ(code(store_->access(file.node(), caller_, R_OK)), EACCES);
  const auto list = acl(06, 04);
  const Status set = store_->setxattr(file.node(), "system.posix_acl_access", list, 0);
  if (code(set) == EOPNOTSUPP) GTEST_SKIP() << "no access control lists here";
  ASSERT_EQ(code(set), 0);
  EXPECT_TRUE(store_->caps().has_acls);
  EXPECT_EQ(code(store_->access(file.node(), caller_, R_OK)), 0);
  EXPECT_EQ(code(store_->access(file.node(), caller_, W_OK)), EACCES);
  EXPECT_EQ(fs_uid(), ::geteuid());
  const Held made = create(user_->root, "g", 0600);  // The capabilities are back, too.
  EXPECT_EQ(made.attr().uid, kUser);
}

TEST_P(LocalStoreAsRoot, ADefaultListTakesThePlaceOfTheUmask) {
  caller_.umask = 0077;
  EXPECT_EQ(create(user_->root, "masked", 0666).attr().mode & 07777U, 0600U);
  const Status set =
      store_->setxattr(user_->root.node(), "system.posix_acl_default", acl(07, 07), 0);
  if (code(set) == EOPNOTSUPP) GTEST_SKIP() << "no access control lists here";
  ASSERT_EQ(code(set), 0);
  EXPECT_EQ(create(user_->root, "f", 0666).attr().mode & 07777U, 0660U);
  const Node& root = user_->root.node();
  const Held dir = user_->take(store_->mkdir(root, name_of("d"), 0777, caller_));
  EXPECT_EQ(dir.attr().mode & 07777U, 0770U);
  const Held fifo = user_->take(store_->mknod(root, name_of("p"), S_IFIFO | 0622, 0, caller_));
  EXPECT_EQ(fifo.attr().mode & 07777U, 0620U);
}

TEST_P(LocalStoreAsRoot, TheUmaskIsOneThreadsOwn) {
  ::umask(0027);
  caller_.umask = 0;
  std::thread([this] {
    EXPECT_EQ(create(user_->root, "f", 0666).attr().mode & 07777U, 0666U);
    EXPECT_EQ(::umask(0), 0027U);  // What the thread had before is back.
  }).join();
  EXPECT_EQ(::umask(0), 0027U);
}

TEST_P(LocalStoreAsRoot, AttributesOfASymbolicLinkAreNotThoseOfItsTarget) {
  const Held file = user_->file(user_->root, "f");
  const Held link = user_->take(store_->symlink(user_->root.node(), name_of("l"), "f", caller_));
  const std::byte value[] = {std::byte{'v'}};
  const Status set = store_->setxattr(link.node(), "trusted.t", value, 0);
  if (code(set) == EOPNOTSUPP || code(set) == EPERM) GTEST_SKIP() << "no trusted attributes here";
  ASSERT_EQ(code(set), 0);
  EXPECT_EQ(store_->getxattr(link.node(), "trusted.t", {}).value(), 1U);
  EXPECT_EQ(code(store_->getxattr(file.node(), "trusted.t", {})), ENODATA);
  EXPECT_EQ(::lgetxattr((dir_ / "l").c_str(), "trusted.t", nullptr, 0), 1);
}

// Runs `body` with mounts of its own and with a store that was opened there.
void LocalStoreAsRoot::with_private_mounts(const std::function<void()>& body) {
  const std::string refused = in_private_mounts([&] {
    open();
    body();
  });
  if (!refused.empty()) GTEST_SKIP() << refused;
}

TEST_P(LocalStoreAsRoot, MountsBelowTheRootAreCrossed) {
  with_private_mounts([this] {
    fs::create_directory(dir_ / "m");
    const Held covered = user_->look(user_->root, "m");
    ASSERT_EQ(::mount("tmpfs", (dir_ / "m").c_str(), "tmpfs", 0, "size=1m"), 0);
    const Held m = user_->look(user_->root, "m");
    EXPECT_NE(m.identity(), covered.identity());
    EXPECT_NE(m.attr().dev, user_->root.attr().dev);
    const Held d = user_->mkdir(m, "d");
    const Held f = user_->file(d, "f", "on the other mount");
    EXPECT_EQ(user_->content(f), "on the other mount");
    EXPECT_EQ(user_->take(store_->lookup_parent(d.node())).identity(), m.identity());
    EXPECT_EQ(user_->take(store_->lookup_parent(m.node())).identity(), user_->root.identity());
    EXPECT_EQ(code(store_->rename(d.node(), name_of("f"), user_->root.node(), name_of("f"),
                                  RenameMode::kReplace, Cred{})),
              EXDEV);
    EXPECT_NE(store_->statfs(m.node()).value().f_blocks,
              store_->statfs(user_->root.node()).value().f_blocks);
    // No name leads to what is covered; a handle does.
    EXPECT_EQ(code(store_->getattr(covered.node(), nullptr)), GetParam() ? 0 : ESTALE);
  });
}

// In /proc a thread is found that no listing shows.
TEST_P(LocalStoreAsRoot, AListingShowsAllNamesWhereThatIsKnown) {
  with_private_mounts([this] {
    for (const char* name : {"t", "p"}) fs::create_directory(dir_ / name);
    ASSERT_EQ(::mount("tmpfs", (dir_ / "t").c_str(), "tmpfs", 0, "size=1m"), 0);
    if (::mount("proc", (dir_ / "p").c_str(), "proc", 0, nullptr) != 0) GTEST_SKIP() << "no proc";
    const Held t = user_->look(user_->root, "t");
    const Held d = user_->mkdir(t, "d");
    const Held f = user_->file(t, "f", "");
    EXPECT_TRUE(store_->lists_all(t.node()));
    EXPECT_TRUE(store_->lists_all(d.node()));
    EXPECT_FALSE(store_->lists_all(f.node()));
    EXPECT_FALSE(store_->lists_all(user_->look(user_->root, "p").node()));
  });
}

TEST_P(LocalStoreAsRoot, ADirectoryMountedTwiceIsTwoDirectoriesButItsFilesAreOne) {
  with_private_mounts([this] {
    fs::create_directories(dir_ / "a/below");
    fs::create_directory(dir_ / "b");
    std::ofstream(dir_ / "a/f") << "x";
    ASSERT_EQ(::mount((dir_ / "a").c_str(), (dir_ / "b").c_str(), nullptr, MS_BIND, nullptr), 0);
    const Held a = user_->look(user_->root, "a");
    const Held b = user_->look(user_->root, "b");
    EXPECT_NE(a.identity(), b.identity());
    EXPECT_EQ(a.attr().ino, b.attr().ino);
    EXPECT_NE(user_->look(a, "below").identity(), user_->look(b, "below").identity());
    EXPECT_EQ(user_->look(a, "f").identity(), user_->look(b, "f").identity());
    EXPECT_EQ(user_->take(store_->lookup_parent(b.node())).identity(), user_->root.identity());
  });
}

TEST_P(LocalStoreAsRoot, ManyMountsDoNotTakeManyDescriptors) {
  with_private_mounts([this] {
    std::vector<Held> held;
    for (int i = 0; i < 40; ++i) {
      const std::string name = "m" + std::to_string(i);
      fs::create_directory(dir_ / name);
      ASSERT_EQ(::mount("tmpfs", (dir_ / name).c_str(), "tmpfs", 0, "size=64k"), 0);
      held.push_back(user_->look(user_->root, name));
      const Held f = user_->file(held.back(), "f", name);
      EXPECT_EQ(user_->content(user_->look(held.back(), "f")), name);
    }
    const StoreStats stats = store_->stats();
    EXPECT_LE(stats.pinned_descriptors + stats.cached_descriptors, 48U);
  });
}

}  // namespace
}  // namespace evenfs::test
