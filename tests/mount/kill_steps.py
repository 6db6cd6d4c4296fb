#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files whose content follows from their name: written until there is an error, and verified.

    kill_steps.py write DIRECTORY WRITER ACKNOWLEDGED   continues behind what is acknowledged already
    kill_steps.py verify DIRECTORY ACKNOWLEDGED...
"""

import errno
import hashlib
import os
import sys

ENDS = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)  # Of a mount whose daemon is gone.


def content(name):
    block = hashlib.sha256(name.encode()).digest()
    return block * (1 + int.from_bytes(block[:2], "little") % 1500)


def sync(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_one(directory, name):
    new = os.path.join(directory, name + ".new")
    with open(new, "wb", buffering=0) as out:
        out.write(content(name))
        os.fsync(out.fileno())
    os.rename(new, os.path.join(directory, name))
    sync(directory)


def write(directory, writer, acknowledged):
    with open(acknowledged, "a+", encoding="ascii") as log:
        log.seek(0)
        number = len(log.readlines())
        while True:
            name = f"file.{writer}.{number}"
            try:
                write_one(directory, name)
            except OSError as error:
                if error.errno in ENDS:
                    return
                raise
            # The acknowledgement is outside of the mount, and only the daemon is killed.
            print(name, file=log, flush=True)
            number += 1


def verify(directory, *logs):
    checked = 0
    for path in logs:
        with open(path, encoding="ascii") as log:
            for name in log.read().split():
                with open(os.path.join(directory, name), "rb") as there:
                    if there.read() != content(name):
                        sys.exit(f"{name}: not what was acknowledged")
                checked += 1
    if checked == 0:
        sys.exit("nothing was acknowledged")


if __name__ == "__main__":
    {"write": write, "verify": verify}[sys.argv[1]](*sys.argv[2:])
