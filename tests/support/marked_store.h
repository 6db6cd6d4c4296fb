// SPDX-License-Identifier: LGPL-2.1-or-later
// A local store that marks the directories it meets, and what the kernel has told of them since.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/store/local_store.h"
#include "core/store/source_events.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {

// One event, by numbers: 1 is the root, 0 none.
struct Told {
  unsigned what = 0;
  std::uint64_t object = 0;
  std::uint64_t dir = 0;
  std::string name;
};

class MarkedStore {
 public:
  explicit MarkedStore(const std::string& path, std::size_t cached_descriptors = 32) {
    LocalStore::Options options;
    options.use_handles = false;
    options.cached_descriptors = cached_descriptors;
    auto opened = LocalStore::open(path, options);
    auto events = local::open_events();
    if (!opened || !events || !(*opened)->has_numbers()) return;
    if (!local::mark_directory(events->get(), (*opened)->seen_by_others())) return;
    events_ = std::move(*events);
    store = std::move(*opened);
    store->mark_directories(UniqueFd(::fcntl(events_.get(), F_DUPFD_CLOEXEC, 0)));
    user.emplace(*store);
  }
  // Whether the kernel and the file system let directories be marked.
  bool works() const { return store != nullptr; }

  // All that it has told since the last call. Whoever changes something has queued it before he returns.
  std::vector<Told> told() {
    std::vector<Told> all;
    std::array<std::byte, 16384> buffer;
    for (ssize_t got = 0; (got = ::read(events_.get(), buffer.data(), buffer.size())) > 0;) {
      local::SourceEvents events({buffer.data(), static_cast<std::size_t>(got)});
      for (local::SourceEvent event; events.next(event);) {
        const auto number = [this](const local::HandleView& handle) {
          return store->number_of(handle).value_or(0);
        };
        all.push_back({event.what, number(event.object), number(event.names[0].dir),
                       std::string(event.names[0].name)});
      }
    }
    return all;
  }
  // Whether it has told of that, among others.
  bool told_of(unsigned what, std::uint64_t dir, std::string_view name) {
    return std::ranges::any_of(told(), [&](const Told& one) {
      return (one.what & what) != 0 && one.dir == dir && one.name == name;
    });
  }
  bool told_of_object(unsigned what, std::uint64_t object) {
    return std::ranges::any_of(
        told(), [&](const Told& one) { return (one.what & what) != 0 && one.object == object; });
  }

  std::unique_ptr<LocalStore> store;
  std::optional<StoreUser> user;

 private:
  UniqueFd events_;
};

}  // namespace evenfs::test
