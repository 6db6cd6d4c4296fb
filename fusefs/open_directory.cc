// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/open_directory.h"

#include "fusefs/atime.h"
#include "fusefs/kept.h"

namespace evenfs {
namespace {

// Whether nobody changes the directory without our knowing.
bool is_told_of(Request& r, NodeId dir) {
  return r.fs.told_of_changes && !r.untold(r.fs.cache.number_of(dir));
}

}  // namespace

// Where others may change the directory, a source that is at hand is opened all the same: what it says of
// its times lets the kernel keep the listing.
bool kept_names_may_do(Request& r, NodeId id) {
  if (!is_told_of(r, id) && !r.fs.store.caps().may_be_slow) return false;
  return !AtimeSection::may_move(r, id) && r.fs.cache.kept_listing(id) != nullptr;
}

// The kernel drops its listing by itself, too, whenever it changes the directory, or finds another mtime at
// the start of one. So what it keeps must not be older than the attributes it may have. Names that are kept
// here are only known to be no older if nobody changes them unseen; else it is given the source's.
void set_listing_kept(Request& r, fuse_file_info& fi, OpenDirectory& open) {
  if (!r.fs.keeps_listings) return;
  Attr now;
  if (open.directory != nullptr) {
    const Result<Attr> told = open.directory->getattr();
    if (!told) return;
    now = *told;
  } else if (!is_told_of(r, open.id) || !r.fs.cache.peek_attr(open.id, now)) {
    return;
  }
  const Kept kept = kept_content(r, open.id, now);
  fi.cache_readdir = kept != Kept::kNothing ? 1 : 0;
  fi.keep_cache = kept == Kept::kAsBefore ? 1 : 0;
  open.from_source = kept != Kept::kNothing && !is_told_of(r, open.id);
}

Status open_on_source(Request& r, OpenDirectory& open) {
  if (open.directory != nullptr) return Status();
  const Result<Cache::Pin> pin = r.fs.cache.pin(open.id);
  if (!pin) return pin.error();
  ListingUnderWay under_way;
  // Where each listing moves the access time none would ever be used.
  if (r.fs.store.caps().atime_rule != AtimeRule::kAlways) {
    under_way = r.fs.cache.begin_listing(open.id);
  }
  Result<std::unique_ptr<Directory>> directory = r.fs.store.opendir(pin->node(), open.flags);
  if (!directory) return r.gone(open.id, directory.error());
  open.directory = std::move(*directory);
  open.under_way = std::move(under_way);
  return Status();
}

Status read_names(Request& r, OpenDirectory& open, std::uint64_t cookie,
                  const std::function<bool(const DirEntry&)>& visit) {
  if (cookie == 0) {
    open.kept.reset();
    const bool may_do = !open.from_source && !AtimeSection::may_move(r, open.id);
    if (may_do) open.kept = r.fs.cache.kept_listing(open.id);
    r.me.count(open.kept != nullptr ? Counter::kListingHit : Counter::kListingStore);
  }
  if (open.kept != nullptr && open.kept->read(cookie, open.place, visit)) {
    open.under_way = {};  // Not from its beginning.
    return Status();
  }
  const AtimeSection atime(r, open.id);
  const Status opened = open_on_source(r, open);
  if (!opened) return opened;
  open.under_way.go_on_at(cookie);
  return open.directory->read(cookie, [&](const DirEntry& entry) {
    if (!visit(entry)) return false;
    open.under_way.append(entry);
    return true;
  });
}

}  // namespace evenfs
