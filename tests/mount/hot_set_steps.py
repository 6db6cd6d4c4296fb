#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is in use stays cached while a great tree is walked past a small memory limit.

usage: hot_set_steps.py MOUNTPOINT HOT_DIRECTORY LEAST_PERCENT [--drop-caches]

One process asks for the attributes of all files of a directory in the mount again and again, another walks
the whole mount once. Meanwhile, again and again, both are stopped, each file of the directory is asked for
once more, and the daemon's statistics tell how many of these took a question to the source. Fails if the hit
ratio of one of these looks is below LEAST_PERCENT, or if there were too few. --drop-caches: the kernel drops
dentries and inodes before each fourth look, as it does when it wants memory.
"""

import json
import os
import signal
import sys
import time

LOOKS_LEAST = 5
PERIOD_S = 0.05  # Between two looks, and at least so many times what one takes.
PERIOD_LOOKS = 5


def stats(mount):
    return json.loads(os.getxattr(mount, "evenfs.stats"))


def asked(mount):
    counters = stats(mount)["counters"]
    return counters["lookup.store"] + counters["getattr.store"]


def child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def use(paths):
    while True:
        for path in paths:
            os.stat(path)


def walk(mount):
    for folder, _, files in os.walk(mount):
        for name in files:
            os.stat(os.path.join(folder, name))


def stopped(pid):
    """Stops a child; True if it has ended instead."""
    os.kill(pid, signal.SIGSTOP)
    _, status = os.waitpid(pid, os.WUNTRACED)
    return not os.WIFSTOPPED(status)


def look(mount, paths):
    before = asked(mount)
    for path in paths:
        os.stat(path)
    return 100 * (1 - (asked(mount) - before) / len(paths))


def main():
    mount, hot, least = sys.argv[1], sys.argv[2], float(sys.argv[3])
    drop = "--drop-caches" in sys.argv[4:]
    paths = [entry.path for entry in os.scandir(os.path.join(mount, hot))]
    for _ in range(2):
        for path in paths:
            os.stat(path)
    user, walker = child(lambda: use(paths)), child(lambda: walk(mount))
    ratios, over, took = [], False, 0
    try:
        while not over:
            time.sleep(max(PERIOD_S, PERIOD_LOOKS * took))
            began = time.monotonic()
            over = stopped(walker)
            if stopped(user):
                sys.exit("hot_set: a file that is in use could not be asked for")
            if drop and len(ratios) % 4 == 3:
                with open("/proc/sys/vm/drop_caches", "w") as file:
                    file.write("2")
            ratios.append(look(mount, paths))
            took = time.monotonic() - began
            os.kill(user, signal.SIGCONT)
            if not over:
                os.kill(walker, signal.SIGCONT)
    finally:
        for pid in (user,) if over else (user, walker):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    now = stats(mount)
    print(f"  {len(paths)} files in use, {now['cache']['inodes']} inodes, {len(ratios)} looks: hits least "
          f"{min(ratios):.1f} %, mean {sum(ratios) / len(ratios):.1f} %; {now['prune']['asked']} asked back, "
          f"{now['counters']['dentry.evicted']} evicted, {now['memory']['cache_bytes'] / 2**20:.1f} MiB of "
          f"{now['memory']['limit_bytes'] / 2**20:.0f}")
    if len(ratios) < LOOKS_LEAST:
        sys.exit(f"hot_set: only {len(ratios)} looks: the tree is too small")
    if min(ratios) < least:
        sys.exit(f"hot_set: {min(ratios):.1f} % of hits, of {least} %: {[round(r, 1) for r in ratios]}")


main()
