// SPDX-License-Identifier: LGPL-2.1-or-later
// NodeTable: what the local store's Nodes point to, where the 16 bytes themselves are not enough.
//
// HeapHandle  a file handle longer than 12 bytes. One for each Node handed out.
// NamedNode   an object that handles cannot reach: its parent and a name in it. One for each
//             object (found by identity), however many Nodes of it are out. It is only a way to
//             the object: who follows it must compare the identity at its end. When the name
//             goes while Nodes are out, a descriptor is pinned instead.
//
// Threading: any function from any thread. `names` is held shared while a way is followed or
// found, and exclusively across a system call that changes names; then a way that was valid
// stays so until the descriptor is open. Order: names, mutex_, the descriptor cache's mutex.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/intrusive/unordered_set.hpp>

#include "core/store/fd_cache.h"
#include "core/store/local_node.h"
#include "core/store/source_marks.h"

namespace evenfs {

struct HeapHandle {
  std::atomic<std::uint64_t> refs{1};
  std::uint16_t mount = 0;
  local::FileHandle handle;
};

struct NamedNode : boost::intrusive::unordered_set_base_hook<> {
  // Constant.
  Identity identity;
  std::uint32_t type = 0;  // As in st_mode.
  std::uint64_t mark = 0;  // Its number in SourceMarks, of a directory that is marked.
  // Protected by NodeTable::mutex_.
  std::uint64_t refs = 0;
  Node parent;          // Counted. None for the root and for what has no name.
  std::string name;     // Empty: no name is known.
  FdCache::Ref pinned;  // Set where there is no name.
};

// The names that lead to an object, from a descriptor or a Node that is reached without names.
struct Way {
  FdCache::Ref from;               // Either this
  Node start;                      // or this; the receiver gives it back.
  std::vector<std::string> names;  // The last one first. None: `from` is the object itself.
};

// Where an object was last seen.
struct Place {
  Node dir;  // The receiver gives it back.
  std::string name;
};

class NodeTable {
 public:
  explicit NodeTable(FdCache& cache);
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  std::shared_mutex names;

  Node heap_node(const local::FileHandle& handle, std::uint32_t mode, std::uint16_t mount);
  // The Node of `identity`, which was just seen as `name` in `parent`. An empty `name` means that
  // it has none. `fd`, an O_PATH descriptor of it, is taken where it must be pinned. `hold`, of its mark, is
  // handed on to a NamedNode that is new: one is marked, or is not, for life. Nothing has changed if it throws.
  Node named_node(const Identity& identity, std::uint32_t mode, const Node& parent,
                  std::string_view name, UniqueFd& fd, local::MarkHold* hold = nullptr);

  // Called when a marked NamedNode goes, holding no lock of this table, to drop its mark. `fd`: a descriptor of
  // it, or null.
  using OnUnmarked = std::function<void(const NamedNode& dead, FdCache::Ref fd)>;
  // REQUIRES: before there is any such node but the root, which is marked from now on and never dropped.
  void begin_marks(const Node& root, std::uint64_t mark, OnUnmarked on_unmarked);
  // REQUIRES: the caller holds the Node.
  static bool is_marked(const Node& dir) noexcept;

  void retain(const Node& node) noexcept;
  void release(Node node) noexcept;

  // ESTALE where no way is known.
  Result<Way> way_to(const Node& node);
  // ESTALE where no name is known. REQUIRES: a named node.
  Result<Place> place_of(const Node& node);

  // Those that follow a system call cannot fail: what they keep is allocated before it, by the caller.
  //
  // With `names` held exclusively. `name` in `dir`, of the object `identity`, was removed. `fd` is a
  // descriptor of it.
  void name_removed(const Identity& identity, const Node& dir, std::string_view name,
                    FdCache::Ref fd) noexcept;
  // With `names` held exclusively, or the new name's creation still going on. The object is now
  // `new_name` in `new_dir`; if it was known by another name than `name` in `dir`, that is kept.
  void name_moved(const Identity& identity, const Node& dir, std::string_view name,
                  const Node& new_dir, std::string new_name, FdCache::Ref fd) noexcept;
  // A nameless object got its first name.
  void name_given(const Node& node, const Node& dir, std::string name) noexcept;

  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  std::uint64_t pinned() const noexcept { return pinned_.load(std::memory_order_relaxed); }

 private:
  struct KeyOf {
    using type = Identity;
    const Identity& operator()(const NamedNode& node) const noexcept { return node.identity; }
  };
  struct Hash {
    std::size_t operator()(const Identity& identity) const noexcept;
  };
  using Table = boost::intrusive::unordered_set<NamedNode, boost::intrusive::key_of_value<KeyOf>,
                                                boost::intrusive::hash<Hash>,
                                                boost::intrusive::power_2_buckets<true>>;

  static Node node_of(NamedNode& named) noexcept;
  // All of these: with mutex_ held.
  void retain_locked(const Node& node) noexcept;
  bool is_known_as(const NamedNode& named, const Node& dir, std::string_view name) const noexcept;
  bool is_above(const NamedNode& named, const Node& dir) const noexcept;
  // True iff set_name() would pin it instead.
  bool must_pin(const NamedNode& named, const Node& dir, std::string_view name) const noexcept;
  // Returns the parent that was given up, for release() with the mutex released.
  [[nodiscard]] Node set_name(NamedNode& named, const Node& dir, std::string name,
                              FdCache::Ref fd) noexcept;
  [[nodiscard]] Node pin(NamedNode& named, FdCache::Ref fd) noexcept;
  void unpin(NamedNode& named) noexcept;
  void grow();
  static std::uint64_t bytes_of(const NamedNode& named) noexcept;
  void count_bytes(const NamedNode& named, std::uint64_t before) noexcept;

  FdCache& cache_;
  OnUnmarked on_unmarked_;  // Set by begin_marks(), before other threads come.
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> pinned_{0};

  mutable std::mutex mutex_;
  // Protected by mutex_, as are the NamedNodes.
  std::vector<Table::bucket_type> buckets_;
  std::optional<Table> table_;
};

// A Node that is given back at the end of the scope, unless it is handed on.
class [[nodiscard]] OwnedNode {
 public:
  OwnedNode(NodeTable& nodes, const Node& node) noexcept : nodes_(nodes), node_(node) {}
  ~OwnedNode() { nodes_.release(node_); }
  OwnedNode(const OwnedNode&) = delete;
  OwnedNode& operator=(const OwnedNode&) = delete;
  void hand_on() noexcept { node_ = Node{}; }

 private:
  NodeTable& nodes_;
  Node node_;
};

}  // namespace evenfs
