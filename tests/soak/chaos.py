# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes that change a tree, processes that look at it, and the oracle between them.

Everything that changes has a history: numbered states, and a function of the number that says what a
reader sees. A mutator raises `started` before a change and `done` after it. A reader notes `done`, looks,
notes `started`, and what it saw must be so in one of the states between. (tests/torture does the same
inside the daemon.) Where the mount may be late, the first of these is the one of so long before. The
histories lie in memory that all processes share.
"""

import errno
import os
import random
import time
from multiprocessing.sharedctypes import RawArray

TOKENS, HOMES, NAMES = 6, 3, 24
NOBODY = 65534
CLOSED, OPEN = 0o700, 0o755
TIMES = 4096  # Of how many states of a history it is known since when they are.
MOST_REFUSALS = 3  # Of those that the kernel makes up, by a reader in a round.
HOT_S = 2.0  # How long a mutator that lets things rest changes the same ones.


class History:
    def __init__(self, late_s):
        self.counts = RawArray("Q", 2)  # started, done; one process writes them.
        self.late_s, self.times = late_s, RawArray("d", TIMES)

    def begin(self):
        self.counts[0] += 1
        return self.counts[0]

    def end(self):
        self.times[(self.counts[1] + 1) % TIMES] = time.monotonic()
        self.counts[1] += 1

    def oldest(self):
        """The first state that may be seen from now on."""
        at = self.counts[1]
        if self.late_s == 0:
            return at
        since = time.monotonic() - self.late_s
        limit = max(0, at - TIMES // 2)
        while at > limit and self.times[at % TIMES] > since:
            at -= 1
        return at

    def watch(self):
        first = self.oldest()

        def could(holds):
            last = self.counts[0]
            return last - first > 64 or any(holds(n) for n in range(first, last + 1))
        return could

    def span(self):
        """As watch(), for what tells its state itself."""
        first = self.oldest()
        return lambda n: first <= n <= self.counts[0]


class Oracle:
    def __init__(self, late_s=0.0):
        self.moves = [History(late_s) for _ in range(TOKENS)]
        self.sizes = [History(late_s) for _ in range(TOKENS)]
        self.names = [History(late_s) for _ in range(NAMES)]  # Odd: it is there.
        self.vault = History(late_s)  # Odd: closed.
        self.link = History(late_s)  # Odd: it leads to "two".
        self.stop = RawArray("b", 1)
        self.looks = RawArray("Q", 8)  # One for each reader.
        self.refusals = RawArray("Q", 8)  # Of each reader, those that the kernel made up.
        self.changes = RawArray("Q", 8)  # One for each mutator.


class Wrong(Exception):
    """Something was seen that was never true."""


class NoAnswer(Exception):
    """What was looked at was removed behind the mount while it was looked at: ESTALE, as on NFS."""


def home_of(token, n):
    return (token + n * (1 + token % 2)) % HOMES


def name_of(i):
    return ("n" * 60 if i % 2 else "n") + str(i)


def build(base):
    for home in range(HOMES):
        os.mkdir(f"{base}/home{home}")
    for token in range(TOKENS):
        with open(f"{base}/home{home_of(token, 0)}/t{token}", "wb"):
            pass
    os.mkdir(f"{base}/names")
    os.mkdir(f"{base}/vault", OPEN)
    for name, size in (("vault/f", 3), ("one", 1), ("two", 2)):
        with open(f"{base}/{name}", "wb") as out:
            out.write(b"x" * size)
    os.chmod(f"{base}/vault/f", 0o644)
    os.symlink("one", f"{base}/link")


class Mutator:
    """Changes the tree under `base`: the mount, or its source."""

    def __init__(self, oracle, base, seed, rests=False):
        self.oracle, self.base, self.random = oracle, base, random.Random(seed)
        self.tokens, self.names, self.kinds = range(TOKENS), range(NAMES), range(8)
        self.hot_until = 0.0 if rests else float("inf")

    def let_others_rest(self):
        """What is changed all the time may be seen in any state by who is late: from now on others are."""
        self.tokens = self.random.sample(range(TOKENS), 2)
        self.names = self.random.sample(range(NAMES), 6)
        self.kinds = [0, 1, 2, self.random.choice((3, 4, 5)), 5, 6, 7]
        self.hot_until = time.monotonic() + HOT_S

    def step(self):
        if time.monotonic() > self.hot_until:
            self.let_others_rest()
        kind = self.random.choice(self.kinds)
        if kind < 2:
            self.move(self.random.choice(self.tokens))
        elif kind == 2:
            self.resize(self.random.choice(self.tokens))
        elif kind == 3:
            self.relink()
        elif kind == 4:
            self.flap()
        else:
            self.toggle(self.random.choice(self.names))

    def token_path(self, token):
        return f"{self.base}/home{home_of(token, self.oracle.moves[token].counts[1])}/t{token}"

    def move(self, token):
        old = self.token_path(token)
        n = self.oracle.moves[token].begin()
        os.rename(old, f"{self.base}/home{home_of(token, n)}/t{token}")
        self.oracle.moves[token].end()

    def resize(self, token):
        path = self.token_path(token)
        n = self.oracle.sizes[token].begin()
        os.truncate(path, n)
        self.oracle.sizes[token].end()

    def relink(self):
        n = self.oracle.link.begin()
        os.symlink("two" if n % 2 else "one", f"{self.base}/link.new")
        os.rename(f"{self.base}/link.new", f"{self.base}/link")
        self.oracle.link.end()

    def flap(self):
        n = self.oracle.vault.begin()
        os.chmod(f"{self.base}/vault", CLOSED if n % 2 else OPEN)
        self.oracle.vault.end()

    def toggle(self, i):
        path = f"{self.base}/names/{name_of(i)}"
        if self.oracle.names[i].begin() % 2:
            with open(path, "xb") as out:
                out.write(b"y" * i)
        else:
            os.unlink(path)
        self.oracle.names[i].end()


class Reader:
    def __init__(self, oracle, mount, behind, seed, slot=0):
        self.oracle, self.mount, self.behind, self.random = oracle, mount, behind, random.Random(seed)
        self.slot = slot

    def step(self):
        try:
            self.look()
        except NoAnswer:
            pass

    def look(self):
        kind = self.random.randrange(6)
        if kind < 2:
            self.token(self.random.randrange(TOKENS), self.random.randrange(HOMES))
        elif kind == 2:
            self.link()
        elif kind == 3:
            self.vault()
        else:
            self.name(self.random.randrange(NAMES))

    def size_of(self, path, *expected):
        """The size, or the errno as a negative number; other errors than the expected ones are wrong."""
        try:
            return os.stat(f"{self.mount}/{path}").st_size
        except OSError as error:
            if self.behind and error.errno == errno.ESTALE:
                raise NoAnswer from error
            if error.errno in expected:
                return -error.errno
            if error.errno != errno.EACCES or not self.is_invented():
                raise Wrong(f"{path}: {error.strerror}") from error
        return self.size_of(path, *expected)

    def is_invented(self):
        """Whether the kernel may have made up a refusal, which is counted. An inode that is new to it has no
        permissions until it takes its first attributes, and it takes none that were asked for before a notice:
        with two notices in that time it refuses what all may do (docs/coherence.md)."""
        watched, root = self.oracle.vault.late_s > 0, os.geteuid() == 0
        if not watched or root or self.oracle.refusals[self.slot] == MOST_REFUSALS:
            return False
        self.oracle.refusals[self.slot] += 1
        return True

    def token(self, token, home):
        moved, sized = self.oracle.moves[token].watch(), self.oracle.sizes[token].span()
        path = f"home{home}/t{token}"
        size = self.size_of(path, errno.ENOENT)
        if not moved(lambda n: (home_of(token, n) == home) == (size >= 0)):
            raise Wrong(f"{path} was {'found' if size >= 0 else 'missed'}")
        if size >= 0 and not sized(size):
            raise Wrong(f"{path} has size {size}, which is of another time")

    def link(self):
        could = self.oracle.link.watch()
        size = self.size_of("link")
        if not could(lambda n: (2 if n % 2 else 1) == size):
            raise Wrong(f"link leads to a file of {size} bytes")

    def vault(self):
        could = self.oracle.vault.watch()
        size = self.size_of("vault/f", errno.EACCES)
        if os.geteuid() == 0 or could(lambda n: (n % 2 == 0) == (size >= 0)):
            return
        if size < 0 and self.is_invented():
            self.vault()
        else:
            raise Wrong(f"the vault was {'open' if size >= 0 else 'closed'}")

    def name(self, i):
        could = self.oracle.names[i].watch()
        path = f"names/{name_of(i)}"
        size = self.size_of(path, errno.ENOENT)
        if not could(lambda n: (n % 2 == 1) == (size >= 0)):
            raise Wrong(f"{path} was {'found' if size >= 0 else 'missed'}")
        if size > i:
            raise Wrong(f"{path} has size {size}")
