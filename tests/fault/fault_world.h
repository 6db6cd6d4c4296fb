// SPDX-License-Identifier: LGPL-2.1-or-later
// FaultWorld: a small tree, all of it cached, the operations that the fault tests have fail on it, and what
// must hold afterwards.
#pragma once

#include <functional>
#include <new>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace evenfs::test {

// More than a dentry holds, so that it takes a cell.
inline constexpr const char* kLongName = "a name that is longer than 28 bytes";

// A tree with one of everything, all of it cached, and known to be all.
template <class Policy>
struct FaultWorld : World<Policy> {
  explicit FaultWorld(CacheOptions options = small_cache()) : World<Policy>(options) {
    dir = this->mkdir(kRoot, "dir").id;
    empty = this->mkdir(kRoot, "empty").id;
    file = this->mknod(dir, "file", 0640).id;
    other = this->mknod(kRoot, "other", 0604).id;
    link = this->symlink(kRoot, "link", "./dir/../dir/file").id;
    EXPECT_EQ(this->peek_error(kRoot, "none"), ENOENT);
    EXPECT_TRUE(this->list(kRoot));
    for (const NodeId known : {kRoot, dir, empty}) EXPECT_TRUE(this->knows_names(known));
  }

  void give_all_back() {
    for (const NodeId id : {dir, empty, file, other, link}) this->forget(id);
    this->expect_nothing_left();
  }

  // The cache and the store, of every name that the operations touch.
  void expect_agreement() {
    const Node root = this->root_node();
    for (const char* name : {"dir", "empty", "other", "link", "none", "file", kLongName}) {
      agree(kRoot, root, name);
    }
    if (const auto found = this->behind(root, "dir")) {
      // The node of a live object stays good in this store when it is released.
      for (const char* name : {"file", "none", "other"}) agree(dir, found->node, name);
    }
    for (const NodeId id : {file, other, dir}) {
      const Result<Cache::Pin> pin = this->cache->pin(id);
      ASSERT_EQ(code(pin), 0);
      const auto truth = this->memory.getattr(pin->node(), nullptr);
      const auto told = this->cache->getattr(*this->me, id, nullptr);
      ASSERT_EQ(code(told), code(truth));
      if (told) {
        EXPECT_TRUE(*told == *truth);
      }
    }
  }

  // What was being changed is open to all again: what was asked for once is answered without the store,
  // and both directories can be changed.
  void expect_nothing_in_the_way() {
    for (const NodeId id : {kRoot, dir, empty, file, other, link}) {
      EXPECT_EQ(code(this->cache->getattr(*this->me, id, nullptr)), 0);
      EXPECT_EQ(this->fast_attr(id), Outcome::kHit);
    }
    for (const NodeId parent : {kRoot, dir}) {
      this->forget(this->mknod(parent, "after").id);
      this->cache->invalidate_name(*this->me, parent, name_of("after"));
      EXPECT_EQ(this->peek_error(parent, "after"), 0);
      EXPECT_EQ(this->fast(parent, "after"), Outcome::kHit);
      EXPECT_EQ(this->unlink(parent, "after"), 0);
      EXPECT_EQ(this->fast(parent, "after"), Outcome::kNegative);
    }
  }

  NodeId dir, empty, file, other, link;

 private:
  void agree(NodeId parent, const Node& node, const char* name) {
    const auto truth = this->behind(node, name);
    const auto told = this->cache->peek(*this->me, parent, name_of(name));
    ASSERT_EQ(code(told), truth ? 0 : ENOENT) << name;
    if (truth) {
      EXPECT_TRUE(told->attr == truth->attr) << name;
    }
  }
};

// An operation on that world: its errno. What it makes known to the kernel it forgets.
template <class Policy>
struct Operation {
  const char* name;
  std::function<int(FaultWorld<Policy>&)> run;
};

