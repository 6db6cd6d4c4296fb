# SPDX-License-Identifier: LGPL-2.1-or-later
"""More steps for basic_ops_test.py, in the manner of basic_ops_steps.py: what takes several
processes, many names or deep trees, and the edges of names, sizes and handles."""

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import struct
import time

from basic_ops_steps import LIBC, link_open_file, outcome, seen, step, write

OFD_SETLK = 37
CLOCK_REALTIME_COARSE = 6
LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
LIBC.telldir.restype = ctypes.c_long


def in_child(function, *arguments):
    """Runs it in a process of its own; returns that process's number."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@step
def names(d):
    n255 = b"n" * 253 + b"\xff\xfe"
    path = os.fsencode(d) + b"/"
    write(path + n255, "long")
    yield os.stat(path + n255).st_size, outcome(os.stat, path + n255 + b"x")
    yield outcome(os.mkdir, path + b"y" * 256), outcome(os.rename, path + n255, path + b"z" * 256)
    odd = [b"\x01", b" ", b"\\", b"'\"", b"a\nb", "\u00e9".encode(), "e\u0301".encode(), b"-rf", b"*"]
    for name in odd:
        write(path + name, "odd")
    yield sorted(os.listdir(path)) == sorted([*odd, n255]), sorted(os.listdir(path))
    write(d / "File", "1")
    yield outcome(os.stat, d / "file"), outcome(os.stat, f"{d}/File/"), outcome(os.open, f"{d}/File/", 0)
    yield outcome(os.mkdir, f"{d}/dir/"), outcome(os.rename, f"{d}/dir/", f"{d}/dir2/"), seen(d / "dir2")
    yield outcome(os.open, f"{d}/new/", os.O_CREAT | os.O_RDWR), outcome(os.mknod, f"{d}/new/")
    yield outcome(os.symlink, "dir2", f"{d}/link/"), outcome(os.symlink, "dir2", d / "link")
    yield outcome(os.rmdir, f"{d}/link/"), outcome(os.unlink, f"{d}/link/"), seen(f"{d}/link/.")
    for call in (os.rmdir, os.unlink, os.mkdir):
        yield [outcome(call, f"{d}/{name}") for name in (".", "..", "dir2/.", "dir2/..", "nothing/.")]
    yield outcome(os.rename, f"{d}/.", d / "x"), outcome(os.rename, d / "dir2", f"{d}/."), outcome(os.stat, "")
    yield seen(f"{d}/{'./' * 1900}File"), outcome(os.stat, f"{d}/{'./' * 2100}File")


@step
def deep_trees(d):
    top = os.open(d, os.O_RDONLY)
    at = os.dup(top)
    for level in range(1000):
        os.mkdir(f"level{level}", dir_fd=at)
        below = os.open(f"level{level}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=at))
    os.fchdir(at)
    # By name: btrfs shows an open directory only what was there when it was opened.
    yield oct(os.stat("leaf").st_mode), os.listdir(".")
    yield os.stat("../level999/leaf").st_size
    os.fchdir(top)
    for level in range(999, -1, -1):
        up = os.open("..", os.O_RDONLY, dir_fd=at)
        if level == 999:
            os.unlink("leaf", dir_fd=at)
        os.close(at)
        os.rmdir(f"level{level}", dir_fd=up)
        at = up
    yield os.path.samestat(os.fstat(at), os.fstat(top)), os.listdir("."), os.fstat(top).st_nlink
    os.close(at)
    os.close(top)


def append_records(path, who, count):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in range(count):
        os.write(fd, f"{who} {number:06} ".encode() + b"=" * (number % 50) + b"\n")


@step
def appending_processes(d):
    write(d / "log", "")
    yield [status_of(pid) for pid in [in_child(append_records, d / "log", who, 500) for who in range(4)]]
    lines = (d / "log").read_text().splitlines()
    wanted = {f"{who} {n:06} " + "=" * (n % 50) for who in range(4) for n in range(500)}
    yield len(lines), set(lines) == wanted
    last = [-1] * 4
    for line in lines:
        who, number = int(line[0]), int(line[2:8])
        assert number == last[who] + 1, "records of one process are out of order"
        last[who] = number
    yield last


def lock_request(kind, start, length):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


def holder(path, take, tell, wait):
    fd = os.open(path, os.O_RDWR)
    take(fd)
    os.write(tell, b"!")
    os.read(wait, 1)


def locks_of(path, take):
    """Whether another process's lock is seen, refuses, makes one wait, and goes with the process."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    pid = in_child(holder, path, take, tell, wait)
    os.read(told, 1)
    fd = os.open(path, os.O_RDWR)
    reply = fcntl.fcntl(fd, fcntl.F_GETLK, lock_request(fcntl.F_WRLCK, 0, 0))
    kind, _, start, length, owner = struct.unpack("hhqqi4x", reply)
    yield kind, start, length, owner == pid, owner == -1
    for request in (fcntl.LOCK_EX, fcntl.LOCK_SH):
        request |= fcntl.LOCK_NB
        yield outcome(fcntl.lockf, fd, request), outcome(fcntl.flock, fd, request)
        fcntl.flock(fd, fcntl.LOCK_UN)
        fcntl.lockf(fd, fcntl.LOCK_UN)
    # A signal ends the wait.
    def interrupted(*_):
        raise InterruptedError(errno.EINTR, "")
    old = signal.signal(signal.SIGALRM, interrupted)
    for waiting in (fcntl.lockf, fcntl.flock):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        yield outcome(waiting, fd, fcntl.LOCK_EX)
        signal.setitimer(signal.ITIMER_REAL, 0)
        waiting(fd, fcntl.LOCK_UN)
    signal.signal(signal.SIGALRM, old)
    os.write(go, b"!")
    yield status_of(pid), outcome(fcntl.lockf, fd, fcntl.LOCK_EX), outcome(fcntl.flock, fd, fcntl.LOCK_EX)
    for each in (fd, told, tell, wait, go):
        os.close(each)


