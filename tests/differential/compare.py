# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares whole trees: two with the same history, or a mount with its own source, where inode
numbers and times must be equal too. Run by root; bounded by the size of the trees."""

import os
import stat
import zlib

from looks import shape


def below(top, flags):
    """Every path below a directory and the directory itself, as (path, what lstat says)."""
    found = [(b"", None)]
    for path, _ in found:
        fd = os.open(os.path.join(top, path), os.O_RDONLY | flags | os.O_NOFOLLOW)
        with os.scandir(fd) as entries:
            inside = sorted((os.fsencode(e.name), e.is_dir(follow_symlinks=False))
                            for e in entries)
        os.close(fd)
        names = [os.path.join(path, name) for name, _ in inside]
        found += [(n, None) for n, (_, is_directory) in zip(names, inside) if is_directory]
        yield path, names


def listing(top, flags=0):
    """Path: stat, all listed before the first stat, since listing may move access times."""
    paths = [b""] + [name for _, names in below(top, flags) for name in names]
    return {path: os.lstat(os.path.join(top, path) if path else top) for path in paths}


def contents(path, st, flags):
    """Data or target, and extended attributes. Errors are values to be compared. With O_NOATIME no
    access time moves: targets, for which there is no such flag, are not read."""
    try:
        data = None
        if stat.S_ISLNK(st.st_mode) and not flags:
            data = os.readlink(path)
        elif stat.S_ISREG(st.st_mode):
            fd = os.open(path, os.O_RDONLY | flags)
            data = zlib.crc32(os.pread(fd, st.st_size + 1, 0)) if st.st_size < 1 << 22 else 0
            os.close(fd)
        names = sorted(os.listxattr(path, follow_symlinks=False))
        return data, [(n, os.getxattr(path, n, follow_symlinks=False)) for n in names]
    except OSError as failure:
        return failure.errno


def links(tree):
    """Path: the first path that leads to the same file."""
    first = {}
    return {path: first.setdefault(st.st_ino, path) for path, st in tree.items()}


def full(st):
    return (oct(st.st_mode), st.st_nlink, st.st_uid, st.st_gid, st.st_size, st.st_rdev,
            st.st_ino, st.st_blocks, st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns)


def differences(what, one, other):
    """Of two dictionaries by path, as sentences."""
    for path in sorted(one.keys() | other.keys()):
        if one.get(path) != other.get(path):
            yield f"{what} of {path!r}: {one.get(path, 'absent')} and {other.get(path, 'absent')}"


def compare_trees(plain, mount):
    """Differences between the plain tree and the mounted one."""
    trees = [listing(top) for top in (plain, mount)]
    found = list(differences("stat", *({p: shape(st) for p, st in t.items()} for t in trees)))
    found += differences("first link", *map(links, trees))
    found += differences("contents", *(
        {p: contents(os.path.join(top, p), st, 0) for p, st in tree.items()}
        for top, tree in zip((plain, mount), trees)))
    return found


def compare_with_source(mount, source):
    """Differences between a mounted tree and its source, which is looked at without moving its
    times."""
    mounted = listing(mount)
    behind = listing(source, os.O_NOATIME)
    found = list(differences("stat, mount and source,", *(
        {p: full(st) for p, st in t.items()} for t in (mounted, behind))))
    found += differences("contents, mount and source,", *(
        {p: contents(os.path.join(top, p), st, os.O_NOATIME) for p, st in tree.items()}
        for top, tree in ((mount, mounted), (source, behind))))
    return found
