# SPDX-License-Identifier: LGPL-2.1-or-later
"""The end of tools/test: counts tests over the lanes that were run and says what failed and why.

usage: summarize.py LOG_DIR

Reads what tools/test leaves there: for each lane LANE.status, ctest's LANE.junit.xml and
LANE.test.log; if something broke before its tests, a file `broken` with a line for each.
Prints the skipped and the failed tests with what they said, and one line with the sums; status 0
only if at least one test passed and none failed.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

# What ctest writes about a test that asked to be skipped. Any other test that it did not run
# (a program that is missing, a fixture that failed) counts as failed.
ASKED_TO_SKIP = ("SKIP_RETURN_CODE", "SKIP_REGULAR_EXPRESSION", "Disabled")

# Of one failed test at most so many lines are shown, of one that says nothing we know the last
# few, and of so many tests: a build that is broken all over must not bury the closing line.
LINES_MAX = 12
LAST_LINES = 10
COLUMNS_MAX = 300
EXPLAINED_MAX = 40

# The lines that say what is wrong: GoogleTest, scripts and unittest, an exception of Python, the
# sanitizers, EVENFS_ASSERT. What follows such a line up to an empty one belongs to it.
TELLING = re.compile(r"^\S.*:\d+: Failure$|^FAIL|^\w*(Error|Exception)\b|^unknown file: Failure$|"
                     r"\bERROR: \w+Sanitizer|^WARNING: \w+Sanitizer|: runtime error: |"
                     r"^SUMMARY: \w+Sanitizer|: assertion failed: ")
SKIPPED = re.compile(r"^(SKIP.*)|: Skipped\n(.*)", re.MULTILINE)
# GoogleTest's own lines about what runs and what came out.
FRAME = re.compile(r"^\[ *[-=A-Z]+ *\]")


def outcome(case):
    """'passed', 'failed' or 'skipped', for one <testcase>."""
    if case.get("status") == "run":
        return "passed"
    skipped = case.find("skipped")
    if skipped is not None and (skipped.get("message") or "").startswith(ASKED_TO_SKIP):
        return "skipped"
    return "failed"


def said(output):
    """The lines of a failed test's output that say why."""
    blocks, inside = [], False
    lines = [line.rstrip() for line in output.splitlines()]
    for line in lines:
        if TELLING.search(line):
            blocks.append([line])
            inside = not line.startswith("SUMMARY: ")  # A dump of memory follows it.
        elif not line or FRAME.match(line):
            inside = False
        elif inside:
            blocks[-1].append(line)
    if not blocks:
        return [line for line in lines if line][-LAST_LINES:]
    # The first line of each block, then second lines while there is room, and so on.
    places = sorted((depth, number) for number, block in enumerate(blocks)
                    for depth in range(len(block)))[:LINES_MAX]
    return [blocks[number][depth] for number, depth in sorted((n, d) for d, n in places)]


def why_skipped(output):
    found = SKIPPED.search(output)
    return f": {shortened(found.group(1) or found.group(2))}" if found else ""


def shortened(line):
    line = "".join(char if char.isprintable() else " " for char in line)
    return line if len(line) <= COLUMNS_MAX else line[:COLUMNS_MAX - 3] + "..."


def endings(log):
    """{test: how it failed, such as 'Timeout' or 'SEGFAULT'}, which only ctest's own list says."""
    try:
        text = log.read_text(errors="replace").rpartition("The following tests FAILED:")[2]
    except OSError:
        return {}
    return dict(re.findall(r"^\s*\d+ - (.+) \(([^()]+)\)$", text, re.MULTILINE))


def lane_results(path):
    """[(outcome, test, [line of explanation])] of the lane with the status file `path`; what went
    wrong with ctest itself is one more failed test."""
    results = []
    try:
        tree = xml.etree.ElementTree.parse(path.with_suffix(".junit.xml"))
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        return [("failed", f"no results: {error}", [])]
    how = endings(path.with_suffix(".test.log"))
    for case in tree.getroot().iter("testcase"):
        result, name, lines = outcome(case), case.get("name"), []
        output = case.findtext("system-out") or ""
        if result == "skipped":
            name += why_skipped(output)
        elif result == "failed":
            lines = said(output) or ["(it said nothing)"]
            name += f" ({how.get(name, 'Failed')} after {float(case.get('time') or 0):.1f} s)"
        results.append((result, name, lines))
    status = path.read_text().strip()
    if not results:
        results = [("failed", "no test ran", [])]
    elif status != "0" and not any(result == "failed" for result, _, _ in results):
        results.append(("failed", f"ctest ended with status {status}", []))
    return results


def main(folder):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for path in sorted(folder.glob("*.status")):
        for result, test, lines in lane_results(path):
            count[result] += 1
            if result != "passed":
                print(f"{result}: {path.stem}: {test}")
            for line in lines if count["failed"] <= EXPLAINED_MAX else []:
                print(f"    {shortened(line)}")
        print(f"log: {path.with_suffix('.test.log')}")
    broken = folder / "broken"
    if broken.exists():
        for line in broken.read_text().splitlines():
            count["failed"] += 1
            print(f"failed: {line}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 0 if count["passed"] and not count["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
