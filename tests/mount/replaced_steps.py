#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Removes objects in a source, and makes others there that get their inode numbers, while programs look.

usage: replaced_steps.py SOURCE MOUNT BOUND_MS ROUNDS SEED

SOURCE is on a file system that gives out the number of an inode that was freed to the next one that is made
(XFS). In each round a file or a directory is made into another file or directory of the same number and name,
while somebody holds the old one and two processes look at all of them. Each object has an identity, which its
owner, length, content and names within tell. Whatever is seen must be of one object; who holds the old one
sees that or ESTALE; and the new one must be seen after BOUND_MS, with 0 at once.
"""

import errno
import itertools
import os
import random
import shutil
import stat
import sys
import time

NOT_THERE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR)
NUMBER_PATIENCE_S = 2  # For the file system to free an inode, which it does in the background.
UIDS = 10000
KINDS = ("file", "directory")
OTHERS = 40


class Wrong(Exception):
    """Something was seen that is of two objects, of another one, or too old."""


def content_of(identity):
    return f"{identity}\n".encode() * (1 + identity % 50)


def check(condition, message):
    if not condition:
        raise Wrong(message)


def identity_of(told):
    """What a stat tells, if all of it is one object's."""
    identity = told.st_uid - UIDS
    check(told.st_gid == told.st_uid, f"owner {told.st_uid} and group {told.st_gid}")
    if stat.S_ISREG(told.st_mode):
        check(told.st_size == len(content_of(identity)), f"{identity} has size {told.st_size}")
    return identity


def look_at_open(fd):
    """The identity of what is open, by its attributes and by what is in it."""
    told = os.fstat(fd)
    identity = identity_of(told)
    if stat.S_ISREG(told.st_mode):
        read = os.pread(fd, 1 << 16, 0)
        check(read == content_of(identity), f"{identity} has content {read[:20]}")
    else:
        names = os.listdir(fd)
        check(set(names) <= {f"in{identity}"}, f"{identity} has {names}")
        for name in names:
            inner = look(name, fd)
            check(inner in (None, identity), f"{identity} has {name} of {inner}")
    return identity


def look(path, directory=None):
    """The same of a path; None if nothing is there."""
    try:
        by_name = identity_of(os.stat(path, dir_fd=directory, follow_symlinks=False))
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        if error.errno in NOT_THERE:
            return None
        raise
    try:
        return max(by_name, look_at_open(fd))  # The later one: they may be two.
    except OSError as error:
        if error.errno in NOT_THERE:
            return None
        raise
    finally:
        os.close(fd)


class Source:
    """Makes objects out of sight, with a given inode number if that can be had."""

    def __init__(self, top, mount):
        self.top, self.mount = top, mount
        # New files are made near their directory, and directories of XFS lie in one part after another.
        self.makings = [f"{top}/making{i}" for i in range(4)]
        for making in self.makings:
            os.mkdir(making)
        for i in range(OTHERS):
            os.makedirs(f"{top}/others/{i}")
        self.names = itertools.count()

    def forget_directories(self):
        """evenfs keeps some directories of the source open, and with that their inodes: now others."""
        for i in range(OTHERS):
            try:
                os.stat(f"{self.mount}/others/{i}/{next(self.names)}")
            except FileNotFoundError:
                pass

    def new(self, kind, making):
        path = f"{making}/{next(self.names)}"
        if kind == "file":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        else:
            os.mkdir(path, 0o700)
        return path

    def with_number(self, kind, number):
        """One that has the number, or, after a while, one that has not."""
        others = []
        end = time.monotonic() + NUMBER_PATIENCE_S
        for making in itertools.cycle(self.makings):
            path = self.new(kind, making)
            if number is None or os.lstat(path).st_ino == number or time.monotonic() > end:
                break
            others.append(path)
            if len(others) == 400:  # The inode was not free yet when they were made.
                self.remove(others)
                self.forget_directories()
        self.remove(others)
        return path

    def remove(self, paths):
        for path in paths:
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        paths.clear()
        os.statvfs(self.top)  # Has XFS free what was removed.

    def take_away(self, path):
        """At once for whoever looks, whatever is in it."""
        gone = f"{self.makings[0]}/gone{next(self.names)}"
        os.rename(path, gone)
        self.remove([gone])
        self.forget_directories()

    def make(self, kind, identity, number=None):
        path = self.with_number(kind, number)
        for part in (path, f"{path}/in{identity}") if kind == "directory" else (path,):
            if part != path or kind == "file":
                with open(part, "wb") as file:
                    file.write(content_of(identity))
            os.chown(part, UIDS + identity, UIDS + identity)
        return path


