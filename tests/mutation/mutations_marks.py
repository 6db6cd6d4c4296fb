# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mutations of a watch by directory: what is marked, from when to when, and what nobody tells of."""

from mutations import Edit, Mutation, one

ANSWER = "core/cache/answer.h"
CHANGE = "core/cache/change.h"
CORE = "core/cache/core.h"
ATTR = "core/store/local_attr.cc"
EVENTS = "core/store/source_events.cc"
LOCAL_MARKS = "core/store/local_marks.cc"
MARKS = "core/store/source_marks.cc"
OPEN = "core/store/local_open.cc"
REQUEST = "fusefs/request.h"
WATCHER = "fusefs/watcher.cc"
MARKS_T, RACE_T, OUTSIDE_T, WATCHED_T = ("local_store_marks_test", "marks_race_test", "outside_test",
                                         "watched_test")

MUTATIONS = (
    one("attributes-before-the-mark", "attributes of before the mark count as told", LOCAL_MARKS,
        "    found.attr = attr_of(*again, true);\n", "", RACE_T),
    one("mark-taken-from-others", "a mark goes with the first who drops it", MARKS,
        "  if (--at->second != 0) return;\n  holders_.erase(at);\n",
        "  if (--at->second == 0) holders_.erase(at);\n", RACE_T),
    one("mark-is-never-taken-away", "a directory that nobody knows stays marked", LOCAL_MARKS,
        "same ? at : -1", "-1", MARKS_T),
    one("any-directory-is-told", "a directory without a mark has a number", LOCAL_MARKS,
        "  if (NodeTable::is_marked(found.node)) found.identity", "  found.identity", MARKS_T),
    one("any-place-is-told", "what is in a directory without a mark counts as told", LOCAL_MARKS,
        "told && attr.nlink == 1 && durable", "attr.nlink == 1 && durable", MARKS_T),
    one("other-names-are-told", "what is done by another name counts as told", LOCAL_MARKS,
        "told && attr.nlink == 1 && durable", "told && durable", MARKS_T),
    one("marked-in-mid-life", "a directory gets its mark when names in it may be known already",
        "core/store/node_table.cc",
        "    NamedNode& named = fresh != nullptr ? *fresh : *found;\n",
        "    NamedNode& named = fresh != nullptr ? *fresh : *found;\n"
        "    if (hold != nullptr && named.mark == 0) {\n"
        "      named.mark = hold->number();\n"
        "      hold->hand_on();\n    }\n", MARKS_T),
    Mutation("told-over-another-directory", "a file is told of although it was reached in another directory",
             (Edit(OPEN, "    return in_dir ? follow_in_dir(node) : follow(node);\n",
                   "    Result<ObjectFd> fd = follow(node);\n"
                   "    const auto place = in_dir ? nodes_.place_of(node) : Result<Place>(Errno(ESTALE));\n"
                   "    if (fd && place) {\n"
                   "      const OwnedNode dir(nodes_, place->dir);\n"
                   "      fd->told = NodeTable::is_marked(place->dir);\n    }\n"
                   "    return fd;\n"),), (MARKS_T,)),
    Mutation("open-file-is-told", "an open file counts as told wherever it is",
             (Edit(ATTR, "if (!has_file || marks_ != nullptr) {", "if (!has_file) {"),
              Edit(ATTR, "return attr_of(*seen, false);", "return attr_of(*seen, true);")), (MARKS_T,)),
    one("children-not-told", "what is done to the objects in a marked directory is not told", EVENTS,
        "kMask | kSelfMask | FAN_EVENT_ON_CHILD", "kMask | kSelfMask", MARKS_T),
    one("moved-elsewhere-unseen", "that a directory was moved is told by the one above it only", EVENTS,
        "kMask | kSelfMask | FAN_EVENT_ON_CHILD", "kMask | FAN_EVENT_ON_CHILD", MARKS_T),
    one("untold-for-ever", "attributes that nobody tells of are served as long as the rest", CORE,
        "= is_told(index) && !attr.untold;", "= is_told(index);", OUTSIDE_T),
    one("untold-when-entered", "attributes that come with a new inode count as told", CORE,
        "found.identity.generation) && !found.attr.untold", "found.identity.generation)", OUTSIDE_T),
    one("absence-is-told", "an absence counts as told whatever the attributes say", ANSWER,
        "core_.until_with_attr(id.index(), until)", "core_.until_of(id.index(), until)", OUTSIDE_T),
    one("absence-with-old-attributes", "attributes that are too old to be served say that an absence is told",
        CORE, "== kAttrValid &&\n                      fresh(pub.stat_until.load(std::memory_order_relaxed));",
        "== kAttrValid;", OUTSIDE_T),
    one("made-is-known-empty", "what others make in a new directory before its mark is denied", CHANGE,
        "const bool told_at_once = !core_.store.caps().told_after_mkdir;", "const bool told_at_once = true;",
        OUTSIDE_T),
    one("untold-in-the-kernel", "the kernel keeps for long what has other names", REQUEST,
        "!attr.untold && !(fs.watched && fs.cache.was_mapped(id))", "!(fs.watched && fs.cache.was_mapped(id))",
        WATCHED_T),
    one("moved-by-us-is-told", "the kernel keeps what it knew of what we moved to where nobody tells", WATCHER,
        "  if (object) notifier_.add({Notice::What::kAttributes, *object});\n}\n", "  (void)object;\n}\n",
        WATCHED_T),
    one("mounted-on-is-told", "what is mounted on a name counts as told by the name's directory", LOCAL_MARKS,
        " && durable_.is_in_mount(seen);", ";", MARKS_T),
    one("second-name-unasked", "what was told of one name is served when there is another", ANSWER,
        "  if (found.attr.untold) invalidate(id_of(index));\n", "", OUTSIDE_T),
)
