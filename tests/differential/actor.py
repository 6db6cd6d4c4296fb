# SPDX-License-Identifier: LGPL-2.1-or-later
"""One process of the differential tester: it lives in a directory it cannot leave (chroot), has an
identity, a umask, a working directory and a table of open files, and carries out one operation
after the other. It knows nothing of mounts and compares nothing; it turns what it sees into small
values that two equal directories must answer alike: no inode numbers, no current times."""

import ctypes
import errno
import fcntl
import marshal
import mmap
import os
import stat
import struct
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from handles import open_handle, take_handle  # noqa: E402
from looks import content, digest, exact, moved, shape

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x400, 0x1000
AT_EACCESS = 0x200
OFD_SETLK = 37
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
SLOTS = 4

# uid, gid, supplementary groups, umask.
IDENTITIES = (
    (0, 0, (), 0o022),
    (1000, 1000, (), 0o002),
    (1001, 1001, (1000,), 0o000),
    (1000, 1002, (), 0o077),
)


def c_call(function, *arguments):
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


class Actor:
    def __init__(self, root, identity):
        uid, gid, groups, umask = identity
        self.own_fds = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        os.chroot(root)
        os.chdir("/")
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.umask(umask)
        self.slots = [None] * SLOTS
        self.numbers = [None] * SLOTS  # st_ino when the slot was opened.
        self.top = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        self.handles = {}
        self.who = {}  # Process id: number of the actor.

    def serve(self, requests, replies):
        """Until the requests end. A request and a reply are marshalled after their length."""
        while True:
            head = os.read(requests, 4)
            if not head:
                return
            data, length = b"", int.from_bytes(head, "little")
            while len(data) < length:
                data += os.read(requests, length - len(data))
            reply = marshal.dumps(self.perform(marshal.loads(data)))
            reply = len(reply).to_bytes(4, "little") + reply
            while reply:
                reply = reply[os.write(replies, reply):]

    def perform(self, request):
        """(name, watched, argument...): (errno or 0, value, what became of the watched)."""
        name, watched, *arguments = request
        before = [self.glance(item) for item in watched]
        started = time.time_ns()
        error, value = 0, None
        try:
            value = getattr(self, "op_" + name)(*arguments)
        except OSError as failure:
            error = failure.errno
        if not watched:
            return error, value, ()
        after = [self.glance(item) for item in watched]
        return error, value, tuple(self.became(b, a, started) for b, a in zip(before, after))

    def glance(self, item):
        try:
            return os.fstat(self.fd(item)) if isinstance(item, int) else os.lstat(item)
        except OSError as failure:
            return failure.errno

    @staticmethod
    def became(before, after, started):
        if isinstance(before, int) or isinstance(after, int):
            return (before if isinstance(before, int) else shape(before),
                    after if isinstance(after, int) else shape(after))
        if before.st_ino != after.st_ino:
            return shape(before), shape(after), "another"
        return shape(before), shape(after), moved(before, after, started)

    def fd(self, slot):
        if self.slots[slot] is None:
            raise OSError(errno.EBADF, "")
        return self.slots[slot]

    def put(self, slot, fd):
        """Stores an open file; what was there is closed after it, as programs do."""
        old, self.slots[slot] = self.slots[slot], fd
        self.numbers[slot] = os.fstat(fd).st_ino
        if old is not None:
            os.close(old)

    def op_meet(self, pairs):
        self.who = dict(pairs)

    # Names.

    def op_open(self, slot, path, flags, mode):
        self.put(slot, os.open(path, flags | os.O_NONBLOCK, mode))

    def op_tmpfile(self, slot, path, flags, mode):
        self.put(slot, os.open(path, flags | os.O_TMPFILE, mode))

    def op_linkfd(self, slot, path, by_name):
        """by_name: through /proc/self/fd, as who may not use AT_EMPTY_PATH does it."""
        if by_name:
            c_call(LIBC.linkat, self.own_fds, str(self.fd(slot)).encode(), AT_FDCWD, path,
                   AT_SYMLINK_FOLLOW)
        else:
            c_call(LIBC.linkat, self.fd(slot), b"", AT_FDCWD, path, AT_EMPTY_PATH)

    def op_take_handle(self, key, path):
        """The handle itself is the file system's own."""
        self.handles[key] = take_handle(path)

    def op_open_handle(self, slot, key, flags):
        if key not in self.handles:
            return "not taken yet"
        self.put(slot, open_handle(self.top, self.handles[key], flags | os.O_NONBLOCK))
        return shape(os.fstat(self.fd(slot)))

    def op_mkdir(self, path, mode):
        os.mkdir(path, mode)

    def op_mknod(self, path, mode, device):
        os.mknod(path, mode, device)

    def op_symlink(self, target, path):
        os.symlink(target, path)

    def op_link(self, old, new, follow):
        c_call(LIBC.linkat, AT_FDCWD, old, AT_FDCWD, new, AT_SYMLINK_FOLLOW if follow else 0)

    def op_unlink(self, path):
        os.unlink(path)

    def op_rmdir(self, path):
        os.rmdir(path)

    def op_rename(self, old, new, flags):
        if flags == 0:
            os.rename(old, new)
        else:
            c_call(LIBC.renameat2, AT_FDCWD, old, AT_FDCWD, new, flags)

    def op_readlink(self, path):
        return os.readlink(path)

    def op_list(self, where):
        """Names and d_type of a path, or of a slot."""
        where = self.fd(where) if isinstance(where, int) else where
        with os.scandir(where) as entries:
            return sorted((os.fsencode(e.name), e.is_dir(follow_symlinks=False),
                           e.is_file(follow_symlinks=False), e.is_symlink()) for e in entries)

    def op_chdir(self, where):
        os.chdir(self.fd(where) if isinstance(where, int) else where)

    def op_getcwd(self):
        return os.getcwdb()

    def op_umask(self, mask):
        return os.umask(mask)

    # Data.

    def op_close(self, slot):
        fd, self.slots[slot] = self.fd(slot), None
        os.close(fd)

    def op_pread(self, slot, length, offset):
        return digest(os.pread(self.fd(slot), length, offset))

    def op_read(self, slot, length):
        return digest(os.read(self.fd(slot), length))

    def op_pwrite(self, slot, length, offset, seed):
        return os.pwrite(self.fd(slot), content(seed, length), offset)

    def op_write(self, slot, length, seed):
        return os.write(self.fd(slot), content(seed, length))

    def op_truncate(self, where, length):
        os.truncate(self.fd(where) if isinstance(where, int) else where, length)

    def op_fallocate(self, slot, mode, offset, length):
        c_call(LIBC.fallocate, self.fd(slot), mode, ctypes.c_long(offset), ctypes.c_long(length))

    def op_copy(self, source, source_offset, target, target_offset, length):
        return os.copy_file_range(self.fd(source), self.fd(target), length, source_offset,
                                  target_offset)

    def op_seek(self, slot, offset, whence):
        """Positions in a directory are the file system's own, so they are left alone."""
        if stat.S_ISDIR(os.fstat(self.fd(slot)).st_mode):
            return "directory"
        return os.lseek(self.fd(slot), offset, whence)

    def op_map(self, slot, length, offset, seed, write):
        """Reads or writes and synchronises a part of a file through a mapping of all of it."""
        fd = self.fd(slot)
        size = os.fstat(fd).st_size
        if not stat.S_ISREG(os.fstat(fd).st_mode) or size == 0 or offset + length > size:
            return "beyond its end"
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        with mmap.mmap(fd, size, mmap.MAP_SHARED, protection) as view:
            if not write:
                return digest(view[offset:offset + length])
            view[offset:offset + length] = content(seed, length)
            view.flush()
        return None

    def op_fsync(self, slot, data_only):
        (os.fdatasync if data_only else os.fsync)(self.fd(slot))

    # Attributes.

    def op_stat(self, path, follow):
        return shape(os.stat(path, follow_symlinks=follow))

    def op_fstat(self, slot):
        st = os.fstat(self.fd(slot))
        return shape(st), st.st_ino == self.numbers[slot]

    def op_same(self, slot, path):
        """Whether a path leads to the file that is open; and to the same as another stat of it."""
        st, other = os.fstat(self.fd(slot)), os.stat(path)
        return st.st_ino == other.st_ino, st.st_dev == other.st_dev

    def op_chmod(self, where, mode):
        os.chmod(self.fd(where) if isinstance(where, int) else where, mode)

    def op_chown(self, where, uid, gid, follow):
        if isinstance(where, int):
            os.fchown(self.fd(where), uid, gid)
        else:
            os.chown(where, uid, gid, follow_symlinks=follow)

    def op_utimens(self, where, access, modification, follow):
        """Each time is (seconds, nanoseconds or UTIME_NOW or UTIME_OMIT). What was set is looked at
        at once; one that was omitted is somebody else's."""
        times = struct.pack("=qqqq", *access, *modification)
        flags = 0 if follow else AT_SYMLINK_NOFOLLOW
        if isinstance(where, int):
            c_call(LIBC.futimens, self.fd(where), times)
            st = os.fstat(self.fd(where))
        else:
            c_call(LIBC.utimensat, AT_FDCWD, where, times, flags)
            st = os.stat(where, follow_symlinks=follow)
        return (access[1] == UTIME_OMIT or exact(st.st_atime_ns),
                modification[1] == UTIME_OMIT or exact(st.st_mtime_ns))

    def op_access(self, path, mode, effective):
        c_call(LIBC.faccessat, AT_FDCWD, path, mode, AT_EACCESS if effective else 0)

    # Extended attributes.

    def op_setxattr(self, where, name, value, flags, follow):
        """A value is one, or (byte, how often)."""
        value = bytes([value[0]]) * value[1] if isinstance(value, tuple) else value
        if isinstance(where, int):
            os.setxattr(self.fd(where), name, value, flags)
        else:
            os.setxattr(where, name, value, flags, follow_symlinks=follow)

    def op_getxattr(self, where, name, follow):
        if isinstance(where, int):
            return digest(os.getxattr(self.fd(where), name))
        return digest(os.getxattr(where, name, follow_symlinks=follow))

    def op_listxattr(self, where, follow):
        if isinstance(where, int):
            return sorted(os.listxattr(self.fd(where)))
        return sorted(os.listxattr(where, follow_symlinks=follow))

    def op_removexattr(self, where, name, follow):
        if isinstance(where, int):
            os.removexattr(self.fd(where), name)
        else:
            os.removexattr(where, name, follow_symlinks=follow)

    # Locks, never waiting.

    def op_setlk(self, slot, kind, start, length, open_file):
        lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(self.fd(slot), OFD_SETLK if open_file else fcntl.F_SETLK, lock)

    def op_getlk(self, slot, kind, start, length):
        lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
        found = fcntl.fcntl(self.fd(slot), fcntl.F_GETLK, lock)
        kind, whence, start, length, pid = struct.unpack("hhqqi4x", found)
        return kind, whence, start, length, self.who.get(pid, pid)

    def op_flock(self, slot, operation):
        fcntl.flock(self.fd(slot), operation | fcntl.LOCK_NB)
