#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes to a file in the mount, and in the source, and counts what evenfs was told of.

usage: ignored_writes_steps.py MOUNTPOINT SOURCE
"""

import json
import os
import sys
import time

PATIENCE_S = 40  # A hang.
FEW = 10
mnt, src = sys.argv[1:3]


def note(good, what):
    if not good:
        sys.exit(f"FAILED: {what}")


def stats():
    return json.loads(os.getxattr(mnt, "evenfs.stats"))


def until(done, what):
    end = time.monotonic() + PATIENCE_S
    while not done():
        note(time.monotonic() < end, f"not in time: {what}")
        time.sleep(0.005)


def ignored():
    return stats()["watch"]["ignored"]


def told(names=iter(range(1000))):
    """Of how much of what is known here, with all that has happened up to now."""
    name = f"told{next(names)}"
    note(not os.path.exists(f"{mnt}/{name}"), "a name that nobody has made")
    os.mkdir(f"{src}/{name}")
    until(lambda: os.path.exists(f"{mnt}/{name}"), "the next event")
    watch = stats()["watch"]
    return watch["events"] - watch["elsewhere"]


def write_until_ignored(fd):
    def step():
        for _ in range(100):
            os.pwrite(fd, b"w" * 100, 0)
        return ignored() == 1
    until(step, "writes are ignored")


def written_by_others(path, fd):
    """While it is open, each time: by the next stat and the next read."""
    for i in range(100):
        with open(f"{src}/{path}", "ab", buffering=0) as other:
            other.write(b"%04d" % i)
            size = os.stat(f"{src}/{path}").st_size
            note(os.stat(f"{mnt}/{path}").st_size == size, "the size after somebody else's write")
            note(os.fstat(fd).st_size == size, "that of the open file")
            with open(f"{mnt}/{path}", "rb", buffering=0) as file:
                file.seek(-4, os.SEEK_END)
                note(file.read() == b"%04d" % i, "what somebody else has written")


def kept(path):
    """Attributes that the kernel has."""
    def asked():
        return stats()["requests"].get("getattr", 0) + stats()["requests"].get("statx", 0)

    def rests():
        os.stat(f"{mnt}/{path}")
        before = asked()
        for _ in range(10):
            os.stat(f"{mnt}/{path}")
        return asked() == before
    until(rests, "attributes are kept again")


def step(path, flags):
    fd = os.open(f"{mnt}/{path}", flags | os.O_CREAT, 0o644)
    other = os.open(f"{mnt}/{path}", os.O_WRONLY)
    write_until_ignored(fd)
    before = told()
    for _ in range(1000):
        os.pwrite(fd, b"w" * 100, 0)
    note(told() - before <= FEW, f"a thousand writes were told of {told() - before} times")
    written_by_others(path, fd)
    os.close(other)
    note(ignored() == 1, "somebody can still write")
    os.close(fd)
    until(lambda: ignored() == 0, "nothing is ignored after the last close")
    for _ in range(20):
        kept(path)
        with open(f"{src}/{path}", "ab", buffering=0) as file:
            file.write(b"more")
            size = os.stat(f"{src}/{path}").st_size
            until(lambda: os.stat(f"{mnt}/{path}").st_size == size, "a write after the last close is told")


step("f", os.O_WRONLY)
step("g", os.O_RDWR)
