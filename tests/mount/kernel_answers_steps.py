#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What FUSE's kernel side answers by itself, and what evenfs answers for want of a meaning: each call is
made in a plain directory and in a mount, and the mount must answer as the directory, or as the table here
says. docs/posix.md shows the same table.

usage: kernel_answers_steps.py PLAIN-DIRECTORY DIRECTORY-IN-MOUNT
"""

import ctypes
import fcntl
import mmap
import os
import platform
import signal
import struct
import subprocess
import sys
from pathlib import Path

from basic_ops_steps import LIBC, c_call, fallocate, outcome

PAGE = 4096
F_SETLEASE, F_NOTIFY, F_GET_SEALS = 1024, 1026, 1034
DN_CREATE = 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
QUOTACTL_FD = 443
Q_GETFMT, Q_GETQUOTA, Q_SYNC = 0x800004, 0x800007, 0x800001
RWF_DONTCACHE = 0x80

# Errno in the mount, whatever the source says.
IN_MOUNT = {
    "collapse range": "EOPNOTSUPP",
    "insert range": "EOPNOTSUPP",
    "unshare range": "EOPNOTSUPP",
    "FICLONE": "EOPNOTSUPP",
    "FICLONERANGE": "EOPNOTSUPP",
    "FIDEDUPERANGE": "EOPNOTSUPP",
    "FIEMAP": "EOPNOTSUPP",
    "FIBMAP": "no block",
    "statx attributes": "none",
    "FIFREEZE": "EOPNOTSUPP",
    "FITRIM": "ENOTTY",
    "FS_IOC_GETFSLABEL": "ENOTTY",
    "FS_IOC_ENABLE_VERITY": "ENOTTY",
    "FS_IOC_GET_ENCRYPTION_POLICY": "ENOTTY",
    "swapon": "EINVAL",
    "quotactl_fd Q_GETQUOTA": "ENOSYS",
    "quotactl_fd Q_GETFMT": "ENOSYS",
    "quotactl_fd Q_SYNC": "ENOSYS",
    "preadv2 RWF_NOWAIT": "EOPNOTSUPP",
    "preadv2 RWF_DONTCACHE": "EOPNOTSUPP",
    "MAP_SYNC": "EOPNOTSUPP",
}


def syscall(*arguments):
    c_call(LIBC.syscall, *arguments)


def lease(path, flags, kind, also_open=False):
    fd = os.open(path, flags)
    other = os.open(path, os.O_RDWR) if also_open else None
    try:
        fcntl.fcntl(fd, F_SETLEASE, kind)
        return fcntl.fcntl(fd, F_SETLEASE + 1)
    finally:
        os.close(fd)
        if other is not None:
            os.close(other)


def dnotify(top):
    """How many signals the creation of a name gives."""
    got = []
    before = signal.signal(signal.SIGIO, lambda *_: got.append(1))
    fd = os.open(top, os.O_RDONLY)
    try:
        fcntl.fcntl(fd, F_NOTIFY, DN_CREATE)
        (top / "noticed").touch()
        return len(got)
    finally:
        os.close(fd)
        signal.signal(signal.SIGIO, before)


def swapon(path):
    path.write_bytes(b"\0" * (16 * PAGE))
    path.chmod(0o600)
    subprocess.run(["mkswap", path], check=True, capture_output=True)
    c_call(LIBC.swapon, os.fsencode(path), 0)
    c_call(LIBC.swapoff, os.fsencode(path))


def attribute_bits(path):
    """Of statx, of a file that has been made append-only."""
    fd = os.open(path, os.O_RDONLY)
    flags = struct.unpack("i", fcntl.ioctl(fd, 0x80086601, struct.pack("i", 0)))[0]  # FS_IOC_GETFLAGS
    fcntl.ioctl(fd, 0x40086602, struct.pack("i", flags | 0x20))  # FS_IOC_SETFLAGS: FS_APPEND_FL
    answer = ctypes.create_string_buffer(256)
    try:
        c_call(LIBC.statx, -100, os.fsencode(path), 0, 0x7FF, answer)
    finally:
        fcntl.ioctl(fd, 0x40086602, struct.pack("i", flags))
        os.close(fd)
    return "append-only" if struct.unpack_from("<Q", answer, 8)[0] & 0x20 else "none"


def first_block(fd):
    answer = fcntl.ioctl(fd, 1, struct.pack("i", 0))  # FIBMAP
    return "a block" if struct.unpack("i", answer)[0] else "no block"


def freeze(directory):
    fcntl.ioctl(directory, 0xC0045877, 0)
    fcntl.ioctl(directory, 0xC0045878, 0)  # FITHAW


def dedupe(fd, other):
    """The status of the one range, an errno."""
    request = bytearray(struct.pack("<QQHHI", 0, PAGE, 1, 0, 0) + struct.pack("<qQQiI", other, 0, 0, 0, 0))
    fcntl.ioctl(fd, 0xC0189436, request)
    status = struct.unpack_from("<qQQi", request, 24)[3]
    if status < 0:
        raise OSError(-status, "")


def map_sync(fd):
    mmap.mmap(fd, PAGE, flags=0x80003).close()  # MAP_SYNC | MAP_SHARED_VALIDATE


def calls(top, frozen_too):
    """(name, function, arguments). `frozen_too`: also what would stop a real file system."""
    data = b"a" * (16 * PAGE)
    (top / "f").write_bytes(data)
    (top / "g").write_bytes(data)
    fd, other = os.open(top / "f", os.O_RDWR), os.open(top / "g", os.O_RDWR)
    directory = os.open(top, os.O_RDONLY)
    for name, mode in (("collapse", COLLAPSE), ("insert", INSERT), ("unshare", UNSHARE), ("zero", ZERO),
                       ("zero beyond", ZERO | KEEP_SIZE), ("punch", PUNCH_HOLE | KEEP_SIZE)):
        yield f"{name} range", fallocate, fd, mode, PAGE, PAGE
    yield "FICLONE", fcntl.ioctl, other, 0x40049409, fd
    yield "FICLONERANGE", fcntl.ioctl, other, 0x4020940D, struct.pack("<qQQQ", fd, 0, PAGE, 0)
    yield "FIDEDUPERANGE", dedupe, fd, other
    yield "FIEMAP", fcntl.ioctl, fd, 0xC020660B, bytearray(struct.pack("<QQIIII", 0, 1 << 30, 1, 0, 0, 0))
    os.fsync(fd)
    yield "FIBMAP", first_block, fd
    yield "statx attributes", attribute_bits, top / "g"
    if frozen_too:
        yield "FIFREEZE", freeze, directory
    yield "FITRIM", fcntl.ioctl, directory, 0xC0185879, bytearray(24)
    yield "FS_IOC_GETFSLABEL", fcntl.ioctl, directory, 0x81009431, bytearray(256)
    for of in (fd, directory):
        yield "FS_IOC_GETVERSION", fcntl.ioctl, of, 0x80087601, bytearray(8)
    yield "FS_IOC_ENABLE_VERITY", fcntl.ioctl, fd, 0x40806685, bytearray(128)
    yield "FS_IOC_GET_ENCRYPTION_POLICY", fcntl.ioctl, directory, 0x800C6613, bytearray(16)
    yield "an ioctl that nobody knows", fcntl.ioctl, fd, 0x5401, bytearray(64)
    yield "swapon", swapon, top / "swap"
    for name, command in (("Q_GETQUOTA", Q_GETQUOTA), ("Q_GETFMT", Q_GETFMT), ("Q_SYNC", Q_SYNC)):
        room = ctypes.create_string_buffer(256)
        yield f"quotactl_fd {name}", syscall, QUOTACTL_FD, directory, command << 8, 0, room
    yield "preadv2 RWF_NOWAIT", os.preadv, fd, [bytearray(10)], 0, os.RWF_NOWAIT
    yield "preadv2 RWF_DONTCACHE", os.preadv, fd, [bytearray(10)], 0, RWF_DONTCACHE
    yield "pwritev2 RWF_APPEND", os.pwritev, fd, [b"end"], 0, 0x10
    yield "MAP_SYNC", map_sync, fd
    os.close(fd)
    yield "read lease", lease, top / "f", os.O_RDONLY, fcntl.F_RDLCK
    yield "write lease", lease, top / "f", os.O_RDWR, fcntl.F_WRLCK
    yield "write lease of a file that is open", lease, top / "f", os.O_RDWR, fcntl.F_WRLCK, True
    yield "lease of a directory", fcntl.fcntl, directory, F_SETLEASE, fcntl.F_RDLCK
    yield "dnotify", dnotify, top
    yield "seals", fcntl.fcntl, other, F_GET_SEALS
    yield "posix_fadvise", os.posix_fadvise, other, 0, 0, os.POSIX_FADV_DONTNEED
    yield "readahead", c_call, LIBC.readahead, other, 0, PAGE
    yield "sync_file_range", c_call, LIBC.sync_file_range, other, 0, 0, 7
    yield "syncfs", c_call, LIBC.syncfs, other
    os.close(other)
    os.close(directory)


def answers(top, frozen_too):
    """(name, how it ended) of each call."""
    for name, function, *arguments in calls(top, frozen_too):
        ended = outcome(function, *arguments)
        yield name, "EOPNOTSUPP" if ended == "ENOTSUP" else ended


def main():
    plain, mount = map(Path, sys.argv[1:3])
    wanted = list(answers(plain, frozen_too=False))
    got = list(answers(mount, frozen_too=True))
    print(f"Linux {platform.release()}")
    failures = 0
    by_name = dict(wanted)
    for name, ended in got:
        print(f"{name}: {ended} ({by_name.get(name, 'not asked')} in a directory)")
        if ended != IN_MOUNT.get(name, by_name.get(name)):
            print(f"error: {name}: {ended} in the mount", file=sys.stderr)
            failures += 1
    if len(got) != len(wanted) + 1 or set(IN_MOUNT) - dict(got).keys():
        sys.exit("error: calls and table do not fit")
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
