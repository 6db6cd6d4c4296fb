# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mutations: each takes one check, one step or one order away from the protocol.

A mutation is an edit of the source, so the source itself has no switches in it; `mutate.py --check`, a test,
sees to it that each edit still fits. `by` names the test programs that are tried first. `hidden` is for what
this machine cannot show: where it is shown instead, or why nothing depends on it.
"""

from typing import NamedTuple

FAST = "core/cache/fast_path.h"
WALK = "core/cache/walk.h"
ANSWER = "core/cache/answer.h"
CHANGE = "core/cache/change.h"
FIND = "core/cache/dentry_table.h"
DENTRY = "core/cache/dentry_change.h"
SECTION = "core/cache/inode_section.h"
BIRTH = "core/cache/inode_section.cc"
TABLE = "core/cache/inode_table.h"
LIFE = "core/cache/lifetime.h"
ROLL = "core/cache/roll_call.h"
OUTSIDE = "core/cache/outside.h"
RECLAIM = "core/cache/reclaim.h"
LIMBO = "core/cache/limbo.h"
SEQ = "core/sync/seqcount.h"
POOL = "core/mem/slot_pool.h"


class Edit(NamedTuple):
    file: str
    old: str
    new: str = ""


class Mutation(NamedTuple):
    name: str
    what: str  # What is broken by it.
    edits: tuple
    by: tuple
    hidden: str = ""


def one(name, what, file, old, new, *by, hidden=""):
    return Mutation(name, what, (Edit(file, old, new),), by, hidden)


LOOKUP_RACE, WALK_RACE = "lookup_race_test", "walk_race_test"
FILL_RACE, LIFETIME_RACE = "fill_race_test", "lifetime_race_test"
TORTURE, LEASE, IDS, XATTR_T = "torture_test", "lease_test", "ids_test", "xattr_test"

READERS = (
    one("getattr-not-validated", "aseq is not compared after the copy (I1)", FAST,
        "if (!pub.aseq.same(stamp)) return Outcome::kInodeChanged;", "", LOOKUP_RACE),
    one("getattr-any-generation", "the id's generation is not compared (C4)", FAST,
        "if (generation != id.generation()) return Outcome::kStaleId;\n    if ((flags", "if ((flags",
        LOOKUP_RACE, IDS),
    one("getattr-generation-outside", "the generation is read before the window (C4)", FAST,
        "    const Stamp stamp = pub.aseq.sample();\n"
        "    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;\n    copy_attr(pub, attr);\n"
        "    const std::uint32_t generation = pub.generation.load(kRelaxed);\n",
        "    const std::uint32_t generation = pub.generation.load(kRelaxed);\n"
        "    EVENFS_PAUSE(\"getattr.copied\");\n    const Stamp stamp = pub.aseq.sample();\n"
        "    if (!stamp_is_stable(stamp)) return Outcome::kInodeBusy;\n    copy_attr(pub, attr);\n",
        LOOKUP_RACE),
    one("mode-not-validated", "nseq is not compared after the mode was read", FAST,
        "if (!pub.nseq.same(stamp)) return Outcome::kInodeChanged;\n"
        "    if (generation != id.generation()) return Outcome::kStaleId;\n    return core_.fresh(until)",
        "if (generation != id.generation()) return Outcome::kStaleId;\n    return core_.fresh(until)",
        LOOKUP_RACE),
    one("lookup-dentry-not-validated", "a hit although the dentry died (A1, B5)", FAST,
        "if (!dentries_.still(seen) || !pub.aseq.same(stamp) ||", "if (!pub.aseq.same(stamp) ||",
        LOOKUP_RACE),
    one("lookup-inode-not-validated", "a hit although the inode changed (I1)", FAST,
        "!dentries_.still(seen) || !pub.aseq.same(stamp) ||", "!dentries_.still(seen) ||", LOOKUP_RACE),
    one("lookup-parent-not-validated", "a hit although the directory's nseq moved", FAST,
        "!pub.aseq.same(stamp) || !parent.nseq.same(parent_stamp)", "!pub.aseq.same(stamp)", LOOKUP_RACE,
        hidden="a live dentry carries the directory's generation, and removing a directory or a name kills "
               "dentries, so what the parent's count adds to a hit is only that a dying id is answered "
               "ESTALE one call sooner"),
    one("negative-not-validated", "ENOENT from a negative dentry that died (A1, A7)", FAST,
        "if (!dentries_.still(seen) || !parent.nseq.same(parent_stamp)) return Outcome::kInodeChanged;",
        "", LOOKUP_RACE),
    one("find-not-validated", "a match is not looked at again", FIND,
        "if (dentry.seq.same(stamp)) return Find::kFound;", "return Find::kFound;", LOOKUP_RACE, TORTURE,
        hidden="whoever calls find() validates the dentry once more at the end; here it only saves the way "
               "there"),
    one("walk-not-validated", "what was passed is not validated at the end (I3, A2)", WALK,
        "if (!taken_[i].count->same(taken_[i].stamp)) return Outcome::kInodeChanged;", "", WALK_RACE),
    one("walk-forgets-inodes", "a directory that was passed is not kept (I3)", WALK,
        "    if (!keep(pub.nseq, stamp)) return Outcome::kTooDeep;\n", "", WALK_RACE),
    one("walk-forgets-dentries", "a name that was passed is not kept (I3)", WALK,
        "    if (!keep(core_.slots.dentry(seen.index).seq, seen.stamp)) return Outcome::kTooDeep;\n", "",
        WALK_RACE),
    one("walk-errors-not-validated", "EACCES, ENOTDIR, ENOENT of what no longer is (A3)", WALK,
        "    if (outcome != Outcome::kHit) return outcome;\n    EVENFS_PAUSE(\"walk.copied\");",
        "    if (outcome != Outcome::kHit || error != 0) return outcome;\n    EVENFS_PAUSE(\"walk.copied\");",
        WALK_RACE),
    one("walk-until-not-cleared", "the mode is believed after its section (F3)", SECTION,
        "      pub_.walk_until.store(0, std::memory_order_relaxed);\n", "", "walk_test", LEASE),
    one("absence-not-cleared", "no ACL or capability is believed after one was set (F3)", SECTION,
        "      pub_.absent.store(0, std::memory_order_relaxed);\n", "", XATTR_T, "walk_test"),
    one("absence-outlives-its-mode", "an ACL is not believed that came with the mode that is served", BIRTH,
        "  pub.absent.store(0, kRelaxed);\n", "", XATTR_T),
    one("absence-not-validated", "nseq is not compared after an absence was read", FAST,
        "if (!pub.nseq.same(stamp)) return Outcome::kInodeChanged;\n"
        "    if (generation != id.generation()) return Outcome::kStaleId;\n    if ((absent",
        "if (generation != id.generation()) return Outcome::kStaleId;\n    if ((absent", LOOKUP_RACE),
    one("absence-of-any-generation", "the absence of the next inode in the slot is told", FAST,
        "    if (generation != id.generation()) return Outcome::kStaleId;\n    if ((absent & absence)",
        "    if ((absent & absence)", XATTR_T, IDS),
    one("absence-without-lease", "an attribute is believed absent that was set meanwhile (B4)", ANSWER,
        "if (!stamp_is_stable(before) || !pub.nseq.same(before)) return false;",
        "if (!stamp_is_stable(before)) return false;", FILL_RACE, XATTR_T),
    one("absence-in-an-open-section", "an absence that was told during a change is believed (B4)", ANSWER,
        "if (!stamp_is_stable(before) || !pub.nseq.same(before)) return false;",
        "if (!pub.nseq.same(before)) return false;", XATTR_T),
    one("absence-prolonged", "an absence is believed longer because another one was told later", ANSWER,
        "absent_word(absence | (known & kAnyAbsence), std::min(until, absent_until(known)))",
        "absent_word(absence | (known & kAnyAbsence), until)", XATTR_T),
    one("absence-that-expired-is-taken-along", "an absence that had expired is believed again", ANSWER,
        "  if (core_.lacks(known, kAnyAbsence)) {\n"
        "    word = absent_word(absence | (known & kAnyAbsence), std::min(until, absent_until(known)));\n  }\n",
        "  word = absent_word(absence | (known & kAnyAbsence), until);\n", XATTR_T),
    one("any-error-is-an-absence", "an attribute that could not be read is believed absent", ANSWER,
        "if (absence != 0 && !told && told.error() == Errno(ENODATA)) {", "if (absence != 0 && !told) {",
        XATTR_T),
    one("no-lists-is-no-list", "where there are no lists the kernel is told ENODATA", WALK,
        "acl.error() == Errno(ENODATA) ? kNoAccessList : kNoListsThere", "kNoAccessList | kNoListsThere",
        XATTR_T),
    one("stat-flags-not-cleared", "attributes are served after a section that did not say them", SECTION,
        "    pub_.stat_flags.store(0, std::memory_order_relaxed);\n", "", LEASE),
    one("expired-is-served", "what is older than --cache-ttl is served", "core/cache/core.h",
        "return until_tick != 0 && until_tick >= clock.now();",
        "return until_tick != 0;", "answer_test"),
)

COUNTS = (
    one("count-outside-the-section", "a lookup counts after its read section (D2, C8)", FAST,
        "        outcome = lookup_once(dir, key, count, entry, taken_back);\n      }\n",
        "        outcome = lookup_once(dir, key, Count::kNo, entry, taken_back);\n      }\n"
        "      EVENFS_PAUSE(\"lookup.counted\");\n"
        "      if (outcome == Outcome::kHit && count == Count::kYes) {\n"
        "        core_.slots.inode_priv(entry.id.index()).refs.fetch_add(1, std::memory_order_relaxed);\n"
        "      }\n", LIFETIME_RACE, TORTURE),
    one("count-not-taken-back", "a failed lookup keeps its count", FAST,
        "      take_back(priv.refs);\n", "", LOOKUP_RACE),
    one("take-back-below-zero", "what a forged FORGET took is taken once more", FAST,
        "while ((now & kLookupMask) != 0 &&\n           !refs", "while (!refs", LIFETIME_RACE),
    one("lookup-no-recheck", "an inode is lost that a lookup counted for a moment", FAST,
        "      if (taken_back != 0) core_.recheck(taken_back);\n", "", LIFETIME_RACE),
    one("hold-not-validated", "hold() returns an inode whose name died", FAST,
        "if (dentries_.still(seen)) return Outcome::kHit;", "return Outcome::kHit;", LIFETIME_RACE),
    one("hold-no-recheck", "an inode is lost that hold() counted for a moment", FAST,
        "    if (outcome == Outcome::kInodeChanged && seen.child != 0) core_.recheck(seen.child);\n", "",
        LIFETIME_RACE),
    one("no-grace-period-in-reclaim", "mark and settle without a wait between them (R1)", RECLAIM,
        "    core_.policy.synchronize();\n", "", LIFETIME_RACE),
    one("no-second-look-in-reclaim", "the settle frees what was found again (R1)", TABLE,
        "if (priv.refs.load(std::memory_order_acquire) != 0 || !priv.names.empty()) {", "if (false) {",
        LIFETIME_RACE),
    one("mark-with-references", "the mark does not look at the references", RECLAIM,
        "priv.refs.load(std::memory_order_acquire) != 0 || !priv.names.empty()", "!priv.names.empty()",
        LIFETIME_RACE, TORTURE,
        hidden="the settle looks again; until then an inode that is in use is only slower"),
    one("mark-with-names", "the mark does not look at the names (L2)", RECLAIM,
        "priv.refs.load(std::memory_order_acquire) != 0 || !priv.names.empty()",
        "priv.refs.load(std::memory_order_acquire) != 0", LIFETIME_RACE, TORTURE,
        hidden="the settle looks again; until then an inode that is in use is only slower"),
    Mutation("names-do-not-keep", "an inode with a name is freed (L2)",
             (Edit(RECLAIM, "priv.refs.load(std::memory_order_acquire) != 0 || !priv.names.empty()",
                   "priv.refs.load(std::memory_order_acquire) != 0"),
              Edit(TABLE, "priv.refs.load(std::memory_order_acquire) != 0 || !priv.names.empty()",
                   "priv.refs.load(std::memory_order_acquire) != 0")),
             (LIFETIME_RACE, TORTURE)),
    one("birth-stores-its-count", "a birth overwrites the count of a lookup (R1)", BIRTH,
        "priv_.refs.fetch_add(first_refs, kRelaxed);", "priv_.refs.store(first_refs, kRelaxed);",
        LIFETIME_RACE),
    one("detach-does-not-queue", "an inode is lost whose last name went", DENTRY,
        "  core_.queue_if_unused(inode, child);\n", "", LOOKUP_RACE),
    one("unpin-does-not-queue", "an inode is lost whose last pin went", LIFE,
        "  core_.queue_if_unused(core_.lock_inode(index), index);\n", "", LOOKUP_RACE, LIFETIME_RACE),
    one("forget-any-generation", "FORGET of a dead id takes from the slot's next inode (I6)", LIFE,
        "  if (inode.priv().state == SlotState::kFree ||\n"
        "      inode.pub().generation.load(std::memory_order_relaxed) != id.generation()) {\n"
        "    return false;", "  if (inode.priv().state == SlotState::kFree) {\n    return false;", IDS),
    one("forget-more-than-there-is", "FORGET brings the count below zero (I5)", LIFE,
        "    if ((now & kLookupMask) < n) return false;\n", "", IDS),
    one("pin-any-generation", "a dead id pins the slot's next inode (I6)", LIFE,
        "  if (inode.priv().state == SlotState::kFree ||\n"
        "      inode.pub().generation.load(std::memory_order_relaxed) != id.generation()) {\n"
        "    return Errno(ESTALE);", "  if (inode.priv().state == SlotState::kFree) {\n"
        "    return Errno(ESTALE);", IDS, LOOKUP_RACE),
)

SLOTS = (
    one("no-grace-period-in-limbo", "a dentry is reused under a reader that stands on it", LIMBO,
        "    core_.policy.synchronize();\n", "", LIFETIME_RACE),
    one("generation-not-moved", "the next inode in a slot has the id of the last (I6, D5)", TABLE,
        "pub.generation.load(kRelaxed) + 1, std::memory_order_release",
        "pub.generation.load(kRelaxed), std::memory_order_release", IDS),
    Mutation("count-reset-on-reuse", "a slot's counts begin again in its next life (C1)",
             (Edit(SECTION, "EVENFS_ASSERT(priv_.state == SlotState::kFree);",
                   "new (&pub_.aseq) Seqcount; new (&pub_.nseq) Seqcount; new (&pub_.cseq) Seqcount;"),
              Edit(SECTION, "#include \"core/base/assert.h\"",
                   "#include <new>\n\n#include \"core/base/assert.h\"")), (LOOKUP_RACE, TORTURE)),
    one("identity-kept", "a slot between two lives still has its identity (MO-7)", TABLE,
        "    pub.identity_generation.store(0, kRelaxed);\n", "", "durable_test", LOOKUP_RACE),
    one("scan-generation-once", "a number's id is not looked at again", TABLE,
        "if (pub.generation.load(kRelaxed) == generation) return", "return", LOOKUP_RACE, "durable_test"),
    one("evict-unseen", "the evictor kills whatever is in the slot by now", DENTRY,
        "    if (!dentry.seq.same(stamp)) return Killed::kNo;\n", "", LIFETIME_RACE),
    one("kill-leaves-the-count-even", "a dead dentry is still an answer (B5)", DENTRY,
        "  core_.slots.dentry(index).seq.begin();\n", "  core_.slots.dentry(index).seq.skip();\n", LEASE),
    one("mark-leaves-counts-even", "a dying inode is still an answer (L4)", RECLAIM,
        "    inode.open(Fields::kWalk);\n    inode.open_content();\n",
        "    inode.pub().aseq.skip();\n", LIFETIME_RACE),
    one("chain-without-a-bound", "a chain is followed for ever (I7)", FIND,
        "      if (step == kStepsMax) return Find::kTooLong;\n", "", "answer_test", "walk_test"),
    one("any-end-of-chain", "the end of another chain is taken for one's own", FIND,
        "if (index == (kEndOfChain | bucket)) return Find::kMiss;", "return Find::kMiss;", TORTURE,
        hidden="a miss is never an answer, so this costs a question; the model chain_drift shows the rest"),
)

WRITERS = (
    one("fill-without-lease", "attributes of before a change are cached (B4)", ANSWER,
        "  if (!pub.aseq.same(before)) return false;\n", "", FILL_RACE),
    one("fill-in-an-open-section", "attributes read during a change are cached (B4)", ANSWER,
        "const bool kept = stamp_is_stable(before) && publish", "const bool kept = publish", LEASE),
    one("name-without-lease", "a name of before a change is cached (B4)", DENTRY,
        "  if (!core_.slots.inode(dir).cseq.same(content)) return std::nullopt;\n", "", FILL_RACE),
    one("name-in-an-open-section", "a name read during a change is cached (B4)", ANSWER,
        "const bool may_cache = stamp_is_stable(lease);", "const bool may_cache = true;", FILL_RACE),
    one("confirm-without-lease", "a name of before a change is confirmed (B4)", DENTRY,
        "    if (!slots.inode(dir).cseq.same(content)) return Confirmed::kNo;\n", "", LEASE, "answer_test",
        TORTURE),
    one("no-ticket", "attributes of before a whole life are served", TABLE,
        "const bool trusted = held.last_removal <= ticket;",
        "const bool trusted = held.last_removal < ~ticket;",
        FILL_RACE),
    one("invalidation-without-skip", "a change caches a name of before an invalidation", ROLL,
        "    inode.outdate_content();\n  }\n  EVENFS_PAUSE", "  }\n  EVENFS_PAUSE", LEASE, FILL_RACE),
    one("invalidation-without-kill", "an invalidated name is still an answer", ROLL,
        "  EVENFS_PAUSE(\"invalidate.outdated\");\n  kill_name(me, dir, name);\n",
        "  EVENFS_PAUSE(\"invalidate.outdated\");\n  (void)me;\n  (void)name;\n", FILL_RACE),
    one("create-kills-late", "the negative dentry goes after the store was told (B3)", CHANGE,
        "  kill_name(me, dir, name);\n  const auto ticket = inodes_.ticket();\n"
        "  const std::uint64_t until = core_.until();\n  const Result<Found> found = make(parent.node());\n",
        "  const auto ticket = inodes_.ticket();\n"
        "  const std::uint64_t until = core_.until();\n  const Result<Found> found = make(parent.node());\n"
        "  kill_name(me, dir, name);\n", LEASE),
    one("create-kills-nothing", "the negative dentry stays (B5)", CHANGE,
        "  kill_name(me, dir, name);\n  const auto ticket", "  const auto ticket", LOOKUP_RACE),
    one("unlink-kills-nothing", "the name stays an answer (B5)", CHANGE,
        "  kill_name(me, dir, name);\n  const std::uint64_t until = core_.until();\n"
        "  const Status done = call(", "  const std::uint64_t until = core_.until();\n"
        "  const Status done = call(", LOOKUP_RACE),
    one("rename-kills-one", "the old name stays an answer (B7)", CHANGE,
        "  kill_name(me, dir, name);\n  kill_name(me, new_dir, new_name);\n  EVENFS_PAUSE(\"rename.killed\")",
        "  kill_name(me, new_dir, new_name);\n  EVENFS_PAUSE(\"rename.killed\")", LOOKUP_RACE),
    one("rename-keeps-the-parent", "'..' leads to the old parent (F2)", CHANGE,
        "  set_parent(source_id, new_dir);\n", "", WALK_RACE),
    one("parent-noted-late", "a lookup notes a parent of before a rename (F2)", ANSWER,
        "  if (core_.slots.dentry(slot).seq.sample() != *stamp) return true;\n", "", FILL_RACE),
    one("overlap-not-noticed", "a change publishes what another has made untrue (B8)", SECTION,
        "    priv_.overlapped = priv_.stat_users != 0;\n", "", LEASE, FILL_RACE),
    Mutation("section-not-odd", "a change does not show on aseq (B1, B3)",
             (Edit(SECTION, "if (priv_.stat_users++ == 0) pub_.aseq.begin();\n    pub_.stat_flags",
                   "++priv_.stat_users;\n    pub_.stat_flags"),
              Edit(SECTION, "    if (--priv_.stat_users == 0) pub_.aseq.end();\n",
                   "    if (--priv_.stat_users == 0 && !stamp_is_stable(pub_.aseq.sample())) {\n"
                   "      pub_.aseq.end();\n    }\n")),
             (LOOKUP_RACE, LEASE)),
    Mutation("walk-section-not-odd", "a change of mode does not show on nseq (B1)",
             (Edit(SECTION, "if (priv_.walk_users++ == 0) pub_.nseq.begin();", "++priv_.walk_users;"),
              Edit(SECTION,
                   "if (fields == Fields::kWalk && lock.priv().walk_users++ == 0) lock.pub().nseq.begin();",
                   "if (fields == Fields::kWalk) ++lock.priv().walk_users;"),
              Edit(SECTION, "if (fields == Fields::kWalk && --priv_.walk_users == 0) pub_.nseq.end();",
                   "if (fields == Fields::kWalk && --priv_.walk_users == 0 &&\n"
                   "    !stamp_is_stable(pub_.nseq.sample())) pub_.nseq.end();")), (WALK_RACE,)),
    Mutation("content-section-not-odd", "a change of a directory does not show on cseq (B4)",
             (Edit(SECTION, "if (priv_.content_users++ == 0) pub_.cseq.begin();", "++priv_.content_users;"),
              Edit(SECTION, "if (--priv_.content_users == 0) pub_.cseq.end();",
                   "if (--priv_.content_users == 0 && !stamp_is_stable(pub_.cseq.sample())) pub_.cseq.end();")),
             (FILL_RACE,)),
    one("set-id-change-is-no-walk-change", "a chmod opens a section of stat only (B2)", CHANGE,
        "begin_change(id, walk ? Fields::kWalk : Fields::kStat)",
        "begin_change(id, (void(walk), Fields::kStat))",
        WALK_RACE),
    one("failed-change-is-believed", "a removal that the store refused is cached as done", CHANGE,
        "  const Status done = call(parent->node());\n  if (!done) return done;\n",
        "  const Status done = call(parent->node());\n", "fault_test"),
    one("outdated-name-is-changed", "the section is opened on an inode that the name no longer leads to",
        CHANGE,
        "const bool asks = core_.ttl_ticks != kForeverTicks;", "const bool asks = core_.ttl_ticks == 0;",
        LEASE, "answer_test"),
)

ORDERS = (
    one("mo1-sample-relaxed", "MO-1, the reader", SEQ,
        "return count_.load(std::memory_order_acquire);", "return count_.load(std::memory_order_relaxed);",
        TORTURE, hidden="x86-64 loads in order; litmus seqcount"),
    one("mo1-end-relaxed", "MO-1, the writer", SEQ,
        "count_.store(now + 1, std::memory_order_release);",
        "count_.store(now + 1, std::memory_order_relaxed);",
        TORTURE, hidden="x86-64 stores in order; litmus seqcount"),
    one("mo2-no-writer-fence", "MO-2, the writer", SEQ,
        "    std::atomic_thread_fence(std::memory_order_release);\n  }\n\n  void end()", "  }\n\n  void end()",
        TORTURE, hidden="x86-64 stores in order; litmus seqcount"),
    one("mo2-no-reader-fence", "MO-2, the reader", SEQ,
        "inline void validation_fence() noexcept { std::atomic_thread_fence(std::memory_order_acquire); }",
        "inline void validation_fence() noexcept {}", TORTURE,
        hidden="x86-64 loads in order; litmus seqcount"),
    one("mo4-high-water-relaxed", "MO-4", POOL,
        "high_water_.store(index + 1, std::memory_order_release);",
        "high_water_.store(index + 1, std::memory_order_relaxed);", TORTURE,
        hidden="x86-64 stores in order; litmus carve"),
    one("mo5-link-cell-relaxed", "MO-5", ANSWER,
        "inode.pub().link_cell.store(cells, std::memory_order_release);",
        "inode.pub().link_cell.store(cells, std::memory_order_relaxed);", TORTURE,
        hidden="x86-64 stores in order; litmus link_cell"),
    one("mo7-generation-relaxed", "MO-7", TABLE,
        "pub.generation.load(kRelaxed) + 1, std::memory_order_release",
        "pub.generation.load(kRelaxed) + 1, kRelaxed", "durable_test",
        hidden="x86-64 stores in order; litmus durable"),
    one("refs-dropped-relaxed", "the release of drop_refs", LIFE,
        "refs.fetch_sub(refs, std::memory_order_release)", "refs.fetch_sub(refs, std::memory_order_relaxed)",
        TORTURE, hidden="a read-modify-write of x86-64 orders everything"),
)

MUTATIONS = READERS + COUNTS + SLOTS + WRITERS + ORDERS