def hold(path, readable):
    """Who holds it open to read keeps the inode from being used again; by O_PATH it may be."""
    return os.open(path, os.O_RDONLY if readable else os.O_PATH)


def check_held(fd, kind, old, new):
    """The old one, or that it has gone; never the new one."""
    for view in (lambda: identity_of(os.fstat(fd)), lambda: look_again(fd)):
        try:
            seen = view()
        except OSError as error:
            check(error.errno in NOT_THERE, f"who holds {old} is told {error.strerror}")
        else:
            check(seen in (None, old), f"who holds {old} sees {seen}")
    if kind == "directory":
        for name in (f"in{old}", f"in{new}"):
            check(look(name, fd) in (None, old), f"who holds directory {old} sees {name} in it")


def look_again(fd):
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    try:
        return look_at_open(again)
    finally:
        os.close(again)


def check_readable(fd, old):
    """Who reads what was removed goes on."""
    try:
        check(look_at_open(fd) == old, f"who reads {old} sees another one")
    except OSError as error:
        check(error.errno == errno.ESTALE, f"who reads {old} is told {error.strerror}")


def wait_for(path, old, new, bound_s):
    changed = time.monotonic()
    while True:
        asked = time.monotonic()
        seen = look(path)
        if seen == new:
            return
        check(seen in (None, old), f"{path} is {seen}, which was neither {old} nor {new}")
        check(asked - changed < bound_s, f"{path} is still {seen}, not {new}, after {asked - changed:.3f} s")


def one_round(source, i, kind, next_kind, bound_s):
    """Whether the number was used again."""
    old, new, readable = 2 * i, 2 * i + 1, i // 4 % 2 == 1
    here, there = (f"{top}/slot{(i + i // 4) % 4}" for top in (source.top, source.mount))
    os.rename(source.make(kind, old), here)
    wait_for(there, None, old, bound_s)
    held = hold(there, readable)
    number = os.lstat(here).st_ino
    source.take_away(here)
    made = source.make(next_kind, new, None if readable else number)
    reused = os.lstat(made).st_ino == number
    os.rename(made, here)
    wait_for(there, old, new, bound_s)
    if readable:
        check_readable(held, old)
    else:
        check_held(held, kind, old, new)
    os.close(held)
    source.take_away(here)
    wait_for(there, new, None, bound_s)
    return reused


def looks(mount, seed):
    """A process that looks until it is killed; status 1 if something was wrong."""
    order = random.Random(seed)
    while True:
        try:
            look(f"{mount}/slot{order.randrange(4)}")
        except Wrong as wrong:
            print(f"FAILED: a reader: {wrong}", flush=True)
            os._exit(1)
        except OSError as error:
            print(f"FAILED: a reader: {error}", flush=True)
            os._exit(1)


def start_readers(mount, seed):
    pids = []
    for reader in range(2):
        pid = os.fork()
        if pid == 0:
            looks(mount, seed + reader)
        pids.append(pid)
    return pids


def main():
    top, mount, bound_ms, rounds, seed = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    source = Source(top, mount)
    ways = list(itertools.product(KINDS, KINDS))
    random.Random(seed).shuffle(ways)
    reused = dict.fromkeys(ways, 0)
    readers = start_readers(mount, seed)
    try:
        for i in range(rounds):
            way = ways[i % 4]
            reused[way] += one_round(source, i, *way, bound_ms / 1000)
        for pid in readers:
            check(os.waitpid(pid, os.WNOHANG)[0] == 0, "a reader ended")
    except Wrong as wrong:
        print(f"FAILED: seed {seed}: {wrong}", flush=True)
        return 1
    finally:
        for pid in readers:
            try:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
    print(f"  seed {seed}: {rounds} rounds, used again: "
          + ", ".join(f"{a} as {b} {n}" for (a, b), n in reused.items()))
    if min(reused.values()) == 0:
        print("FAILED: the numbers were not used again, so nothing was tested")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
