// SPDX-License-Identifier: LGPL-2.1-or-later
// FdCache: a bounded number of O_PATH descriptors of directories, the least recently used
// leaving first. It is only for speed: what is not in it is opened again.
//
// An entry cannot go stale: a descriptor pins its inode, wherever that is moved. Descriptors are
// handed out as shared references, so eviction never closes one that is in use; the number open
// is at most the capacity plus those in use at that moment.
//
// Threading: any function from any thread; one mutex, held for a few steps and never across a
// system call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/unordered_set.hpp>

#include "core/base/unique_fd.h"
#include "core/store/node_key.h"

namespace evenfs {

class FdCache {
 public:
  using Ref = std::shared_ptr<const UniqueFd>;

  // A capacity of 0 keeps nothing.
  explicit FdCache(std::size_t capacity);
  ~FdCache();
  FdCache(const FdCache&) = delete;
  FdCache& operator=(const FdCache&) = delete;

  // Null when it is not here.
  Ref get(const Node& key);
  // Returns the descriptor to use: the one that is here already, if another thread was faster.
  Ref put(const Node& key, UniqueFd fd);
  // Before a Node's bytes may come to mean another object.
  void erase(const Node& key) noexcept;
  // Lets all go, to make room for more important descriptors.
  void clear() noexcept;

  std::size_t size() const;

 private:
  struct Entry : boost::intrusive::list_base_hook<>, boost::intrusive::unordered_set_base_hook<> {
    Node key;
    Ref fd;
  };
  struct KeyOf {
    using type = Node;
    const Node& operator()(const Entry& entry) const noexcept { return entry.key; }
  };
  using Table = boost::intrusive::unordered_set<
      Entry, boost::intrusive::key_of_value<KeyOf>, boost::intrusive::hash<NodeHash>,
      boost::intrusive::equal<NodeEqual>, boost::intrusive::power_2_buckets<true>>;
  using Order = boost::intrusive::list<Entry>;

  // With mutex_ held. Unlinks the entry; the caller destroys it with the mutex released, because
  // closing a descriptor may block.
  Entry* take_out(Entry& entry) noexcept;

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  // Protected by mutex_.
  std::vector<Table::bucket_type> buckets_;
  Table table_;
  Order order_;  // The most recently used first.
};

}  // namespace evenfs
