#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Replaces, moves and removes in a source what programs in the mount know, have open or are in.

usage: stale_steps.py SOURCE MOUNT OUTSIDE BOUND_MS [SCENE...]

OUTSIDE is a directory beside SOURCE. Without SCENEs all are played. A program that names a path is told what
is there, or, for BOUND_MS, what was; never ESTALE, since the name is looked up once more. Whoever holds an
object goes on with it or is told ESTALE; he never gets to another one.
"""

import errno
import json
import os
import shutil
import sys
import time

GONE = "gone"  # What whoever holds something may be told at any time.
TRIES = 20
SCENES = ("replaced_files", "replaced_links", "open_file", "moved_directory", "moved_out", "removed_directory",
          "other_kind")


class Wrong(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Wrong(message)


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def or_errno(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def or_gone(call):
    told = or_errno(call)
    return GONE if told in ("ENOENT", "ESTALE") else told


def requests(mount, *names):
    counts = json.loads(os.getxattr(mount, "evenfs.stats"))["requests"]
    return [counts.get(name, 0) for name in names]


class Scenes:
    def __init__(self, source, mount, outside, bound_s):
        self.source, self.mount, self.outside, self.bound_s = source, mount, outside, bound_s

    def until(self, call, wanted, *before):
        """Asks until it is as wanted; before that only what was may be said."""
        changed = time.monotonic()
        while True:
            asked = time.monotonic()
            told = or_errno(call)
            if told == wanted:
                return
            check(told in before, f"told {told}, wanted {wanted}, or for a while {before}")
            check(asked - changed < self.bound_s, f"still {told}, not {wanted}")

    def replaced_files(self):
        """Known by name and attributes, and replaced: whoever opens it gets the new one, by one more lookup."""
        for i in range(TRIES):
            write(f"{self.source}/r{i}", "old")
            self.until(lambda path=f"{self.mount}/r{i}": os.stat(path).st_size, 3, "ENOENT")
        before = requests(self.mount, "lookup", "open")
        for i in range(TRIES):
            write(f"{self.source}/r.new", "newer")
            os.rename(f"{self.source}/r.new", f"{self.source}/r{i}")
            told = or_errno(lambda path=f"{self.mount}/r{i}": read(path))
            check(told == "newer", f"a file that was replaced: {told}")
        lookups, opens = (now - then for now, then in zip(requests(self.mount, "lookup", "open"), before))
        # Two for each, and one more if a notice comes in between.
        check(opens <= 2 * TRIES and lookups <= 3 * TRIES,
              f"{TRIES} replaced files were opened by {lookups} lookups and {opens} opens")
        return f"{TRIES} replaced files: {lookups} lookups, {opens} opens"

    def replaced_links(self):
        for i in range(TRIES):
            os.symlink("old", f"{self.source}/l{i}")
            self.until(lambda path=f"{self.mount}/l{i}": os.readlink(path), "old", "ENOENT")
            os.symlink("new", f"{self.source}/l.new")
            os.rename(f"{self.source}/l.new", f"{self.source}/l{i}")
            self.until(lambda path=f"{self.mount}/l{i}": os.readlink(path), "new", "old")

    def open_file(self):
        """Whoever has a file open goes on with it."""
        write(f"{self.source}/o", "old")
        self.until(lambda: read(f"{self.mount}/o"), "old", "ENOENT")
        fd = os.open(f"{self.mount}/o", os.O_RDWR)
        write(f"{self.source}/o.new", "newer")
        os.rename(f"{self.source}/o.new", f"{self.source}/o")
        self.until(lambda: read(f"{self.mount}/o"), "newer", "old")
        check(os.pread(fd, 10, 0) == b"old", "an open file is another one")
        check(os.fstat(fd).st_size == 3, "an open file has another one's size")
        os.pwrite(fd, b"OLD", 0)
        check(os.pread(fd, 10, 0) == b"OLD", "an open file cannot be written")
        os.close(fd)
        check(read(f"{self.source}/o") == "newer", "what was written went into another file")

    def moved_directory(self):
        """Whoever is in a directory stays there when it moves; by its old path nothing is found."""
        os.makedirs(f"{self.source}/a/in/deep")
        os.mkdir(f"{self.source}/b")
        write(f"{self.source}/a/in/deep/f", "mine")
        self.until(lambda: read(f"{self.mount}/a/in/deep/f"), "mine", "ENOENT")
        with Inside(f"{self.mount}/a/in") as fd:
            os.rename(f"{self.source}/a/in", f"{self.source}/b/moved")
            os.makedirs(f"{self.source}/a/in/deep")
            write(f"{self.source}/a/in/deep/f", "another's")
            self.until(lambda: read(f"{self.mount}/b/moved/deep/f"), "mine", "ENOENT")
            self.until(lambda: read(f"{self.mount}/a/in/deep/f"), "another's", "mine", "ENOENT")
            for view in (lambda: read("deep/f"), lambda: read_at("deep/f", fd)):
                check(or_gone(view) in ("mine", GONE), f"whoever was in it reads {or_gone(view)}")
            check(or_gone(lambda: os.listdir(fd)) in (["deep"], GONE), "whoever has it open lists another one")
            write("deep/made", "x")
            check(os.path.exists(f"{self.source}/b/moved/deep/made"), "what was made there is elsewhere")

    def moved_out(self):
        """Out of the source: it cannot be found, and whoever is in it does no harm to what is there now."""
        os.mkdir(f"{self.source}/out")
        write(f"{self.source}/out/f", "mine")
        self.until(lambda: read(f"{self.mount}/out/f"), "mine", "ENOENT")
        with Inside(f"{self.mount}/out") as fd:
            os.rename(f"{self.source}/out", f"{self.outside}/out")
            self.until(lambda: or_errno(lambda: read(f"{self.mount}/out/f")), "ENOENT", "mine")
            os.mkdir(f"{self.source}/out")
            write(f"{self.source}/out/f", "another's")
            self.until(lambda: read(f"{self.mount}/out/f"), "another's", "ENOENT", "mine")
            check(or_gone(lambda: read_at("f", fd)) in ("mine", GONE), "whoever is in it reads another's")
            check(or_gone(lambda: read("f")) in ("mine", GONE), "whoever is in it reads another's")

    def removed_directory(self):
        """Whoever is in a directory that was removed is told so, also when there is another of that name."""
        for replaced in (False, True):
            os.mkdir(f"{self.source}/gone")
            write(f"{self.source}/gone/f", "mine")
            self.until(lambda: read(f"{self.mount}/gone/f"), "mine", "ENOENT", "another's")
            with Inside(f"{self.mount}/gone") as fd:
                shutil.rmtree(f"{self.source}/gone")
                if replaced:
                    os.mkdir(f"{self.source}/gone")
                    write(f"{self.source}/gone/f", "another's")
                    self.until(lambda: read(f"{self.mount}/gone/f"), "another's", "mine", "ENOENT")
                else:
                    self.until(lambda: read(f"{self.mount}/gone/f"), "ENOENT", "mine")
                for view in (lambda: read("f"), lambda: read_at("f", fd), lambda: os.stat("f").st_size):
                    self.until(lambda view=view: or_gone(view), GONE, "mine", 4)
                check(or_gone(lambda: os.listdir(fd)) in ([], ["f"], GONE), "whoever has it open lists another")
                check(or_gone(lambda: write("new", "x")) == GONE, "something was made in what was removed")
            if replaced:
                shutil.rmtree(f"{self.source}/gone")
                self.until(lambda: or_errno(lambda: read(f"{self.mount}/gone/f")), "ENOENT", "another's")

    def other_kind(self):
        """A file becomes a directory, and that a link."""
        write(f"{self.source}/k", "file")
        self.until(lambda: read(f"{self.mount}/k"), "file", "ENOENT")
        os.unlink(f"{self.source}/k")
        os.mkdir(f"{self.source}/k")
        write(f"{self.source}/k/in", "in")
        self.until(lambda: read(f"{self.mount}/k/in"), "in", "ENOTDIR", "ENOENT")
        shutil.rmtree(f"{self.source}/k")
        os.symlink("o", f"{self.source}/k")
        self.until(lambda: os.readlink(f"{self.mount}/k"), "o", "EINVAL", "ENOENT")


class Inside:
    """The program's working directory, and open."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.fd = os.open(self.path, os.O_RDONLY)
        os.chdir(self.path)
        return self.fd

    def __exit__(self, *_):
        os.chdir("/")
        os.close(self.fd)


def read_at(path, directory):
    fd = os.open(path, os.O_RDONLY, dir_fd=directory)
    try:
        return os.read(fd, 100).decode()
    finally:
        os.close(fd)


def main():
    source, mount, outside, bound_ms = *sys.argv[1:4], int(sys.argv[4])
    scenes = Scenes(source, mount, outside, bound_ms / 1000)
    for name in sys.argv[5:] or SCENES:
        try:
            told = getattr(scenes, name)()
        except (Wrong, OSError) as wrong:
            print(f"FAILED: {name}: {wrong}")
            return 1
        if told:
            print(f"  {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
