// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/node_table.h"

#include <memory>
#include <utility>

#include "core/base/assert.h"

namespace evenfs {

using local::kind_of;
using local::NodeKind;
using local::pointed;

namespace {

// Deeper than any path the kernel takes; a way that long is a mistake, not a tree.
constexpr std::size_t kDepthMax = 4096;

}  // namespace

std::size_t NodeTable::Hash::operator()(const Identity& identity) const noexcept {
  const std::uint64_t mixed =
      (identity.ino ^ (identity.generation * 31) ^ (identity.dev << 40)) * 0x9e3779b97f4a7c15U;
  return static_cast<std::size_t>(mixed ^ (mixed >> 29));
}

NodeTable::NodeTable(FdCache& cache) : cache_(cache), buckets_(64) {
  table_.emplace(Table::bucket_traits(buckets_.data(), buckets_.size()));
}

NodeTable::~NodeTable() {
  table_->clear_and_dispose([](NamedNode* named) { delete named; });
}

Node NodeTable::node_of(NamedNode& named) noexcept {
  return local::pointer_node(NodeKind::kNamed, &named, named.type);
}

std::uint64_t NodeTable::bytes_of(const NamedNode& named) noexcept {
  const std::uint64_t heap = named.name.capacity() > 15 ? named.name.capacity() + 1 : 0;
  return sizeof(NamedNode) + heap;
}

// It had `before`.
void NodeTable::count_bytes(const NamedNode& named, std::uint64_t before) noexcept {
  bytes_.fetch_add(bytes_of(named) - before, std::memory_order_relaxed);
}

Node NodeTable::heap_node(const local::FileHandle& handle, std::uint32_t mode,
                          std::uint16_t mount) {
  auto* heap = new HeapHandle;
  heap->mount = mount;
  heap->handle = handle;
  bytes_.fetch_add(sizeof(HeapHandle), std::memory_order_relaxed);
  return local::pointer_node(NodeKind::kHeap, heap, mode);
}

void NodeTable::grow() {
  if (table_->size() < buckets_.size()) return;
  std::vector<Table::bucket_type> more(buckets_.size() * 2);
  table_->rehash(Table::bucket_traits(more.data(), more.size()));
  buckets_.swap(more);
}

Node NodeTable::named_node(const Identity& identity, std::uint32_t mode, const Node& parent,
                           std::string_view name, UniqueFd& fd, local::MarkHold* hold) {
  Node given_up;
  Node node;
  std::string own_name(name);
  {
    const std::lock_guard guard(mutex_);
    const auto found = table_->find(identity);
    std::unique_ptr<NamedNode> fresh;
    if (found == table_->end()) {
      grow();
      fresh = std::make_unique<NamedNode>();
      fresh->identity = identity;
      fresh->type = mode & S_IFMT;
      if (hold != nullptr) fresh->mark = hold->number();
    }
    NamedNode& named = fresh != nullptr ? *fresh : *found;
    const bool nameless = name.empty() && named.name.empty();
    FdCache::Ref pinned;
    if (named.pinned == nullptr && fd && (nameless || must_pin(named, parent, name))) {
      pinned = std::make_shared<const UniqueFd>(std::move(fd));
    }
    // Nothing fails from here on.
    const std::uint64_t before = fresh != nullptr ? 0 : bytes_of(named);
    if (fresh != nullptr) {
      table_->insert(*fresh.release());
      if (hold != nullptr) hold->hand_on();
    }
    ++named.refs;
    node = node_of(named);
    if (!name.empty()) {
      given_up = set_name(named, parent, std::move(own_name), std::move(pinned));
    } else if (nameless && named.pinned == nullptr) {
      given_up = pin(named, std::move(pinned));
    }
    count_bytes(named, before);
  }
  release(given_up);
  return node;
}

void NodeTable::retain_locked(const Node& node) noexcept {
  if (kind_of(node) == NodeKind::kHeap) {
    pointed<HeapHandle>(node).refs.fetch_add(1, std::memory_order_relaxed);
  } else if (kind_of(node) == NodeKind::kNamed) {
    ++pointed<NamedNode>(node).refs;
  }
}

void NodeTable::retain(const Node& node) noexcept {
  if (kind_of(node) == NodeKind::kInline) return;
  const std::lock_guard guard(mutex_);
  retain_locked(node);
}

void NodeTable::release(Node node) noexcept {
  while (kind_of(node) == NodeKind::kHeap || kind_of(node) == NodeKind::kNamed) {
    if (kind_of(node) == NodeKind::kHeap) {
      auto& heap = pointed<HeapHandle>(node);
      // acq_rel, pairs with itself: whoever frees comes after every other holder's last use.
      if (heap.refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
      cache_.erase(node);
      bytes_.fetch_sub(sizeof(HeapHandle), std::memory_order_relaxed);
      delete &heap;
      return;
    }
    std::unique_ptr<NamedNode> dead;
    {
      const std::lock_guard guard(mutex_);
      auto& named = pointed<NamedNode>(node);
      EVENFS_CHECK(named.refs > 0);
      if (--named.refs != 0) return;
      table_->erase(table_->iterator_to(named));
      bytes_.fetch_sub(bytes_of(named), std::memory_order_relaxed);
      if (named.pinned != nullptr) pinned_.fetch_sub(1, std::memory_order_relaxed);
      dead.reset(&named);
    }
    const bool marked = dead->mark != 0 && on_unmarked_ != nullptr;
    FdCache::Ref fd = marked && dead->pinned == nullptr ? cache_.get(node) : dead->pinned;
    cache_.erase(node);
    if (marked) on_unmarked_(*dead, std::move(fd));
    node = dead->parent;  // Its own reference to the parent goes with it.
  }
}

bool NodeTable::is_known_as(const NamedNode& named, const Node& dir,
                            std::string_view name) const noexcept {
  return named.name == name && local::same_node(named.parent, dir);
}

// True iff `named` is on the way to `dir`: then it cannot be below `dir`.
bool NodeTable::is_above(const NamedNode& named, const Node& dir) const noexcept {
  Node at = dir;
  for (std::size_t depth = 0; kind_of(at) == NodeKind::kNamed; ++depth) {
    if (&pointed<NamedNode>(at) == &named || depth == kDepthMax) return true;
    at = pointed<NamedNode>(at).parent;
  }
  return false;
}

// Somebody moved directories behind our back and what we know of others is out of date: a circle of parents
// would never be left. A descriptor needs no parent.
bool NodeTable::must_pin(const NamedNode& named, const Node& dir,
                         std::string_view name) const noexcept {
  return !name.empty() && !is_known_as(named, dir, name) && named.type == S_IFDIR &&
         is_above(named, dir);
}

Node NodeTable::set_name(NamedNode& named, const Node& dir, std::string name,
                         FdCache::Ref fd) noexcept {
  if (is_known_as(named, dir, name)) return Node{};
  if (must_pin(named, dir, name)) return pin(named, std::move(fd));
  retain_locked(dir);
  const Node given_up = std::exchange(named.parent, dir);
  named.name = std::move(name);
  unpin(named);
  return given_up;
}

Node NodeTable::pin(NamedNode& named, FdCache::Ref fd) noexcept {
  if (named.pinned == nullptr && fd != nullptr) {
    named.pinned = std::move(fd);
    pinned_.fetch_add(1, std::memory_order_relaxed);
  }
  named.name.clear();
  return std::exchange(named.parent, Node{});
}

void NodeTable::unpin(NamedNode& named) noexcept {
  if (named.pinned == nullptr) return;
  named.pinned = nullptr;
  pinned_.fetch_sub(1, std::memory_order_relaxed);
}

void NodeTable::begin_marks(const Node& root, std::uint64_t mark, OnUnmarked on_unmarked) {
  on_unmarked_ = std::move(on_unmarked);
  const std::lock_guard guard(mutex_);
  pointed<NamedNode>(root).mark = mark;
}

bool NodeTable::is_marked(const Node& dir) noexcept {
  return kind_of(dir) == NodeKind::kNamed && pointed<NamedNode>(dir).mark != 0;
}

Result<Place> NodeTable::place_of(const Node& node) {
  const std::lock_guard guard(mutex_);
  const auto& named = pointed<NamedNode>(node);
  if (named.name.empty()) return Errno(ESTALE);
  Place place{named.parent, named.name};
  retain_locked(place.dir);
  return place;
}

Result<Way> NodeTable::way_to(const Node& node) {
  Way way;
  Node at = node;
  const std::lock_guard guard(mutex_);
  for (std::size_t depth = 0; depth < kDepthMax; ++depth) {
    if (kind_of(at) != NodeKind::kNamed) {
      retain_locked(at);
      way.start = at;
      return way;
    }
    const auto& named = pointed<NamedNode>(at);
    way.from = named.pinned;
    if (way.from == nullptr && named.type == S_IFDIR) way.from = cache_.get(at);
    if (way.from != nullptr) return way;
    if (named.name.empty()) return Errno(ESTALE);
    way.names.push_back(named.name);
    at = named.parent;
  }
  return Errno(ESTALE);
}

void NodeTable::name_removed(const Identity& identity, const Node& dir, std::string_view name,
                             FdCache::Ref fd) noexcept {
  Node given_up;
  {
    const std::lock_guard guard(mutex_);
    const auto found = table_->find(identity);
    if (found == table_->end() || !is_known_as(*found, dir, name)) return;
    const std::uint64_t before = bytes_of(*found);
    given_up = pin(*found, std::move(fd));
    count_bytes(*found, before);
  }
  release(given_up);
}

void NodeTable::name_moved(const Identity& identity, const Node& dir, std::string_view name,
                           const Node& new_dir, std::string new_name, FdCache::Ref fd) noexcept {
  Node given_up;
  {
    const std::lock_guard guard(mutex_);
    const auto found = table_->find(identity);
    if (found == table_->end() || !is_known_as(*found, dir, name)) return;
    const std::uint64_t before = bytes_of(*found);
    given_up = set_name(*found, new_dir, std::move(new_name), std::move(fd));
    count_bytes(*found, before);
  }
  release(given_up);
}

void NodeTable::name_given(const Node& node, const Node& dir, std::string name) noexcept {
  if (kind_of(node) != NodeKind::kNamed) return;
  Node given_up;
  {
    const std::lock_guard guard(mutex_);
    auto& named = pointed<NamedNode>(node);
    if (!named.name.empty()) return;
    const std::uint64_t before = bytes_of(named);
    given_up = set_name(named, dir, std::move(name), nullptr);
    count_bytes(named, before);
  }
  release(given_up);
}

}  // namespace evenfs
