# SPDX-License-Identifier: LGPL-2.1-or-later
"""The results: JSON with a line for each run, and the table of medians and ratios.

A run: {"workload", "metric", "mode", "round", "subject", "value", "unit", ...}; of evenfs also what
the daemon was asked for, by kind. A failure: {"workload", "subject", "round", "error"}."""

import json
import os
import pathlib
import platform
import statistics

MORE_IS_BETTER = ("ops/s", "MiB/s")


def machine():
    """What a reader has to know of the machine, without its name."""
    model, memory = "unknown", 0
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) >> 10
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_mib": memory,
            "arch": platform.machine(), "kernel": platform.release().partition("-")[0],
            "load": round(os.getloadavg()[0], 2)}


def write(path, head, runs, failures):
    """A file that can be read, and compared with another."""
    def rows(what):
        return ",\n".join("  " + json.dumps(row) for row in what)
    path.write_text(json.dumps(head, indent=1)[:-2] + f',\n "failures": [\n{rows(failures)}\n ],\n'
                    f' "runs": [\n{rows(runs)}\n ]\n}}\n')


def spread(values):
    """(median, half the width of the middle half as a part of it)."""
    if len(values) < 2:
        return values[0], 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, (high - low) / 2 / middle if middle else 0.0


def by_case(runs):
    """{(workload, metric): {subject: {round: run}}}, in the order of the runs."""
    cases = {}
    for run in runs:
        subjects = cases.setdefault((run["workload"], run["metric"]), {})
        subjects.setdefault(run["subject"], {})[run["round"]] = run
    return cases


def ahead(ours, theirs):
    """How many times better ours is, round by round: [factor]."""
    factors = []
    for number, run in theirs.items():
        if number in ours and run["value"] and ours[number]["value"]:
            factor = ours[number]["value"] / run["value"]
            factors.append(factor if run["unit"] in MORE_IS_BETTER else 1 / factor)
    return factors


def shown(value, unit):
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 10 else f"{value:.1f} s"
    if unit == "ns":
        return f"{value / 1000:.0f} us"
    return f"{value:.0f} {unit}"


def name_of(case):
    return " ".join(part for part in case if part)


def table(report):
    """Lines: of each case all subjects, the best first; how many times evenfs-lockless is ahead, on
    each transport, as the median over the rounds of the ratio in the same round and its spread."""
    lines = []
    for case, subjects in by_case(report["runs"]).items():
        references = [name for name in ("evenfs-lockless-fd", "evenfs-lockless-uring") if name in subjects]
        lines.append(f"\n{name_of(case):32} {'median':>15} {'spread':>7}"
                     + "".join(f"  {'ahead, ' + name.rpartition('-')[2]:>14}" for name in references))
        middle = {name: spread([run["value"] for run in rounds.values()])
                  for name, rounds in subjects.items()}
        unit = next(iter(next(iter(subjects.values())).values()))["unit"]
        for name in sorted(middle, key=lambda n: middle[n][0], reverse=unit in MORE_IS_BETTER):
            line = f"  {name:30} {shown(middle[name][0], unit):>15} {'±%.0f %%' % (100 * middle[name][1]):>7}"
            for reference in references:
                factors = ahead(subjects[reference], subjects[name])
                factor, part = spread(factors) if factors else (float("nan"), 0)
                line += f"  {factor:7.2f} ±{100 * part:3.0f} %"
            lines.append(line)
    for failure in report["failures"]:
        lines.append(f"failed: {failure['workload']}, {failure['subject']}, round "
                     f"{failure['round']}: {failure['error']}")
    return lines
