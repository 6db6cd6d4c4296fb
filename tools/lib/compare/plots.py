# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plots of the results, as PNG and SVG. Needs matplotlib."""

import math

from results import MORE_IS_BETTER, by_case, name_of, spread

COLOURS = {"evenfs": "#1b6ca8", "nullfs": "#9a9a9a", "directory": "#5a5a5a"}
OTHERS = "#d08a2e"
SCALES = {"s": (1000, "ms"), "ns": (0.001, "us"), "ops/s": (0.001, "thousand operations/s"),
          "MiB/s": (1, "MiB/s")}
QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999))
NO_PLOTS = "no plots: matplotlib is not installed (Debian: python3-matplotlib)"


def pyplot():
    """matplotlib.pyplot, to draw into files; None where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    # The same file from the same figures, with text as text.
    matplotlib.rcParams.update({"svg.hashsalt": "evenfs", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt
    return plt


def colour(name):
    return COLOURS.get(name.split("-")[0], OTHERS)


def save(figure, out, name):
    for kind in ("png", "svg"):
        figure.savefig(out / f"{name}.{kind}", dpi=110, bbox_inches="tight",
                       metadata={"Date": None} if kind == "svg" else None)


def bars(axes, case, subjects):
    unit = next(iter(next(iter(subjects.values())).values()))["unit"]
    factor, label = SCALES[unit]
    middle = {name: spread([run["value"] for run in rounds.values()])
              for name, rounds in subjects.items()}
    title = name_of(case)
    others = [value for name, (value, _) in middle.items() if name != "directory"]
    # Ten times what a mount reaches would leave no room to tell mounts apart.
    if "directory" in middle and unit in MORE_IS_BETTER and middle["directory"][0] > 5 * max(others, default=0):
        title += f" (directory: {middle.pop('directory')[0] * factor:.0f})"
    names = sorted(middle, key=lambda name: middle[name][0], reverse=unit not in MORE_IS_BETTER)
    values = [middle[name][0] * factor for name in names]
    axes.barh(names, values, xerr=[middle[name][0] * middle[name][1] * factor for name in names],
              color=[colour(name) for name in names], ecolor="#333333", height=0.7)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(f"{label} ({'more' if unit in MORE_IS_BETTER else 'less'} is better)", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def throughput(plt, cases, out, name, columns=3):
    """Every case as bars, the best on top."""
    rows = math.ceil(len(cases) / columns)
    tallest = max(len(subjects) for subjects in cases.values())
    figure, grid = plt.subplots(rows, columns, squeeze=False,
                                figsize=(5.2 * columns, rows * (0.9 + 0.19 * tallest)))
    places = [axes for row in grid for axes in row]
    for axes, (case, subjects) in zip(places, cases.items()):
        bars(axes, case, subjects)
    for axes in places[len(cases):]:
        axes.axis("off")
    figure.tight_layout()
    save(figure, out, name)


def latency(plt, case, subjects, out, name):
    """Quantiles of the latency, each the median over the rounds; the legend begins with the slowest."""
    figure, axes = plt.subplots(figsize=(7, 4.5))
    axes.set_prop_cycle(color=plt.cm.tab20.colors)
    lines = {subject: [spread([run["latency_ns"][key] for run in rounds.values()])[0] / 1000
                       for key, _ in QUANTILES] for subject, rounds in subjects.items()}
    for subject, values in sorted(lines.items(), key=lambda line: -line[1][0]):
        style = "-" if subject.startswith(("evenfs", "nullfs")) else "--"
        axes.plot([f"{100 * part:g} %" for _, part in QUANTILES], values, style, marker="o", label=subject)
    axes.set_yscale("log")
    axes.set_ylabel("microseconds")
    axes.set_title(f"latency, {name_of(case)}", fontsize=10, loc="left")
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, out, name)


def scaling(plt, cases, out):
    """Operations by the number of threads."""
    threads = {int(case[0].rpartition("-")[2]): subjects for case, subjects in cases.items()
               if case[0].startswith("stat-") and case[0].rpartition("-")[2].isdigit()}
    if len(threads) < 2:
        return
    figure, axes = plt.subplots(figsize=(7, 4.5))
    axes.set_prop_cycle(color=plt.cm.tab20.colors)
    for name in next(iter(threads.values())):
        if name == "directory":
            continue
        points = [(count, spread([run["value"] for run in subjects[name].values()])[0] / 1000)
                  for count, subjects in sorted(threads.items()) if name in subjects]
        style = "-" if name.startswith(("evenfs", "nullfs")) else "--"
        axes.plot(*zip(*points), style, marker="o", label=name)
    axes.set_xticks(sorted(threads))
    axes.set_xlabel("threads that stat")
    axes.set_ylabel("thousand operations/s")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, out, "scaling")


def draw(report, out):
    """All plots into `out`; returns one line about what was drawn."""
    plt = pyplot()
    if plt is None:
        return NO_PLOTS
    cases = by_case(report["runs"])
    groups = {}
    for case, subjects in cases.items():
        group = case[0].partition("-")[0]
        groups.setdefault("metadata" if group in ("walk", "large", "tree", "storm", "git", "build")
                          else "stat" if group in ("stat", "tail") else "data", {})[case] = subjects
    for name, some in groups.items():
        throughput(plt, some, out, name)
    for case, subjects in cases.items():
        if case in (("stat-1", ""), ("stat-2", ""), ("tail", "p99")):
            latency(plt, case, subjects, out, f"latency-{case[0]}")
    scaling(plt, cases, out)
    plt.close("all")
    return f"plots: {', '.join(sorted(path.name for path in out.glob('*.svg')))} (and PNG)"
