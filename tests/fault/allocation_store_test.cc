// SPDX-License-Identifier: LGPL-2.1-or-later
// The local store without memory: each allocation that each call makes fails, once or from then on, on real
// directories, with file handles and by names. Whatever the call has done by then, what is held goes on to
// lead to its object, and nothing is left over: references, descriptors, credentials.
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/store/local_store.h"
#include "tests/support/allocation.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

// Too long for the strings that take no heap.
constexpr const char* kDir = "a directory with a long name";
constexpr const char* kBelow = "one that stands in the first";
constexpr const char* kFile = "a file with a long name";
constexpr const char* kLink = "a link with a long name";
constexpr const char* kOther = "another file with a long name";
constexpr const char* kNew = "a name that nobody has yet";

// The lowest descriptor that is free.
int next_descriptor() {
  const UniqueFd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return next.get();
}

// A tree, of which everything is held. Nothing is kept for speed: each way is walked each time.
struct LocalWorld {
  explicit LocalWorld(bool use_handles)
      : store(make(tree, use_handles)),
        bytes_before(store->stats().node_bytes),
        pinned_before(store->stats().pinned_descriptors),
        user(std::in_place, *store) {
    dir = user->mkdir(user->root, kDir);
    below = user->mkdir(dir, kBelow);
    file = user->file(below, kFile, "content");
    other = user->file(user->root, kOther);
    link = user->take(store->symlink(user->root.node(), name_of(kLink), kFile, user->cred));
  }

  static std::unique_ptr<LocalStore> make(const TempDir& tree, bool use_handles) {
    LocalStore::Options options;
    options.cached_descriptors = 0;
    options.use_handles = use_handles;
    auto store = LocalStore::open(tree.path(), options);
    if (!store) std::abort();
    return std::move(store).value();
  }

  // Objects that are there, by whatever name: their Nodes lead to them. Those that have no name left are out
  // of a file handle's reach, and only there.
  void expect_held_are_reached() {
    for (const Held* held : {&user->root, &dir, &below, &file, &other, &link}) {
      const Result<Attr> attr = store->getattr(held->node(), nullptr);
      if (code(attr) == ESTALE && store->caps().has_handles) continue;
      ASSERT_EQ(code(attr), 0);
      EXPECT_EQ(attr->ino, held->attr().ino);
    }
  }

  void give_all_back() {
    for (Held* held : {&dir, &below, &file, &other, &link, &user->root}) *held = Held();
    EXPECT_EQ(store->stats().node_bytes, bytes_before);
    EXPECT_EQ(store->stats().pinned_descriptors, pinned_before);
  }

  TempDir tree;
  std::unique_ptr<LocalStore> store;
  const std::uint64_t bytes_before, pinned_before;  // The store's own.
  std::optional<StoreUser> user;
  Held dir, below, file, other, link;
};

int released(LocalWorld& w, const Result<Found>& found) {
  if (found) w.store->release(found->node);
  return code(found);
}
int released(LocalWorld& w, const Result<Created>& made) {
  if (made) w.store->release(made->found.node);
  return code(made);
}

int released(LocalWorld& w, const Result<HeldFound>& held) {
  if (held) w.store->release(held->found.node);
  return code(held);
}

struct Call {
  const char* name;
  std::function<int(LocalWorld&)> run;
};
using W = LocalWorld;

std::vector<Call> makers() {
  return {
      {"lookup", [](W& w) { return released(w, w.store->lookup(w.below.node(), name_of(kFile))); }},
      {"lookup_and_hold",
       [](W& w) { return released(w, w.store->lookup_and_hold(w.below.node(), name_of(kFile))); }},
      {"lookup_parent", [](W& w) { return released(w, w.store->lookup_parent(w.below.node())); }},
      {"mknod",
       [](W& w) {
         return released(
             w, w.store->mknod(w.below.node(), name_of(kNew), S_IFREG | 0600, 0, w.user->cred));
       }},
      {"mkdir",
       [](W& w) {
         return released(w, w.store->mkdir(w.below.node(), name_of(kNew), 0700, w.user->cred));
       }},
      {"symlink",
       [](W& w) {
         return released(w, w.store->symlink(w.dir.node(), name_of(kNew), "x", w.user->cred));
       }},
      {"create",
       [](W& w) {
         return released(
             w, w.store->create(w.below.node(), name_of(kNew), 0600, O_RDWR, w.user->cred));
       }},
      {"create of what is there",
       [](W& w) {
         return released(
             w, w.store->create(w.below.node(), name_of(kFile), 0600, O_RDWR, w.user->cred));
       }},
      {"create of what is there, as somebody else",
       [](W& w) {
         Cred cred;
         cred.uid = cred.gid = 12345;
         const int answer =
             released(w, w.store->create(w.below.node(), name_of(kFile), 0600, O_RDONLY, cred));
         return answer == EACCES ? 0 : answer;
       }},
      {"tmpfile",
       [](W& w) {
         const int answer = released(w, w.store->tmpfile(w.dir.node(), 0600, O_RDWR, w.user->cred));
         return answer == EOPNOTSUPP ? 0 : answer;
       }},
      {"link",
       [](W& w) { return code(w.store->link(w.file.node(), w.dir.node(), name_of(kNew))); }},
  };
}

