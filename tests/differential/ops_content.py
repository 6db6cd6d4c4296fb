# SPDX-License-Identifier: LGPL-2.1-or-later
"""The operations of ops.py on data, attributes, extended attributes and locks."""

import fcntl
import os
import struct

from actor import SLOTS, UTIME_NOW, UTIME_OMIT

FILE_MODES = (0o666, 0o666, 0o777, 0o644, 0o600, 0o444, 0o4755, 0o2755, 0o6777, 0o2666, 0)
DIRECTORY_CHANGES = (0o777, 0o777, 0o1777, 0o2777, 0o3777, 0o755, 0o700, 0o555, 0)
# Longer than a page, not multiples of one, and mostly small.
LENGTHS = (0, 1, 5, 100, 511, 4095, 4096, 4097, 8192, 12345, 20000, 40000)
TIMES = ((0, 0), (1, 1), (1_000_000_000, 123_456_789), (1_234_567_890, 999_999_999),
         (2_147_483_647, 5), (2_147_483_648, 6), (4_294_967_296, 7), (-1, 8), (-2_147_483_649, 9),
         (15_032_385_535, 0), (20_000_000_000, 0), (5, 1_000_000_000))
XATTRS = ("user.a", "user.b", "user.c", "trusted.t", "security.foo", "user." + "n" * 250, "user.",
          "bogus.x", "user." + "n" * 251)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16  # Of known.py, none of the others.
ACLS = ("system.posix_acl_access", "system.posix_acl_default")
OWNER, USER, GROUP_OBJECT, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


