# SPDX-License-Identifier: LGPL-2.1-or-later
"""File handles: name_to_handle_at and open_by_handle_at, which Python's library lacks."""

import ctypes
import os
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
BYTES_MAX = 128


def take_handle(path):
    """(type, bytes) of what a path leads to; a symbolic link is not followed."""
    buffer = ctypes.create_string_buffer(struct.pack("Ii", BYTES_MAX, 0), 8 + BYTES_MAX)
    mount = ctypes.c_int()
    if LIBC.name_to_handle_at(AT_FDCWD, os.fsencode(path), buffer, ctypes.byref(mount), 0) != 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at", path)
    length, kind = struct.unpack_from("Ii", buffer.raw)
    return kind, buffer.raw[8 : 8 + length]


def open_handle(mount, handle, flags):
    """A descriptor. `mount`: of anything on the mount."""
    kind, data = handle
    buffer = ctypes.create_string_buffer(struct.pack("Ii", len(data), kind) + data, 8 + len(data))
    fd = LIBC.open_by_handle_at(mount, buffer, flags | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), f"open_by_handle_at of {kind:x} {data.hex()}")
    return fd
