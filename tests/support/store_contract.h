// SPDX-License-Identifier: LGPL-2.1-or-later
// The stores that must keep the contract: the memory store, and the local store with file handles
// and with names alone. Tests are TYPED_TEST(StoreContract, ...) over all of them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/store/local_store.h"
#include "core/store/memory_store.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {

struct InMemory {
  MemoryStore store;
  Store& get() { return store; }
};

template <bool kHandles>
struct OnDisk {
  OnDisk() {
    LocalStore::Options options;
    options.use_handles = kHandles;
    Result<std::unique_ptr<LocalStore>> opened = LocalStore::open(dir.path(), options);
    if (opened) store = std::move(opened).value();
  }
  Store& get() { return *store; }
  TempDir dir;
  std::unique_ptr<LocalStore> store;
};

struct StoreNames {
  template <class T>
  static std::string GetName(int) {
    if (std::is_same_v<T, InMemory>) return "Memory";
    return std::is_same_v<T, OnDisk<true>> ? "LocalHandles" : "LocalNames";
  }
};

template <class Behind>
class StoreContract : public ::testing::Test {
 protected:
  StoreContract() : store_(behind_.get()), user_(store_) {}
  const Node& root() const { return user_.root.node(); }
  int rename(const Held& dir, std::string_view name, const Held& to, std::string_view new_name,
             RenameMode mode = RenameMode::kReplace) {
    return code(
        store_.rename(dir.node(), name_of(name), to.node(), name_of(new_name), mode, Cred{}));
  }
  int unlink(const Held& dir, std::string_view name) {
    return code(store_.unlink(dir.node(), name_of(name)));
  }
  int rmdir(const Held& dir, std::string_view name) {
    return code(store_.rmdir(dir.node(), name_of(name)));
  }
  Behind behind_;
  Store& store_;
  StoreUser user_;
};

using ContractStores = ::testing::Types<InMemory, OnDisk<true>, OnDisk<false>>;
TYPED_TEST_SUITE(StoreContract, ContractStores, StoreNames);

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace evenfs::test