def acl_value(rng):
    """A POSIX ACL as setxattr takes it; now and then not a valid one."""
    entries = [(OWNER, rng.choice((7, 6)), 0xFFFFFFFF)]
    for tag, ids in ((USER, (1000, 1001)), (GROUP_OBJECT, ()), (GROUP, (1000, 1001, 1002))):
        if tag == GROUP_OBJECT:
            entries.append((tag, rng.randrange(8), 0xFFFFFFFF))
        entries += [(tag, rng.randrange(8), i) for i in ids if rng.random() < 0.4]
    if any(tag in (USER, GROUP) for tag, _, _ in entries) or rng.random() < 0.3:
        entries.append((MASK, rng.randrange(8), 0xFFFFFFFF))
    entries.append((OTHER, rng.choice((0, 5, 7)), 0xFFFFFFFF))
    if rng.random() < 0.03:
        del entries[rng.randrange(len(entries))]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class ContentOps:
    """Half of Generator, which has rng, paths, open and actor."""

    # Parts.

    def watch(self, *items):
        """The items, and the directories they are in."""
        parents = {item.rpartition(b"/")[0] or b"/" for item in items
                   if isinstance(item, bytes) and item.startswith(b"/")}
        return tuple(items) + tuple(sorted(parents - set(items)))

    def slot(self):
        slots = self.open[self.actor]
        if slots and self.rng.random() < 0.97:
            return self.rng.choice(sorted(slots))
        return self.rng.randrange(SLOTS)

    def where(self):
        return self.slot() if self.rng.random() < 0.25 else self.paths.any()

    def length(self):
        lot = self.rng.random()
        return self.rng.choice(LENGTHS) if lot < 0.6 else self.rng.randrange(5000)

    def offset(self):
        return self.length() if self.rng.random() < 0.95 else self.rng.randrange(200_000)

    def follow(self):
        return self.rng.random() < 0.6

    def number(self):
        return self.rng.randrange(1 << 30)

    def mode(self):
        mode = self.rng.choice(FILE_MODES if self.rng.random() < 0.7 else DIRECTORY_CHANGES)
        return mode & ~0o2000 if "set-group-id" in self.without else mode

    # Data.

    def pread(self):
        slot = self.slot()
        return "pread", (slot,), slot, self.length(), self.offset()

    def read(self):
        slot = self.slot()
        return "read", (slot,), slot, self.length()

    def pwrite(self):
        slot = self.slot()
        return "pwrite", (slot,), slot, self.length(), self.offset(), self.number()

    def write(self):
        slot = self.slot()
        return "write", (slot,), slot, self.length(), self.number()

    def truncate(self):
        where = self.slot() if self.rng.random() < 0.5 else self.paths.any()
        length = self.offset() if self.rng.random() < 0.98 else self.rng.choice((-1, 1 << 62))
        return "truncate", self.watch(where), where, length

    def fallocate(self):
        slot = self.slot()
        mode = self.rng.choice((0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE,
                                ZERO_RANGE | KEEP_SIZE, PUNCH_HOLE))
        if not self.maps_write:  # But seeks: no unwritten extents.
            mode = PUNCH_HOLE | KEEP_SIZE
        return "fallocate", (slot,), slot, mode, self.offset(), self.length()

    def copy(self):
        source, target = self.slot(), self.slot()
        return ("copy", tuple({source, target}), source, self.offset(), target, self.offset(),
                self.length())

    def seek(self):
        whence = self.rng.choice((os.SEEK_END, os.SEEK_SET, os.SEEK_CUR))
        if not self.maps_write and self.rng.random() < 0.7:
            whence = self.rng.choice((os.SEEK_DATA, os.SEEK_HOLE))
        return "seek", (), self.slot(), self.offset(), whence

    def map(self):
        slot, write = self.slot(), self.maps_write and self.rng.random() < 0.6
        offset = 0 if self.rng.random() < 0.5 else self.length()
        return "map", (slot,), slot, self.length(), offset, self.number(), write

    def fsync(self):
        slot = self.slot()
        return "fsync", (slot,), slot, self.rng.random() < 0.5

    # Attributes.

    def stat(self):
        return "stat", (), self.paths.any(), self.follow()

    def fstat(self):
        return "fstat", (), self.slot()

    def same(self):
        return "same", (), self.slot(), self.paths.any()

    def chmod(self):
        where = self.where()
        return "chmod", self.watch(where), where, self.mode()

    def chown(self):
        where = self.where()
        uid = self.rng.choice((-1, -1, 0, 1000, 1001))
        gid = self.rng.choice((-1, 0, 1000, 1001, 1002) if uid >= 0 else (0, 1000, 1001, 1002))
        return "chown", self.watch(where), where, uid, gid, self.follow()

    def chown_nothing(self):
        where = self.where()
        return "chown", self.watch(where), where, -1, -1, self.follow()

    def time(self):
        lot = self.rng.random()
        if lot < 0.2:
            return 0, UTIME_NOW
        return (0, UTIME_OMIT) if lot < 0.4 else self.rng.choice(TIMES)

    def utimens(self):
        where = self.where()
        return "utimens", self.watch(where), where, self.time(), self.time(), self.follow()

    def access(self):
        return "access", (), self.paths.any(), self.rng.randrange(8), self.follow()

    # Extended attributes.

    def setxattr(self):
        where = self.where()
        length = self.rng.choice((0, 1, 10, 100, 100, 1000, 3000, 70_000))
        value = self.rng.randrange(256), length
        flags = self.rng.choice((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE))
        name = self.rng.choice(XATTRS)
        return "setxattr", self.watch(where), where, name, value, flags, self.follow()

    def getxattr(self):
        where = self.where()
        return "getxattr", (), where, self.rng.choice(XATTRS), self.follow()

    def listxattr(self):
        return "listxattr", (), self.where(), self.follow()

    def removexattr(self):
        where = self.where()
        name = self.rng.choice(XATTRS)
        return "removexattr", self.watch(where), where, name, self.follow()

    def set_acl(self):
        where = self.where()
        return ("setxattr", self.watch(where), where, self.rng.choice(ACLS), acl_value(self.rng), 0,
                True)

    def get_acl(self):
        return "getxattr", (), self.where(), self.rng.choice(ACLS), True

    def remove_acl(self):
        where = self.where()
        return "removexattr", self.watch(where), where, self.rng.choice(ACLS), True

    # Locks.

    def lock_range(self):
        return self.rng.randrange(8), self.rng.randrange(6)  # A length of 0: to the end.

    def setlk(self):
        kind = self.rng.choice((fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK))
        return "setlk", (), self.slot(), kind, *self.lock_range(), self.rng.random() < 0.2

    def getlk(self):
        kind = self.rng.choice((fcntl.F_RDLCK, fcntl.F_WRLCK))
        return "getlk", (), self.slot(), kind, *self.lock_range()

    def flock(self):
        operation = self.rng.choice((fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN))
        return "flock", (), self.slot(), operation
