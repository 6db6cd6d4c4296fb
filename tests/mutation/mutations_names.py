# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mutations of what knows all names of a directory (core/cache/roll_call.h), and of the listings that find
it out."""

from mutations import Edit, Mutation, one

FAST, WALK = "core/cache/fast_path.h", "core/cache/walk.h"
CORE = "core/cache/core.h"
CHANGE = "core/cache/change.h"
DENTRY = "core/cache/dentry_change.h"
SECTION, BIRTH = "core/cache/inode_section.h", "core/cache/inode_section.cc"
ROLL = "core/cache/roll_call.h"
DIR = "fusefs/handlers_dir.cc"
NAMES_T, NAMES_RACE, LISTING_T = "all_names_test", "all_names_race_test", "listing_test"

MUTATIONS = (
    one("denied-not-validated", "a name is denied although names came meanwhile (A1)", FAST,
        "parent.cseq.same(content) && parent.nseq.same(parent_stamp)", "parent.nseq.same(parent_stamp)",
        NAMES_RACE),
    Mutation("denied-sampled-late", "cseq is sampled after the chain was passed",
             (Edit(FAST, "    const Stamp content = parent.cseq.sample();\n",
                   "    Stamp content = parent.cseq.sample();\n"),
              Edit(FAST, "    EVENFS_PAUSE(\"miss.passed\");\n",
                   "    EVENFS_PAUSE(\"miss.passed\");\n    content = parent.cseq.sample();\n")),
             (NAMES_RACE,)),
    one("denied-without-a-second-look", "what was missed before all names were known is denied", FAST,
        "if (!same_life || !dentries_.lacks(dir.index(), dir.generation(), key)) return Outcome::kMiss;",
        "if (!same_life) return Outcome::kMiss;", NAMES_RACE),
    one("walk-forgets-what-it-denied", "a walk denies a name and does not keep cseq (I3)", WALK,
        "    if (!keep(pub.cseq, content)) return Outcome::kTooDeep;\n", "    (void)content;\n", NAMES_RACE),
    one("names-known-for-ever", "names that others made are denied beyond --cache-ttl", CORE,
        "return word > kRollCall && fresh(word);", "return word > kRollCall;", NAMES_T),
    one("asked-is-known", "names are denied while somebody still asks for all of them", CORE,
        "return word > kRollCall && fresh(word);", "return word != 0 && fresh(word);", NAMES_T),
    one("evict-keeps-names", "an evicted name is denied", DENTRY,
        "  return dir.names_until.load(kRelaxed) != 0;\n", "  return false;\n", NAMES_T, NAMES_RACE),
    one("names-forgotten-quietly", "a roll call and a reader do not notice an eviction", SECTION,
        "    open_content();\n    pub_.names_until.store(0, std::memory_order_relaxed);\n"
        "    close_content();\n",
        "    pub_.names_until.store(0, std::memory_order_relaxed);\n", NAMES_RACE, NAMES_T),
    one("roll-call-unmarked", "evictors do not see that somebody asks for all names", ROLL,
        "    pub.names_until.store(kRollCall, std::memory_order_relaxed);\n", "", NAMES_RACE),
    one("roll-call-not-compared", "all names are known although some came or went", ROLL,
        "!inode.pub().cseq.same(call.content) || ", "", NAMES_RACE),
    one("roll-call-of-hidden-names", "a listing is believed that does not show each name", ROLL,
        "  if (!held || !lists_all(*held)) return;\n", "  if (!held) return;\n", NAMES_T),
    one("absent-is-cached", "a roll call takes a negative dentry for a name's", DENTRY,
        "return index && core_.slots.dentry(*index).child.load(kRelaxed) != 0;", "return index.has_value();",
        NAMES_T),
    one("made-and-denied", "what is made and finds no dentry is denied", CHANGE,
        "  change.keep_names(cache_name(me, new_dir, new_name, id, change.lease(), until));\n",
        "  cache_name(me, new_dir, new_name, id, change.lease(), until);\n  change.keep_names(true);\n",
        NAMES_T),
    one("failed-and-denied", "a name whose change failed is denied", CHANGE,
        "    if (!names_known_) inode.forget_names();\n", "    (void)names_known_;\n", NAMES_T, "fault_test"),
    one("same-inode-and-denied", "two names of one inode are denied after a rename that did nothing", CHANGE,
        "  if (victim_id == source_id) return done;\n",
        "  if (victim_id == source_id) {\n    from_change.keep_names(true);\n    to_change.keep_names(true);\n"
        "    return done;\n  }\n", NAMES_T),
    one("linked-by-others-and-denied", "an old name is denied that others may have made a link of", CHANGE,
        "  set_parent(source_id, new_dir);\n",
        "  set_parent(source_id, new_dir);\n  from_change.keep_names(true);\n", NAMES_T),
    one("invalidated-and-known", "names are denied that others have made", SECTION,
        "    pub_.cseq.skip();\n    pub_.names_until.store(0, std::memory_order_relaxed);\n",
        "    pub_.cseq.skip();\n", NAMES_T, NAMES_RACE),
    Mutation("roll-call-between", "a roll call begins between an invalidation's two steps",
             (Edit(ROLL, "    inode.outdate_content();\n  }\n",
                   "    inode.outdate_content();\n    inode.close_content();\n  }\n"),
              Edit(ROLL, "  core_.lock_inode(dir.index()).close_content();\n", "")), (NAMES_RACE,)),
    one("born-empty-twice", "a directory is born empty that had an inode before, and names", BIRTH,
        "empty && trusted ? until : 0", "empty ? until : 0", NAMES_T),
    one("names-of-the-last-life", "the next directory in a slot is taken for empty", BIRTH,
        "  pub_.names_until.store(empty && trusted ? until : 0, kRelaxed);\n",
        "  if (empty && trusted) pub_.names_until.store(until, kRelaxed);\n", NAMES_T),
    one("made-where-names-hide", "a new directory is known to be empty where names are hidden", CHANGE,
        "told_at_once && lists_all(*held), [&]", "told_at_once, [&]",
        NAMES_T),
    one("known-and-called-again", "each name is asked for in listings of what is all known", ROLL,
        "  if (core_.has_all_names(pub.names_until.load(std::memory_order_relaxed))) return call;\n", "",
        NAMES_T),
    one("listed-with-a-gap", "a listing that skipped names is believed", DIR,
        "    if (offset != open.roll_call_at) give_up();\n", "    (void)offset;\n", LISTING_T),
    one("listed-in-part", "a listing that was not read to the end is believed", DIR,
        "    if (status && !is_full) roll_caller.end();\n", "    if (status) roll_caller.end();\n", LISTING_T),
    one("listed-and-not-cached", "a listing is believed some names of which are not cached", DIR,
        "    if (name && !r_.fs.cache.has_name(open_.id, *name)) give_up();\n", "    (void)name;\n", LISTING_T),
)
