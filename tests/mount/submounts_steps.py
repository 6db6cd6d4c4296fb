#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks into a directory on which something is mounted and unmounted, until it is killed.

usage: submounts_steps.py DIRECTORY TALLY

In each file system that it may be there is a file `who`, which tells which one it is, and `of-WHO`, of that
content and so many bytes. Whatever is seen must be of one of them. A line in TALLY for each hundred looks.
Status 1: something else was seen.
"""

import errno
import os
import sys

# What is told while something is taken from under a path. EBUSY would be a mount's.
NOT_THERE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR)


def read(path, directory):
    fd = os.open(path, os.O_RDONLY, dir_fd=directory)
    try:
        told = os.fstat(fd)
        content = os.read(fd, 1000)
        if told.st_size != len(content):
            sys.exit(f"FAILED: {path} has size {told.st_size} and {len(content)} bytes")
        return content.decode()
    finally:
        os.close(fd)


def look(path):
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        who = read("who", directory)
        names = [name for name in os.listdir(directory) if name.startswith("of-")]
        for name in names:
            if read(name, directory) != name[3:]:
                sys.exit(f"FAILED: {name} is another's")
        if names and names != [f"of-{who}"]:
            sys.exit(f"FAILED: in {who} there is {names}")
    finally:
        os.close(directory)


def main():
    path, tally = sys.argv[1:3]
    looked = 0
    while True:
        try:
            look(path)
        except OSError as error:
            if error.errno not in NOT_THERE:
                sys.exit(f"FAILED: {error}")
        looked += 1
        if looked % 100 == 0:
            with open(tally, "a", encoding="ascii") as out:
                print(looked, file=out)


if __name__ == "__main__":
    main()