@step
def locks_between_processes(d):
    path = d / "f"
    write(path, "x" * 100)
    yield list(locks_of(path, lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)))
    yield list(locks_of(path, lambda fd: fcntl.lockf(fd, fcntl.LOCK_SH)))
    yield list(locks_of(path, lambda fd: fcntl.flock(fd, fcntl.LOCK_EX)))
    yield list(locks_of(path, lambda fd: fcntl.fcntl(fd, OFD_SETLK, lock_request(fcntl.F_WRLCK, 5, 5))))
    # An inherited descriptor keeps a lock on the open file beyond the close of the one who took it.
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    wait, go = os.pipe()
    pid = in_child(os.read, wait, 1)
    os.close(fd)
    other = os.open(path, os.O_RDWR)
    held = outcome(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(go, b"!")
    yield held, status_of(pid), outcome(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@step
def open_and_unlinked(d):
    write(d / "f", "0123456789")
    fd = os.open(d / "f", os.O_RDWR)
    os.unlink(d / "f")
    yield os.fstat(fd).st_nlink, os.listdir(d), os.pread(fd, 4, 3)
    os.ftruncate(fd, 5000)
    os.fchmod(fd, 0o4711)
    os.fchown(fd, 12, 34)
    os.utime(fd, ns=(123456789, 987654321))
    st = os.fstat(fd)
    yield oct(st.st_mode), st.st_uid, st.st_gid, st.st_size, st.st_atime_ns, st.st_mtime_ns
    yield os.fsync(fd), outcome(link_open_file, fd, d / "again"), outcome(os.getxattr, fd, "user.none")
    yield outcome(os.setxattr, fd, "user.a", b"b"), outcome(os.getxattr, fd, "user.a")
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    yield os.pwrite(again, b"new", 4990), os.pread(fd, 3, 4990), os.fstat(again).st_nlink
    os.close(again)
    write(d / "f", "another")
    yield os.path.samestat(os.stat(d / "f"), os.fstat(fd)), os.fstat(fd).st_size
    os.close(fd)
    os.mkdir(d / "gone")
    fd = os.open(d / "gone", os.O_RDONLY)
    os.rmdir(d / "gone")
    yield os.fstat(fd).st_nlink, outcome(os.listdir, fd), outcome(os.mkdir, "x", 0o777, dir_fd=fd)
    yield outcome(os.stat, ".", dir_fd=fd) != "ENOENT", outcome(os.open, "x", os.O_CREAT, dir_fd=fd)
    os.close(fd)


def beyond_the_limit(path, told):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    results = [outcome(os.pwrite, fd, b"x" * 6000, 0), outcome(os.pwrite, fd, b"x" * 6000, 6000),
               outcome(os.pwrite, fd, b"x", 10000), outcome(os.ftruncate, fd, 10001),
               outcome(os.posix_fallocate, fd, 0, 20000), os.fstat(fd).st_size]
    os.write(told, repr(results).encode())


@step
def limits_and_large_files(d):
    told, tell = os.pipe()
    yield status_of(in_child(beyond_the_limit, d / "limited", tell)), os.read(told, 1000)
    fd = os.open(d / "large", os.O_CREAT | os.O_RDWR)
    far = 5 << 30
    yield os.pwrite(fd, b"far", far), os.fstat(fd).st_size, os.pread(fd, 3, far), os.pread(fd, 3, far - 3)
    yield os.lseek(fd, 0, os.SEEK_DATA) // 4096 * 4096, os.lseek(fd, 0, os.SEEK_HOLE)
    yield outcome(os.lseek, fd, far + 10, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_END)
    os.ftruncate(fd, (4 << 30) + 1)
    yield os.fstat(fd).st_size, os.pread(fd, 5, 4 << 30), outcome(os.ftruncate, fd, -1)
    yield outcome(os.truncate, d / "large", 1 << 62), outcome(os.pwrite, fd, b"x", (1 << 63) - 2)
    os.close(fd)


@step
def times_move(d):
    """Which times a call moves; that they move is told by having been set to 1980 before."""
    path, past = d / "f", (315532800_123456789, 315532800_987654321)

    def moved(action):
        os.utime(path, ns=past)
        before = os.stat(path)
        action()
        after = os.stat(path)
        return (after.st_mtime_ns != past[1], after.st_ctime_ns != before.st_ctime_ns,
                after.st_mtime_ns >= before.st_ctime_ns or after.st_mtime_ns == past[1])

    def through_a_mapping():
        with mmap.mmap(fd, 4096) as mapping:
            mapping[10:13] = b"new"
            mapping.flush()

    write(path, "x" * 4096)
    fd = os.open(path, os.O_RDWR)
    actions = [lambda: None, lambda: os.pwrite(fd, b"y", 0), through_a_mapping,
               lambda: os.ftruncate(fd, 4096), lambda: os.truncate(path, 8192), lambda: os.chmod(path, 0o600),
               lambda: os.chown(path, 1, 1), lambda: os.link(path, d / "l"), lambda: os.unlink(d / "l"),
               lambda: os.setxattr(path, "user.x", b"y"),
               lambda: os.rename(path, d / "g") or os.rename(d / "g", path),
               lambda: os.posix_fallocate(fd, 0, 20000), lambda: os.utime(path),
               lambda: open(path, "w").close()]
    for number, action in enumerate(actions):
        # The kernel's clock for these times ticks every few milliseconds: until it has.
        begin = time.clock_gettime_ns(CLOCK_REALTIME_COARSE)
        while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) - begin < 8_000_000:
            pass
        yield number, moved(action)
    os.close(fd)


@step
def access_times_move(d):
    """Which reads move the access time, as whoever has just asked for it sees it."""
    past = (315532800_123456789, 315532800_987654321)
    other = os.open(d / "other", os.O_CREAT | os.O_RDWR)

    def reads(fd):
        return os.pread(fd, 10, 0)

    def copies(fd):
        return os.copy_file_range(fd, other, 10, 0, 0)

    def sends(fd):
        return os.sendfile(other, fd, 0, 10)

    def lists(fd):
        return os.listdir(fd)

    for number, (action, flags) in enumerate((action, flags) for action in (reads, copies, sends, lists)
                                             for flags in (0, os.O_NOATIME)):
        path = d / f"{number}"
        if action is lists:
            path.mkdir()
            write(path / "name", "")
        else:
            write(path, "x" * 100)
        os.utime(path, ns=past)
        fd = os.open(path, os.O_RDONLY | flags)
        before = os.fstat(fd).st_atime_ns
        action(fd)
        after, again = os.fstat(fd).st_atime_ns, os.stat(path).st_atime_ns
        yield action.__name__, flags, before == past[0], after != before, again == after
        os.close(fd)
    os.close(other)


def add_and_remove(d, stop, told):
    os.write(told, b"!")
    for number in range(100_000):
        if os.path.exists(stop):
            return
        write(d / f"passing{number % 300:04}", "")
        if number >= 150:
            os.unlink(d / f"passing{(number - 150) % 300:04}")


@step
def listings_under_change(d):
    (d / "many").mkdir()
    stay = {f"stays{number:05}" for number in range(2000)}
    for name in sorted(stay):
        write(d / "many" / name, "")
    told, tell = os.pipe()
    pid = in_child(add_and_remove, d / "many", d / "stop", tell)
    os.read(told, 1)
    for _ in range(10):
        listed = [name for name in os.listdir(d / "many") if name.startswith("stays")]
        assert len(listed) == len(set(listed)) and set(listed) == stay, "a name is missing or there twice"
    yield len(listed)
    write(d / "stop", "")
    yield status_of(pid)


@step
def positions_in_listings(d):
    for number in range(500):
        write(d / f"name{number:04}", "")
    stream = ctypes.c_void_p(LIBC.opendir(os.fsencode(d)))

    def next_name():
        entry = LIBC.readdir(stream)
        return ctypes.string_at(entry + 19) if entry else None

    order, places = [], []
    while True:
        places.append(LIBC.telldir(stream))
        name = next_name()
        if name is None:
            break
        order.append(name)
    yield len(order), len(set(places)) == len(places)
    for index in (250, 3, 499, 0, 100):
        LIBC.seekdir(stream, ctypes.c_long(places[index]))
        assert next_name() == order[index], "seekdir led elsewhere"
    for name in order[:200]:
        if name.startswith(b"name"):
            os.unlink(os.fsencode(d) + b"/" + name)
    LIBC.seekdir(stream, ctypes.c_long(places[400]))
    rest = [next_name() for _ in range(102)]
    yield rest == order[400:], rest[-1]
    LIBC.rewinddir(stream)
    again = 0
    while next_name() is not None:
        again += 1
    yield again - len(os.listdir(d)), LIBC.closedir(stream)
