# SPDX-License-Identifier: LGPL-2.1-or-later
"""The names of the differential tester. They come from a small pool, so that operations meet; now
and then one is long, too long, odd, or is written in another way."""

NAMES = (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h")
ODD_NAMES = (b"L" * 255, b"M" * 256, b"\xff\xfe\x80", b"new\nline", b"...")
DIRECTORIES = (b"/a", b"/b", b"/c", b"/a/a")  # Made before the first operation.
DIRECTORY_MODES = (0o777, 0o1777, 0o2777, 0o777)
PATHS_KEPT, DIRECTORIES_KEPT = 28, 10


class Paths:
    """What names there are, and a random path: of something that exists, beside it, or any."""

    def __init__(self, rng):
        self.rng = rng
        self.known = []
        self.directories = list(DIRECTORIES)

    def add(self, path, directory):
        path = b"/" + path.strip(b"/")
        where, limit = (self.known, PATHS_KEPT)
        if directory and path.count(b"/") < 3 and path not in self.directories:
            where, limit = (self.directories, DIRECTORIES_KEPT)
        if len(where) >= limit:
            del where[self.rng.randrange(len(where))]
        where.append(path)

    def gone(self, path):
        for paths in (self.known, self.directories):
            if path in paths and path not in DIRECTORIES:
                paths.remove(path)

    def name(self):
        return self.rng.choice(ODD_NAMES if self.rng.random() < 0.02 else NAMES)

    def fresh(self):
        """A name that may or may not be taken."""
        if self.rng.random() < 0.2:
            return b"/" + self.name()
        return self.rng.choice(self.directories) + b"/" + self.name()

    def any(self):
        lot = self.rng.random()
        if lot < 0.6 and self.known:
            path = self.rng.choice(self.known)
        elif lot < 0.75:
            path = self.rng.choice(self.directories)
        else:
            path = self.fresh()
        return self.odd(path)

    def new(self):
        return self.any() if self.rng.random() < 0.3 else self.odd(self.fresh())

    def directory(self):
        return self.odd(self.rng.choice(self.directories)) if self.rng.random() < 0.9 else self.any()

    def odd(self, path):
        """Mostly the path itself."""
        lot = self.rng.random()
        if lot < 0.85:
            return path
        if lot < 0.93:
            return path[1:]
        if lot < 0.95:
            return path + b"/"
        return self.rng.choice((path + b"/.", path + b"/..", b"/" + path.replace(b"/", b"//"),
                                path + b"/../" + self.name(), path + b"/./" + self.name(), b"/",
                                b".", b"..", b"./" + self.name(), b""))
