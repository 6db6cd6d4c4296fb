# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mutations of how room is made by asking the kernel for what it holds, and of what loses its last name."""

from mutations import one

PRUNE = "core/cache/prune.h"
EVICTION = "core/cache/eviction.h"
LIFETIME = "core/cache/lifetime.h"
CHANGE = "core/cache/change.h"
STORE = "core/store/local_store.cc"
PRUNER = "fusefs/pruner.cc"
IO = "fusefs/handlers_io.cc"

MUTATIONS = (
    one("pinned-is-asked-for", "an inode that we use ourselves is asked for", PRUNE,
        "refs == 0 || refs >= kPinUnit", "refs == 0", "prune_test"),
    one("used-is-asked-for", "marks do not keep an inode from being asked for", PRUNE,
        "    if (used) return 0;\n", "", "prune_test"),
    one("shortage-untold", "a sweep that finds too little tells nobody", PRUNE,
        "{ tell_ = std::move(tell); }", "{ (void)tell; }", "prune_test", "pruner_test"),
    one("given-back-unnoted", "what the kernel gives back is left to the hand", EVICTION,
        "    pruning_.given_back().push(index);\n", "", "prune_test"),
    one("given-back-unreplaced", "what is taken of what was given back is not asked for anew", EVICTION,
        "    pruning_.replace(inodes);\n", "", "prune_test"),
    one("used-again-and-evicted", "what was looked up after it was given back is evicted", EVICTION,
        "      if (core_.slots.clock(index).load(kRelaxed) == kUsed) return false;\n", "", "prune_test"),
    one("filled-too-late", "the list begins to be filled when it is needed", EVICTION,
        "    if (pruning_.is_due() && is_held_mostly()) pruning_.fill_up();\n", "", "prune_test"),
    one("asked-for-and-taken", "the hand takes what was given back before its turn", EVICTION,
        "const bool spare = !insist && pruning_.given_back().size() != 0;", "const bool spare = false;",
        "prune_test"),
    one("asked-while-there-is-room", "the kernel is asked although little of the limit is used", LIFETIME,
        "  if (slots.is_filling()) evictor_.keep_room(me);\n  if (const auto slot = slots.reuse_inode())",
        "  evictor_.keep_room(me);\n  if (const auto slot = slots.reuse_inode())", "prune_test"),
    one("unable-and-asked", "a kernel that cannot be asked is asked again", PRUNER,
        "if (error == EINVAL) {", "if (error == ENOSYS) {", "pruner_test"),
    one("written-as-made", "a file that was made and written is taken for unchanged when it is closed", IO,
        "return now && *now == *open.made;", "return now.ok();", "sections_test"),
    one("one-name-of-several", "of what was given back one name goes, and the inode stays", EVICTION,
        "while (evict_name_of(*index)) ++evicted;", "if (evict_name_of(*index)) ++evicted;", "prune_test"),
    one("asked-in-vain-always", "what is all in use is asked for as often as if it were not", PRUNE,
        "const std::uint32_t next = in_vain ?", "const std::uint32_t next = in_vain && skip_ != 0 ?",
        "prune_test"),
    one("carved-past-the-limit", "slots of one kind are carved while the other lies idle", LIFETIME,
        "if (const auto slot = slots.reuse_dentry()) return *slot;\n"
        "  // Slots of the other kind are free, and this one is wanting.\n"
        "  if (!slots.room() && slots.has_reserve()) {",
        "if (const auto slot = slots.reuse_dentry()) return *slot;\n"
        "  if (false) {", "prune_test"),
    one("vain-looks", "a cache whose kernel cannot be asked looks as often as if it could", EVICTION,
        "evicted == 0 && pruning_.is_able()", "evicted == 0", "prune_test"),
    one("last-name-presumed", "whatever loses a name is taken to have lost its last one", CHANGE,
        "(attr.nlink == 1 || S_ISDIR(attr.mode));", "true;", "orphan_test"),
    one("network-name-kept", "a source that gives what is held another name is left with it", CHANGE,
        "!core_.store.caps().may_be_slow && (attr", "(attr", "orphan_test"),
    one("torn-names-count", "a number of names that was not validated is believed", CHANGE,
        "if (fast_.getattr(id, attr) != Outcome::kHit) attr = Attr();", "(void)fast_.getattr(id, attr);",
        "orphan_test"),
    one("unheld-goes-without-a-word", "an inode that cannot be held is left without its last attributes",
        LIFETIME, "lost.last_name && keep_orphan(lost.held)",
        "(lost.last_name && keep_orphan(lost.held), lost.last_name)", "orphan_test"),
    one("found-and-not-held", "what is looked up to be removed is not held", STORE,
        "  hold->take(std::move(*fd));\n  return HeldFound{*there, std::move(hold)};",
        "  return HeldFound{*there, nullptr};", "local_store_test"),
)
