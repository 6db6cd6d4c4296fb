#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command as root of a user namespace with 65536 ids, where 0 stands for our 100000, and with mounts
of its own, in which /dev/fuse may be opened.

usage: in_user_namespace.py DIRECTORY COMMAND...
DIRECTORY is for a device node; it is left behind.
"""

import ctypes
import os
import stat
import subprocess
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
FIRST_ID, IDS = 100000, 65536


def unshare(flags):
    if LIBC.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def open_fuse_to_all(directory):
    node = directory / "fuse"
    os.mknod(node, stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
    node.chmod(0o666)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", node, "/dev/fuse"], check=True)


def main():
    unshare(CLONE_NEWNS)
    open_fuse_to_all(Path(sys.argv[1]))
    left, mapped = os.pipe()
    child_left, child_mapped = os.pipe()
    child = os.fork()
    if child == 0:
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
        os.write(mapped, b"1")
        os.read(child_left, 1)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        os.execvp(sys.argv[2], sys.argv[2:])
    os.close(mapped)
    if os.read(left, 1):
        for ids in ("gid_map", "uid_map"):
            Path(f"/proc/{child}/{ids}").write_text(f"0 {FIRST_ID} {IDS}", encoding="ascii")
        os.write(child_mapped, b"1")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
