#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the archive that a burst of changes unpacks.

usage: burst_steps.py ARCHIVE FILES VERSION

Files in a hundred directories, with content, length, owner, mode and times that tell file and version, and
a link of each kind for every tenth.
"""

import io
import sys
import tarfile


def member(i, version, **fields):
    info = tarfile.TarInfo(f"t/{i % 100:02}/{i}")
    info.mode, info.uid, info.gid = 0o600 + (i + version) % 64, 1000 + version, 2000 + i % 9
    info.mtime = 1_000_000_000 + 10 * i + version
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def main():
    path, files, version = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for i in range(files):
            content = f"{version}.{i}\n".encode() * (1 + (i + version) % 7)
            archive.addfile(member(i, version, size=len(content)), io.BytesIO(content))
            if i % 10 == 0:
                at = f"t/{i % 100:02}/"
                for name, kind, target in ((f"s{i}", tarfile.SYMTYPE, f"{version}"),
                                           (f"h{i}", tarfile.LNKTYPE, f"{at}{i}")):
                    archive.addfile(member(i, version, name=at + name, type=kind, linkname=target))


if __name__ == "__main__":
    main()
