#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The steps of set_id_test.sh: every kind of caller changes files that have set-id bits or capabilities,
in every way; says how each ended and what is left, as seen right afterwards.

usage: set_id_steps.py DIRECTORY CALLERS [--source SOURCE]
CALLERS: all, or names, with a semicolon between them.
With --source, the same directory behind a mount, it is there that files get their bits.
"""

import argparse
import ctypes
import errno
import mmap
import os
import stat
import struct
import sys
from pathlib import Path

from basic_ops_steps import fallocate, KEEP_SIZE, PUNCH_HOLE

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_CAPGET, SYS_CAPSET = {"x86_64": (125, 126)}.get(os.uname().machine, (90, 91))
CAP_FOWNER, CAP_FSETID = 3, 4
PR_SET_KEEPCAPS, PR_SET_NAME = 8, 15
CLONE_NEWUSER = 0x10000000
# cap_net_raw+ep, as the kernel keeps it.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
OWNER, TEAM, OTHER, STRANGER = 5001, 5002, 5003, 5004
NOBODY = 0xFFFFFFFF
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 7, NOBODY, 2, 6, STRANGER, 4, 5, NOBODY, 16, 7, NOBODY,
                  32, 5, NOBODY)
PAGE = 4096


def set_capabilities(change):
    """`change` takes the effective set, and returns it; what goes is not permitted any more either."""
    header = struct.pack("<Ii", 0x20080522, 0)
    sets = ctypes.create_string_buffer(24)
    if LIBC.syscall(SYS_CAPGET, header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    words = list(struct.unpack("<6I", sets.raw))
    words[0] = words[1] = change(words[1])
    if LIBC.syscall(SYS_CAPSET, header, struct.pack("<6I", *words)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def become(uid, gid, groups=(), keep=None, drop=None):
    """The ids; `keep`: with this capability in spite of them; `drop`: without this one."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    if keep is not None:
        LIBC.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    if keep is not None:
        set_capabilities(lambda effective: 1 << keep)
    if drop is not None:
        set_capabilities(lambda effective: effective & ~(1 << drop))


def become_impostor(uid, gid):
    """By the name of its thread, which /proc shows, it has all capabilities."""
    become(uid, gid)
    LIBC.prctl(PR_SET_NAME, b"CapEff: 1ffffff", 0, 0, 0)


def become_root_of_users(uid, gid):
    """With all capabilities, in a user namespace that knows OWNER to STRANGER only."""
    ready, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.read(ready, 1)
        for ids in ("uid_map", "gid_map"):
            Path(f"/proc/{os.getppid()}/{ids}").write_text(f"{OWNER} {OWNER} 4", encoding="ascii")
        os._exit(0)
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(go, b"1")
    os.waitpid(helper, 0)
    become(uid, gid)


CALLERS = {
    "owner": lambda: become(OWNER, OTHER),
    "owner, member": lambda: become(OWNER, OTHER, [TEAM]),
    "member": lambda: become(STRANGER, OTHER, [OTHER, TEAM]),
    "member by gid": lambda: become(STRANGER, TEAM),
    "stranger": lambda: become(STRANGER, OTHER),
    "stranger of group 0": lambda: become(STRANGER, 0, [0]),
    "stranger with CAP_FSETID": lambda: become(STRANGER, OTHER, keep=CAP_FSETID),
    "stranger with CAP_FOWNER": lambda: become(STRANGER, OTHER, keep=CAP_FOWNER),
    "impostor": lambda: become_impostor(STRANGER, OTHER),
    "root of users": lambda: become_root_of_users(STRANGER, OTHER),
    "root": lambda: None,
    "root without CAP_FSETID": lambda: become(0, 0, drop=CAP_FSETID),
    "root without CAP_FSETID, member": lambda: become(0, 0, [TEAM], drop=CAP_FSETID),
    "root without CAP_FOWNER": lambda: become(0, 0, drop=CAP_FOWNER),
}

# (mode, has capabilities, group)
FILES = (
    (0o6755, False, TEAM), (0o4711, False, TEAM), (0o2755, False, TEAM), (0o2745, False, TEAM),
    (0o6777, False, TEAM), (0o2767, False, TEAM), (0o6767, False, TEAM), (0o2767, False, 0),
    (0o666, True, TEAM), (0o6777, True, TEAM), (0o2767, True, TEAM),
)


def direct_write(fd, _path):
    buffer = mmap.mmap(-1, PAGE)
    buffer.write(b"d" * PAGE)
    os.pwritev(fd, [buffer], 0)


def map_write(fd, _path):
    with mmap.mmap(fd, PAGE) as pages:
        pages[0:3] = b"map"
        pages.flush()


def truncating_open(fd, path, flags=0):
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | flags))


