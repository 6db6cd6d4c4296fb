# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the workloads work on, made once in the backing directory before anything is mounted."""

import dataclasses
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much there is: files, or MiB for `data`."""
    stat: int
    tail: int
    walk: int
    large: int
    tree: int
    storm: int
    repository: int
    data: int


FULL = Sizes(stat=10000, tail=1000, walk=15000, large=200000, tree=50000, storm=10000,
             repository=50000, data=256)
QUICK = Sizes(stat=10000, tail=200, walk=3000, large=0, tree=500, storm=400, repository=0, data=32)


def run(command, **options):
    """Runs what must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False,
                          **options)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise RuntimeError(f"{pathlib.Path(command[0]).name}: status {done.returncode}: {last[0]}")
    return done.stdout


def names_below(folder):
    """How many names there are in a tree, its root left out, and what fuse-overlayfs adds (.wh.*)."""
    return sum(not name.startswith(".wh.") for _, folders, files in os.walk(folder)
               for name in files + folders)


def treegen(folder, files):
    run([sys.executable, "-B", ROOT / "tools/treegen/treegen", f"--files={files}", "--per-dir=50", folder])


def make(work, tools, sizes, wanted):
    """The trees that the workloads `wanted` need; returns the backing directory."""
    source = work / "source"
    source.mkdir()
    run([tools.statloop, "--set=one-dir", f"--files={sizes.stat}", "--size=0", "--keep", "--ops=1",
         source])
    if "walk" in wanted:
        treegen(source / "walk", sizes.walk)
    if "large" in wanted:
        treegen(source / "large", sizes.large)
    if "tree" in wanted:
        treegen(work / "tree", sizes.tree)
        run(["tar", "-C", work, "-cf", work / "tree.tar", "tree"])
    if "git" in wanted:
        repository = source / "repository"
        treegen(repository, sizes.repository)
        git = ["git", "-C", repository, "-c", "gc.auto=0", "-c", "user.name=x", "-c", "user.email=x@x"]
        run([*git, "init", "-q"])
        run([*git, "add", "-A"])
        run([*git, "commit", "-qm", "all"])
    if "build" in wanted:
        copy = work / "project"
        copy.mkdir()
        run(["cp", "-a", *(part for part in ROOT.iterdir() if part.name not in ("build", ".git")), copy])
    return source
