// SPDX-License-Identifier: LGPL-2.1-or-later
// ProtocolTest: a store in memory behind a FakeKernel that has agreed with the daemon, and short forms of
// what tests ask for often. Those with a plain result take success for granted.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/store/memory_store.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/requests.h"

namespace evenfs::test {

inline constexpr std::uint64_t kRootNumber = 1;

struct OpenedFile {
  std::uint64_t node = 0;
  std::uint64_t fh = 0;
};

class ProtocolTest : public ::testing::Test {
 protected:
  explicit ProtocolTest(MemoryStore::Options behind = {},
                        const FakeKernel::Settings& settings = FakeKernel::small())
      : store_(std::move(behind)), kernel_(store_, settings) {
    kernel_.negotiate();
  }

  Answer ask(Message message) { return kernel_.ask(std::move(message)); }
  // The errno, 0 for success.
  int error_of(Message message) { return ask(std::move(message)).error; }

  // The number in an answer that is an entry.
  std::uint64_t entry(Message message) {
    const Answer answer = ask(std::move(message));
    EXPECT_EQ(answer.error, 0);
    if (!answer.ok()) return 0;
    EXPECT_EQ(answer.body.size(), sizeof(fuse_entry_out));
    return answer.get<fuse_entry_out>().nodeid;
  }
  std::uint64_t mkdir(std::uint64_t dir, std::string_view name) {
    return entry(request::mkdir(dir, name));
  }
  std::uint64_t mknod(std::uint64_t dir, std::string_view name) {
    return entry(request::mknod(dir, name, S_IFREG | 0644));
  }
  std::uint64_t lookup(std::uint64_t dir, std::string_view name) {
    return entry(request::lookup(dir, name));
  }
  OpenedFile create(std::uint64_t dir, std::string_view name) {
    return opened(request::create(dir, name));
  }
  // The answer to CREATE or TMPFILE.
  OpenedFile opened(Message message) {
    const Answer answer = ask(std::move(message));
    EXPECT_EQ(answer.error, 0);
    if (!answer.ok()) return {};
    EXPECT_EQ(answer.body.size(), sizeof(fuse_entry_out) + sizeof(fuse_open_out));
    return {answer.get<fuse_entry_out>().nodeid,
            answer.get<fuse_open_out>(sizeof(fuse_entry_out)).fh};
  }
  std::uint64_t handle(Message message) {
    const Answer answer = ask(std::move(message));
    EXPECT_EQ(answer.error, 0);
    return answer.ok() ? answer.get<fuse_open_out>().fh : 0;
  }
  fuse_attr attr(std::uint64_t node) {
    const Answer answer = ask(request::getattr(node));
    EXPECT_EQ(answer.error, 0);
    return answer.ok() ? answer.get<fuse_attr_out>().attr : fuse_attr{};
  }
  void forget(std::uint64_t node, std::uint64_t count = 1) {
    EXPECT_FALSE(ask(request::forget(node, count)).came);
  }

  std::uint64_t lookups() const { return kernel_.stats().kernel_lookups; }
  std::uint64_t excess() const { return kernel_.count(Counter::kForgetExcess); }

  // What must be left when everything was forgotten and released: the root.
  void expect_nothing_left() {
    EXPECT_EQ(kernel_.open_files(), 0U);
    EXPECT_EQ(kernel_.open_directories(), 0U);
    kernel_.cache().drop_unused(kernel_.me());
    const CacheStats left = kernel_.stats();
    EXPECT_EQ(left.kernel_lookups, 0U);
    EXPECT_EQ(left.kernel_inodes, 0U);
    EXPECT_EQ(left.inodes, 1U);
    EXPECT_EQ(left.dentries, 0U);
    EXPECT_EQ(left.cells, 0U);
    EXPECT_EQ(left.orphans, 0U);
    EXPECT_EQ(store_.references(), 1U);
  }

  MemoryStore store_;
  FakeKernel kernel_;
};

// The same, and a test may step in before each operation of the store: see MemoryStore::Options::before.
class HookedProtocolTest : public ProtocolTest {
 protected:
  using Before = std::function<Status(std::string_view operation)>;

  explicit HookedProtocolTest(MemoryStore::Options behind = {})
      : HookedProtocolTest(std::make_shared<Before>(), std::move(behind)) {}

  void before_each(Before hook) { *before_ = std::move(hook); }
  void no_hook() { *before_ = nullptr; }

 private:
  HookedProtocolTest(const std::shared_ptr<Before>& before, MemoryStore::Options behind)
      : ProtocolTest(with_hook(std::move(behind), before)), before_(before) {}

  static MemoryStore::Options with_hook(MemoryStore::Options options,
                                        const std::shared_ptr<Before>& before) {
    options.before = [before](std::string_view operation) {
      return *before ? (*before)(operation) : Status();
    };
    return options;
  }

  const std::shared_ptr<Before> before_;
};

}  // namespace evenfs::test
