# SPDX-License-Identifier: LGPL-2.1-or-later
"""The steps of basic_ops_test.py: functions that take an empty directory, use it in every way
that a request of FUSE stands for, and yield what they see. A step knows nothing of mounts."""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import socket
import stat
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
STEPS = []


class NotHere(Exception):
    """Raised in a step that the source cannot do, whoever asks it: it is named and not compared."""


def step(function):
    STEPS.append(function)
    return function


def outcome(function, *arguments, **named):
    """The value, or the name of the errno."""
    try:
        return function(*arguments, **named)
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def c_call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")


def rename2(old, new, flags):
    c_call(LIBC.renameat2, AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags)


def fallocate(fd, mode, offset, length):
    c_call(LIBC.fallocate, fd, mode, ctypes.c_long(offset), ctypes.c_long(length))


def link_open_file(fd, path):
    follow = 0x400
    c_call(LIBC.linkat, AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, os.fsencode(path), follow)


def btime(path):
    """stx_mask & STATX_BTIME and the time of birth in seconds."""
    buffer = ctypes.create_string_buffer(256)
    c_call(LIBC.statx, AT_FDCWD, os.fsencode(path), 0x100, 0xFFF, buffer)
    return struct.unpack_from("=I", buffer, 0)[0] & 0x800, struct.unpack_from("=q", buffer, 0x50)[0]


def seen(path):
    """What stat tells, without what differs between two directories made one after the other."""
    st = os.lstat(path)
    size = st.st_size if not stat.S_ISDIR(st.st_mode) else 0
    return stat.filemode(st.st_mode), st.st_nlink, st.st_uid, st.st_gid, size, st.st_rdev


def below(top):
    """Every path below a directory. Never follows a link: that would move the link's access time,
    and Path.rglob stumbles over links with long targets."""
    with os.scandir(top) as entries:
        for entry in entries:
            yield pathlib.Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from below(entry.path)


def tree(top):
    return sorted((str(p.relative_to(top)), seen(p)) for p in below(top))


def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)


