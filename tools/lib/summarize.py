# SPDX-License-Identifier: LGPL-2.1-or-later
"""Adds up what ctest reported: usage: summarize.py DIR

DIR holds, for each lane of tools/test, ctest's exit status in LANE.status and its results in
LANE.junit.xml; and, if a lane broke before its tests, a file `broken` with a line for each.
Prints the failed and skipped tests, then one line with the sums; status 0 only if at least one
test passed and none failed.
"""

import pathlib
import sys
import xml.etree.ElementTree

# What ctest writes about a test that asked to be skipped. Any other test that it did not run
# (a program that is missing, a fixture that failed) counts as failed.
ASKED_TO_SKIP = ("SKIP_RETURN_CODE", "SKIP_REGULAR_EXPRESSION", "Disabled")


def outcome(case):
    """'passed', 'failed' or 'skipped', for one <testcase>."""
    if case.get("status") == "run":
        return "passed"
    skipped = case.find("skipped")
    if skipped is not None and (skipped.get("message") or "").startswith(ASKED_TO_SKIP):
        return "skipped"
    return "failed"


def lane_results(path):
    """[(outcome, test)] of the lane with the status file `path`; what went wrong with ctest itself
    is one more failed test."""
    results = []
    try:
        tree = xml.etree.ElementTree.parse(path.with_suffix(".junit.xml"))
        results = [(outcome(case), case.get("name")) for case in tree.getroot().iter("testcase")]
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        results = [("failed", f"no results: {error}")]
    status = path.read_text().strip()
    if not results:
        results = [("failed", "no test ran")]
    elif status != "0" and not any(result == "failed" for result, _ in results):
        results.append(("failed", f"ctest ended with status {status}"))
    return results


def main(folder):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for path in sorted(folder.glob("*.status")):
        results = lane_results(path)
        for result, test in results:
            count[result] += 1
            if result != "passed":
                print(f"{result}: {path.stem}: {test}")
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
