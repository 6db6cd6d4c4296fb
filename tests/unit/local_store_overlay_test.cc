// SPDX-License-Identifier: LGPL-2.1-or-later
// The local store on overlayfs: handles too long for a Node where the mount exports them, none
// that could be opened where it does not, and files that move to another layer when written to.
#include <sys/mount.h>

#include <fstream>

#include "core/store/local_store.h"
#include "tests/support/private_mounts.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

namespace fs = std::filesystem;

// The parameter: mounted with nfs_export=on.
class LocalStoreOnOverlay : public ::testing::TestWithParam<bool> {
 protected:
  // Layers on a tmpfs: `f` holds "low", `d/g` holds "deep"; both in the lower layer.
  void with_overlay(const std::function<void()>& body) {
    std::string refused;
    const std::string none = in_private_mounts([&] {
      refused = mount_overlay();
      if (!refused.empty()) return;
      store_ = LocalStore::open(dir_ / "merged", {}).value();
      user_ = std::make_unique<StoreUser>(*store_);
      body();
    });
    if (!none.empty()) GTEST_SKIP() << none;
    if (!refused.empty()) GTEST_SKIP() << refused;
  }

  TempDir dir_;
  std::unique_ptr<LocalStore> store_;
  std::unique_ptr<StoreUser> user_;

 private:
  std::string mount_overlay() {
    if (::mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, "size=1m") != 0) return "no tmpfs";
    for (const char* name : {"lower", "lower/d", "upper", "work", "merged"}) {
      fs::create_directory(dir_ / name);
    }
    std::ofstream(dir_ / "lower/f") << "low";
    std::ofstream(dir_ / "lower/d/g") << "deep";
    std::string options = "lowerdir=" + (dir_ / "lower") + ",upperdir=" + (dir_ / "upper") +
                          ",workdir=" + (dir_ / "work");
    if (GetParam()) options += ",index=on,nfs_export=on";
    const int failed = ::mount("overlay", (dir_ / "merged").c_str(), "overlay", 0, options.c_str());
    return failed == 0 ? "" : "no overlayfs";
  }
};

INSTANTIATE_TEST_SUITE_P(Export, LocalStoreOnOverlay, ::testing::Values(true, false),
                         [](const auto& param) { return param.param ? "On" : "Off"; });

TEST_P(LocalStoreOnOverlay, ObjectsAreReachedByLongHandlesOrByName) {
  with_overlay([this] {
    EXPECT_EQ(store_->caps().has_handles, GetParam());
    const std::uint64_t before = store_->stats().node_bytes;
    {
      const Held d = user_->look(user_->root, "d");
      const Held g = user_->look(d, "g");
      EXPECT_GT(store_->stats().node_bytes, before);
      EXPECT_EQ(user_->content(g), "deep");
      EXPECT_EQ(user_->look_error(d, "x"), ENOENT);
      EXPECT_EQ(user_->take(store_->lookup_parent(d.node())).identity(), user_->root.identity());
    }
    EXPECT_EQ(store_->stats().node_bytes, before);
  });
}

TEST_P(LocalStoreOnOverlay, AFileThatIsWrittenForTheFirstTimeStaysItself) {
  with_overlay([this] {
    const Held f = user_->look(user_->root, "f");
    const std::unique_ptr<File> file = store_->open(f.node(), O_WRONLY | O_APPEND).value();
    const std::string more = "er";
    EXPECT_TRUE(file->write(std::as_bytes(std::span(more.data(), more.size())), 0).ok());
    EXPECT_EQ(user_->content(f), "lower");
    EXPECT_EQ(user_->look(user_->root, "f").identity(), f.identity());
    SetAttr change;
    change.mode = 0700;
    const Held d = user_->look(user_->root, "d");
    const Held g = user_->look(d, "g");
    EXPECT_TRUE(store_->setattr(d.node(), change, nullptr).ok());
    EXPECT_EQ(user_->look(user_->root, "d").identity(), d.identity());
    EXPECT_EQ(user_->content(g), "deep");
  });
}

TEST_P(LocalStoreOnOverlay, NodesGivenBackLeaveNoDescriptorThatMeansAnother) {
  with_overlay([this] {
    // Freed Nodes' memory is used again, for other directories, while their descriptors were in
    // the cache.
    for (int i = 0; i < 200; ++i) {
      const std::string name = "n" + std::to_string(i);
      const Held dir = user_->mkdir(user_->root, name);
      const Held file = user_->file(dir, name);
      EXPECT_EQ(user_->look(dir, name).identity(), file.identity());
      EXPECT_TRUE(fs::exists(dir_ / ("merged/" + name + "/" + name)));
      EXPECT_EQ(user_->attr(dir).ino, dir.attr().ino);
    }
  });
}

}  // namespace
}  // namespace evenfs::test
