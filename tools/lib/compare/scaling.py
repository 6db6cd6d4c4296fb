# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plots of cachebench's results: throughput by the number of threads, a panel for each case."""

import math

import plots
from results import spread

COLOURS = {"lockless": "#1b6ca8", "sharded": "#5aa469", "rwlock": "#d08a2e", "mutex": "#b03a2e"}
COLUMNS = 4


def by_case(report):
    """{case: {policy: {threads: [million operations per second]}}}"""
    cases = {}
    for run in report["runs"]:
        policy, _, rest = run["name"].partition("/")
        case = rest.partition("/real_time")[0]
        threads = cases.setdefault(case, {}).setdefault(policy, {})
        # A thread that writes is not in the rate.
        readers = run["threads"] - case.endswith("+writer")
        threads.setdefault(run["threads"], []).append(1000 * readers / run["ns"])
    return dict(sorted(cases.items()))


def panel(axes, case, policies):
    for policy, threads in policies.items():
        points = [(count, *spread(rates)) for count, rates in sorted(threads.items())]
        axes.errorbar([point[0] for point in points], [point[1] for point in points],
                      yerr=[point[1] * point[2] for point in points], marker="o", markersize=3,
                      capsize=2, color=COLOURS[policy], label=policy)
    counts = sorted({count for threads in policies.values() for count in threads})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_ylim(bottom=0)
    axes.set_title(case, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def draw(report, out):
    """cache.png and cache.svg in `out`; returns one line about it."""
    plt = plots.pyplot()
    if plt is None:
        return plots.NO_PLOTS
    cases = by_case(report)
    rows = math.ceil(len(cases) / COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, squeeze=False, figsize=(3.2 * COLUMNS, 2.4 * rows))
    places = [axes for row in grid for axes in row]
    for axes, (case, policies) in zip(places, cases.items()):
        panel(axes, case, policies)
    for axes in places[len(cases):]:
        axes.axis("off")
    places[0].legend(fontsize=7)
    figure.supxlabel("threads", fontsize=9)
    figure.supylabel("million operations per second, all threads", fontsize=9)
    figure.tight_layout()
    plots.save(figure, out, "cache")
    plt.close(figure)
    return "plots: cache.svg (and PNG)"
