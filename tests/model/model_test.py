#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Model checking of the protocol: each model holds as it stands, and each switch that its header
names brings a violation back: a mutation undoes one decision, a -DREACH_... shows that what the
property is about happens at all.

usage: model_test.py [-j N] [--list] [NAME...]    (status 77: skipped)

*.pml is for SPIN: every state is visited. *.c is for GenMC: every execution that C11's orders allow
(RC11). Where GenMC is not installed, a .c program is only compiled, in all its forms, and run many
times as it stands.
"""

import argparse
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SWITCH = re.compile(r"^ \*   -D(\w+)  +(\S.*)$", re.MULTILINE)
LIMIT_S = 240  # For one program; what hangs is stopped, and failed.
DEPTH = 100000
MEMORY_MB = 1024
SMOKE_ROUNDS = 2000
# Two GenMC at a time over one program were seen to take each other's intermediate file.
ONE_GENMC = threading.Lock()


class Failed(Exception):
    pass


def run(command, where):
    try:
        return subprocess.run(command, cwd=where, stdin=subprocess.DEVNULL, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]}: not done after {LIMIT_S} s") from None


def compiled(command, where):
    done = run(command, where)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout.strip()[-500:]}")


def spin(model, switch, where):
    """The number of states and None, or what was violated."""
    shutil.copy(model, where)
    compiled(["spin", *([f"-D{switch}"] if switch else []), "-a", model.name], where)
    compiled(["cc", "-O1", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"], where)
    out = run(["./pan", f"-m{DEPTH}"], where).stdout
    states = re.search(r"(\d+) states, stored", out)
    errors = re.search(r"errors: (\d+)", out)
    if not states or not errors:
        raise Failed(out.strip()[-500:])
    violated = re.search(r"^pan:\d+: (.*) \(at depth", out, re.MULTILINE)
    if not violated and ("Search not completed" in out or "too small" in out):
        raise Failed("the search is not complete")
    return int(states[1]), violated[1] if violated else None


def genmc(program, switch, where):
    options = [f"-D{switch}"] if switch else []
    with ONE_GENMC:
        done = run(["genmc", "--rc11", "--", f"-I{HERE}", *options, str(program)], where)
    count = re.search(r"complete executions explored: (\d+)", done.stdout)
    if "No errors were detected" in done.stdout and count:
        return int(count[1]), None
    if "Safety violation" in done.stdout or "Assertion violation" in done.stdout:
        return int(count[1]) if count else 0, "assertion violated"
    if "Non-Atomic race" in done.stdout:
        return int(count[1]) if count else 0, "data race"
    raise Failed(done.stdout.strip()[-500:])


def smoke(program, switch, where):
    """Without a checker: that it compiles; and the base, that nothing is seen on this machine."""
    options = [f"-D{switch}"] if switch else [f"-DROUNDS={SMOKE_ROUNDS}"]
    compiled(["cc", "-std=c11", "-O2", "-Wall", "-Werror", "-pthread", f"-I{HERE}", *options,
              "-o", "litmus", str(program)], where)
    if switch:
        return 0, "compiled only"
    done = run(["./litmus"], where)
    return SMOKE_ROUNDS, None if done.returncode == 0 else done.stdout.strip()[-200:]


def check(model, switch, checker):
    """One form: (count, seconds, verdict, whether it is as it should be)."""
    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="evenfs-model.") as where:
            count, violated = checker(model, switch, where)
    except Failed as failed:
        return 0, time.monotonic() - begin, f"FAILED: {failed}", False
    seconds = time.monotonic() - begin
    if not switch:
        verdict = "nothing seen" if checker is smoke else "holds"
        return count, seconds, f"FAILED: {violated}" if violated else verdict, not violated
    if violated == "compiled only":
        return count, seconds, violated, True
    # Anything else, as a deadlock, is not what the switch is for.
    good = violated is not None and violated.startswith(("assertion violated", "data race"))
    verdict = "reached" if switch.startswith("REACH_") else "caught"
    return count, seconds, verdict if good else f"FAILED: {violated or 'nothing violated'}", good


def switches(model):
    found = SWITCH.findall(model.read_text(encoding="utf-8"))
    if not found:
        sys.exit(f"{model.name}: the header names no switch")
    return found


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("-j", type=int, default=2, metavar="N")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()

    models = sorted(HERE.glob("*.pml")) + sorted(HERE.glob("*.c"))
    unknown = set(asked.names) - {model.stem for model in models}
    if unknown:
        parser.error(f"no such model: {' '.join(sorted(unknown))}")
    models = [model for model in models if not asked.names or model.stem in asked.names]
    if asked.list:
        for model in models:
            print(model.name)
            for switch, text in switches(model):
                print(f"  {switch:24} {text}")
        return 0
    for tool in ("spin", "cc"):
        if not shutil.which(tool):
            print(f"SKIPPED: {tool} is not installed")
            return 77

    litmus = genmc if shutil.which("genmc") else smoke
    forms = [(model, switch) for model in models
             for switch in [None] + [name for name, _ in switches(model)]]
    checkers = {".pml": spin, ".c": litmus}
    wrong = 0
    print(f"{'model':18} {'form':24} {'states':>9} {'s':>6}  verdict")
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(asked.j, 1)) as pool:
        results = pool.map(lambda form: check(*form, checkers[form[0].suffix]), forms)
        for (model, switch), (count, seconds, verdict, good) in zip(forms, results):
            print(f"{model.name:18} {switch or 'as it stands':24} {count:9} {seconds:6.1f}  {verdict}",
                  flush=True)
            wrong += not good
    if litmus is smoke and any(model.suffix == ".c" for model in models):
        print("GenMC is not installed: the litmus programs (*.c) were run, not checked; their "
              "states are rounds.")
    print(f"{len(forms)} forms of {len(models)} models, {wrong} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
