#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Chaos in mounts, for some minutes, against an oracle.

Rounds of some seconds, each with a new mount and options drawn at random: in half of them programs change
the tree through the mount, in the others behind it, with all timeouts 0, or with a watch. Meanwhile others
stat what is changed, list it, let the kernel drop its caches; the cache's memory limit is small. What is seen
must have been true between the call and its return, with a watch between a second before the call and its
return. After each round mount and source must be equal in every name,
the daemon must have said nothing, and it must end. Status 0: all was right; 1: it was not, and the first
thing that was wrong is said; 77: this machine cannot mount.
"""

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import chaos

ROUND = 15  # Seconds.
HANG = 60  # Seconds for what only a hang would use up.
NEVER = ("--entry-timeout=0", "--attr-timeout=0", "--negative-timeout=0", "--cache-ttl=0")
KINDS = ("through", "through", "behind", "watched")
LATE_S = 1.0  # How old what is seen with a watch may be: much more than it is, also beside compilers.
ROOT = os.geteuid() == 0
fork = multiprocessing.get_context("fork")


class Mount:
    def __init__(self, top, options):
        self.source, self.at, self.log = f"{top}/source", f"{top}/mount", f"{top}/log"
        with open(self.log, "wb") as log:
            self.daemon = subprocess.Popen(
                [f"{os.environ['EVENFS_BIN_DIR']}/evenfs", "-f", self.source, self.at, *options],
                stdout=subprocess.PIPE, stderr=log)
        if b"is mounted on" not in self.daemon.stdout.readline():
            raise chaos.Wrong(f"no mount: {self.said()}")

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read().strip()

    def differences(self):
        return subprocess.run(["diff", "-r", "--no-dereference", self.source, self.at], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANG).stdout

    def end(self, by_umount):
        if by_umount:
            deadline = time.monotonic() + HANG
            while subprocess.run(["umount", self.at], check=False, stderr=subprocess.DEVNULL).returncode != 0:
                if time.monotonic() > deadline:
                    raise chaos.Wrong("it cannot be unmounted")
        else:
            self.daemon.send_signal(signal.SIGTERM)
        try:
            status = self.daemon.wait(HANG)
        except subprocess.TimeoutExpired as error:
            raise chaos.Wrong("the daemon does not end") from error
        if status != 0 or self.said():
            raise chaos.Wrong(f"the daemon ended with status {status}: {self.said()}")

    def force_down(self):
        if self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        # Whether there is a mount the kernel would not say: it may have attributes of a mount that is dead.
        subprocess.run(["umount", "-l", self.at], check=False, stderr=subprocess.DEVNULL)


def working(work, oracle, tally, slot, complaints, user):
    """A process: work.step() until it is told to stop, or something is wrong."""
    if user:
        os.setgid(user)
        os.setuid(user)
    try:
        while not oracle.stop[0]:
            work.step()
            tally[slot] += 1
    except (chaos.Wrong, OSError) as error:
        complaints.put(str(error))


class Lister:
    """Lists everything, and lets the kernel forget what it knows."""

    def __init__(self, mount, seed):
        self.mount, self.random = mount, random.Random(seed)

    def step(self):
        for folder in ("home0", "names", "."):
            listed = os.listdir(f"{self.mount}/{folder}")
            if len(listed) != len(set(listed)):
                raise chaos.Wrong(f"{folder} lists a name twice")
        if ROOT and self.random.randrange(4) == 0:
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as drop:
                drop.write(self.random.choice("223"))


def can_watch(top):
    """Nothing, or why not."""
    for name in ("source", "mount"):
        os.makedirs(f"{top}/{name}", exist_ok=True)
    tried = subprocess.run([f"{os.environ['EVENFS_BIN_DIR']}/evenfs", f"{top}/source", f"{top}/mount",
                            "--coherence=watch"], text=True, check=False, stderr=subprocess.PIPE)
    if tried.returncode == 0:
        subprocess.run(["umount", f"{top}/mount"], check=True)
    return tried.stderr.strip()


def options_of(draw, locking, kind):
    memory = draw.choice(("--memory=1M", "--memory=4M"))
    # Whatever the kernel has: rings only where they are turned on.
    ways = (f"--transport={draw.choice(('auto', 'fd'))}", f"--passthrough={draw.choice(('auto', 'off'))}")
    if kind == "behind":
        return (*NEVER, f"--locking={locking}", memory, *ways)
    if kind == "watched":
        queue = f"--watch-queue={draw.choice((16384, 4))}"
        return ("--coherence=watch", queue, f"--locking={locking}", memory, *ways)
    timeouts = draw.choice(((), ("--cache-ttl=inf",), ("--cache-ttl=20ms",), NEVER,
                            ("--entry-timeout=0", "--attr-timeout=0", "--negative-timeout=0")))
    return (*timeouts, f"--locking={locking}", memory, *ways)


def crew(oracle, mount, kind, seed):
    """(what it does, its count, a slot there, the user it is)."""
    behind = kind != "through"
    base = mount.source if behind else mount.at
    users = (0, chaos.NOBODY if ROOT else 0, 0)
    readers = [(chaos.Reader(oracle, mount.at, behind, seed + 10 + i, i), oracle.looks, i, users[i])
               for i in range(3)]
    return [(chaos.Mutator(oracle, base, seed + 1, kind == "watched"), oracle.changes, 0, 0), *readers,
            (Lister(mount.at, seed + 2), oracle.looks, 3, 0)]


def play(oracle, mount, kind, seed, seconds):
    complaints = fork.Queue()
    players = [fork.Process(target=working, args=(work, oracle, tally, slot, complaints, user))
               for work, tally, slot, user in crew(oracle, mount, kind, seed)]
    for player in players:
        player.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and all(player.is_alive() for player in players):
        players[0].join(0.2)
    oracle.stop[0] = 1
    for player in players:
        player.join(HANG)
        if player.is_alive():
            player.kill()
            raise chaos.Wrong("a process hangs in the mount")
    if not complaints.empty():
        raise chaos.Wrong(complaints.get())


def differences_in_the_end(mount, kind):
    """With a watch: when all has been told."""
    deadline = time.monotonic() + (HANG if kind == "watched" else 0)
    while (different := mount.differences()) and time.monotonic() < deadline:
        pass
    return different


def one_round(top, draw, locking, number, kind, seconds):
    options = options_of(draw, locking, kind)
    subprocess.run(["rm", "-rf", f"{top}/source"], check=True)
    os.mkdir(f"{top}/source", 0o755)
    os.makedirs(f"{top}/mount", exist_ok=True)
    chaos.build(f"{top}/source")
    oracle = chaos.Oracle(LATE_S if kind == "watched" else 0)
    mount = Mount(top, options)
    try:
        play(oracle, mount, kind, draw.randrange(1 << 30), seconds)
        if different := differences_in_the_end(mount, kind):
            raise chaos.Wrong(f"mount and source differ: {different}")
        mount.end(draw.randrange(2) == 0)
    except chaos.Wrong as error:
        raise chaos.Wrong(f"round {number}, {' '.join(options)}, {kind}: {error}") from error
    finally:
        mount.force_down()
    return sum(oracle.looks), sum(oracle.changes), sum(oracle.refusals)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, metavar="MINUTES", help="how long, about")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="repeats a run's choices")
    parser.add_argument("--locking", default="lockless", choices=("lockless", "sharded", "rwlock", "mutex"))
    parser.add_argument("--kind", default=None, choices=sorted(set(KINDS)), help="only rounds of this kind")
    words = parser.parse_args()
    if words.minutes <= 0:
        parser.error("MINUTES must be more than 0")
    if not os.access("/dev/fuse", os.W_OK):
        print("SKIPPED: /dev/fuse is missing or not writable")
        return 77
    seed = words.seed if words.seed is not None else random.randrange(1 << 30)
    draw = random.Random(seed)
    print(f"soak: seed {seed}, {words.locking}" + ("" if ROOT else "; not root: no drop_caches, no other user"),
          flush=True)
    end = time.monotonic() + words.minutes * 60
    number = looks = changes = refusals = 0
    with tempfile.TemporaryDirectory(prefix="evenfs.soak.") as top:
        os.chmod(top, 0o755)
        kinds = [words.kind] if words.kind else list(KINDS)
        if obstacle := can_watch(top):
            print(f"soak: not watched here: {obstacle}", flush=True)
            kinds = [kind for kind in kinds if kind != "watched"]
            if not kinds:
                return 77
        while (left := end - time.monotonic()) > 1 or number == 0:
            try:
                looked, changed, refused = one_round(top, draw, words.locking, number,
                                                     kinds[number % len(kinds)], min(ROUND, max(1, left)))
            except chaos.Wrong as error:
                print(f"FAILED: seed {seed}: {error}", flush=True)
                return 1
            looks, changes, number = looks + looked, changes + changed, number + 1
            refusals += refused
    print(f"soak: {number} rounds, {changes} changes, {looks} looks: nothing wrong"
          + (f"; {refusals} refusals made up by the kernel" if refusals else ""))
    if changes <= 100 or looks <= 1000:
        print("FAILED: too little happened to say so", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
