#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes a source from outside in every way there is, and measures how long the mount shows what was before.

usage: coherence_steps.py SOURCE MOUNTPOINT BOUND_MS [ROUNDS [KIND...]]
       coherence_steps.py SOURCE MOUNTPOINT --storm SECONDS | --overwrites COUNT | --deletions

Of each kind of change, but the KINDS that are named, ROUNDS are made. After each the mount is asked again and
again until it has said what is true for 100 ms: an answer is old if the call that gave it began after the
change had returned. Meanwhile other processes look at all of it without pause, so that answers are always on
their way. A line for each kind: the median, the 99th percentile and the maximum of when the last old answer was
asked for.
Fails if any is more than BOUND_MS; with 0 no answer may be old at all.
"""

import ctypes
import ctypes.util
import errno
import math
import mmap
import os
import random
import select
import struct
import sys
import time

PATIENCE_S = 20
QUIET_S = 0.1
libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)


def exchange(a, b):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def acl(user):
    """An access control list that lets one more user read."""
    entries = ((1, 7, -1), (2, 4, user), (4, 5, -1), (16, 5, -1), (32, 5, -1))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def replace_link(path, target):
    os.symlink(target, path + ".new")
    os.rename(path + ".new", path)


def or_error(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


class Kinds:
    """Each kind: (name, what the mount says, the change of round i). It must say what the source says."""

    def __init__(self, source, mount):
        self.source, self.mount = source, mount
        self.deep = "/1/2/3/4"
        os.makedirs(source + "/1/2/3/4/5/6")
        for name in ("w", "o", "m", "t", "c", "u", "x", "a", "l", "ra", "rb", "ea", "eb", "1/2/3/4/5/6/f"):
            write(f"{source}/{name}", b"0" * 10)
        os.symlink("t0", source + "/s")
        os.mkdir(source + "/d")
        self.open = os.open(mount + "/o", os.O_RDONLY)
        mapped = os.open(mount + "/m", os.O_RDONLY)
        self.map = mmap.mmap(mapped, 10, mmap.MAP_SHARED, mmap.PROT_READ)
        os.close(mapped)

    def overwrite(self, name, i):
        fd = os.open(f"{self.source}/{name}", os.O_WRONLY)
        os.pwrite(fd, b"%010d" % i, 0)
        os.close(fd)

    def toggle(self, path, make, remove):
        remove(path) if os.path.lexists(path) else make(path)

    def all(self):
        s, at = self.source, self.mount
        there = lambda path: or_error(lambda: os.lstat(path).st_mode)
        yield ("write: size", lambda r: os.stat(r + "/w").st_size, lambda i: write(s + "/w", b"x" * (i + 1)))
        yield ("write: content", lambda r: read(r + "/w"), lambda i: write(s + "/w", b"%d" % i))
        yield ("write: content of an open file",
               lambda r: os.pread(self.open, 10, 0) if r == at else read(s + "/o"),
               lambda i: self.overwrite("o", i))
        yield ("write: mapped content", lambda r: self.map[:10] if r == at else read(s + "/m"),
               lambda i: self.overwrite("m", i))
        yield ("truncate", lambda r: os.stat(r + "/t").st_size, lambda i: os.truncate(s + "/t", i + 1))
        yield ("chmod", lambda r: os.stat(r + "/c").st_mode, lambda i: os.chmod(s + "/c", 0o600 + i % 64))
        if os.geteuid() == 0:
            yield ("chown", lambda r: os.stat(r + "/u").st_uid, lambda i: os.chown(s + "/u", i + 1, -1))
        yield ("utimens", lambda r: os.stat(r + "/t").st_mtime, lambda i: os.utime(s + "/t", (i, i)))
        yield ("setxattr: time of change", lambda r: os.stat(r + "/x").st_ctime_ns,
               lambda i: os.setxattr(s + "/x", "user.x", b"%d" % i))
        yield ("access control list", lambda r: or_error(
            lambda: os.getxattr(r + "/a", "system.posix_acl_access")),
               lambda i: os.setxattr(s + "/a", "system.posix_acl_access", acl(i)))
        yield ("create, unlink", lambda r: there(r + "/new"),
               lambda i: self.toggle(s + "/new", lambda p: write(p, b""), os.unlink))
        yield ("mkdir, rmdir", lambda r: there(r + "/dir"),
               lambda i: self.toggle(s + "/dir", os.mkdir, os.rmdir))
        yield ("directory's times", lambda r: os.stat(r + "/d").st_mtime_ns,
               lambda i: write(f"{s}/d/{i}", b""))
        yield ("rename over", lambda r: (there(r + "/ra"), os.stat(r + "/rb").st_ino),
               lambda i: (write(s + "/ra", b""), os.rename(s + "/ra", s + "/rb")))
        yield ("exchange", lambda r: (os.stat(r + "/ea").st_ino, os.stat(r + "/eb").st_ino),
               lambda i: exchange(s + "/ea", s + "/eb"))
        yield ("rename of a directory, below it",
               lambda r: [there(r + f"/1/2/{name}/4/5/6/f") for name in ("3", "moved")],
               lambda i: os.rename(*(s + "/1/2/" + name for name in (
                   ("3", "moved") if os.path.exists(s + "/1/2/3") else ("moved", "3")))))
        yield ("hard link", lambda r: os.stat(r + "/l").st_nlink,
               lambda i: self.toggle(s + "/l2", lambda p: os.link(s + "/l", p), os.unlink))
        yield ("symbolic link replaced", lambda r: os.readlink(r + "/s"),
               lambda i: replace_link(s + "/s", f"t{i}"))


def looks(kinds, mount, seed):
    """Looks at everything without pause, in some order, until it is killed."""
    views = [view for _, view, _ in kinds.all()]
    order = random.Random(seed)
    while True:
        or_error(lambda: order.choice(views)(mount))
        or_error(lambda: os.listdir(mount))


def staleness_ms(view, source, mount, change, i):
    """How long after a change the last old answer was asked for; None if none was."""
    before = or_error(lambda: view(mount))
    change(i)
    changed = time.monotonic()
    true = or_error(lambda: view(source))
    last_old = None
    while True:
        asked = time.monotonic()
        says = or_error(lambda: view(mount))
        if says != true:
            last_old = asked
        elif asked - (last_old or changed) > QUIET_S:
            return None if last_old is None else (last_old - changed) * 1000
        if asked - changed > PATIENCE_S:
            sys.exit(f"FAILED: still {says}, not {true}, before: {before}")


def measure(source, mount, bound_ms, rounds, left_out):
    kinds = Kinds(source, mount)
    readers = []
    for seed in range(2):
        pid = os.fork()
        if pid == 0:
            looks(kinds, mount, seed)
        readers.append(pid)
    failed = False
    try:
        for name, view, change in kinds.all():
            if name in left_out:
                continue
            old = [staleness_ms(view, source, mount, change, i) for i in range(1, rounds + 1)]
            times = sorted(0 if one is None else one for one in old)
            worst = times[-1]
            too_old = worst > bound_ms or (bound_ms == 0 and any(one is not None for one in old))
            median, most = times[len(times) // 2], times[math.ceil(len(times) * 0.99) - 1]
            print(f"  {name:<32} {median:8.1f} {most:8.1f} {worst:8.1f} ms"
                  f"{'  FAILED: old for too long' if too_old else ''}", flush=True)
            failed = failed or too_old
    finally:
        for pid in readers:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    sys.exit(1 if failed else 0)


def storm(source, seconds):
    """All at once, in any order, below a directory of its own."""
    top = source + "/storm"
    os.makedirs(top, exist_ok=True)
    rng = random.Random(7)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name, other = (f"{top}/{rng.randrange(30)}" for _ in range(2))
        or_error(rng.choice((
            lambda: write(name, b"x" * rng.randrange(9999)), lambda: os.mkdir(name), lambda: os.rmdir(name),
            lambda: os.unlink(name), lambda: os.rename(name, other), lambda: exchange(name, other),
            lambda: os.link(name, other), lambda: os.chmod(name, rng.choice((0o700, 0o755))),
            lambda: write(name + "/f", b""), lambda: os.unlink(name + "/f"))))


def overwrites(source, mount, count):
    """The content of a file that others read without pause: no read may show what was before."""
    write(source + "/busy", b"0" * 10)
    fd = os.open(mount + "/busy", os.O_RDONLY)
    readers = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            while True:
                os.pread(fd, 10, 0)
        readers.append(pid)
    old = 0
    try:
        for i in range(count):
            changed = os.open(source + "/busy", os.O_WRONLY)
            os.pwrite(changed, b"%010d" % i, 0)
            os.close(changed)
            old += any(os.pread(fd, 10, 0) != b"%010d" % i for _ in range(10))
    finally:
        for pid in readers:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    print(f"  {count} overwrites of a file that is read: {old} seen late", flush=True)
    sys.exit(1 if old else 0)


def deletions(source, mount):
    """Somebody who watches a file or a directory in the mount is told when it is removed in the source."""
    delete_self = 0x400
    for make, remove in ((lambda path: write(path, b""), os.unlink), (os.mkdir, os.rmdir)):
        make(source + "/watched")
        # Until the kernel has been told of that, too: it then knows the name by a later look.
        told = time.monotonic() + QUIET_S
        while time.monotonic() < told:
            or_error(lambda: os.stat(mount + "/watched"))
        watch = libc.inotify_init1(os.O_NONBLOCK)
        if libc.inotify_add_watch(watch, (mount + "/watched").encode(), delete_self) < 0:
            sys.exit("FAILED: inotify_add_watch")
        remove(source + "/watched")
        if not select.select([watch], [], [], PATIENCE_S)[0]:
            sys.exit("FAILED: nothing was told of a removal")
        if struct.unpack_from("iI", os.read(watch, 4096))[1] & delete_self == 0:
            sys.exit("FAILED: told of something else")
        os.close(watch)


def main():
    source, mount, what = sys.argv[1:4]
    if what == "--storm":
        storm(source, float(sys.argv[4]))
    elif what == "--overwrites":
        overwrites(source, mount, int(sys.argv[4]))
    elif what == "--deletions":
        deletions(source, mount)
    else:
        measure(source, mount, float(what), int(sys.argv[4]) if len(sys.argv) > 4 else 20, sys.argv[5:])


if __name__ == "__main__":
    main()
