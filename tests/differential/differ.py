# SPDX-License-Identifier: LGPL-2.1-or-later
"""The differential tester: random operations of four processes with different rights in a plain
directory and in a mount, which must answer alike after each, and have the same trees in between.
A difference is shrunk to a short sequence, printed as literals for --replay. Run as root."""

import argparse
import ast
import contextlib
import os
import stat
import sys
import time

from looks import WITHOUT_ACCESS_TIME
from ops import Generator
from run import Run, Sides, show
from shrink import shrink


def generated(sides, seed, count, options):
    """Runs a seed: (the run, difference), or two None."""
    generator = Generator(seed, options.without)
    with contextlib.closing(Run(sides)) as run:
        for i in range(count):
            operation = generator.next()
            difference, reply = run.step(operation)
            generator.note(operation, reply)
            if difference is None and ((i + 1) % options.check == 0 or i + 1 == count):
                difference = run.check()
            if difference is not None:
                return run, difference
    return None, None


def replayed(sides, operations):
    with contextlib.closing(Run(sides)) as run:
        for operation in operations:
            difference, _ = run.step(operation)
            if difference is not None:
                return difference
        return run.check()


def report(sides, run, difference, options):
    operations = run.operations
    print(f"DIFFERENCE after {len(operations)} operations: {difference.text}")
    for i, operation in enumerate(operations[-20:]):
        print(f"  {i - min(len(operations), 20) + 1:4}: {show(operation)}")
    if options.shrink:
        short, last = shrink(operations, run.effective, difference, lambda ops: replayed(sides, ops))
        if short is None:
            print("It did not come again when the same operations were repeated.")
            return
        print(f"A sequence of {len(short)} that still differs (of {len(operations)}):")
        print("\n".join(["["] + [f"  {operation!r}," for operation in short] + ["]"]))
        print(f"Its end: {last.text}")
    sys.stdout.flush()


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mount", required=True, type=os.fsencode, help="the mount, or any directory")
    parser.add_argument("--source", type=os.fsencode, help="what is mounted there, to be compared with")
    parser.add_argument("--plain", required=True, type=os.fsencode, help="on the same file system")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed on")
    parser.add_argument("--ops", type=int, default=5000, help="operations of a seed")
    parser.add_argument("--check", type=int, default=500, help="compare trees after so many")
    parser.add_argument("--without", default=(), type=lambda text: text.split(","),
                        help="groups of operations to leave out: " + ", ".join(Generator.GROUPS))
    parser.add_argument("--replay", help="file with a list of operations")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false")
    parser.add_argument("--keep-going", action="store_true", help="go on with the next seed")
    parser.add_argument("--wrong-umask", action="store_true",
                        help="the mount's processes get another umask: must be found")
    return parser.parse_args()


def main():
    options = parse()
    if "link-times" in options.without:
        WITHOUT_ACCESS_TIME.add(stat.S_IFLNK)
    sides = Sides(options.plain, options.mount, options.source, options.wrong_umask,
                  options.without)
    if options.replay:
        with open(options.replay) as file:
            operations = ast.literal_eval(file.read())
        difference = replayed(sides, operations)
        print(difference.text if difference else "no difference")
        return 1 if difference else 0
    status, started, done = 0, time.monotonic(), 0
    for seed in range(options.seed, options.seed + options.seeds):
        run, difference = generated(sides, seed, options.ops, options)
        done += len(run.operations) if difference else options.ops
        if difference:
            status = 1
            print(f"seed {seed}:")
            report(sides, run, difference, options)
            if not options.keep_going:
                break
    seconds = time.monotonic() - started
    print(f"seeds {options.seed} to {seed}: {done} operations, {done / seconds:.0f} a second, "
          f"{'DIFFERENT' if status else 'equal'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
