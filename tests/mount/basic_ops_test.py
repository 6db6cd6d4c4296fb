#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every request of FUSE that has a meaning for a directory, once or more: each step is run in a
plain directory and in a mount of one, and must end alike: same value, same errno, same attributes
in all but what tells two directories apart. Afterwards mount and source must agree in everything.

usage: basic_ops_test.py [BUILD_DIRECTORY]    (or EVENFS_BIN_DIR; status 77: skipped)
EVENFS_LOCKING=NAME[,NAME...] runs it with these policies instead of all four; EVENFS_OPTIONS are options
for every evenfs.
"""

import errno
import os
import pathlib
import subprocess
import sys
import tempfile

import nameless_steps  # noqa: F401 (adds its steps)
import posix_steps  # noqa: F401
from basic_ops_steps import STEPS, NotHere, below

BIN = pathlib.Path(os.environ.get("EVENFS_BIN_DIR") or (sys.argv[1:] and sys.argv[1] + "/bin") or "")


def run(function, d):
    d.mkdir()
    os.chdir(d)
    got = []
    try:
        for value in function(d):
            got.append(value)
    except OSError as error:
        line = error.__traceback__.tb_next.tb_lineno
        got.append(f"raised {errno.errorcode.get(error.errno)}: line {line}")
    finally:
        os.chdir("/")  # Also after a failure of the test itself: the mount must not stay in use.
    return got


def compare_with_source(through, behind):
    """Attributes by the mount and by the source, times and numbers included."""
    for path in below(behind):
        a, b = os.lstat(through / path.relative_to(behind)), os.lstat(path)
        for name in ("st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks",
                     "st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_rdev", "st_blksize"):
            if getattr(a, name) != getattr(b, name):
                yield f"{path}: {name} is {getattr(a, name)} in the mount, {getattr(b, name)} behind"


def one_mount(work, options, left_out):
    src, mnt, plain = work / "src", work / "mnt", work / "plain"
    for path in (src, mnt, plain):
        path.mkdir()
    everywhere = os.environ.get("EVENFS_OPTIONS", "").split()
    daemon = subprocess.Popen([BIN / "evenfs", "-f", src, mnt, *everywhere, *options], stdout=subprocess.PIPE)
    problems = []
    try:
        if not daemon.stdout.readline():
            return [f"evenfs did not start: status {daemon.wait()}"]
        for function in STEPS:
            name = function.__name__
            try:
                wanted = run(function, plain / name)
            except NotHere as reason:
                left_out[name] = reason
                continue
            got = run(function, mnt / name)
            for n in range(max(len(wanted), len(got))):
                if wanted[n : n + 1] != got[n : n + 1]:
                    problems.append(f"{name}, yield {n + 1}:\n    wanted {wanted[n:n + 1]}"
                                    f"\n    got    {got[n:n + 1]}")
            if len(wanted) < 2 or any(str(v).startswith("raised") for v in wanted):
                problems.append(f"{name} does not run on the plain directory: {wanted}")
        os.sync()  # Some file systems know how many blocks a file has only when it is written.
        problems += compare_with_source(mnt, src)
    finally:
        daemon.terminate()
        try:
            status = daemon.wait(timeout=60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            status = "none: it had to be killed"
        if status != 0:
            subprocess.run(["umount", "-l", mnt], stderr=subprocess.DEVNULL, check=False)
    if status != 0:
        problems.append(f"evenfs ended with status {status}")
    return problems


def main():
    if not (BIN / "evenfs").exists():
        sys.exit(__doc__)
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("SKIPPED: needs root and /dev/fuse")
        return 77
    status, left_out = 0, {}
    policies = os.environ.get("EVENFS_LOCKING", "lockless,sharded,rwlock,mutex").split(",")
    # What the kernel keeps by itself is no matter of the policy.
    asked, kept = ("0", "0", "inf"), ("1", "1", "1")
    mounts = [(policies[0], kept), *((locking, asked) for locking in policies)]
    for locking, timeouts in mounts:
        options = [f"--locking={locking}", f"--entry-timeout={timeouts[0]}",
                   f"--attr-timeout={timeouts[1]}", f"--cache-ttl={timeouts[2]}"]
        work = pathlib.Path(tempfile.mkdtemp(prefix="evenfs-ops."))
        try:
            for problem in one_mount(work, options, left_out):
                print(f"FAILED: ({' '.join(options)}): {problem}")
                status = 1
        finally:
            subprocess.run(["rm", "-rf", "--one-file-system", work], check=False)  # Trees may be deep.
    if status == 0:
        groups = len(STEPS) - len(left_out)
        reasons = "".join(f"; not compared: {name} ({why})" for name, why in left_out.items())
        print(f"basic_ops: {groups} groups passed in {len(mounts)} mounts{reasons}")
    return status


if __name__ == "__main__":
    sys.exit(main())
