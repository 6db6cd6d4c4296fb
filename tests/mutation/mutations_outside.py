# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mutations of what others change: how it is told to the cache and to the kernel."""

from mutations import one

CORE = "core/cache/core.h"
TABLE = "core/cache/inode_table.h"
OUTSIDE = "core/cache/outside.h"
EVENTS = "core/store/source_events.cc"
REQUEST = "fusefs/request.h"
REQUEST_CC = "fusefs/request.cc"
NOTIFIER = "fusefs/notifier.cc"
WATCHER = "fusefs/watcher.cc"
LOOKUP = "fusefs/handlers_lookup.cc"
INIT = "fusefs/handlers_init.cc"
OUTSIDE_T, WATCHED_T, NOTIFIER_T, EVENTS_T = ("outside_test", "watched_test", "notifier_test",
                                              "source_events_test")
TELLER_T = "teller_test"

MUTATIONS = (
    one("everything-a-tick-short", "what was asked in the tick before everything was forgotten is served", CORE,
        "ahead_ = sum(ahead_, ttl + 1);", "ahead_ = sum(ahead_, ttl);", OUTSIDE_T),
    one("clock-set-back", "the clock's next tick undoes that everything was forgotten", CORE,
        "    told_ = tick;\n    store();\n",
        "    told_ = tick;\n    ahead_ = 0;\n    store();\n", OUTSIDE_T),
    one("time-begins-again", "after the end of time the clock begins at 0", CORE,
        "return a + std::min(b, ~a);", "return a + b;", OUTSIDE_T),
    one("unentered-is-believed", "attributes of before a change are served if the object had no inode", TABLE,
        "      held.last_removal = removals_.fetch_add(1, std::memory_order_relaxed) + 1;\n", "", OUTSIDE_T),
    one("unnumbered-for-ever", "what nobody tells of is served as long as the rest", CORE,
        "? until_tick - unnumbered_cut", "? until_tick", OUTSIDE_T),
    one("root-goes-by-time", "the root is taken for an object that nobody tells of", CORE,
        "index == NodeId::kRootIndex || Identity", "Identity", OUTSIDE_T),
    one("told-by-number-and-kept", "what is told by number stays cached", OUTSIDE,
        "  if (id != NodeId()) invalidate(id);\n", "", OUTSIDE_T),
    one("entry-kept-unchecked", "the kernel keeps attributes of before what it was told", REQUEST_CC,
        "return fs.cache.peek_attr(entry.id, now) && now == entry.attr ? timeout : 0;", "return timeout;",
        WATCHED_T),
    one("changed-is-kept", "attributes that the kernel takes unseen are kept for long", REQUEST,
        "return fs.watched ? std::min(timeout, kChangedS) : timeout;", "return timeout;",
        WATCHED_T),
    one("untold-is-kept", "the kernel keeps for long what nobody tells of", REQUEST,
        "return untold(number) ? std::min(timeout, kUntoldS) : timeout;", "return timeout;", WATCHED_T),
    one("older-kernels-keep-names", "names that cannot be taken from the kernel are kept", INIT,
        "conn->proto_minor < kForgetsNames", "false", WATCHED_T),
    one("own-changes-are-others", "own changes are told", WATCHER,
        "  if (event.pid == own_) {\n    apply_own(event);\n    return false;\n  }\n", "", WATCHED_T),
    one("nobody-waits", "whoever waits for a change waits until events have gathered", WATCHER,
        "return known && !from_here;", "return false;", WATCHED_T),
    one("writers-are-woken-for", "the watcher is woken by each write of a program in the mount", WATCHER,
        "return known && !from_here;", "return known;", WATCHED_T),
    one("name-told-and-kept", "a name that others changed stays cached", WATCHER,
        "    cache_.invalidate_name(me, cache_.id_of_number(*dir), *ref);\n", "", WATCHED_T),
    one("one-name-of-a-move", "of what moved only the old name is forgotten", WATCHER,
        "(event.what & kNaming) == 0 || name.dir.bytes.empty()",
        "(event.what & kNaming) == 0 || &name != event.names || name.dir.bytes.empty()", WATCHED_T),
    one("moved-is-removed", "what was made or moved again is told as removed", WATCHER,
        "event.what == SourceEvent::kRemoved && object", "(event.what & SourceEvent::kRemoved) != 0 && object",
        WATCHED_T),
    one("made-is-changed", "a name that came up costs whoever is in it his place", WATCHER,
        "? Notice::What::kNewName", "? Notice::What::kName", WATCHED_T),
    one("lost-in-the-cache", "lost events are made up for in the kernel only", WATCHER,
        "  cache_.invalidate_all();\n", "", WATCHED_T),
    one("lost-in-the-kernel", "lost events are made up for in the cache only", WATCHER,
        "  cache_.invalidate_all();\n  notifier_.everything();\n", "  cache_.invalidate_all();\n", WATCHED_T),
    one("mounts-not-seen", "what is mounted below the source is not seen", WATCHER,
        "if (below) digest +=", "if (below && at == directory) digest +=", WATCHED_T),
    one("old-news", "that a name is not there is said though there may be news of it", LOOKUP,
        "r.fs.teller->is_behind() ?", "r.fs.teller == nullptr ?", TELLER_T),
    one("told-since-it-answered", "what was told while the cache answered counts as known", LOOKUP,
        ": r.fs.cache.lookup(r.me, dir, *checked);", ": found;", TELLER_T),
    one("queued-is-told", "what is queued counts as told", WATCHER,
        "  if (::poll(&queue, 1, 0) != 0) return true;\n", "", TELLER_T),
    one("read-is-told", "what was read counts as told before it is", WATCHER,
        "return applying_.load(std::memory_order_acquire);", "return false;", TELLER_T),
    one("full-queue-is-dropped", "what a full queue drops is not made up for", NOTIFIER,
        "  ++stats_.dropped;\n  drop_all();\n  everything_ = true;\n", "  ++stats_.dropped;\n  drop_all();\n",
        NOTIFIER_T),
    one("told-once", "an inode that the kernel was being told of is not told again", NOTIFIER,
        "  if (error != ENOENT || !of_an_inode) return;\n", "  (void)of_an_inode;\n  return;\n", NOTIFIER_T),
    one("removed-has-no-links", "the other names of what was removed do not count", NOTIFIER,
        "error == 0 && notice.what == Notice::What::kRemoved", "false", NOTIFIER_T),
    one("everything-but-inodes", "attributes stay when everything is told", NOTIFIER,
        "    if (number == 0) return;\n", "    return;\n", NOTIFIER_T),
    one("event-longer-than-read", "an event may claim to be longer than what was read", EVENTS,
        "head.event_len > left_.size() ||", "", EVENTS_T),
    one("handle-longer-than-record", "a handle may claim to be longer than its record", EVENTS,
        "  if (head.length > bytes.size()) return false;\n", "", EVENTS_T),
    one("rest-without-end", "what has rested for long is served for longer than the most", CORE,
        "return std::min(until_tick, clock.now() + std::max(rest, ttl_least_ticks));",
        "return clock.now() + std::max(rest, ttl_least_ticks);", "rest_test"),
    one("rest-unasked", "what has just changed is served like what has rested", CORE,
        "clock.now() + std::max(rest, ttl_least_ticks)", "clock.now() + std::max(ttl_ticks, rest)",
        "rest_test"),
    one("least-unheeded", "what has just changed is not served at all", CORE,
        "clock.now() + std::max(rest, ttl_least_ticks)", "clock.now() + rest", "rest_test"),
    one("kernel-rests-without-end", "the kernel keeps what it is told as if it had rested", "fusefs/request.h",
        "return std::min(timeout, std::max(fs.least_timeout_s, rest_s));", "return timeout;", "names_test"),
)
