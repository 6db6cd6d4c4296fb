#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares a mount with its source: names, every field of stat but device and access time, links, contents.

usage: same_tree.py SOURCE MOUNT [FIELD...]

FIELDS are left out: st_blocks where the file system gives blocks back by itself. Prints the first differences;
status 1 if there are any.
"""

import os
import stat
import sys

FIELDS = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_blocks", "st_blksize",
          "st_mtime_ns", "st_ctime_ns")
SHOWN_MAX = 10


def inside(path, mode):
    """What an object holds: the names of a directory, a file's bytes, where a link leads."""
    if stat.S_ISDIR(mode):
        return sorted(os.listdir(path))
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            return file.read()
    return None


def attributes(path, left_out):
    told = os.lstat(path)
    return {field: getattr(told, field) for field in FIELDS if field not in left_out} | (
        {"names": inside(path, told.st_mode)} if stat.S_ISDIR(told.st_mode) else {})


def content(path, _):
    mode = os.lstat(path).st_mode
    return {} if stat.S_ISDIR(mode) else {"content": inside(path, mode)}


def told(look, path, left_out):
    try:
        return look(path, left_out)
    except OSError as error:
        return {"error": error.strerror}


def differences(look, source, mount, left_out):
    """Of each object that differs the fields that do, as they are in source and mount."""
    waiting = [""]
    while waiting:
        path = waiting.pop()
        here, there = told(look, source + path, left_out), told(look, mount + path, left_out)
        if here != there:
            yield path or "/", {key: (here.get(key), there.get(key)) for key in here | there
                                if here.get(key) != there.get(key)}
        if os.path.isdir(source + path) and not os.path.islink(source + path):
            waiting += [f"{path}/{name}" for name in sorted(os.listdir(source + path))]


def main():
    source, mount = sys.argv[1:3]
    shown = 0
    # First what is seen without opening anything: who opens a file that was replaced looks up its name anew.
    for look in attributes, content:
        for path, fields in differences(look, source, mount, sys.argv[3:]):
            print(f"{path}: " + ", ".join(f"{field} {str(one)[:300]}, in the mount {str(other)[:300]}"
                                          for field, (one, other) in fields.items()))
            shown += 1
            if shown == SHOWN_MAX:
                return 1
        if shown:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
