# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures evenfs beside the other file systems that are installed.

Mounts evenfs in its variants, nullfs (constant answers: the price of the kernel's round trip) and
every peer that is there over one backing directory, all at once, and runs the workloads in rounds,
each through all subjects in a random order. Every run checks that its work was done. Writes
OUT/compare.json (machine, versions, options, every run) and plots, and prints a table.

Peers: bindfs, mergerfs and fuse-overlayfs where installed; libfuse's examples by --passthrough-hp
and --passthrough-ll. Needs root, /dev/fuse, and a machine that does nothing else."""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import plots
import results
import subjects
import trees
import workloads


def say(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(
        prog="compare", usage="compare [OPTION...] OUT", description=__doc__.partition("\n")[0],
        epilog=__doc__.partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, metavar="OUT", nargs="?",
                        help="folder for results and plots")
    parser.add_argument("--quick", action="store_true", help="small trees, 3 rounds; about 5 minutes")
    parser.add_argument("--rounds", type=int, help="of each workload (default 7, quick 3)")
    parser.add_argument("--seconds", type=float, help="of runs that go on for a time (default 2, quick 0.4)")
    parser.add_argument("--workloads", default=".", metavar="REGEX", help="those that match")
    parser.add_argument("--subjects", default=".", metavar="REGEX", help="those that match")
    parser.add_argument("--size", action="append", default=[], metavar="NAME=N",
                        help=f"of {', '.join(vars(trees.FULL))}: how many files, or MiB of data")
    parser.add_argument("--passthrough-hp", metavar="PATH", help="libfuse's example program")
    parser.add_argument("--passthrough-ll", metavar="PATH", help="libfuse's example program")
    parser.add_argument("--cache-ttl", default="inf", metavar="TIME", help="evenfs' option (default inf)")
    parser.add_argument("--work", help="where everything is mounted and made (default: TMPDIR)")
    parser.add_argument("--seed", type=int, default=1, help="of the order within the rounds")
    parser.add_argument("--list", action="store_true", help="print workloads and subjects, and end")
    parser.add_argument("--from", dest="report", type=pathlib.Path, metavar="FILE",
                        help="measure nothing: table and plots of a compare.json")
    args = parser.parse_args()
    args.rounds = args.rounds or (3 if args.quick else 7)
    args.seconds = args.seconds or (0.4 if args.quick else 2.0)
    for pattern in (args.workloads, args.subjects):
        try:
            re.compile(pattern)
        except re.error as error:
            parser.error(f"{pattern}: {error}")
    if not args.out and not args.list:
        parser.error("OUT: a folder for results and plots is needed")
    args.sizes = trees.QUICK if args.quick else trees.FULL
    for text in args.size:
        name, _, number = text.partition("=")
        if name not in vars(args.sizes) or not number.isdigit():
            parser.error(f"--size={text}: NAME=N, where NAME is one of {', '.join(vars(args.sizes))}")
        args.sizes = dataclasses.replace(args.sizes, **{name: int(number)})
    if args.rounds < 1 or args.seconds < 0.05:
        parser.error("at least 1 round, of at least 0.05 seconds")
    return args


class Progress:
    """One line for each round of a workload: where it is and how long it may take."""

    def __init__(self, total):
        self.total, self.done, self.begin = total, 0, time.monotonic()

    def step(self, workload, number, rounds):
        self.done += 1
        passed = time.monotonic() - self.begin
        left = passed / self.done * (self.total - self.done)
        say(f"{workload.name}: round {number + 1} of {rounds}; {passed:.0f} s, about {left:.0f} s left")


class Comparison:
    def __init__(self, args, tools, work):
        self.args, self.tools, self.work = args, tools, work
        self.sizes = args.sizes
        self.order = random.Random(args.seed)
        self.runs, self.failures = [], []

    def failed(self, workload, subject, number, error):
        self.failures.append({"workload": workload.name, "subject": subject.name, "round": number,
                              "error": str(error)})
        say(f"{workload.name}, {subject.name}: {error}")

    def requests(self, subject, point):
        """How often evenfs has been asked so far, by kind."""
        if not subject.name.startswith("evenfs"):
            return {}
        done = subprocess.run([self.tools.stat, "--json", str(point)], capture_output=True, text=True,
                              check=True)
        return json.loads(done.stdout)["requests"]

    def run_once(self, workload, place, number):
        before = self.requests(place.subject, place.point)
        metrics = workload.run(place)
        after = self.requests(place.subject, place.point)
        asked = {kind: count - before.get(kind, 0) for kind, count in after.items()
                 if count != before.get(kind, 0)}
        for metric, measured in metrics.items():
            row = {"workload": workload.name, "metric": metric, "mode": workload.mode, "round": number,
                   "subject": place.subject.name, **measured}
            self.runs.append(row | ({"requests": asked} if asked else {}))

    def run(self, workload, places, progress):
        """All rounds, after those that warm up and are not kept. Who fails once is left out of the rest."""
        todo = [place for place in places if workload.constant or not place.subject.constant]
        for number in range(-workload.warm_ups, self.args.rounds):
            self.order.shuffle(todo)
            for place in list(todo):
                place.number = number
                try:
                    place.own.mkdir()
                    self.run_once(workload, place, number)
                except (RuntimeError, OSError, subprocess.SubprocessError, ValueError) as error:
                    self.failed(workload, place.subject, number, error)
                    todo.remove(place)
                finally:
                    shutil.rmtree(place.own, ignore_errors=True)
            progress.step(workload, number, self.args.rounds)
        self.runs = [run for run in self.runs if run["round"] >= 0]

    def in_mode(self, mode, some, chosen, source, progress):
        places = []
        with contextlib.ExitStack() as stack:
            for subject in chosen:
                point = self.work / mode / subject.name
                point.parent.mkdir(exist_ok=True)
                try:
                    daemon = stack.enter_context(subjects.mounted(subject, source, point, mode))
                except (subjects.MountError, OSError) as error:
                    self.failed(some[0], subject, 0, error)
                    continue
                own = f"own.{mode}.{subject.name}"
                places.append(workloads.Place(
                    subject, daemon, point, source, point / own if not subject.constant else self.work / own,
                    source / own, self.work, self.tools, self.sizes, self.args.seconds, 0))
            for workload in some:
                self.run(workload, places, progress)

    def all(self, some, chosen):
        say("making the trees")
        try:
            source = trees.make(self.work, self.tools, self.sizes, {workload.needs for workload in some})
        except RuntimeError as error:
            sys.exit(f"compare: {error}")
        progress = Progress(sum(self.args.rounds + workload.warm_ups for workload in some))
        for mode in subjects.MODES:
            of_mode = [workload for workload in some if workload.mode == mode]
            if of_mode:
                self.in_mode(mode, of_mode, [s for s in chosen if mode in s.modes], source, progress)


def finish(report, out):
    lines = results.table(report)
    print("\n".join(lines))
    (out / "table.txt").write_text("\n".join(lines).lstrip("\n") + "\n")
    say(plots.draw(report, out))


def main():
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.report:
        args.out.mkdir(parents=True, exist_ok=True)
        finish(json.loads(args.report.read_text()), args.out)
        return 0
    tools = subjects.Tools(pathlib.Path(os.environ["EVENFS_BIN_DIR"]))
    some = [workload for workload in workloads.all_workloads()
            if re.search(args.workloads, workload.name) and (workload.quick or not args.quick)]
    there = subjects.available(tools, args)
    chosen = [subject for name, subject in there.items() if re.search(args.subjects, name)]
    if args.quick and args.subjects == ".":
        chosen = [subject for subject in chosen if not re.match("evenfs-(sharded|rwlock)", subject.name)]
    if args.list:
        print("workloads:", *(workload.name for workload in some))
        print("subjects:", *chosen)
        return 0
    if not some or not chosen:
        sys.exit("compare: no workload or no subject matches")
    if os.geteuid() != 0:
        sys.exit("compare: needs root, to mount for all and to drop the kernel's caches")
    if not subjects.uring_is_on():
        say(f"io_uring is left out: to turn it on: echo Y > {subjects.ENABLE_URING}")
    args.out.mkdir(parents=True, exist_ok=True)
    head = {"machine": results.machine(), "versions": {s.name: s.version for s in chosen if s.version},
            "options": {"cache_ttl": args.cache_ttl, "rounds": args.rounds, "seconds": args.seconds,
                        "seed": args.seed, "quick": args.quick}}
    with tempfile.TemporaryDirectory(dir=args.work, prefix="compare.") as work:
        comparison = Comparison(args, tools, pathlib.Path(work))
        head["options"]["sizes"] = vars(comparison.sizes)
        try:
            comparison.all(some, chosen)
        finally:
            results.write(args.out / "compare.json", head, comparison.runs, comparison.failures)
    finish(json.loads((args.out / "compare.json").read_text()), args.out)
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
