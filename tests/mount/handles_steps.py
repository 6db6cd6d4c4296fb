#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""File handles of a mount, as an NFS server or a backup program uses them: for handles_test.sh.

    save TREE FILE     takes a handle of each object below TREE, with what stat says of it
    check TREE FILE    opens each, and compares; directories lead to their place in TREE
    stale TREE FILE    opening each fails with ESTALE
    forge TREE N SEED  opening any of N handles that nobody gave out fails with ESTALE"""

import errno
import json
import os
import random
import stat
import struct
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from handles import open_handle, take_handle  # noqa: E402

FUSE_HANDLE_TYPE = 0x81  # A nodeid of 64 bits, high word first, and a generation of 32.


def look(st):
    return [st.st_ino, st.st_mode, st.st_nlink, st.st_uid, st.st_size, st.st_mtime_ns]


def objects(tree):
    for at, dirs, files in os.walk(tree):
        for name in sorted(dirs + files):
            yield os.path.join(at, name)


def save(tree, state):
    saved = []
    for path in objects(tree):
        kind, data = take_handle(path)
        saved.append([os.path.relpath(path, tree), kind, data.hex(), look(os.lstat(path))])
    json.dump(saved, open(state, "w"))
    print(f"{len(saved)} handles")


def saved_in(state):
    """(name, handle, look) of each."""
    return [(name, (kind, bytes.fromhex(data)), seen)
            for name, kind, data, seen in json.load(open(state))]


def must_be_stale(mount, what, handle):
    try:
        fd = open_handle(mount, handle, os.O_PATH)
    except OSError as error:
        assert error.errno == errno.ESTALE, f"{what}: {error}"
    else:
        raise AssertionError(f"{what}: leads to {os.fstat(fd)}")


def check(tree, state):
    mount = os.open(tree, os.O_RDONLY)
    saved = saved_in(state)
    for name, handle, seen in saved:
        try:
            fd = open_handle(mount, handle, os.O_PATH)
        except OSError as error:
            raise AssertionError(f"{name}: {error}") from error
        now = look(os.fstat(fd))
        assert now == seen, f"{name}: {now} where it was {seen}"
        if stat.S_ISDIR(seen[1]):
            place = os.readlink(f"/proc/self/fd/{fd}")
            wanted = os.path.realpath(os.path.join(tree, name))
            assert place == wanted, f"{name}: at {place}, not {wanted}"
            os.stat("..", dir_fd=fd)
        elif stat.S_ISREG(seen[1]):
            with open(open_handle(mount, handle, os.O_RDONLY), "rb") as by_handle:
                with open(os.path.join(tree, name), "rb") as by_name:
                    assert by_handle.read() == by_name.read(), f"{name}: other content"
        os.close(fd)
    print(f"{len(saved)} handles lead to what they were taken of")


def stale(tree, state):
    mount = os.open(tree, os.O_RDONLY)
    saved = saved_in(state)
    for name, handle, _ in saved:
        must_be_stale(mount, name, handle)
    print(f"{len(saved)} handles are stale")


def forge(tree, count, seed):
    mount = os.open(tree, os.O_RDONLY)
    rng = random.Random(int(seed))
    kind, data = take_handle(next(objects(tree)))
    assert kind == FUSE_HANDLE_TYPE and len(data) == 12, (kind, data)
    for i in range(int(count)):
        high, low, generation = struct.unpack("III", data)
        if i % 3 == 0:
            high, low = rng.getrandbits(32) | 1 << 31, rng.getrandbits(32)
        elif i % 3 == 1:
            low ^= 1 << rng.randrange(32)
        else:
            high, low = rng.choice([0, 1, high ^ 1 << 31]), rng.getrandbits(8)
        forged = struct.pack("III", high, low, generation)
        must_be_stale(mount, forged.hex(), (kind, forged))
    print(f"{count} forged handles, seed {seed}, are stale")


if __name__ == "__main__":
    {"save": save, "check": check, "stale": stale, "forge": forge}[sys.argv[1]](*sys.argv[2:])
