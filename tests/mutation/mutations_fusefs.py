# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mutations of the daemon: what is told to the kernel, when, and what is taken back; and of the local store,
where names and numbers lead. As those of the cache (mutations.py): edits, with the tests that are tried first.
"""

from mutations import Edit, Mutation, one

ATTR = "fusefs/handlers_attr.cc"
CALLER = "fusefs/caller.cc"
DIR = "fusefs/handlers_dir.cc"
IO = "fusefs/handlers_io.cc"
IOCTL = "fusefs/handlers_ioctl.cc"
LOOKUP = "fusefs/handlers_lookup.cc"
NAMES = "fusefs/handlers_namespace.cc"
REQUEST = "fusefs/request.h"
REQUEST_CC = "fusefs/request.cc"
SET_ID = "fusefs/set_id.cc"
XATTR = "fusefs/handlers_xattr.cc"

FILES_T, FORGET_T, NAMES_T, NUMBERS_T = "files_test", "forget_test", "names_test", "numbers_test"
REPLIES_T, FAILURES_T, SECTIONS_T, SET_ID_T = "replies_test", "failures_test", "sections_test", "set_id_test"
UNDELIVERED_T, MALFORMED_T = "undelivered_test", "malformed_test"
MOUNT_SET_ID, MOUNT_PAGES = "mount/set_id_test.sh", "mount/pages_test.sh"
MOUNT_OPS = "mount/basic_ops_test.py"

REPLIES = (
    Mutation("reply-before-count", "a lookup counts when the kernel has taken the answer (D2)",
             (Edit(LOOKUP, "found = r.fs.cache.lookup(r.me, dir, *checked);",
                   "found = r.fs.cache.peek(r.me, dir, *checked);"),
              Edit(LOOKUP, "  if (found) return r.reply_entry(found, parent);\n",
                   "  if (found && name[0] == '.') return r.reply_entry(found, parent);\n"
                   "  if (found) {\n"
                   "    if (r.reply.entry(r.entry_param(*found, parent))) {\n"
                   "      (void)r.fs.cache.lookup(r.me, r.id(parent), *NameRef::make(name));\n"
                   "    }\n    return;\n  }\n")), (REPLIES_T, UNDELIVERED_T)),
    one("undelivered-entry-counted", "an entry that nobody received keeps its count", REQUEST_CC,
        "if (!reply.entry(param)) fs.cache.forget(me, id, 1);",
        "(void)id;\n  (void)reply.entry(param);", UNDELIVERED_T),
    one("undelivered-create-counted", "a file that nobody heard of being made keeps its count", IO,
        "  r.fs.files.remove(number);\n  r.fs.cache.forget(r.me, id, 1);\n", "  r.fs.files.remove(number);\n",
        UNDELIVERED_T),
    one("undelivered-create-open", "a file that nobody heard of being made stays open", IO,
        "  r.fs.files.remove(number);\n  r.fs.cache.forget(r.me, id, 1);\n",
        "  r.fs.cache.forget(r.me, id, 1);\n", UNDELIVERED_T),
    one("undelivered-open-open", "a file stays open that nobody heard of being opened", IO,
        "  if (!r.reply.open(*fi)) r.fs.files.remove(number);\n",
        "  (void)number;\n  (void)r.reply.open(*fi);\n", UNDELIVERED_T),
    one("undelivered-opendir-open", "a directory stays open that nobody heard of being opened", DIR,
        "  if (!r.reply.open(*fi)) r.fs.directories.remove(number);\n",
        "  (void)number;\n  (void)r.reply.open(*fi);\n", UNDELIVERED_T),
    one("undelivered-listing-counted", "names of a listing that nobody received keep their counts", DIR,
        "if (r_.reply.bytes(room_.first(used_))) counted_.clear();",
        "(void)r_.reply.bytes(room_.first(used_));\n    counted_.clear();", UNDELIVERED_T),
    one("listing-counts-what-does-not-fit", "a name that found no room in a listing keeps its count", DIR,
        "    if (counted != NodeId()) r_.fs.cache.forget(r_.me, counted, 1);\n", "", FILES_T),
    one("listing-counts-nothing", "a listing tells numbers that it has not counted", DIR,
        "const Result<Entry> found = r_.fs.cache.lookup(r_.me, dir_, *name);",
        "const Result<Entry> found = r_.fs.cache.peek(r_.me, dir_, *name);", FILES_T),
    one("listing-counts-dots", "a listing counts '..', of which the kernel takes no count", DIR,
        "    if (!name) return NodeId();\n",
        "    if (!name && entry.name == \".\") return NodeId();\n"
        "    if (!name) {\n"
        "      const Result<Entry> up = r_.fs.cache.lookup_parent(r_.me, dir_);\n"
        "      if (!up) return NodeId();\n      param = r_.entry_param(*up, number_);\n"
        "      return up->id;\n    }\n",
        FILES_T),
    one("listing-lost-by-an-error", "an error drops what was listed before it", DIR,
        "if (!status && listing.empty()) return", "if (!status) return", FAILURES_T),
    one("no-memory-no-answer", "a request that finds no memory is not answered", REQUEST,
        "if (!request.reply.answered()) request.reply.error(Errno(ENOMEM));", "", FAILURES_T),
    one("gone-is-not-there", "ENOENT for a number whose object has gone", REQUEST_CC,
        "  return Errno(ESTALE);\n", "  return error;\n", FAILURES_T, NUMBERS_T),
    one("gone-and-cached", "the name of what has gone is answered from the cache", REQUEST_CC,
        "if (!fs.cache.peek_attr(id, last) || last.nlink != 0) fs.cache.invalidate(id);\n",
        "(void)fs.cache.peek_attr(id, last);\n", FAILURES_T),
    one("error-is-absence", "any error of a lookup is remembered as an absent name", LOOKUP,
        "found.error() == Errno(ENOENT) && r.fs.negative", "r.fs.negative", NUMBERS_T),
    Mutation("absence-is-kept", "the kernel keeps absent names although it was not to (--negative-timeout=0)",
             (Edit(LOOKUP, " && r.fs.negative_timeout_s > 0", ""),
              Edit(LOOKUP, "none.entry_timeout = r.name_timeout(parent, r.fs.negative_timeout_s);",
                   "none.entry_timeout = r.fs.entry_timeout_s;")), (NAMES_T,)),
    Mutation("timeouts-swapped", "names are kept as long as attributes may be, and these as long as names",
             (Edit(REQUEST_CC, "param.attr_timeout = entry_attr_timeout(entry, param.ino);",
                   "param.attr_timeout = fs.entry_timeout_s;"),
              Edit(REQUEST_CC, "param.entry_timeout = name_timeout(dir, fs.entry_timeout_s);",
                   "param.entry_timeout = fs.attr_timeout_s;")), (NAMES_T,)),
    one("durable-number-of-a-life", "a durable number comes with the generation of its slot", REQUEST_CC,
        "param.generation = fs.store.caps().source_tag;", "param.generation = entry.id.generation();",
        NUMBERS_T),
)

NUMBERS = (
    one("forget-takes-one", "a FORGET of many takes one", LOOKUP,
        "r.fs.cache.forget(r.me, r.id(ino), count);",
        "r.fs.cache.forget(r.me, r.id(ino), count == 0 ? 0 : 1);", FORGET_T),
    one("batch-takes-the-first", "a BATCH_FORGET takes its first entry only", LOOKUP,
        "std::span(forgets, count)", "std::span(forgets, std::min<std::size_t>(count, 1))", FORGET_T),
    one("batch-counts-one", "a BATCH_FORGET takes one of each inode", LOOKUP,
        "r.fs.cache.forget(r.me, r.id(one.ino), one.nlookup);",
        "r.fs.cache.forget(r.me, r.id(one.ino), std::min<std::uint64_t>(one.nlookup, 1));", FORGET_T),
    one("root-by-its-slot", "2^32 + 1 is taken for the root", "core/base/node_id.h",
        "constexpr bool is_root() const noexcept { return raw_ == kRootRaw; }",
        "constexpr bool is_root() const noexcept { return index() == kRootIndex; }", NUMBERS_T, FORGET_T),
    one("number-of-32-bits", "2^32 + k is taken for k: the root answers for 2^32 + 1", REQUEST,
        "NodeId id(fuse_ino_t number) const noexcept { return fs.cache.id_of_number(number); }",
        "NodeId id(fuse_ino_t number) const noexcept {\n"
        "    const auto low = static_cast<std::uint32_t>(number);\n"
        "    return fs.cache.id_of_number(low == FUSE_ROOT_ID ? low : number);\n  }", NUMBERS_T, FORGET_T),
    one("number-is-an-id", "a durable number is taken for an id", REQUEST,
        "return fs.cache.id_of_number(number); }", "return NodeId(number); }", NUMBERS_T),
    one("dot-of-an-id", "'.' of a durable number leads only to what was not forgotten", LOOKUP,
        "return r.fs.cache.lookup_number(r.me, number);",
        "return r.fs.cache.lookup_number(r.me, r.id(number).raw());", NUMBERS_T),
    one("whiteout-told-by-id", "a failed WHITEOUT reads the number of an inode that may not be there", NAMES,
        "    r.outdate_in_kernel(parent);\n",
        "    r.outdate_in_kernel(r.fs.cache.number_of(r.id(parent)));\n", NUMBERS_T),
    one("whiteout-not-told", "a failed WHITEOUT leaves the kernel old times of the directory", NAMES,
        "    r.outdate_in_kernel(new_parent);\n", "", NUMBERS_T),
    one("truncated-by-open", "an OPEN is to truncate, which changes a size without a section",
        "fusefs/handlers_init.cc", "FUSE_CAP_ATOMIC_O_TRUNC | ", "", "negotiation_test"),
    one("rename-any-flags", "flags of a rename that nobody knows are passed over", NAMES,
        "  return std::nullopt;\n}\n\nvoid rename(", "  return RenameMode::kReplace;\n}\n\nvoid rename(",
        NAMES_T),
)

FILES = (
    one("release-keeps", "a file that was released stays open", IO,
        "    r.fs.files.remove(fi->fh);\n  }\n", "  }\n", FILES_T, UNDELIVERED_T),
    one("releasedir-keeps", "a directory that was released stays open", DIR,
        "  r.fs.directories.remove(fi->fh);\n", "", FILES_T, UNDELIVERED_T),
    one("read-of-any-size", "a READ takes as much memory as it asks for", IO,
        "r.room(std::min(size, kAnswerBytesMax))", "r.room(size)", FILES_T),
    one("listing-of-any-size", "a listing takes as much memory as it asks for", DIR,
        "room_(r.room(std::min(size, kAnswerBytesMax)))", "room_(r.room(size))", FILES_T),
    one("value-of-any-size", "a GETXATTR takes as much memory as it asks for", XATTR,
        "r.thread.buffer(std::min(size, kValueMax))", "r.thread.buffer(size)", FILES_T, MALFORMED_T),
    one("append-on-the-source", "a page that is written back is appended", IO,
        "return flags & ~(O_APPEND | O_DIRECT", "return flags & ~(O_DIRECT", FILES_T),
    one("page-is-appended", "a page of a file that only appends is appended", IO,
        "if (open.append_only && fi->writepage != 0) return r.reply.error(Errno(EPERM));", "", FILES_T),
    one("create-opens-what-is-there", "O_EXCL does not come to the store", IO,
        "const int flags = backing_flags(fi->flags) | (fi->flags & O_EXCL);",
        "const int flags = backing_flags(fi->flags);", FILES_T, NAMES_T),
    one("short-message-is-read", "a message is read that is shorter than its header", "fusefs/worker_loop.cc",
        "    if (static_cast<std::size_t>(got) < sizeof(fuse_in_header)) {\n"
        "      failed_.store(true, std::memory_order_relaxed);\n      break;\n    }\n", "",
        "worker_threads_test"),
    one("pages-are-always-kept", "an open keeps pages that others have made old", IO,
        "return now && kept_content(r, id, *now) == Kept::kAsBefore;",
        "if (now) (void)kept_content(r, id, *now);\n  return true;", MOUNT_PAGES),
    one("numbers-of-all-devices", "inode numbers of other devices than the top's are shown as they are",
        "fusefs/inode_numbers.h", "dev == top_ ? ino : of_another(dev, ino)", "ino",
        "inode_numbers_test", "mount/several_devices_test.sh"),
    one("listed-numbers-of-all-devices", "a listing shows the numbers of other devices as they are", DIR,
        "r_.fs.numbers->of(device_, entry.ino)", "entry.ino", "mount/several_devices_test.sh"),
    one("a-copy-is-no-read", "the kernel is not told that a copy has moved an access time", IO,
        "  if (moves_atime) r.outdate_in_kernel(ino);\n", "  (void)moves_atime;\n", MOUNT_OPS),
    one("directories-know-no-noatime", "a directory is listed as if it were opened without O_NOATIME", DIR,
        "open->flags = fi->flags & O_NOATIME;", "open->flags = 0;", MOUNT_OPS),
    one("strict-reads-pages", "who has to see each change is served pages of before", IO,
        "fi.backing_id == 0 && r.fs.always_asks ? 1 : 0", "0", FILES_T),
    one("unmappable-files", "reads come to us where the kernel can then not map a file",
        "fusefs/handlers_init.cc",
        "fs.always_asks && fuse_set_feature_flag(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP)",
        "fs.always_asks", FILES_T),
    one("listing-is-always-kept", "an opendir keeps a listing that others have made old",
        "fusefs/open_directory.cc",
        "fi.keep_cache = kept == Kept::kAsBefore ? 1 : 0;",
        "fi.keep_cache = kept != Kept::kNothing ? 1 : 0;", "kept_test"),
    one("young-times-tell-content", "a time that another change may get tells the content", "fusefs/kept.h",
        "settled ? &now : nullptr", "&now", "kept_test"),
    one("kept-content-moves-no-time", "content is kept although reading it would move the access time",
        "fusefs/kept.h",
        "  if (read_moves_atime(r.fs.store.caps().atime_rule, now)) return Kept::kNothing;\n", "", "kept_test"),
    one("links-are-always-kept", "a link's target is kept although reading it moves the access time",
        "fusefs/handlers_init.cc", "return fs.store.caps().atime_rule == AtimeRule::kNever;",
        "return fs.store.caps().atime_rule != AtimeRule::kAlways;", "kept_test"),
    one("kept-names-of-before-a-change", "names are kept for longer than nobody changes them",
        "core/cache/roll_call.h",
        "         pub.cseq.same(lease.content) && pub.nseq.same(lease.walk);",
        "         pub.nseq.same(lease.walk);", "kept_listing_test"),
    one("kept-names-of-what-is-gone", "names are kept of a directory that was removed or moved",
        "core/cache/roll_call.h", "         pub.cseq.same(lease.content) && pub.nseq.same(lease.walk);",
        "         pub.cseq.same(lease.content);", "kept_listing_test"),
    one("kept-names-for-ever", "names are kept for longer than --cache-ttl says", "core/cache/roll_call.h",
        "if (!lease.is_of_use() || !core_.fresh(lease.until)) return false;",
        "if (!lease.is_of_use()) return false;", "kept_listing_test"),
    one("kept-names-lack-a-piece", "names are kept although a piece of the listing was left out",
        "core/cache/listing.h", "if (cookie != next_) listing_.reset();", "(void)cookie;",
        "listing_table_test"),
    one("kept-names-move-no-time", "names are kept of a directory whose listing moves the access time",
        "fusefs/open_directory.cc",
        "const bool may_do = !open.from_source && !AtimeSection::may_move(r, open.id);",
        "const bool may_do = !open.from_source;", "kept_test"),
    one("kept-names-are-kept-as-none", "of a listing that kept names answered it is kept that there are none",
        "fusefs/open_directory.cc", "    open.under_way = {};  // Not from its beginning.\n", "", "kept_test"),
    one("kernel-keeps-old-names", "the kernel keeps names that evenfs has kept, with the times of now",
        "fusefs/open_directory.cc", "const bool may_do = !open.from_source && !AtimeSection",
        "const bool may_do = !AtimeSection", "kept_test"),
    one("lease-after-opendir", "the lease of a listing is of after the directory was opened",
        "fusefs/open_directory.cc", "  open.under_way = std::move(under_way);\n",
        "  open.under_way =\n"
        "      ListingUnderWay(r.fs.cache.lease_listing(open.id), r.fs.cache.listing_bytes_max());\n",
        "kept_test"),
    one("kept-names-of-what-did-not-open", "a directory that the source has lost is kept as empty",
        "fusefs/open_directory.cc", "  if (!directory) return r.gone(open.id, directory.error());\n",
        "  if (!directory) {\n    open.under_way = std::move(under_way);\n"
        "    return r.gone(open.id, directory.error());\n  }\n", "kept_test",
        hidden="Request::gone has forgotten the directory, and with it the lease of that listing"),
    one("names-shown-to-all", "a user is shown the names of trusted attributes", XATTR,
        "r.maker().uid == 0 ? *got : hide_trusted(list.first(*got))", "*got", NAMES_T),
)

SECTIONS = (
    one("write-without-section", "what a write changes is served from before", SET_ID,
        "  Result<Cache::Change> change =\n"
        "      r.fs.cache.begin_change(id, may_lose_bits_ ? Fields::kWalk : Fields::kStat);\n  if (change) {",
        "  const Result<Cache::Pin> held = r.fs.cache.pin(id);\n"
        "  if (!held) status_ = held.error();\n  if (!may_lose_bits_) return;\n"
        "  Result<Cache::Change> change = r.fs.cache.begin_change(id, Fields::kWalk);\n  if (change) {",
        SECTIONS_T, FILES_T),
    one("section-ends-before-the-write", "what somebody was told during a write is served after it", SET_ID,
        "    change_.emplace(std::move(*change));\n",
        "    if (may_lose_bits_) change_.emplace(std::move(*change));\n", SECTIONS_T),
    one("copy-changes-the-other", "a copy is noted on the file that was read", IO,
        "return change_content(r, r.id(to_ino), to, WrittenBy::kCall, [&] {",
        "return change_content(r, r.id(ino), *file_at(fi).file, WrittenBy::kCall, [&] {",
        SECTIONS_T, NUMBERS_T),
    one("fsync-without-section", "blocks of before an fsync are served", IO,
        "    const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), Fields::kStat);\n"
        "    if (!change) return r.reply.error(change.error());\n    done = file_at(fi)",
        "    const Result<Cache::Pin> held = r.fs.cache.pin(r.id(ino));\n"
        "    if (!held) return r.reply.error(held.error());\n    done = file_at(fi)", SECTIONS_T),
    one("release-without-section", "blocks of before a file was closed are served", IO,
        "    if (writable) {\n", "    if ((fi->flags & O_TRUNC) != 0) {\n", SECTIONS_T),
    one("setxattr-without-section", "the time of before an attribute was set is served", XATTR,
        "    const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), fields_of(name));\n"
        "    if (!change) return change.error();\n    return r.fs.store.setxattr(",
        "    const Result<Cache::Pin> change = r.fs.cache.pin(r.id(ino));\n"
        "    if (!change) return change.error();\n    return r.fs.store.setxattr(", SECTIONS_T),
    one("removexattr-without-section", "the time of before an attribute was removed is served", XATTR,
        "    const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), fields_of(name));\n"
        "    if (!change) return change.error();\n    return r.fs.store.removexattr(",
        "    const Result<Cache::Pin> change = r.fs.cache.pin(r.id(ino));\n"
        "    if (!change) return change.error();\n    return r.fs.store.removexattr(", SECTIONS_T),
    one("acl-is-no-walk-change", "a walk believes a mode of before a list was set", XATTR,
        "return name.starts_with(\"user.\") ? Fields::kStat : Fields::kWalk;",
        "return name.empty() ? Fields::kWalk : Fields::kStat;", SECTIONS_T),
    one("capability-is-no-walk-change", "a capability is believed absent after it was set", XATTR,
        "return name.starts_with(\"user.\") ? Fields::kStat : Fields::kWalk;",
        "return name.starts_with(\"system.\") ? Fields::kWalk : Fields::kStat;", SECTIONS_T),
    one("ioctl-without-section", "the time of before flags were set is served", IOCTL,
        "  const Result<Cache::Change> change = r.fs.cache.begin_change(r.id(ino), Fields::kStat);",
        "  const Result<Cache::Pin> change = r.fs.cache.pin(r.id(ino));", SECTIONS_T),
    one("ioctl-not-told", "the kernel keeps the time of before flags were set", IOCTL,
        "  r.outdate_in_kernel(ino);  // The time of change has moved.\n", "", SECTIONS_T),
    one("read-without-section", "the access time of before a read is served", "fusefs/atime.cc",
        "  return !r.fs.cache.peek_attr(id, attr) || read_moves_atime(rule, attr);",
        "  return !r.fs.cache.peek_attr(id, attr);", SECTIONS_T),
    one("read-beside-a-change", "a read does not look whether a change has made it move the time",
        "fusefs/atime.h",
        "    if (!change_ && may_move(r_, id_)) (void)r_.fs.cache.begin_change(id_, Fields::kStat);\n", "",
        SECTIONS_T),
    one("sync-from-the-cache", "a statx that wants the source's word is served from the cache", ATTR,
        "  if ((flags & AT_STATX_FORCE_SYNC) != 0) r.fs.cache.invalidate(id);\n", "  (void)flags;\n",
        SECTIONS_T),
)

SET_IDS = (
    one("write-keeps-bits", "a write by a user leaves set-id bits", SET_ID,
        "  left.clear_suid_sgid = true;\n", "", SET_ID_T),
    one("bits-not-told", "the kernel keeps a mode whose bits a write took", SET_ID,
        "  if (may_lose_bits_ && number != 0) r_.outdate_in_kernel(number);\n", "  (void)number;\n", SET_ID_T),
    one("bits-are-no-walk-change", "a mode of before a write took its bits is believed", SET_ID,
        "r.fs.cache.begin_change(id, may_lose_bits_ ? Fields::kWalk : Fields::kStat)",
        "r.fs.cache.begin_change(id, Fields::kStat)", SET_ID_T),
    one("mapping-costs-bits", "what is written by a mapping costs bits", IO,
        "const WrittenBy by = fi->writepage != 0 ? WrittenBy::kMapping : WrittenBy::kCall;",
        "const WrittenBy by = WrittenBy::kCall;", SET_ID_T),
    one("failed-write-costs-bits", "a write that failed costs bits", SET_ID,
        "if (!may_lose_bits_ || !changed) return done;", "(void)changed;\n  if (!may_lose_bits_) return done;",
        SET_ID_T),
    one("truncate-goes-by-proc", "a truncation does not look at what the kernel says of the caller", SET_ID,
        "change.clear_suid_sgid = lacks_fsetid || !caller.has_fsetid();",
        "(void)lacks_fsetid;\n  change.clear_suid_sgid = !caller.has_fsetid();", SET_ID_T),
    one("truncate-keeps-bits", "a truncation that the kernel says nothing of leaves bits", SET_ID,
        "change.clear_suid_sgid = lacks_fsetid || !caller.has_fsetid();",
        "change.clear_suid_sgid = lacks_fsetid;", SET_ID_T),
    one("shown-is-the-caller", "who is shown under the number of a request is taken for who asks", CALLER,
        "const bool caller = same_uid && same_gid && !is_worker(thread_);",
        "const bool caller = !is_worker(thread_);\n    (void)same_uid;\n    (void)same_gid;", MOUNT_SET_ID),
    one("any-namespace", "CAP_FSETID of another user namespace counts", CALLER,
        "(shown_ == Shown::kNothing || is_of_our_user_namespace().value_or(false));", "true;", MOUNT_SET_ID),
)

STORE = (
    one("name-leads-to-any", "an object known by its name is whatever has that name now",
        "core/store/local_open.cc", "  if (!same) return Errno(ESTALE);\n", "  (void)same;\n",
        "local_store_test"),
    one("name-gone-is-not-there", "ENOENT for an object whose name has gone", "core/store/local_open.cc",
        "return gone ? Errno(ESTALE) : error;", "(void)gone;\n  return error;", "local_store_test"),
    one("number-leads-outside", "a directory that was taken out of the source is found by its number",
        "core/store/local_store.cc",
        "  if (here && S_ISDIR(object->attr.mode)) here = below_root(fd->get());\n", "",
        "local_store_numbers_test"),
    one("parent-is-outside", "'..' of a directory that was taken out of the source leads out",
        "core/store/local_store.cc",
        "  if (const Status below = below_root(parent->get()); !below) return below.error();\n", "",
        "local_store_test"),
    one("number-of-any-object", "a number is not compared with that of the object it led to",
        "core/store/local_store.cc",
        "  if (object->identity.generation != durable) here = Errno(ESTALE);\n", "",
        "local_store_numbers_test"),
    one("descriptor-outlives-its-object", "a descriptor is kept for an object that was given back",
        "core/store/node_table.cc", "      cache_.erase(node);\n      bytes_.fetch_sub(sizeof(HeapHandle)",
        "      bytes_.fetch_sub(sizeof(HeapHandle)", "local_store_overlay_test"),
    one("create-without-asking", "who may not open a file opens it by CREATE", "core/store/local_create.cc",
        "  if (!allowed) return allowed.error();\n", "  (void)allowed;\n", "local_store_root_test"),
    one("listing-begins-where-it-was", "a listing that begins again goes on", "core/store/local_file.cc",
        "const bool goes_on = cookie == next_cookie_ && cookie != 0;",
        "const bool goes_on = cookie == next_cookie_;", "store_content_contract_test", "store_contract_test"),
    one("failed-find-keeps-its-node", "a number that leads nowhere keeps what it led to",
        "core/store/local_store.cc", "  release(object->node);\n  return here.error();",
        "  return here.error();", "local_store_numbers_test"),
)

MUTATIONS = REPLIES + NUMBERS + FILES + SECTIONS + SET_IDS + STORE
