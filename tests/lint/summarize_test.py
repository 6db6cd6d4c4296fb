# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tools/lib/summarize.py makes of ctest's results: the sums, the status, and why a test failed."""

import pathlib
import subprocess
import sys
import tempfile
import unittest
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSED = '<testcase name="good" time="0.1" status="run"/>'


def failed(output, name="bad"):
    return (f'<testcase name="{name}" time="1.25" status="fail"><failure message=""/>'
            f"<system-out>{escape(output)}</system-out></testcase>")


def skipped(message, output=""):
    return (f'<testcase name="away" time="0" status="notrun"><skipped message="{message}"/>'
            f"<system-out>{escape(output)}</system-out></testcase>")


def summarize(cases, status="0", log="", broken=None):
    """(status, lines printed) for one lane with these <testcase> elements."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if cases is not None:
            text = "<testsuite>" + "".join(cases) + "</testsuite>"
            (folder / "release.junit.xml").write_text(text)
        (folder / "release.status").write_text(status + "\n")
        (folder / "release.test.log").write_text(log)
        if broken:
            (folder / "broken").write_text(broken)
        done = subprocess.run([sys.executable, "-B", ROOT / "tools/lib/summarize.py", folder],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()


def said(output, log=""):
    """The lines below the name of a test that failed with this output."""
    status, lines = summarize([PASSED, failed(output)], "8", log)
    assert status == 1 and lines[-1] == "1 passed, 1 failed, 0 skipped", lines
    return [line[4:] for line in lines if line.startswith("    ")]


class Sums(unittest.TestCase):
    def test_passed_and_skipped(self):
        status, lines = summarize([PASSED, skipped("SKIP_RETURN_CODE=77")])
        self.assertEqual((status, lines[-1]), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertIn("skipped: release: away", lines)

    def test_nothing_passed_is_no_success(self):
        for cases in ([], [skipped("SKIP_RETURN_CODE=77")], None):
            self.assertEqual(summarize(cases)[0], 1)

    def test_a_test_that_could_not_start_failed(self):
        status, lines = summarize([PASSED, skipped("Unable to find executable")], "8")
        self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_ctest_itself_and_a_build_can_fail(self):
        self.assertEqual(summarize([PASSED], "8")[1][-1], "1 passed, 1 failed, 0 skipped")
        self.assertEqual(summarize([PASSED], broken="asan: the build\n")[1][-1],
                         "1 passed, 1 failed, 0 skipped")


class Reasons(unittest.TestCase):
    def test_googletest_blocks_and_nothing_around_them(self):
        block = ["/x/walk_test.cc:12: Failure", "Expected equality of these values:", "  1",
                 "    Which is: a", "  2"]
        other = ["/x/walk_test.cc:14: Failure", "Value of: b", "  Actual: false", "Expected: true"]
        output = ["[ RUN      ] Walk.A", *block, "", *other, "", "[  FAILED  ] Walk.A (0 ms)", ""]
        self.assertEqual(said("\n".join(output)), block + other)

    def test_a_block_ends_at_the_frame(self):
        output = "a.cc:1: Failure\nFailed\n[  FAILED  ] Walk.A (0 ms)\n 1 FAILED TEST\n"
        self.assertEqual(said(output), ["a.cc:1: Failure", "Failed"])

    def test_the_message_of_a_script(self):
        output = "".join(f"step {i}\n" for i in range(50)) + "FAIL: trees differ:\n< a\n> b\n"
        self.assertEqual(said(output), ["FAIL: trees differ:", "< a", "> b"])

    def test_sanitizers_and_assertions(self):
        for line in ("==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
                     "WARNING: ThreadSanitizer: data race (pid=7)",
                     "a.h:3:4: runtime error: signed integer overflow",
                     "evenfs: a.h:3: assertion failed: users > 0"):
            self.assertEqual(said(f"noise\n{line}\n    #0 f()\n\nmore noise\n"), [line, "    #0 f()"])

    def test_a_short_block_leaves_room_for_a_long_one(self):
        report = ["==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1"]
        report += [f"    #{frame} f()" for frame in range(30)]
        summary = "SUMMARY: AddressSanitizer: heap-use-after-free a.cc:3 in f()"
        self.assertEqual(said("\n".join([*report, "", summary, "Shadow bytes", "  00 00"])),
                         [*report[:11], summary])

    def test_otherwise_the_last_lines(self):
        self.assertEqual(said("".join(f"line {i}\n\n" for i in range(30))),
                         [f"line {i}" for i in range(20, 30)])
        self.assertEqual(said(""), ["(it said nothing)"])

    def test_limits(self):
        self.assertEqual(len(said("FAIL: a\n" + "b\n" * 40)), 12)
        self.assertEqual(said("".join(f"FAIL: {i}\nx\n" for i in range(20))),
                         [f"FAIL: {i}" for i in range(12)])
        self.assertEqual([len(line) for line in said("FAIL: " + "x" * 999)], [300])
        status, lines = summarize([failed("FAIL: a", f"bad{i}") for i in range(100)], "8")
        self.assertEqual((status, lines.count("    FAIL: a")), (1, 40))

    def test_why_it_was_skipped(self):
        for output in ("a\nSKIP: no /dev/fuse\n", "a.cc:1: Skipped\nSKIP: no /dev/fuse\n\n"):
            lines = summarize([PASSED, skipped("SKIP_RETURN_CODE=77", output)])[1]
            self.assertIn("skipped: release: away: SKIP: no /dev/fuse", lines)
        lines = summarize([skipped("SKIP_REGULAR_EXPRESSION", "a.cc:1: Skipped\nnot root\n")])[1]
        self.assertIn("skipped: release: away: not root", lines)

    def test_how_it_ended(self):
        log = "The following tests FAILED:\n\t  2 - bad (Timeout)\n"
        lines = summarize([PASSED, failed("waiting\n")], "8", log)[1]
        self.assertIn("failed: release: bad (Timeout after 1.2 s)", lines)


if __name__ == "__main__":
    unittest.main()