Call rename_to(const char* name, const char* to, RenameMode mode) {
  return {name, [to, mode](W& w) {
            return code(w.store->rename(w.below.node(), name_of(kFile), w.user->root.node(),
                                        name_of(to), mode, w.user->cred));
          }};
}

std::vector<Call> others() {
  return {
      {"unlink", [](W& w) { return code(w.store->unlink(w.below.node(), name_of(kFile))); }},
      rename_to("rename", kNew, RenameMode::kReplace),
      rename_to("rename over another", kOther, RenameMode::kReplace),
      rename_to("exchange", kOther, RenameMode::kExchange),
      {"rename of a directory",
       [](W& w) {
         return code(w.store->rename(w.dir.node(), name_of(kBelow), w.user->root.node(),
                                     name_of(kNew), RenameMode::kReplace, w.user->cred));
       }},
      {"getattr", [](W& w) { return code(w.store->getattr(w.file.node(), nullptr)); }},
      {"chmod",
       [](W& w) {
         SetAttr change;
         change.mode = 0640;
         change.size = 3;
         return code(w.store->setattr(w.file.node(), change, nullptr));
       }},
      {"access",
       [](W& w) {
         const std::vector<std::uint32_t> groups = {1, 2, 3};
         const Cred cred{12345, 12345, 0, groups};
         const int answer = code(w.store->access(w.file.node(), cred, W_OK));
         return answer == EACCES ? 0 : answer;
       }},
      {"readlink", [](W& w) { return code(w.store->readlink(w.link.node())); }},
      {"open", [](W& w) { return code(w.store->open(w.file.node(), O_RDWR | O_TRUNC)); }},
      {"hold", [](W& w) { return code(w.store->hold(w.file.node())); }},
      {"listing",
       [](W& w) {
         const auto opened = w.store->opendir(w.below.node(), 0);
         if (!opened) return code(opened);
         return code((*opened)->read(0, [](const DirEntry&) { return true; }));
       }},
      {"write by somebody without CAP_FSETID",
       [](W& w) {
         const auto opened = w.store->open(w.file.node(), O_RDWR);
         if (!opened) return code(opened);
         const auto scope = w.store->without_fsetid(Cred{});
         return code((*opened)->write(std::as_bytes(std::span("x", 1)), 0));
       }},
      {"statfs", [](W& w) { return code(w.store->statfs(w.below.node())); }},
      {"listxattr", [](W& w) { return code(w.store->listxattr(w.below.node(), {})); }},
  };
}

int run_with(const Call& call, LocalWorld& w, std::uint64_t nth, Shortage shortage,
             std::uint64_t& seen) {
  int answer = ENOMEM;
  const AllocationFault fault(nth, shortage);
  try {
    answer = call.run(w);
  } catch (const std::bad_alloc&) {
  }
  seen = fault.seen();
  return answer;
}

class AllocationInLocalStore : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Nodes, AllocationInLocalStore, ::testing::Values(true, false),
                         [](const auto& which) { return which.param ? "handles" : "names"; });

TEST_P(AllocationInLocalStore, EachOfACallFails) {
  const int descriptors = next_descriptor();
  std::uint64_t failures = 0;
  std::vector<Call> calls = makers();
  for (Call& call : others()) calls.push_back(std::move(call));
  for (const Call& call : calls) {
    failures += for_each_allocation([&](std::uint64_t nth, Shortage shortage) {
      SCOPED_TRACE(testing::Message() << call.name << ", allocation " << nth
                                      << (shortage == Shortage::kOnce ? "" : " and all others"));
      LocalWorld w(GetParam());
      std::uint64_t seen = 0;
      const int answer = run_with(call, w, nth, shortage, seen);
      EXPECT_TRUE(answer == 0 || (answer == ENOMEM && seen >= nth)) << answer;
      w.expect_held_are_reached();
      w.give_all_back();
      return seen;
    });
  }
  EXPECT_EQ(next_descriptor(), descriptors);
  EXPECT_GT(failures, GetParam() ? 20U : 80U);
}

}  // namespace
}  // namespace evenfs::test
