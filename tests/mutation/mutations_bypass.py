# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mutations of what keeps unseen reads and writes from making answers untrue (Cache::Bypass), in the cache and
in the daemon, which lets the kernel have the source's files; and of the threads that stand in for others."""

from mutations import one

CORE = "core/cache/core.h"
ANSWER = "core/cache/answer.h"
LIFE = "core/cache/lifetime.h"
SET_ID = "fusefs/set_id.cc"
REQUEST = "fusefs/request.h"
BACKING = "fusefs/backing.cc"
LOOP = "fusefs/worker_loop.cc"
WATCHER = "fusefs/watcher.cc"
BYPASS_TEST, THREADS = "bypass_test", "worker_threads_test"
BACKING_TEST, IGNORED = "backing_test", "ignored_writes_test"
MOUNT_PASSTHROUGH, MOUNT_SET_ID = "mount/passthrough_test.sh", "mount/set_id_test.sh"
SESSION, IO, MOUNT_TIMEOUTS = "fusefs/session.cc", "fusefs/handlers_io.cc", "mount/timeouts_test.sh"

MUTATIONS = (
    one("unseen-writes-are-served", "attributes are cached beside somebody who writes unseen", CORE,
        "if ((priv.unseen_writers.load(std::memory_order_relaxed) & kUnseenMax) != 0) return false;", "",
        BYPASS_TEST),
    one("unseen-reads-are-served", "an access time is cached beside somebody whose reads move it", CORE,
        "return priv.unseen_readers == 0 ||", "return true ||", BYPASS_TEST),
    one("unseen-reads-for-ever", "an access time is cached beyond relatime's day", CORE,
        "if (priv.unseen_readers == 0) return until_tick;", "return until_tick;", BYPASS_TEST),
    one("fill-beside-unseen-writes", "a fill does not ask whether there are bypasses", ANSWER,
        "if (!core_.may_cache(inode.priv(), attr)) return false;", "", BYPASS_TEST),
    one("change-beside-unseen-writes", "a change publishes although there are bypasses", LIFE,
        "inode.was_alone() && core_.may_cache(inode.priv(), *now) &&", "inode.was_alone() &&", BYPASS_TEST),
    one("bypass-begins-quietly", "what was cached before a bypass is served, and leases from before hold", LIFE,
        "  // What is cached was cached under other rules.\n  inode.open(Fields::kStat);\n"
        "  inode.close(Fields::kStat);\n", "", BYPASS_TEST),
    one("bypass-ends-quietly", "who asked before the last unseen write publishes after it", LIFE,
        "    if (inode.pub().stat_flags.load(std::memory_order_relaxed) != 0) return;\n  }\n"
        "  inode.open(Fields::kStat);\n  inode.close(Fields::kStat);\n", "  }\n", BYPASS_TEST),
    one("written-unseen-and-kept", "the kernel keeps attributes of what is written by mappings", REQUEST,
        "    if (fs.backing != nullptr && kernel_cannot_tell(id)) return 0;\n", "",
        MOUNT_PASSTHROUGH),
    one("mappings-are-writes", "a file that can be mapped counts as one that can only be written", IO,
        ": access == O_WRONLY ? Cache::Unseen::kWrites", ": access != O_RDONLY ? Cache::Unseen::kWrites",
        MOUNT_PASSTHROUGH),
    one("a-mapping-ends-with-its-file", "another writer's end takes away that there may be mappings", LIFE,
        "(left & kUnseenMax) == 0 ? ~kUnseenMap : ~0", "~kUnseenMap", BYPASS_TEST),
    one("mappings-for-ever", "once mapped, the kernel asks for ever", LIFE,
        "(left & kUnseenMax) == 0 ? ~kUnseenMap : ~0", "~0", BYPASS_TEST),
    one("once-mapped-is-told", "what was mapped is served like what is told of", "core/cache/core.h",
        "      until_tick = cut(until_tick);\n", "", BYPASS_TEST),
    one("once-mapped-always-mapped", "what is made in a slot counts as mapped", "core/cache/inode_section.cc",
        "  priv_.unseen_writers.store(0, kRelaxed);\n", "", BYPASS_TEST),
    one("once-mapped-is-kept", "the kernel keeps for long what was mapped", REQUEST,
        "!attr.untold && !(fs.watched && fs.cache.was_mapped(id))", "!attr.untold", "watched_test"),
    one("a-tick-although-nothing-is-kept", "the kernel keeps directories that the cache may not keep", SESSION,
        "return seconds(serves_nothing_twice(options) ? options.attr_timeout\n"
        "                                               : std::max(options.attr_timeout, kTick));",
        "return seconds(std::max(options.attr_timeout, kTick));", MOUNT_TIMEOUTS),
    one("no-tick", "a directory's attributes are asked for at each component", SESSION,
        "return seconds(serves_nothing_twice(options) ? options.attr_timeout\n"
        "                                               : std::max(options.attr_timeout, kTick));",
        "return seconds(options.attr_timeout);", MOUNT_TIMEOUTS),
    one("append-only-is-passed-through", "a mapping of an append-only file writes", BACKING,
        "if (entry.opens == 0 && !is_append_only(fd)) entry", "if (entry.opens == 0) entry", MOUNT_PASSTHROUGH),
    one("one-backing-for-each-open", "an inode has two backing files at a time", BACKING,
        "if (entry.opens == 0 && !is_append_only(fd)) entry", "if (!is_append_only(fd)) entry",
        MOUNT_PASSTHROUGH),
    one("set-id-bits-written-unseen", "what the kernel writes by itself costs no set-id bits", SET_ID,
        "return r.fs.cache.writes_unseen(id) ? before_unseen_write(r, id, *attr, file, caller) : *attr;",
        "return *attr;", MOUNT_SET_ID),
    one("never-heeded", "nobody tells of writes to a file that nobody can write any more", BACKING,
        "  shard.watch->heed(use.id_, use.fd_);\n", "", BACKING_TEST),
    one("ignored-without-a-backing-file", "nobody tells of writes to a file that evenfs writes", BACKING,
        "  writes = writes && entry.backing_id != 0;\n", "", BACKING_TEST),
    one("ignored-and-kept", "the kernel keeps attributes of what nobody tells of", WATCHER,
        "  cache_.hide_writes(id);\n", "  (void)id;\n", IGNORED),
    one("heeded-quietly", "what the kernel asked for before a write that nobody told of is kept", WATCHER,
        "  notifier_.add({Notice::What::kAttributes, cache_.number_of(id)});\n", "  (void)id;\n", IGNORED),
    one("cached-before-it-is-heeded", "attributes are cached while nobody tells of writes yet",
        "fusefs/open_table.h",
        "  std::optional<Cache::Bypass> bypass;\n  BackingTable::Use backing;\n",
        "  BackingTable::Use backing;\n  std::optional<Cache::Bypass> bypass;\n", IGNORED),
    one("nobody-stands-in", "hits wait while the source holds threads up", LOOP,
        "if (able < threads_) call_in(threads_ - able);", "(void)&WorkerLoop::call_in;", THREADS),
    one("who-stands-in-stays", "threads that are not needed stay", LOOP,
        "if (unneeded_ > kLinger) send_one_away();", "(void)&WorkerLoop::send_one_away;", THREADS),
    one("who-goes-ends-the-session", "a thread that is sent away ends the session", LOOP,
        "const bool dismissed = lane.dismissed.load(std::memory_order_relaxed);",
        "const bool dismissed = false;", THREADS),
)
