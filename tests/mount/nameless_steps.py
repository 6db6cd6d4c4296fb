# SPDX-License-Identifier: LGPL-2.1-or-later
"""More steps for basic_ops_test.py: objects that are reached by something else than a name, and what
becomes of them when the last name goes."""

import ctypes
import os
import pathlib
import struct

from basic_ops_steps import AT_FDCWD, LIBC, NotHere, c_call, outcome, step, write


def nlink_size_mode(fd):
    there = os.fstat(fd)
    return there.st_nlink, there.st_size, oct(there.st_mode), there.st_uid


@step
def objects_without_a_name(d):
    """What is held by something else than an open file of it when its last name goes."""
    write(d / "f", "content")
    fd = os.open(d / "f", os.O_PATH)
    os.unlink(d / "f")
    os.chmod(f"/proc/self/fd/{fd}", 0o600)
    yield nlink_size_mode(fd), pathlib.Path(f"/proc/self/fd/{fd}").read_text()
    os.mkfifo(d / "p")
    fifo = os.open(d / "p", os.O_RDWR)
    os.unlink(d / "p")
    os.fchown(fifo, 5, 6)
    os.fchmod(fifo, 0o640)
    yield nlink_size_mode(fifo)
    write(d / "over", "replaced")
    over = os.open(d / "over", os.O_PATH)
    write(d / "new", "new")
    os.rename(d / "new", d / "over")
    yield nlink_size_mode(over), (d / "over").read_text()
    os.symlink("target", d / "l")
    link = os.open(d / "l", os.O_PATH | os.O_NOFOLLOW)
    os.unlink(d / "l")
    yield os.readlink("", dir_fd=link), nlink_size_mode(link)
    os.mkdir(d / "cwd")
    os.chdir(d / "cwd")
    os.rmdir(d / "cwd")
    yield os.stat(".").st_nlink, os.listdir("."), outcome(os.stat, "x"), outcome(os.mkdir, "x")
    yield outcome(os.getcwd), os.stat("..").st_nlink
    os.chdir(d)
    for number in range(1500):  # More than are kept: none of these is held.
        write(d / "many", str(number))
        os.unlink(d / "many")
    yield nlink_size_mode(fd), nlink_size_mode(fifo)
    for held in (fd, fifo, over, link):
        os.close(held)


def handle_of(path):
    """A file handle as name_to_handle_at gives it, and its mount's number."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 8 + 128)
    mount = ctypes.c_int()
    c_call(LIBC.name_to_handle_at, AT_FDCWD, os.fsencode(path), handle, ctypes.byref(mount), 0)
    return handle


def by_handle(mount_fd, handle, flags=os.O_RDWR):
    fd = LIBC.open_by_handle_at(mount_fd, handle, flags)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "")
    return fd


def text_by_handle(mount_fd, handle):
    fd = by_handle(mount_fd, handle)
    try:
        return os.pread(fd, 100, 0), os.fstat(fd).st_nlink
    finally:
        os.close(fd)


def gone_by_handle(mount_fd, handle, text):
    """Whether it is stale, or still the object that was deleted: btrfs deletes a little later."""
    return outcome(text_by_handle, mount_fd, handle) in ("ESTALE", (text, 0))


@step
def file_handles(d):
    (d / "sub").mkdir()
    write(d / "sub/f", "by handle")
    write(d / "gone", "soon gone")
    top = os.open(d, os.O_RDONLY)
    if outcome(handle_of, d) == "ENOTSUP":
        raise NotHere("the source has no file handles")
    handle, gone, sub = handle_of(d / "sub/f"), handle_of(d / "gone"), handle_of(d / "sub")
    yield outcome(text_by_handle, top, handle), outcome(text_by_handle, top, gone)
    os.rename(d / "sub", d / "moved")
    os.rename(d / "moved/f", d / "g")
    yield outcome(text_by_handle, top, handle), os.listdir(by_handle(top, sub, os.O_RDONLY))
    os.unlink(d / "gone")
    write(d / "gone", "another")
    yield gone_by_handle(top, gone, b"soon gone"), outcome(text_by_handle, top, handle)
    os.unlink(d / "g")
    yield gone_by_handle(top, handle, b"by handle")
    os.close(top)