# name: (flags of the descriptor that root opened, what to do with it and the path)
WAYS = {
    "write": (0, lambda fd, path: os.write(fd, b"w")),
    "write of nothing": (0, lambda fd, path: os.write(fd, b"")),
    "two writes": (0, lambda fd, path: (os.write(fd, b"w"), os.write(fd, b"x"))),
    "pwrite": (0, lambda fd, path: os.pwrite(fd, b"p", 9000)),
    "append": (os.O_APPEND, lambda fd, path: os.write(fd, b"a")),
    "direct write": (os.O_DIRECT, direct_write),
    "ftruncate": (0, lambda fd, path: os.ftruncate(fd, 3)),
    "ftruncate to the same": (0, lambda fd, path: os.ftruncate(fd, 2 * PAGE)),
    "truncate": (0, lambda fd, path: os.truncate(path, 3)),
    "O_TRUNC": (0, truncating_open),
    "O_CREAT|O_TRUNC": (0, lambda fd, path: truncating_open(fd, path, os.O_CREAT)),
    "fallocate": (0, lambda fd, path: fallocate(fd, 0, 0, 4 * PAGE)),
    "punch": (0, lambda fd, path: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, PAGE)),
    "copy_file_range": (0, lambda fd, path: os.copy_file_range(fd, fd, 100, 4096, 0)),
    "mapping": (0, map_write),
    "chown(-1, -1)": (0, lambda fd, path: os.chown(path, -1, -1)),
    "fchown(-1, -1)": (0, lambda fd, path: os.fchown(fd, -1, -1)),
    "lchown(-1, -1)": (0, lambda fd, path: os.lchown(path, -1, -1)),
    "chown to the same": (0, lambda fd, path: os.chown(path, OWNER, TEAM)),
    "chown to another": (0, lambda fd, path: os.chown(path, STRANGER, -1)),
    "chgrp to the same": (0, lambda fd, path: os.chown(path, -1, TEAM)),
    "chgrp to another": (0, lambda fd, path: os.fchown(fd, -1, OTHER)),
    "chmod": (0, lambda fd, path: os.chmod(path, 0o2755)),
    "ACL": (0, lambda fd, path: os.setxattr(path, "system.posix_acl_access", ACL)),
    "utimes": (0, lambda fd, path: os.utime(path)),
}


def outcome(call, *arguments):
    """0, or the name of the errno."""
    try:
        call(*arguments)
        return 0
    except OSError as error:
        return errno.errorcode[error.errno]


def as_caller(caller, steps):
    """Runs them in one process of that kind."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            CALLERS[caller]()
            steps()
            sys.stdout.flush()
            status = 0
        finally:
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit(f"the steps of {caller} failed")


def prepare(path, source, way, mode, capable, group):
    """Makes the file, and returns a descriptor of it."""
    flags = WAYS[way][0]
    path.write_bytes(b"0123456789abcdef" * (2 * PAGE // 16))
    os.chown(path, OWNER, group)
    fd = os.open(path, os.O_RDWR | flags)
    # Writes before it gets its bits: from then on the kernel takes it for a file that has none.
    if flags & os.O_DIRECT:
        direct_write(fd, path)
    else:
        os.pwrite(fd, b"01", 0)
        os.pwrite(fd, b"01", 0)
    there = source / path.name
    os.chmod(there, mode)
    if capable:
        os.setxattr(there, "security.capability", CAPABILITY)
    # With timeouts 0 the mount says at once what was made behind it.
    seen = stat.S_IMODE(os.lstat(path).st_mode)
    if seen != mode:
        sys.exit(f"{path.name}: mode {seen:o} after chmod to {mode:o}")
    return fd


def what_is_left(path, fd, way):
    for seen in (os.stat(path), os.fstat(fd)):
        yield f"{seen.st_mode:o} {seen.st_uid} {seen.st_gid} {seen.st_size}"
    # A mapping's pages come to the source by a write, which takes capabilities away.
    if way != "mapping":
        yield outcome(os.getxattr, path, "security.capability")


def change_files(caller, top, source):
    cases = [(way, *file) for way in WAYS for file in FILES]
    paths = [top / f"f{n}" for n in range(len(cases))]
    descriptors = [prepare(path, source, *case) for path, case in zip(paths, cases)]

    def steps():
        for path, fd, (way, mode, capable, group) in zip(paths, descriptors, cases):
            ended = outcome(WAYS[way][1], fd, path)
            print(f"{caller}, {way}, {mode:o}{' capable' if capable else ''} of {group}: {ended};",
                  *what_is_left(path, fd, way))

    as_caller(caller, steps)
    for path, fd in zip(paths, descriptors):
        os.close(fd)
        path.unlink()


def change_directory(caller, path):
    path.mkdir()
    os.chown(path, OWNER, TEAM)
    os.chmod(path, 0o6775)

    def steps():
        for what, call, *arguments in (
            ("chown(-1, -1)", os.chown, path, -1, -1),
            ("chown to the same", os.chown, path, OWNER, TEAM),
            ("ACL", os.setxattr, path, "system.posix_acl_access", ACL),
            ("chgrp", os.chown, path, -1, OTHER),
        ):
            print(f"{caller}, {what} of a directory: {outcome(call, *arguments)};",
                  f"{os.stat(path).st_mode:o}")

    as_caller(caller, steps)
    path.rmdir()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("callers")
    parser.add_argument("--source", type=Path)
    options = parser.parse_args()
    for caller in CALLERS if options.callers == "all" else options.callers.split(";"):
        change_files(caller, options.directory, options.source or options.directory)
        change_directory(caller, options.directory / "dir")


if __name__ == "__main__":
    sys.exit(main())