// As the handlers answer it: std::bad_alloc is ENOMEM.
template <class Policy>
int answer_of(const Operation<Policy>& operation, FaultWorld<Policy>& w) {
  try {
    return operation.run(w);
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

template <class Policy, class Made>
int forgotten(FaultWorld<Policy>& w, const Result<Made>& made) {
  if (!made) return code(made);
  if constexpr (std::is_same_v<Made, Opened>) {
    w.forget(made->entry.id);
  } else {
    w.forget(made->id);
  }
  return 0;
}

template <class Policy>
std::vector<Operation<Policy>> makers() {
  using W = FaultWorld<Policy>;
  return {
      {"mknod",
       [](W& w) {
         return forgotten(w, w.cache->mknod(*w.me, kRoot, name_of("none"), S_IFREG, 0, kSuper));
       }},
      {"mkdir",
       [](W& w) { return forgotten(w, w.cache->mkdir(*w.me, w.dir, name_of("none"), 0, kSuper)); }},
      {"symlink",
       [](W& w) {
         return forgotten(w, w.cache->symlink(*w.me, kRoot, name_of("none"), "x", kSuper));
       }},
      {"create",
       [](W& w) {
         return forgotten(w, w.cache->create(*w.me, kRoot, name_of("none"), 0, O_RDWR, kSuper));
       }},
      {"create of what is there",
       [](W& w) {
         return forgotten(
             w, w.cache->create(*w.me, w.dir, name_of("file"), 0, O_RDWR | O_TRUNC, kSuper));
       }},
      {"tmpfile",
       [](W& w) { return forgotten(w, w.cache->tmpfile(*w.me, kRoot, 0600, O_RDWR, kSuper)); }},
      {"link",
       [](W& w) { return forgotten(w, w.cache->link(*w.me, w.file, kRoot, name_of("none"))); }},
      {"mknod of a long name",
       [](W& w) {
         return forgotten(w, w.cache->mknod(*w.me, kRoot, name_of(kLongName), S_IFREG, 0, kSuper));
       }},
      {"lookup of what is not cached",
       [](W& w) {
         w.cache->invalidate_name(*w.me, kRoot, name_of("other"));
         return forgotten(w, w.cache->lookup(*w.me, kRoot, name_of("other")));
       }},
  };
}

template <class Policy>
std::vector<Operation<Policy>> changers() {
  using W = FaultWorld<Policy>;
  const auto renames = [](RenameMode mode) {
    return [mode](W& w) { return w.rename(w.dir, "file", kRoot, "other", mode); };
  };
  return {
      {"unlink", [](W& w) { return w.unlink(w.dir, "file"); }},
      {"rmdir", [](W& w) { return w.rmdir(kRoot, "empty"); }},
      {"rename", renames(RenameMode::kReplace)},
      {"rename, exchange", renames(RenameMode::kExchange)},
      {"rename to a new name",
       [](W& w) { return w.rename(w.dir, "file", kRoot, "none", RenameMode::kNoReplace); }},
      {"rename of a directory", [](W& w) { return w.rename(kRoot, "empty", w.dir, "none"); }},
      {"chmod", [](W& w) { return w.chmod(w.file, 0600); }},
      {"truncate", [](W& w) { return w.truncate(w.file, 4096); }},
      {"open and truncate",
       [](W& w) { return code(w.cache->open(*w.me, w.file, O_RDWR | O_TRUNC)); }},
      {"getattr of what is not cached",
       [](W& w) {
         w.cache->invalidate(w.file);
         return code(w.cache->getattr(*w.me, w.file, nullptr));
       }},
      {"getxattr of what is not known to be absent",
       [](W& w) {
         const int error = code(w.cache->getxattr(*w.me, w.file, "security.capability", {}));
         return error == ENODATA ? 0 : error;
       }},
      {"readlink of what is not cached",
       [](W& w) { return code(w.cache->readlink(*w.me, w.link)); }},
      {"readlink of what is cached",
       [](W& w) {
         const int first = code(w.cache->readlink(*w.me, w.link));
         return first != 0 ? first : code(w.cache->readlink(*w.me, w.link));
       }},
      {"walk of what is not cached",
       [](W& w) {
         w.cache->invalidate_name(*w.me, kRoot, name_of("dir"));
         w.cache->invalidate(w.file);
         return code(w.cache->walk(*w.me, kRoot, "link", Cred{.uid = 5, .gid = 5}, true));
       }},
  };
}

template <class Policy>
std::vector<Operation<Policy>> operations() {
  std::vector<Operation<Policy>> all = makers<Policy>();
  const std::vector<Operation<Policy>> others = changers<Policy>();
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

}  // namespace evenfs::test
