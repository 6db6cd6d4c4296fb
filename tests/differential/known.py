# SPDX-License-Identifier: LGPL-2.1-or-later
"""Differences that the kernel's side of FUSE makes unavoidable, each with its reason. An entry is as
narrow as it can be, and none excuses an errno. Besides these, what is never asked:
* fallocate with COLLAPSE_RANGE or INSERT_RANGE: the kernel answers EOPNOTSUPP by itself;
* st_blocks: it counts blocks of the extent tree, and so tells where the disk had room (between mount
  and source it is compared);
* SEEK_DATA and SEEK_HOLE where a mapping has written: the kernel writes all of a folio, holes too; or
  where an extent is unwritten: the answer then tells which pages the source happens to have cached.
  So a seed has one or the other;
* positions in a directory: they are the file system's own;
* a file's access time and a FIFO's times, other than right after they were set: see below."""

# utimens tells what it set by itself, but whether that is another time than before depends on these.
READS = ("read", "pread", "map", "copy", "utimens")
FIFO_USES = ("read", "write", "utimens")


def kind(shape):
    return shape[0][:-4] if isinstance(shape, tuple) else None


def access_time_of_file(operation, one, other):
    """The kernel answers a read from its pages, or at the end of the file, without a request, so
    that the source does not see it."""
    return operation[1] in READS and kind(one[0]) == "0o10" and one[2][1:] == other[2][1:]


def times_of_fifo(operation, one, other):
    """The kernel passes data through a FIFO, and moves its own times of it, without a request."""
    return operation[1] in FIFO_USES and kind(one[0]) == "0o1"


# Each takes an operation and what became of one watched thing on either side: (before, after, which
# times moved), equal but for the third.
KNOWN = (access_time_of_file, times_of_fifo)


def is_known(operation, one, other):
    return any(covers(operation, one, other) for covers in KNOWN)
