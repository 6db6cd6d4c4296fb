# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random operations of the differential tester, as tuples of literals:
(actor, name, watched, argument...), where watched are paths and slots to be looked at before and
after. A generator is told what became of its operations, so that it knows what exists; it executes
nothing. Here are the operations on names; ops_content.py has the others."""

import os
import random
import stat

from actor import IDENTITIES, SLOTS
from ops_content import DIRECTORY_CHANGES, ContentOps
from paths import Paths

NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
HANDLES = 6  # That each process remembers.

# How often, by group; a group can be left out.
WEIGHTS = {
    "names": ((14, "open_file"), (2, "open_directory"), (2, "tmpfile"), (2, "linkfd"),
              (8, "mkdir"), (4, "mknod"), (5, "symlink"), (6, "link"), (8, "unlink"), (5, "rmdir"),
              (10, "rename"), (3, "readlink"), (1, "chdir"), (1, "getcwd"), (1, "umask"),
              (3, "close"), (4, "stat"), (4, "fstat"), (3, "same")),
    "handles": ((4, "take_handle"), (4, "open_handle")),
    "list": ((5, "list"),),
    "data": ((8, "pread"), (3, "read"), (10, "pwrite"), (4, "write"), (5, "truncate"),
             (4, "fallocate"), (3, "copy"), (3, "seek"), (4, "map")),
    "sync": ((1, "fsync"),),
    "attributes": ((8, "chmod"), (7, "chown"), (6, "utimens"), (4, "access")),
    "xattrs": ((5, "setxattr"), (3, "getxattr"), (3, "listxattr"), (3, "removexattr")),
    "acls": ((4, "set_acl"), (2, "get_acl"), (1, "remove_acl")),
    "whiteout": ((1, "whiteout"),),
    "chown-nothing": ((1, "chown_nothing"),),
    "rename-both": ((1, "rename_both"),),
    "locks": ((4, "setlk"), (3, "getlk"), (3, "flock")),
}


class Generator(ContentOps):
    GROUPS = (*WEIGHTS, "link-times", "gone", "set-group-id")

    def __init__(self, seed, without=()):
        self.rng = random.Random(seed)
        self.paths = Paths(self.rng)
        self.maps_write = seed % 2 == 0  # Or else seeks for data and holes; known.py says why.
        self.without = without
        self.open = [set() for _ in IDENTITIES]
        table = [(weight, name) for group, entries in WEIGHTS.items() if group not in without
                 for weight, name in entries]
        self.table = [getattr(self, name) for weight, name in table for _ in range(weight)]

    def next(self):
        self.actor = self.rng.randrange(len(IDENTITIES))
        name, watched, *arguments = self.rng.choice(self.table)()
        if self.rng.random() < 0.5:
            watched = ()
        return (self.actor, name, watched, *arguments)

    def note(self, operation, reply):
        """What became of the latest operation."""
        actor, name, _, *arguments = operation
        error = reply[0]
        if error == 2 and arguments and isinstance(arguments[0], bytes):
            self.paths.gone(arguments[0])
        if error:
            return
        if name in ("open", "tmpfile") or name == "open_handle" and isinstance(reply[1], tuple):
            self.open[actor].add(arguments[0])
        elif name == "close":
            self.open[actor].discard(arguments[0])
        if name in ("mkdir", "mknod"):
            self.paths.add(arguments[0], name == "mkdir")
        elif name in ("symlink", "link", "rename", "linkfd", "open"):
            self.paths.add(arguments[1], False)

    # Names.

    def open_file(self):
        chance = self.rng.random
        flags = self.rng.choice((os.O_RDWR, os.O_RDWR, os.O_RDONLY, os.O_WRONLY))
        for flag, share in ((os.O_CREAT, 0.6), (os.O_TRUNC, 0.15), (os.O_APPEND, 0.12),
                            (os.O_NOFOLLOW, 0.05), (os.O_DIRECTORY, 0.03), (os.O_PATH, 0.02),
                            (os.O_NOATIME, 0.03)):
            flags |= flag if chance() < share else 0
        if flags & os.O_CREAT and chance() < 0.2:
            flags |= os.O_EXCL
        path = self.paths.new() if flags & os.O_CREAT else self.paths.any()
        slot = self.rng.randrange(SLOTS)
        mode = 0o666 if chance() < 0.6 else self.mode()
        return "open", self.watch(path), slot, path, flags, mode

    def open_directory(self):
        path = self.paths.directory()
        return "open", self.watch(path), self.rng.randrange(SLOTS), path, os.O_RDONLY, 0

    def tmpfile(self):
        path = self.paths.directory()
        flags = self.rng.choice((os.O_RDWR, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_EXCL))
        return "tmpfile", (path,), self.rng.randrange(SLOTS), path, flags, self.mode()

    def linkfd(self):
        slot, path = self.slot(), self.paths.new()
        return "linkfd", self.watch(slot, path), slot, path, self.rng.random() < 0.8

    def take_handle(self):
        path = self.paths.any()
        return "take_handle", self.watch(path), self.rng.randrange(HANDLES), path

    def open_handle(self):
        if self.rng.random() < 0.9:
            self.actor = 0  # The others may not.
        flags = self.rng.choice((os.O_RDWR, os.O_RDWR, os.O_RDONLY, os.O_WRONLY, os.O_PATH))
        return ("open_handle", (), self.rng.randrange(SLOTS), self.rng.randrange(HANDLES), flags)

    def mkdir(self):
        path = self.paths.new()
        mode = 0o777 if self.rng.random() < 0.7 else self.rng.choice(DIRECTORY_CHANGES)
        return "mkdir", self.watch(path), path, mode

    def mknod(self):
        path = self.paths.new()
        kind = self.rng.choice((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG, stat.S_IFCHR))
        device = self.rng.choice((0, os.makedev(60, 7), os.makedev(300, 70_000)))
        return "mknod", self.watch(path), path, kind | self.mode(), device

    def symlink(self):
        path, lot = self.paths.new(), self.rng.random()
        target = self.paths.any()
        if lot < 0.3:
            target = self.rng.choice((self.paths.name(), b"../" + self.paths.name(), b"t" * 200))
        return "symlink", self.watch(path), target, path

    def link(self):
        old, new = self.paths.any(), self.paths.new()
        return "link", self.watch(old, new), old, new, self.rng.random() < 0.3

    def unlink(self):
        path = self.paths.any()
        return "unlink", self.watch(path, self.slot()), path

    def rmdir(self):
        path = self.paths.directory()
        return "rmdir", self.watch(path), path

    def rename(self):
        old, new, lot = self.paths.any(), self.paths.new(), self.rng.random()
        flags = 0 if lot < 0.6 else self.rng.choice((NOREPLACE, EXCHANGE, EXCHANGE,
                                                     NOREPLACE | EXCHANGE, 8))
        return "rename", self.watch(old, new), old, new, flags

    def whiteout(self):
        old, new = self.paths.any(), self.paths.new()
        return "rename", self.watch(old, new), old, new, WHITEOUT

    def rename_both(self):
        old, new = self.paths.any(), self.paths.new()
        return "rename", self.watch(old, new), old, new, WHITEOUT | NOREPLACE

    def readlink(self):
        path = self.paths.any()
        return "readlink", self.watch(path), path

    def list(self):
        where = self.slot() if self.rng.random() < 0.2 else self.paths.directory()
        return "list", (where,), where

    def chdir(self):
        where = self.slot() if self.rng.random() < 0.1 else self.paths.directory()
        return "chdir", (), where

    def getcwd(self):
        return "getcwd", ()

    def umask(self):
        return "umask", (), self.rng.choice((0o022, 0o002, 0, 0o077, 0o027))

    def close(self):
        slot = self.slot()
        return "close", (), slot
