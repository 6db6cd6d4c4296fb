# SPDX-License-Identifier: LGPL-2.1-or-later
"""The workloads. Each is a function of a Place; it returns {metric: {"value", "unit", ...}} and
raises if the work was not done as it should have been. Units: "ops/s" and "MiB/s", where more is
better; "s" and "ns", where less is."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import sys
import time

from subjects import on_one_processor
from trees import ROOT, names_below, run

DROP_CACHES = pathlib.Path("/proc/sys/vm/drop_caches")


@dataclasses.dataclass
class Place:
    """Where and how one run happens."""
    subject: object
    daemon: object       # Popen, None for the directory itself.
    point: pathlib.Path  # Where the subject is mounted.
    source: pathlib.Path
    own: pathlib.Path    # A directory below `point` that only this subject writes to.
    behind: pathlib.Path  # The same in the source.
    work: pathlib.Path   # Outside of all.
    tools: object
    sizes: object
    seconds: float       # Of a run that goes on for a time.
    number: int          # Of the round.


names_of = functools.cache(names_below)  # For what does not change.


def wrong(what):
    raise RuntimeError(what)


def timed(command, **options):
    """(seconds, standard output) of a command that must succeed."""
    begin = time.perf_counter()
    output = run(command, **options)
    return time.perf_counter() - begin, output


def from_brace(output):
    """The JSON that begins at the first brace."""
    return json.loads(output[output.index("{"):])


def drop_kernel_caches():
    """Dentries and inodes, of all file systems; pages stay."""
    os.sync()
    DROP_CACHES.write_text("2")


def statloop(place, threads, *options, directory=None):
    report = from_brace(run([place.tools.statloop, *options, f"--threads={threads}",
                             f"--seconds={place.seconds}", "--warmup=0.1", f"--seed={place.number + 1}",
                             "--json=-", directory or place.point]))
    if report["wrong"] or report["unexpected"] or not report["ops"]:
        wrong(f"statloop: {report['wrong']} wrong, {report['unexpected']} unexpected")
    return report


def stat_by(threads):
    def stat(place):
        with on_one_processor(place.daemon) if threads == 1 else contextlib.nullcontext():
            report = statloop(place, threads, "--set=one-dir", f"--files={place.sizes.stat}", "--size=0",
                              "--no-create")
        return {"": {"value": report["ops_per_second"], "unit": "ops/s",
                     "latency_ns": report["latency_ns"]}}
    return stat


def tail(place):
    """Readers beside four writers that create, rename and unlink in the same directory."""
    report = statloop(place, 1, "--set=one-dir", f"--files={place.sizes.tail}", "--size=0",
                      "--mutate=create,rename,unlink", "--no-exchange", "--mutators=4",
                      directory=place.own)
    return {"p99": {"value": report["latency_ns"]["p99"], "unit": "ns",
                    "latency_ns": report["latency_ns"],
                    "mutations_per_second": report["mutations_per_second"]},
            "rate": {"value": report["ops_per_second"], "unit": "ops/s"}}


def walk_of(name, cold):
    """find, ls and du over a tree; each must show what the directory behind the mount has."""
    def walk(place):
        top = place.point / name
        metrics = {}
        for metric, command in (("find", ["find", top, "-printf", "%s %m %n %T@ %p\\n"]),
                                ("ls", ["ls", "-lR", top]), ("du", ["du", "-s", "--apparent-size", top])):
            if cold:
                drop_kernel_caches()
            seconds, output = timed(command)
            lines, names = output.count("\n"), names_of(place.source / name)
            if metric != "du" and lines < names + 1 or metric == "find" and lines != names + 1:
                wrong(f"{metric}: {lines} lines about {names} names")
            metrics[metric] = {"value": seconds, "unit": "s"}
        return metrics
    return walk


def tree(place):
    """Unpacks a tree, copies it, removes both."""
    expected = names_of(place.work / "tree") + 1
    metrics = {}

    def step(metric, command, there):
        seconds, _ = timed(command)
        if (found := names_below(place.behind)) != there:
            wrong(f"{metric}: {found} names of {there}")
        metrics[metric] = {"value": seconds, "unit": "s"}

    step("untar", ["tar", "-C", place.own, "-xf", place.work / "tree.tar"], expected)
    step("cp", ["cp", "-a", place.own / "tree", place.own / "copy"], 2 * expected)
    step("rm", ["rm", "-rf", place.own / "tree", place.own / "copy"], 0)
    return metrics


def storm_in(folders):
    """Creates, stats and unlinks empty files from one process, in so many directories in turn."""
    def storm(place):
        script = pathlib.Path(__file__).with_name("storm.py")
        count = place.sizes.storm
        times = json.loads(run([sys.executable, "-B", script, place.own, place.behind, count, folders]))
        return {name: {"value": count / seconds, "unit": "ops/s"} for name, seconds in times.items()}
    return storm


def git_status(place):
    """Of a clean repository, with an index of this subject's own: numbers of inodes differ."""
    index = place.work / f"index.{place.subject}"
    git = ["git", "-C", place.point / "repository", "-c", "core.fsmonitor=false"]
    environment = dict(os.environ, GIT_INDEX_FILE=str(index))
    if not index.exists():
        index.write_bytes((place.source / "repository/.git/index").read_bytes())
        run([*git, "status", "--porcelain"], env=environment)
    seconds, output = timed([*git, "status", "--porcelain"],
                            env=dict(environment, GIT_OPTIONAL_LOCKS="0"))
    if output:
        wrong(f"git: {output.splitlines()[0]}")
    return {"": {"value": seconds, "unit": "s"}}


