# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the differential tester sees of a file: small values that are equal in two directories with
the same history, so without inode numbers and without the times of operations."""

import random
import stat
import zlib

# A time within these seconds is the time of some operation, and differs from side to side;
# generators set others only.
NOW_FROM, NOW_TO = 1_600_000_000, 2_100_000_000
# The kernel's clock for access times may stand still for as long: ten ticks of the slowest one.
COARSE_NS = 100_000_000


def exact(ns):
    """A time if it was set by somebody, 0 if it is that of an operation."""
    return 0 if NOW_FROM < ns // 1_000_000_000 < NOW_TO else ns


# Kinds, as in st_mode, whose times are not compared; known.py gives the reasons.
WITHOUT_ACCESS_TIME = {stat.S_IFREG, stat.S_IFIFO}
WITHOUT_CHANGE_TIME = {stat.S_IFIFO}


def shape(st):
    """What stat tells, as far as two directories with the same history agree."""
    kind = stat.S_IFMT(st.st_mode)
    return (oct(st.st_mode), st.st_nlink, st.st_uid, st.st_gid, st.st_size, st.st_rdev,
            0 if kind in WITHOUT_ACCESS_TIME else exact(st.st_atime_ns),
            0 if kind in WITHOUT_CHANGE_TIME else exact(st.st_mtime_ns), exact(st.st_ctime_ns))


def digest(data):
    return data if len(data) <= 24 else (len(data), zlib.crc32(data), data[:8])


def content(seed, length):
    """The bytes that a write with this number writes."""
    return random.Random(seed).randbytes(length)


def moved(before, after, started):
    """Which times changed: atime, mtime, ctime. An access time that did not change may have been
    set to the same reading of a coarse clock: then '?', which agrees with everything. For the same reason
    an earlier read may have left it equal to the time of change, so that by relatime's rule the next one
    moves it: 'tied'. The other side, if that read came a tick later, is 'read' by now. And a file that is
    due may be read ahead at any time after it was read."""
    access = before.st_atime_ns != after.st_atime_ns
    changed = max(before.st_mtime_ns, before.st_ctime_ns)
    if access and before.st_atime_ns <= changed and stat.S_ISREG(before.st_mode):
        access = "?"
    elif access and before.st_atime_ns == changed:
        access = "tied"
    elif not access and before.st_atime_ns > changed:
        access = "read"
    if stat.S_ISLNK(before.st_mode) and stat.S_IFLNK in WITHOUT_ACCESS_TIME:
        access = "?"
    still = access in (False, "read")
    if still and not exact(before.st_atime_ns) and started - before.st_atime_ns < COARSE_NS:
        access = "?"
    return (access, before.st_mtime_ns != after.st_mtime_ns,
            before.st_ctime_ns != after.st_ctime_ns)


def access_agrees(one, other):
    """Whether both moved the access time or neither did, as far as that can be known."""
    if "?" in (one, other) or {one, other} == {"tied", "read"}:
        return True
    return (one in (True, "tied")) == (other in (True, "tied"))
