# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: storm.py DIR BEHIND COUNT FOLDERS

Creates COUNT empty files in FOLDERS directories below DIR, stats them, unlinks them; prints the
seconds of each part as JSON. BEHIND is DIR without the mount, where it is looked what was done."""

import json
import os
import sys
import time

from trees import names_below


def main(top, behind, count, folders):
    places = [f"{top}/storm.{number}" for number in range(folders)]
    for place in places:
        os.mkdir(place)
    names = [f"{places[number % folders]}/f{number}" for number in range(count)]
    times = {}

    def part(name, action, there):
        begin = time.perf_counter()
        for path in names:
            action(path)
        times[name] = time.perf_counter() - begin
        found = names_below(behind)
        if found != there:
            sys.exit(f"{name}: {found} names of {there}")

    part("create", lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)),
         count + folders)
    part("stat", os.stat, count + folders)
    part("unlink", os.unlink, folders)
    for place in places:
        os.rmdir(place)
    print(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
