#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Breaks the protocol, one step at a time, and demands that a test fails.

    mutate.py            builds and runs every mutation; status 1 if one survives without a reason
    mutate.py NAME...    only these
    mutate.py --check    only looks that each edit fits the source as it is
    mutate.py --table    prints the last results as a table for docs/

Works on a copy of the tree in build/mutation. Each takes 10 to 70 seconds on two processors. Some need a test
that mounts: root and /dev/fuse; what such a test said last is in build/mutation/script.log.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mutations import MUTATIONS as OF_THE_CACHE
from mutations_bypass import MUTATIONS as OF_BYPASSES
from mutations_fusefs import MUTATIONS as OF_THE_DAEMON
from mutations_marks import MUTATIONS as OF_MARKS
from mutations_memory import MUTATIONS as OF_MEMORY
from mutations_names import MUTATIONS as OF_ALL_NAMES
from mutations_outside import MUTATIONS as OF_OTHERS

MUTATIONS = (OF_THE_CACHE + OF_ALL_NAMES + OF_BYPASSES + OF_THE_DAEMON + OF_OTHERS + OF_MARKS +
             OF_MEMORY)
ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutation"
COPY = WORK / "source"
BUILD = WORK / "build"
RESULTS = WORK / "results.json"
PARTS = ("CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "core", "docs", "fusefs", "tests",
         "tools")
SUITE = ("lookup_race_test", "walk_race_test", "fill_race_test", "lifetime_race_test", "lease_test",
         "all_names_test", "all_names_race_test", "ids_test", "answer_test", "walk_test", "xattr_test",
         "kept_listing_test", "listing_table_test",
         "namespace_test", "durable_test", "memory_test", "prune_test", "rest_test", "orphan_test",
         "bypass_test", "backing_test", "concurrent_test", "cache_parts_test", "fault_test",
         "files_test", "forget_test", "ignored_writes_test", "kept_test", "malformed_test", "names_test",
         "negotiation_test",
         "listing_test", "numbers_test", "undelivered_test", "replies_test", "failures_test", "sections_test",
         "set_id_test", "watched_test", "outside_test", "notifier_test", "pruner_test", "source_events_test",
         "worker_threads_test", "corpus_test", "local_store_test", "local_store_marks_test", "marks_race_test",
         "local_store_names_test", "local_store_numbers_test", "local_store_overlay_test",
         "local_store_root_test", "open_files_test", "store_contract_test", "store_content_contract_test",
         "history_test", "torture_test")
# What a script of tests/ starts, such as "mount/set_id_test.sh" among those tried first.
PROGRAMS = ("evenfs", "evenfs-stat", "statloop", "nullfs", "delayfs")
JOBS = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count()))
LIMIT = 100  # Seconds for one test program; the longest takes 20.
SCRIPT_LIMIT = 300


def misfits(mutation):
    """What of the mutation does not fit the source."""
    for edit in mutation.edits:
        count = (ROOT / edit.file).read_text().count(edit.old)
        if count != 1:
            yield f"{mutation.name}: its text is {count} times in {edit.file}"


def check(mutations):
    found = [line for mutation in mutations for line in misfits(mutation)]
    names = [mutation.name for mutation in MUTATIONS]
    found += [f"{name}: twice in the list" for name in sorted(set(names)) if names.count(name) > 1]
    for line in found:
        print(line)
    print(f"{len(mutations)} mutations, {len(found)} do not fit")
    return 1 if found else 0


def files_of(tree):
    for part in PARTS:
        top = tree / part
        yield from (path.relative_to(tree) for path in ([top] if top.is_file() else top.rglob("*"))
                    if path.is_file() and "__pycache__" not in path.parts)


def copy_tree():
    """Writes what differs, and no more: what was built of the rest is still good."""
    wanted = set(files_of(ROOT))
    if COPY.exists():
        for gone in set(files_of(COPY)) - wanted:
            (COPY / gone).unlink()
    for name in wanted:
        content, at = (ROOT / name).read_bytes(), COPY / name
        if not at.exists() or at.read_bytes() != content:
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
            shutil.copymode(ROOT / name, at)


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          **more)


def configure():
    environment = dict(os.environ)
    environment.setdefault("EVENFS_DEPS", str(ROOT / "build" / "deps"))
    done = run(["cmake", "-S", COPY, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                "-DCMAKE_CXX_FLAGS_DEBUG=-O0", "-DEVENFS_ASSERT=ON", "-DEVENFS_PAUSE_POINTS=ON"],
               env=environment)
    if done.returncode != 0:
        sys.exit(f"mutate: cannot configure:\n{done.stdout}")


def is_script(program):
    return program.endswith((".sh", ".py"))


