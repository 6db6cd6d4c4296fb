// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/cache/listing.h"

#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace evenfs {
namespace {

// In front of each name, without padding between entries.
struct Head {
  std::uint64_t ino;
  std::uint64_t next;
  std::uint32_t type;
  std::uint32_t length;  // Of the name.
};

// Besides its bytes, what one costs in the table, about.
constexpr std::uint64_t kEntryBytes = 160;
constexpr std::size_t kBuckets = 8192;

std::uint64_t cost(const ListingTable::Kept& kept) noexcept {
  return kEntryBytes + kept.listing->bytes();
}

}  // namespace

bool Listing::append(const DirEntry& entry) {
  const Head head{entry.ino, entry.next, entry.type, static_cast<std::uint32_t>(entry.name.size())};
  const std::size_t at = bytes_.size();
  bytes_.resize(at + sizeof head + entry.name.size());
  if (const std::uint64_t now = bytes(); now > charged_) {
    if (!budget_.take(now - charged_)) return false;
    charged_ = now;
  }
  std::memcpy(bytes_.data() + at, &head, sizeof head);
  std::memcpy(bytes_.data() + at + sizeof head, entry.name.data(), entry.name.size());
  return true;
}

void Listing::shrink() {
  bytes_.shrink_to_fit();
  if (const std::uint64_t now = bytes(); now < charged_) {
    budget_.give(charged_ - now);
    charged_ = now;
  }
}

DirEntry Listing::entry_at(std::size_t& at) const noexcept {
  Head head;
  std::memcpy(&head, bytes_.data() + at, sizeof head);
  at += sizeof head;
  DirEntry entry;
  entry.name = std::string_view(reinterpret_cast<const char*>(bytes_.data()) + at, head.length);
  entry.ino = head.ino;
  entry.type = head.type;
  entry.next = head.next;
  at += head.length;
  return entry;
}

bool Listing::find(std::uint64_t cookie, Place& place) const noexcept {
  if (cookie == 0) {
    place = {};
    return true;
  }
  if (place.cookie == cookie) return true;
  for (std::size_t at = 0; at < bytes_.size();) {
    if (entry_at(at).next != cookie) continue;
    place = {cookie, at};
    return true;
  }
  return false;
}

bool Listing::read(std::uint64_t cookie, Place& place,
                   const std::function<bool(const DirEntry&)>& visit) const {
  if (!find(cookie, place)) return false;
  while (place.at < bytes_.size()) {
    std::size_t behind = place.at;
    const DirEntry entry = entry_at(behind);
    if (!visit(entry)) break;
    place = {entry.next, behind};
  }
  return true;
}

ListingUnderWay::ListingUnderWay(const ListingLease& lease, ListingBudget& budget,
                                 std::size_t bytes_max)
    : lease_(lease), bytes_max_(bytes_max) {
  if (lease.is_of_use()) listing_ = std::make_shared<Listing>(budget);
}

// What finds no memory is a listing given up, and nobody's error.
void ListingUnderWay::append(const DirEntry& entry) {
  next_ = entry.next;
  if (listing_ == nullptr) return;
  bool kept = false;
  try {
    kept = listing_->append(entry) && listing_->bytes() <= bytes_max_;
  } catch (const std::bad_alloc&) {
  }
  if (!kept) listing_.reset();
}

std::shared_ptr<const Listing> ListingUnderWay::finish() {
  if (listing_ != nullptr) listing_->shrink();
  return std::exchange(listing_, nullptr);
}

ListingTable::ListingTable(std::uint64_t bytes_max)
    : bytes_max_(bytes_max),
      buckets_(kBuckets),
      table_(Table::bucket_traits(buckets_.data(), buckets_.size())) {}

ListingTable::~ListingTable() {
  table_.clear();
  order_.clear_and_dispose([](Entry* entry) { delete entry; });
}

std::unique_ptr<ListingTable::Entry> ListingTable::take_out(Entry& entry) noexcept {
  bytes_ -= cost(entry.kept);
  table_.erase(table_.iterator_to(entry));
  order_.erase(order_.iterator_to(entry));
  return std::unique_ptr<Entry>(&entry);
}

ListingTable::Kept ListingTable::find(NodeId dir) {
  const std::lock_guard lock(mutex_);
  const auto at = table_.find(dir.raw());
  if (at == table_.end()) return {};
  order_.splice(order_.begin(), order_, order_.iterator_to(*at));
  return at->kept;
}

void ListingTable::put(const ListingLease& lease, std::shared_ptr<const Listing> listing) {
  auto entry = std::make_unique<Entry>();
  entry->kept = {lease, std::move(listing)};
  const std::uint64_t need = cost(entry->kept);
  if (need > largest()) return;
  std::vector<std::unique_ptr<Entry>> gone;
  const std::lock_guard lock(mutex_);
  const auto at = table_.find(lease.dir.raw());
  if (at != table_.end()) gone.push_back(take_out(*at));
  while (bytes_ + need > bytes_max_ && !order_.empty()) gone.push_back(take_out(order_.back()));
  bytes_ += need;
  table_.insert(*entry);
  order_.push_front(*entry.release());
}

void ListingTable::drop(const ListingLease& lease) noexcept {
  std::unique_ptr<Entry> gone;
  const std::lock_guard lock(mutex_);
  const auto at = table_.find(lease.dir.raw());
  if (at == table_.end() || at->kept.lease.content != lease.content ||
      at->kept.lease.walk != lease.walk) {
    return;
  }
  gone = take_out(*at);
}

std::uint64_t ListingTable::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::uint64_t ListingTable::size() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

}  // namespace evenfs
