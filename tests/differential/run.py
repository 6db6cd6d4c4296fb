# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of the differential tester: a fresh directory and four processes on each side, to which
operations are sent, and the comparison of what they answer."""

import collections
import errno
import marshal
import os
import select
import signal

from actor import IDENTITIES, Actor
from compare import compare_trees, compare_with_source
from known import is_known
from looks import access_agrees
from paths import DIRECTORIES, DIRECTORY_MODES

QUERIES = ("stat", "fstat", "same", "access", "getxattr", "listxattr", "getlk", "getcwd", "seek")
PATIENCE_MS = 60_000  # Only a hang takes as long.

# key says what kind of difference it is: while shrinking, only the same kind counts.
Difference = collections.namedtuple("Difference", "key text")


def show(operation):
    actor, name, _, *arguments = operation
    return f"{actor}: {name}({', '.join(map(repr, arguments))})"


def outcome(reply):
    if reply is None:
        return "no answer"
    error, value, watched = reply
    text = errno.errorcode.get(error, error) if error else repr(value)
    return f"{text} {watched}" if watched else str(text)


def says_stale(reply):
    """Whether the operation, or a look at something watched, failed with ESTALE."""
    return reply is not None and errno.ESTALE in (
        reply[0], *(look for item in reply[2] for look in item[:2]))


class Channel:
    """A process with an Actor, and the pipes to it."""

    def __init__(self, root, identity):
        request_out, self.requests = os.pipe()
        self.replies, reply_in = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self.child(root, identity, request_out, reply_in)
        os.close(request_out)
        os.close(reply_in)
        self.poll = select.poll()
        self.poll.register(self.replies, select.POLLIN)

    @staticmethod
    def child(root, identity, requests, replies):
        """Does not return. Keeps no pipe of another, so that each ends when the driver ends."""
        try:
            os.dup2(requests, 1000)
            os.dup2(replies, 1001)
            os.closerange(3, 1000)
            Actor(root, identity).serve(1000, 1001)
        except BaseException as failure:
            os.write(2, f"actor {identity}: {failure!r}\n".encode())
        finally:
            os._exit(0)

    def send(self, request):
        data = marshal.dumps(request)
        data = len(data).to_bytes(4, "little") + data
        try:
            while data:
                data = data[os.write(self.requests, data):]
        except BrokenPipeError:
            pass  # receive says so.

    def take(self, length):
        data = b""
        while len(data) < length:
            if not self.poll.poll(PATIENCE_MS):
                return None
            part = os.read(self.replies, length - len(data))
            if not part:
                return None
            data += part
        return data

    def receive(self):
        """None if the process has ended, or does not answer."""
        head = self.take(4)
        data = head and self.take(int.from_bytes(head, "little"))
        return marshal.loads(data) if data else None

    def close(self):
        os.close(self.requests)
        os.close(self.replies)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def remove(path):
    """rm -r, as root."""
    with os.scandir(path) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(path)


class Sides:
    """The directories; each run has one called "run" in both, which is removed through the mount."""

    def __init__(self, plain, mount, source, wrong_umask, without):
        self.tops = [os.path.join(top, b"run") for top in (plain, mount)]
        self.source = source and os.path.join(source, b"run")
        self.wrong_umask = wrong_umask
        self.without_gone = "gone" in without

    def fresh(self):
        for top in self.tops:
            if os.path.lexists(top):
                remove(top)
            os.mkdir(top)
            os.chmod(top, 0o777)
            for directory, mode in zip(DIRECTORIES, DIRECTORY_MODES):
                os.mkdir(top + directory)
                os.chmod(top + directory, mode)

    def identity(self, side, who):
        uid, gid, groups, umask = IDENTITIES[who]
        return uid, gid, groups, umask ^ 0o010 if side and self.wrong_umask else umask


class Run:
    def __init__(self, sides):
        self.sides = sides
        self.operations = []
        self.effective = []  # Those that may have changed something.
        sides.fresh()
        self.actors = [[Channel(top, sides.identity(side, who)) for who in range(len(IDENTITIES))]
                       for side, top in enumerate(sides.tops)]
        for actors in self.actors:
            pairs = tuple((actor.pid, who) for who, actor in enumerate(actors))
            for actor in actors:
                actor.send(("meet", (), pairs))
                actor.receive()

    def step(self, operation):
        """(difference or None, reply of the plain side)."""
        self.operations.append(operation)
        for actors in self.actors:
            actors[operation[0]].send(operation[1:])
        plain, mount = (actors[operation[0]].receive() for actors in self.actors)
        if plain and plain[0] == 0 and operation[1] not in QUERIES:
            self.effective.append(operation)
        if plain == mount and plain is not None or agree(operation, plain, mount):
            return None, plain
        if self.sides.without_gone and says_stale(mount):
            return None, plain
        key = ("step", operation[1], plain and plain[0], mount and mount[0])
        text = f"{show(operation)}\n  plain: {outcome(plain)}\n  mount: {outcome(mount)}"
        return Difference(key, text), plain or (0, None, ())

    def check(self):
        """Compares the trees: difference or None."""
        found = compare_trees(*self.sides.tops)
        if found:
            return Difference(("trees", found[0].split()[0]), "trees: " + "\n  ".join(found))
        found = self.sides.source and compare_with_source(self.sides.tops[1], self.sides.source)
        if found:
            return Difference(("source", found[0].split()[0]), "source: " + "\n  ".join(found))
        return None

    def close(self):
        for actors in self.actors:
            for actor in actors:
                actor.close()


def agree(operation, plain, mount):
    """Whether two replies that are not equal are equal enough."""
    if plain is None or mount is None or plain[:2] != mount[:2]:
        return False
    return all(watched_agree(operation, one, other) for one, other in zip(plain[2], mount[2]))


def watched_agree(operation, one, other):
    if one == other:
        return True
    if one[:2] != other[:2] or len(one) < 3 or len(other) < 3 or "another" in (one[2], other[2]):
        return False
    if one[2][1:] == other[2][1:] and access_agrees(one[2][0], other[2][0]):
        return True
    return is_known(operation, one, other)