def build(programs):
    targets = {target for program in programs for target in (PROGRAMS if is_script(program) else (program,))}
    return run(["cmake", "--build", BUILD, "-j", JOBS, "--target", *sorted(targets)])


def failure_of_script(script):
    environment = os.environ | {"EVENFS_BIN_DIR": str(BUILD / "bin"), "EVENFS_SOURCE_DIR": str(COPY)}
    interpreter = "python3" if script.endswith(".py") else "bash"
    # Not the limit of run(), which would leave what the script has started.
    done = run(["timeout", "-k", "30", str(SCRIPT_LIMIT), interpreter, COPY / "tests" / script, BUILD],
               env=environment)
    if done.returncode == 77:
        sys.exit(f"mutate: {script} cannot run here:\n{done.stdout}")
    if done.returncode == 0:
        return ""
    (WORK / "script.log").write_text(done.stdout)
    return script.removesuffix(".sh").removesuffix(".py").replace("/", ".")


def failure_of(program):
    """The name of what failed in a test program, or nothing."""
    if is_script(program):
        return failure_of_script(program)
    # The other policies' torture is theirs: what is broken here is the lock-free path.
    only = ["--gtest_filter=*lockless*"] if program in ("torture_test", "history_test") else []
    try:
        done = run([BUILD / "bin" / program, "--gtest_brief=1", *only], timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"{program} (did not end)"
    if done.returncode == 0:
        return ""
    failed = re.search(r"\[  FAILED  \] (\S+?)[,\s]", done.stdout)
    if failed:
        return failed.group(1)
    asserted = re.search(r"assertion failed: (.*)", done.stdout)
    return f"{program}: {'assertion ' + asserted.group(1) if asserted else 'status ' + str(done.returncode)}"


def caught_by(mutation):
    """Who noticed: a test's name, "the compiler", or nothing."""
    rest = () if mutation.hidden else tuple(p for p in SUITE if p not in mutation.by)
    for programs in (mutation.by, rest):
        if not programs:
            continue
        if build(programs).returncode != 0:
            return "the compiler"
        for program in programs:
            if failure := failure_of(program):
                return failure
    return ""


def apply(mutation):
    for edit in mutation.edits:
        path = COPY / edit.file
        path.write_text(path.read_text().replace(edit.old, edit.new))


def restore(mutation):
    for edit in mutation.edits:
        (COPY / edit.file).write_text((ROOT / edit.file).read_text())


def verdict_of(mutation, who):
    if who == "the compiler":
        return "DOES NOT COMPILE"
    if who:
        return "caught"
    return "not seen" if mutation.hidden else "SURVIVED"


def mutate(mutations):
    copy_tree()
    configure()
    programs = [*SUITE, *sorted({p for mutation in mutations for p in mutation.by if is_script(p)})]
    if broken := build(programs).returncode or next((f for p in programs if (f := failure_of(p))), ""):
        sys.exit(f"mutate: the suite fails without a mutation: {broken}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    bad = 0
    for number, mutation in enumerate(mutations, 1):
        begin = time.monotonic()
        apply(mutation)
        try:
            who = caught_by(mutation)
        finally:
            restore(mutation)
        verdict = verdict_of(mutation, who)
        bad += verdict.isupper()
        results[mutation.name] = {"verdict": verdict, "by": who}
        RESULTS.write_text(json.dumps(results, indent=1))
        seconds = time.monotonic() - begin
        print(f"{number}/{len(mutations)} {mutation.name}: {verdict} {who} ({seconds:.0f} s)", flush=True)
    seen = [results[mutation.name]["verdict"] for mutation in mutations]
    print(f"{seen.count('caught')} of {len(mutations)} mutations caught, {seen.count('not seen')} not seen "
          f"for a reason, {bad} survived or unfit")
    return 1 if bad else 0


def table():
    results = json.loads(RESULTS.read_text())
    print("| Mutation | What it breaks | Caught by |\n|---|---|---|")
    for mutation in MUTATIONS:
        result = results.get(mutation.name)
        if result is None:
            sys.exit(f"mutate: {mutation.name} was not run")
        who = f"`{result['by']}`" if result["by"] else f"not seen: {mutation.hidden}"
        print(f"| {mutation.name} | {mutation.what} | {who} |")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="only look that each edit fits")
    parser.add_argument("--table", action="store_true", help="print the last results")
    words = parser.parse_args()
    unknown = set(words.names) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        parser.error(f"no such mutation: {' '.join(sorted(unknown))}")
    chosen = [mutation for mutation in MUTATIONS if not words.names or mutation.name in words.names]
    if words.table:
        return table()
    return check(chosen) or (0 if words.check else mutate(chosen))


if __name__ == "__main__":
    sys.exit(main())