@contextlib.contextmanager
def opened(path, flags, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def try_open(path, flags, mode=0o644):
    with opened(path, flags, mode):
        return "opened"


@step
def files(d):
    write(d / "a", "alpha")
    yield seen(d / "a"), (d / "a").read_text()
    write(d / "a", " beta", "a")
    yield seen(d / "a"), (d / "a").read_text()
    yield outcome(try_open, d / "a", os.O_CREAT | os.O_EXCL | os.O_RDWR)
    with opened(d / "a", os.O_WRONLY | os.O_TRUNC):
        yield seen(d / "a")
    yield outcome(try_open, d / "nothing", os.O_RDONLY)
    yield outcome(try_open, d / ("n" * 255), os.O_CREAT, 0o600), seen(d / ("n" * 255))
    yield outcome(try_open, d / ("n" * 256), os.O_CREAT, 0o600)
    yield outcome(try_open, d / "a" / "below", os.O_RDONLY)
    yield outcome(try_open, d, os.O_RDWR)
    yield outcome(try_open, d / "a", os.O_RDONLY | os.O_DIRECTORY)


@step
def modes_owners_times(d):
    write(d / "m", "x" * 100)
    os.chmod(d / "m", 0o4751)
    yield seen(d / "m")
    os.chown(d / "m", 11, 12)
    yield seen(d / "m")
    os.utime(d / "m", ns=(1_000_000_001, 2_000_000_002))
    st = os.stat(d / "m")
    yield st.st_atime_ns, st.st_mtime_ns
    os.truncate(d / "m", 10)
    yield seen(d / "m")
    os.truncate(d / "m", 1 << 33)
    yield seen(d / "m")
    yield outcome(os.truncate, d, 0)
    os.symlink("m", d / "l")
    os.chown(d / "l", 5, 6, follow_symlinks=False)
    os.utime(d / "l", ns=(5, 7), follow_symlinks=False)
    yield seen(d / "l"), os.lstat(d / "l").st_mtime_ns
    yield btime(d / "m")[0], abs(btime(d / "m")[1] - os.stat(d / "m").st_ctime) < 100
    yield os.access(d / "m", os.W_OK), os.access(d / "nothing", os.F_OK)


@step
def directories(d):
    os.mkdir(d / "x", 0o750)
    os.makedirs(d / "x/y/z")
    yield seen(d / "x"), seen(d / "x/y")
    yield outcome(os.mkdir, d / "x"), outcome(os.rmdir, d / "x")
    yield outcome(os.rmdir, d / "nothing"), outcome(os.unlink, d / "x")
    os.rmdir(d / "x/y/z")
    yield seen(d / "x/y"), outcome(os.listdir, d / "x/y/z")
    write(d / "f", "")
    yield outcome(os.rmdir, d / "f"), outcome(os.listdir, d / "f")
    with opened(d / "x", os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)
        os.rmdir(d / "x/y")
        yield os.listdir(fd), seen(d / "x")
        os.rmdir(d / "x")
        late = outcome(lambda: os.close(os.open("late", os.O_CREAT, 0o600, dir_fd=fd)))
        yield os.fstat(fd).st_nlink, late


@step
def special_files(d):
    os.mkfifo(d / "fifo", 0o640)
    os.mknod(d / "char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(d / "block", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    os.mknod(d / "plain", stat.S_IFREG | 0o604)
    with socket.socket(socket.AF_UNIX) as s, opened(d, os.O_PATH) as fd:
        s.bind(f"/proc/self/fd/{fd}/socket")
    yield tree(d)
    yield outcome(os.mknod, d / "fifo", stat.S_IFIFO)
    with opened(d / "fifo", os.O_RDWR) as fd:
        yield os.write(fd, b"through"), os.read(fd, 10)


@step
def links(d):
    write(d / "one", "1")
    os.link(d / "one", d / "two")
    yield seen(d / "one"), seen(d / "two"), os.path.samefile(d / "one", d / "two")
    os.unlink(d / "one")
    yield seen(d / "two"), outcome(os.lstat, d / "one")
    yield outcome(os.link, d / "two", d / "two"), outcome(os.link, d, d / "dir")
    yield outcome(os.symlink, "t" * 4000, d / "long")  # XFS takes 1024 bytes.
    os.symlink("two", d / "short")
    yield outcome(os.readlink, d / "long"), os.readlink(d / "short"), (d / "short").read_text()
    yield outcome(os.readlink, d / "two"), outcome(os.symlink, "", d / "empty")
    os.symlink("loop", d / "loop")
    yield outcome(os.stat, d / "loop"), seen(d / "loop")


@step
def renames(d):
    for name in "abc":
        write(d / name, name)
    os.makedirs(d / "p/q")
    os.makedirs(d / "r")
    os.rename(d / "a", d / "b")
    yield (d / "b").read_text(), outcome(os.lstat, d / "a")
    yield outcome(rename2, d / "b", d / "c", NOREPLACE), (d / "c").read_text()
    yield outcome(rename2, d / "b", d / "new", NOREPLACE), (d / "new").read_text()
    yield outcome(rename2, d / "new", d / "c", EXCHANGE), (d / "new").read_text()
    yield outcome(rename2, d / "new", d / "r", EXCHANGE), seen(d / "new"), seen(d / "r")
    yield outcome(rename2, d / "new", d / "nothing", EXCHANGE)
    yield outcome(rename2, d / "c", d / "white", WHITEOUT), tree(d)
    if not os.path.exists(d / "white"):  # overlayfs keeps whiteouts to itself.
        os.rename(d / "c", d / "white")
    yield outcome(rename2, d / "c", d / "white", NOREPLACE | EXCHANGE)
    os.rename(d / "p/q", d / "q")
    yield seen(d / "p"), seen(d / "q")
    yield outcome(os.rename, d / "p", d / "p/below"), outcome(os.rename, d / "white", d / "q")
    yield outcome(os.rename, d / "q", d / "white"), outcome(os.rename, d / "nothing", d / "x")
    os.rename(d / "q", d / "p")
    yield tree(d)
    os.rename(d / "white", d / "white")
    yield tree(d)


@step
def reading_and_writing(d):
    data = os.urandom(3_000_001)
    with opened(d / "f", os.O_RDWR | os.O_CREAT) as fd:
        view, at = memoryview(data), 0
        while at < len(data):
            at += os.write(fd, view[at:])
        os.fsync(fd)
        os.fdatasync(fd)
        yield os.fstat(fd).st_size, os.pread(fd, len(data), 0) == data, os.pread(fd, 9, len(data))
        os.pwrite(fd, b"middle", 1_000_000)
        os.pwrite(fd, b"end", 5_000_000)
        yield os.pread(fd, 6, 1_000_000), os.pread(fd, 3, 4_000_000), os.fstat(fd).st_size
        yield outcome(os.pwrite, fd, b"x", 1 << 62) in ("EFBIG", "EINVAL")
    with opened(d / "f", os.O_RDONLY) as fd:
        yield outcome(os.write, fd, b"no")
    with opened(d / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND) as one:
        with opened(d / "log", os.O_WRONLY | os.O_APPEND | os.O_SYNC) as two:
            for n in range(50):
                os.write(one if n % 2 else two, b"line %d\n" % n)
    yield (d / "log").read_text()
    with opened(d / "log", os.O_RDWR | os.O_APPEND) as fd, mmap.mmap(fd, 100) as mapped:
        mapped[:4] = b"LINE"
        mapped.flush()
    yield (d / "log").read_text()
    with opened(d / "sync", os.O_WRONLY | os.O_CREAT | os.O_DSYNC) as fd:
        yield os.write(fd, b"synced"), (d / "sync").read_text()


@step
def direct_io(d):
    with opened(d / "f", os.O_RDWR | os.O_CREAT | os.O_DIRECT) as fd:
        block = mmap.mmap(-1, 8192)
        block[:] = b"d" * 8192
        yield os.writev(fd, [block]), os.fstat(fd).st_size
        block[:] = b"\0" * 8192
        yield os.preadv(fd, [block], 4096), block[:4096] == b"d" * 4096
        with mmap.mmap(fd, 4096) as mapped:
            yield mapped[:5]
    yield (d / "f").read_bytes() == b"d" * 8192


@step
def ranges(d):
    write(d / "f", "0123456789" * 1000)
    with opened(d / "f", os.O_RDWR) as fd:
        yield outcome(os.posix_fallocate, fd, 0, 20_000), seen(d / "f")
        yield outcome(fallocate, fd, KEEP_SIZE, 20_000, 20_000), seen(d / "f")
        yield outcome(fallocate, fd, KEEP_SIZE | PUNCH_HOLE, 4096, 4096), os.pread(fd, 9, 4090)
        yield outcome(fallocate, fd, ZERO_RANGE, 0, 5), os.pread(fd, 9, 0)
        yield outcome(fallocate, fd, 0x4000, 0, 5), outcome(fallocate, fd, 0, 0, 0)
        with opened(d / "g", os.O_RDWR | os.O_CREAT) as to:
            yield os.copy_file_range(fd, to, 5000, 7, 100), os.fstat(to).st_size
            yield os.pread(to, 200, 0), os.copy_file_range(fd, to, 10, 1 << 40)
    with opened(d / "sparse", os.O_RDWR | os.O_CREAT) as fd:
        os.pwrite(fd, b"x", 1 << 20)
        yield os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE)
        yield os.lseek(fd, 1 << 20, os.SEEK_HOLE), outcome(os.lseek, fd, 1 << 22, os.SEEK_DATA)
        yield os.lseek(fd, 0, os.SEEK_END), outcome(os.lseek, fd, 0, 77)


@step
def unnamed_files(d):
    with opened(d, os.O_TMPFILE | os.O_RDWR, 0o640) as fd:
        os.write(fd, b"unnamed")
        yield os.fstat(fd).st_nlink, os.fstat(fd).st_size, stat.filemode(os.fstat(fd).st_mode)
        link_open_file(fd, d / "named")
        yield os.fstat(fd).st_nlink, (d / "named").read_text()
    with opened(d, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o640) as fd:
        yield outcome(link_open_file, fd, d / "never")
    write(d / "gone", "still here")
    with opened(d / "gone", os.O_RDWR) as fd:
        os.unlink(d / "gone")
        yield os.read(fd, 20), os.fstat(fd).st_nlink, outcome(os.lstat, d / "gone")
        os.write(fd, b"!")
        os.fchmod(fd, 0o600)
        os.ftruncate(fd, 5)
        yield os.fstat(fd).st_size, stat.filemode(os.fstat(fd).st_mode), os.pread(fd, 20, 0)
    with opened(d / "moved", os.O_RDWR | os.O_CREAT) as fd:
        write(d / "other", "other")
        os.rename(d / "other", d / "moved")
        yield os.fstat(fd).st_nlink, os.write(fd, b"abc"), (d / "moved").read_text()
    yield tree(d)


@step
def attributes(d):
    write(d / "f", "")
    os.setxattr(d / "f", "user.one", b"1")
    os.setxattr(d / "f", "user.two", b"22" * 1000)
    os.setxattr(d / "f", "trusted.three", b"")
    os.setxattr(d, "user.dir", b"\0binary\xff")
    yield sorted(os.listxattr(d / "f")), os.getxattr(d / "f", "user.two"), os.getxattr(d, "user.dir")
    yield os.getxattr(d / "f", "trusted.three"), outcome(os.getxattr, d / "f", "user.none")
    yield outcome(os.setxattr, d / "f", "user.one", b"x", os.XATTR_CREATE)
    yield outcome(os.setxattr, d / "f", "user.none", b"x", os.XATTR_REPLACE)
    os.removexattr(d / "f", "user.one")
    yield sorted(os.listxattr(d / "f")), outcome(os.removexattr, d / "f", "user.one")
    yield outcome(os.setxattr, d / "f", "nonsense", b"x")
    yield outcome(os.setxattr, d / "f", "user.big", b"x" * 70_000)
    os.symlink("f", d / "l")
    yield outcome(lambda: os.setxattr(d / "l", "user.l", b"x", follow_symlinks=False))
    # An ACL that takes rights away from the group changes the mode that stat shows.
    entries = ((1, 7, -1), (2, 6, 1234), (4, 4, -1), (16, 4, -1), (32, 1, -1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(d / "f", "system.posix_acl_access", acl)
    yield seen(d / "f"), os.getxattr(d / "f", "system.posix_acl_access") == acl


@step
def listings(d):
    big = d / "big"
    big.mkdir()
    names = [f"{n:05d}" + "n" * (n % 200) for n in range(1000)]
    for name in names:
        write(big / name, name[: int(name[:5]) % 7])
    yield sorted(os.listdir(big)) == names
    # Names with attributes (READDIRPLUS), each the same as by stat.
    with os.scandir(big) as entries:
        got = {e.name: (e.inode(), e.is_file(), e.stat().st_size) for e in entries}
    yield len(got), all(got[n] == (os.stat(big / n).st_ino, True, int(n[:5]) % 7) for n in names)
    # Removing what was listed while listing on: everything goes, nothing comes twice.
    met = []
    with os.scandir(big) as entries:
        for entry in entries:
            met.append(entry.name)
            os.unlink(entry.path)
    yield sorted(met) == names, os.listdir(big)
    yield sorted(os.listdir(d))


@step
def locks(d):
    write(d / "f", "x" * 100)

    def try_in_child(lock):
        pid = os.fork()
        if pid == 0:
            try:
                with open(d / "f", "r+") as other:
                    lock(other)
                os._exit(0)
            except OSError as error:
                os._exit(error.errno)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    with open(d / "f", "r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
        yield try_in_child(lambda o: fcntl.lockf(o, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5))
        yield try_in_child(lambda o: fcntl.lockf(o, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10))
        fcntl.flock(file, fcntl.LOCK_EX)
        yield try_in_child(lambda o: fcntl.flock(o, fcntl.LOCK_SH | fcntl.LOCK_NB))
    yield try_in_child(lambda o: fcntl.flock(o, fcntl.LOCK_SH | fcntl.LOCK_NB))


@step
def the_rest(d):
    write(d / "f", "")
    with opened(d / "f", os.O_RDONLY) as fd:
        yield outcome(fcntl.ioctl, fd, 0x12345678)
    vfs = os.statvfs(d)
    yield vfs.f_bsize, vfs.f_blocks, vfs.f_namemax
    yield os.path.exists(d / "." / ".." / d.name), outcome(os.stat, f"{d}/f/.")
    with opened(d, os.O_PATH) as fd:
        yield os.fstat(fd).st_mode, outcome(os.listdir, f"/proc/self/fd/{fd}")
