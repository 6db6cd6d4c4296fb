# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is compared: evenfs in its variants, nullfs, the peers that are there, and the directory.

A mode says what the kernel may answer by itself:
  ask     nothing: entry, attribute and negative timeouts are 0, each question reaches the daemon
  cached  everything, for a day
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

POLICIES = ("lockless", "sharded", "rwlock", "mutex")
TRANSPORTS = ("fd", "uring")
MODES = ("ask", "cached")
DAY = 86400
ENABLE_URING = pathlib.Path("/sys/module/fuse/parameters/enable_uring")


class MountError(Exception):
    """A subject did not mount; says why in one line."""


class Subject:
    """One thing to measure. command(source, point, mode) is what mounts it in the foreground, None
    for the directory itself; `constant`: it answers anything and cannot be written; `modes`: those in
    which it says something."""

    def __init__(self, name, command, version="", constant=False, modes=MODES):
        self.name, self.command, self.modes = name, command, modes
        self.version, self.constant = version, constant

    def __repr__(self):
        return self.name


def evenfs(tools, policy, transport, options, one_trip):
    """`one_trip`: where the others ask again for attributes that the LOOKUP just brought, the kernel
    may use them for its next tick."""
    def command(source, point, mode):
        entry, attr = ("0", "1ms" if one_trip else "0") if mode == "ask" else ("24h", "24h")
        # No watch: none of the others has one, and it would slow down all who write to the file system.
        return [tools.evenfs, "-f", f"--locking={policy}", f"--transport={transport}",
                "--coherence=ttl=1s", f"--entry-timeout={entry}", f"--attr-timeout={attr}",
                f"--negative-timeout={entry}", *options, source, point]
    name = f"evenfs-{policy}-{transport}" + ("-one-trip" if one_trip else "")
    return Subject(name, command, tools.version, modes=("ask",) if one_trip else MODES)


def nullfs(tools, transport):
    def command(_source, point, mode):
        time_ = "0" if mode == "ask" else "24h"
        return [tools.nullfs, "-f", f"--transport={transport}", f"--entry-timeout={time_}",
                f"--attr-timeout={time_}", f"--negative-timeout={time_}", point]
    return Subject(f"nullfs-{transport}", command, tools.version, constant=True)


def bindfs(source, point, mode):
    seconds = 0 if mode == "ask" else DAY
    return ["bindfs", "-f", "--multithreaded", "-o",
            f"attr_timeout={seconds},entry_timeout={seconds},negative_timeout={seconds}",
            source, point]


def mergerfs(source, point, mode):
    seconds = 0 if mode == "ask" else DAY
    return ["mergerfs", "-f", "-o", f"use_ino,cache.attr={seconds},cache.entry={seconds},"
            f"cache.negative_entry={seconds},cache.files=auto-full", source, point]


def fuse_overlayfs(source, point, mode):
    beside = tempfile.mkdtemp(dir=pathlib.Path(point).parent, prefix="overlay.")
    for name in ("lower", "work"):
        os.mkdir(f"{beside}/{name}")
    return ["fuse-overlayfs", "-f", "-o", f"lowerdir={beside}/lower,upperdir={source},"
            f"workdir={beside}/work,timeout={0 if mode == 'ask' else DAY}", point]


def passthrough_hp(path, transport):
    def command(source, point, mode):
        return [path, "--foreground", *(["--nocache"] if mode == "ask" else []),
                *(["-o", "io_uring"] if transport == "uring" else []), source, point]
    return Subject(f"passthrough_hp-{transport}", command, libfuse_of(path))


def passthrough_ll(path, transport):
    def command(source, point, mode):
        cache = "never,timeout=0" if mode == "ask" else f"always,timeout={DAY}"
        return [path, "-f", "-o", f"source={source},cache={cache}",
                *(["-o", "io_uring"] if transport == "uring" else []), point]
    return Subject(f"passthrough_ll-{transport}", command, libfuse_of(path))


def version_of(program, option):
    """The line of its version that tells it from others."""
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "version" in line.lower()
             or any(char.isdigit() for char in line)]
    own = [line for line in lines if pathlib.Path(program).name in line]
    return (own or lines or [""])[0].strip()


def libfuse_of(program):
    """The version of the libfuse that a program is linked with; the examples have none of their own."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    found = re.search(r"libfuse3\S* => (\S+)", done.stdout)
    return pathlib.Path(os.path.realpath(found.group(1))).name if found else ""


class Tools:
    """Our own programs."""

    def __init__(self, folder):
        self.evenfs, self.nullfs, self.statloop, self.stat = (
            str(folder / name) for name in ("evenfs", "nullfs", "statloop", "evenfs-stat"))
        self.version = version_of(self.evenfs, "--version")


def uring_is_on():
    try:
        return ENABLE_URING.read_text().strip() == "Y"
    except OSError:
        return False


def available(tools, args):
    """All subjects that can be measured here, by name."""
    transports = TRANSPORTS if uring_is_on() else ("fd",)
    options = [f"--cache-ttl={args.cache_ttl}"]
    subjects = [Subject("directory", None)]
    subjects += [nullfs(tools, transport) for transport in transports]
    subjects += [evenfs(tools, policy, transport, options, False)
                 for policy in POLICIES for transport in transports]
    subjects += [evenfs(tools, "lockless", transport, options, True) for transport in transports]
    for make in (bindfs, mergerfs, fuse_overlayfs):
        program = make.__name__.replace("_", "-")
        if shutil.which(program):
            subjects.append(Subject(program, make, version_of(program, "--version")))
    for make, path in ((passthrough_hp, args.passthrough_hp), (passthrough_ll, args.passthrough_ll)):
        if path:
            subjects += [make(path, transport) for transport in transports]
    return {subject.name: subject for subject in subjects}


def is_mounted(point):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
        return any(line.split()[4] == str(point) for line in table)


@contextlib.contextmanager
def mounted(subject, source, point, mode):
    """Mounts; the process of the daemon, None for the directory itself. Unmounts at the end."""
    point.mkdir()
    if subject.command is None:
        point.rmdir()
        point.symlink_to(source)
        yield None
        point.unlink()
        return
    log = point.with_suffix(".log")
    with open(log, "wb") as output:
        daemon = subprocess.Popen(subject.command(str(source), str(point), mode),
                                  stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        end = time.monotonic() + 20
        while not is_mounted(point):
            if daemon.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise MountError(f"{subject.name} did not mount: {said[-1]}")
            time.sleep(0.01)
        yield daemon
    finally:
        if subprocess.run(["umount", str(point)], check=False, stderr=subprocess.DEVNULL).returncode:
            subprocess.run(["umount", "-l", str(point)], check=False, stderr=subprocess.DEVNULL)
        try:
            daemon.wait(timeout=20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@contextlib.contextmanager
def on_one_processor(daemon):
    """Binds this process, what it starts, and the daemon to one processor; afterwards all is as before."""
    def tasks():
        return map(int, os.listdir(f"/proc/{daemon.pid}/task") if daemon else ())

    one, mine = {max(os.sched_getaffinity(0))}, os.sched_getaffinity(0)
    before = {}
    for task in tasks():
        with contextlib.suppress(OSError):
            before[task] = os.sched_getaffinity(task)
            os.sched_setaffinity(task, one)
    os.sched_setaffinity(0, one)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)
        with contextlib.suppress(OSError):  # The daemon may have ended.
            for task in tasks():  # Those that were started meanwhile, too.
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(task, before.get(task, mine))