def lay_out(folder, jobs, mib):
    """The files that fio would make, on the disk and, as far as they may be, in the page cache: fio's own
    way leaves the pages of some file systems there and of others not."""
    piece = os.urandom(1 << 20)
    for job in range(jobs):
        with open(folder / f"job.{job}.0", "wb") as file:
            for _ in range(mib):
                file.write(piece)
            os.fsync(file.fileno())
        with open(folder / f"job.{job}.0", "rb") as file:
            while file.read(1 << 20):
                pass


def fio(mode, block, direct, jobs, engine):
    def data(place):
        lay_out(place.own, jobs, place.sizes.data)
        report = from_brace(run(
            ["fio", "--output-format=json", f"--directory={place.own}", "--name=job", f"--rw={mode}",
             f"--bs={block}", f"--direct={direct}", f"--numjobs={jobs}", f"--ioengine={engine}",
             f"--size={place.sizes.data}m", f"--runtime={place.seconds}", "--time_based",
             "--group_reporting", "--randseed=1", "--invalidate=0", "--fadvise_hint=0"]))
        job = report["jobs"][0]
        done = job["write" if "write" in mode else "read"]
        if job["error"] or not done["total_ios"]:
            wrong(f"fio: error {job['error']}, {done['total_ios']} done")
        return {"": {"value": done["bw_bytes"] / 2**20, "unit": "MiB/s"}}
    return data


def build(place):
    """A release build of this project's daemon, inside the mount."""
    run(["cp", "-a", place.work / "project", place.own])
    top = place.own / "project"
    environment = {"EVENFS_DEPS": str(ROOT / "build/deps"), **os.environ}
    configure, _ = timed(["cmake", "--preset", "release"], cwd=top, env=environment)
    compile_, _ = timed(["cmake", "--build", "--preset", "release", "--target", "evenfs"], cwd=top)
    run([top / "build/release/bin/evenfs", "--version"])
    run(["rm", "-rf", top])
    return {"": {"value": configure + compile_, "unit": "s"}}


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    mode: str
    run: object
    needs: str = ""       # What trees.make has to make for it.
    constant: bool = False  # Whether a subject of constant answers can run it.
    quick: bool = True    # Whether it is in the quick form.
    warm_ups: int = 0     # Rounds that are not kept.


def bound(workload):
    """The same with who asks and the daemon on one processor: what is compared is then the work that both
    do, and not where the scheduler puts them, nor what it costs to wake a processor that sleeps."""
    def run_bound(place):
        with on_one_processor(place.daemon):
            return workload.run(place)
    return dataclasses.replace(workload, name=f"{workload.name}-bound", run=run_bound, quick=False)


def all_workloads():
    jobs = [(f"{name}-{jobs}", mode, block, direct, jobs, engine)
            for jobs in (1, 4)
            for name, mode, block, direct, engine in (
                ("read", "read", "128k", 0, "psync"), ("write", "write", "128k", 0, "psync"),
                ("randread", "randread", "4k", 0, "psync"), ("randwrite", "randwrite", "4k", 0, "psync"),
                ("read-direct", "read", "128k", 1, "psync"), ("randread-direct", "randread", "4k", 1, "psync"),
                ("randwrite-direct", "randwrite", "4k", 1, "psync"),
                ("randread-mmap", "randread", "4k", 0, "mmap"))]
    quick_jobs = ("randread-1", "write-1")
    walk_cold = Workload("walk-cold", "cached", walk_of("walk", True), "walk", warm_ups=1)
    changes = [Workload("tree", "cached", tree, "tree"),
               Workload("storm-one", "cached", storm_in(1)),
               Workload("storm-many", "cached", storm_in(64))]
    return [
        Workload("stat-1", "ask", stat_by(1), constant=True),
        Workload("stat-2", "ask", stat_by(2), constant=True),
        Workload("stat-4", "ask", stat_by(4), constant=True, quick=False),
        Workload("tail", "ask", tail),
        Workload("stat-cached", "cached", stat_by(1), constant=True),
        walk_cold, bound(walk_cold),
        Workload("walk-warm", "cached", walk_of("walk", False), "walk", warm_ups=1),
        Workload("large-cold", "cached", walk_of("large", True), "large", quick=False, warm_ups=1),
        *changes, *(bound(workload) for workload in changes),
        Workload("git-status", "cached", git_status, "git", quick=False, warm_ups=1),
        *(Workload(f"fio-{job[0]}", "cached", fio(*job[1:]), quick=job[0] in quick_jobs)
          for job in jobs),
        Workload("build", "cached", build, "build", quick=False),
    ]
