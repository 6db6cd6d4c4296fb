# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mutations of how room is made by asking the kernel for what it holds."""

from mutations import one

PRUNE = "core/cache/prune.h"
EVICTION = "core/cache/eviction.h"
LIFETIME = "core/cache/lifetime.h"
PRUNER = "fusefs/pruner.cc"
IO = "fusefs/handlers_io.cc"

MUTATIONS = (
    one("pinned-is-asked-for", "an inode that we use ourselves is asked for", PRUNE,
        "refs == 0 || refs >= kPinUnit", "refs == 0", "prune_test"),
    one("used-is-asked-for", "marks do not keep an inode from being asked for", PRUNE,
        "    if (used) return 0;\n", "", "prune_test"),
    one("shortage-untold", "a sweep that finds too little tells nobody", PRUNE,
        "    if (tell_) tell_();\n", "", "prune_test", "pruner_test"),
    one("given-back-unnoted", "what the kernel gives back is left to the hand", EVICTION,
        "    pruning_.given_back().push(index);\n", "", "prune_test"),
    one("given-back-unreplaced", "what is taken of what was given back is not asked for anew", EVICTION,
        "      pruning_.replace(evicted);\n", "", "prune_test"),
    one("used-again-and-evicted", "what was looked up after it was given back is evicted", EVICTION,
        "      if (core_.slots.clock(index).load(kRelaxed) == kUsed) return false;\n", "", "prune_test"),
    one("filled-too-late", "the list begins to be filled when it is needed", EVICTION,
        "    if (pruning_.is_due() && is_held_mostly()) pruning_.fill_up();\n", "", "prune_test"),
    one("asked-for-and-taken", "the hand takes what was given back before its turn", EVICTION,
        "given_back().size() != 0 && wanted <= kBatch", "given_back().size() > ~0U - 1", "prune_test"),
    one("asked-while-there-is-room", "the kernel is asked although little of the limit is used", LIFETIME,
        "  if (slots.is_filling()) evictor_.keep_room(me);\n  if (const auto slot = slots.reuse_inode())",
        "  evictor_.keep_room(me);\n  if (const auto slot = slots.reuse_inode())", "prune_test"),
    one("unable-and-asked", "a kernel that cannot be asked is asked again", PRUNER,
        "if (error == EINVAL) able_.store(false, kRelaxed);", "", "pruner_test"),
    one("written-as-made", "a file that was made and written is taken for unchanged when it is closed", IO,
        "return now && *now == *open.made;", "return now.ok();", "sections_test"),
)
