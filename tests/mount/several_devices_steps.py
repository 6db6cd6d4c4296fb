#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether inode numbers tell objects of a mount apart as (st_dev, st_ino) does in its source.

usage: several_devices_steps.py SOURCE MOUNTPOINT
"""

import os
import sys


def objects(top):
    """Of each object below: its path there, its attributes, and the number in the listing."""
    pending = [top]
    while pending:
        directory = pending.pop()
        with os.scandir(directory) as entries:
            listed = list(entries)  # All of it before the first stat, or the kernel asks for attributes, too.
        for entry in listed:
            status = os.lstat(entry.path)
            yield os.path.relpath(entry.path, top), status, entry.inode()
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)


def main():
    source, mount = sys.argv[1:3]
    home = os.lstat(source).st_dev
    behind = {path: (status.st_dev, status.st_ino) for path, status, _ in objects(source)}
    through = {}
    for path, status, listed in objects(mount):
        through[path] = status.st_ino
        # What is listed of a mount point may be what it covers, as in the source.
        covers = behind[path][0] != os.lstat(os.path.dirname(f"{source}/{path}")).st_dev
        if listed != status.st_ino and not covers:
            sys.exit(f"FAILED: {path} is listed as {listed:#x}, and is {status.st_ino:#x}")
        if behind[path][0] == home and status.st_ino != behind[path][1]:
            sys.exit(f"FAILED: {path} is {status.st_ino} in the mount, {behind[path][1]} in the source")
    if behind.keys() != through.keys():
        sys.exit(f"FAILED: not in both: {behind.keys() ^ through.keys()}")
    pairs = {(behind[path], through[path]) for path in behind}
    if not len(pairs) == len(set(behind.values())) == len(set(through.values())):
        sys.exit(f"FAILED: {len(set(behind.values()))} objects have {len(set(through.values()))} numbers")
    print(f"{len(behind)} names, {len(pairs)} objects, {len({dev for dev, _ in behind.values()})} devices")


if __name__ == "__main__":
    main()
