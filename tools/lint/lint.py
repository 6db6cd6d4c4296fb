#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules of CONTRIBUTING.md that a program can check. Run by ctest under the label lint.

usage: lint.py [ROOT]

Prints one line for each finding. Status 1 if there is any; warnings (a file or function longer
than we aim for) do not count. It reads text, it does not parse C++: where it is wrong, make the
code plainer or the rule better, and add no list of exceptions.
"""

import pathlib
import re
import subprocess
import sys

# clang-format holds code to 100; a table in a comment may need a little more.
COLUMNS_MAX = 112
FILE_LINES_AIM, FILE_LINES_MAX = 300, 400
FUNCTION_LINES_AIM, FUNCTION_LINES_MAX = 40, 60

# Folder: what it may include besides itself.
LAYERS = {
    "core/base": (),
    "core/sync": ("core/base",),
    "core/mem": ("core/base", "core/sync"),
    "core/policy": ("core/base", "core/sync"),
    "core/stats": ("core/base", "core/sync"),
    "core/store": ("core/base",),
    "core/cache": ("core/base", "core/sync", "core/mem", "core/policy", "core/stats", "core/store"),
    "fusefs": ("core",),
    "tools": ("core", "fusefs"),
    "tests": ("core", "fusefs", "tools"),
}

# Folder, headers that it must not include, and why.
BANNED_HEADERS = (
    ("core", r"fuse|spdlog|CLI|iostream", "core/ knows no FUSE, no logging and no options"),
    ("", r"urcu", "only core/sync/rcu.h includes liburcu"),
)

# Where (path pattern), what, and why not. Split literals keep this file from finding itself.
FORBIDDEN = (
    (r".", r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b", "unfinished business belongs in an issue"),
    (r".", r"(?<![\w.])/(home|Users)/\w", "a path of somebody's machine"),
    (r"^(core|fusefs|tools|tests|\.ci)/", r"\bhttps?" r"://", "no addresses in code"),
    (r"^tests/.*\.(cc|h)$", r"\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\s*\(",
     "a test does not sleep; wait for what it needs"),
    (r"(^|/)CMakeLists\.txt$|\.cmake$", r"(?i)\bfile\s*\(\s*GLOB", "list files by name"),
    (r"\.md$", r"(?i)\b(blazing|seamless|effortless|world-class|state-of-the-art)\b",
     "say what is true and give the figure"),
)

# What must stand in a CMake list: all sources, and files named as tests.
LISTED = re.compile(r"^(core|fusefs|tools)/.*\.cc$|^tests/.*_test\.(cc|sh|py)$")

CPP = (".cc", ".h")
TEXT = CPP + (".c", ".pml", ".py", ".sh", ".cmake", ".fio")
STRONG_ORDER = re.compile(r"memory_order(_|::)(acquire|release|acq_rel|seq_cst|consume)\b")
UNNAMED_ORDER = re.compile(r"\.(load\(\)|fetch_(add|sub|or|and|xor)\([^(),]*\))")
PAIRS = re.compile(r"//.*(\[MO-\d+\]|\b[Pp]airs with\b)")


class Lint:
    def __init__(self, root):
        self.root = root
        self.findings = 0

    def report(self, path, line, text):
        self.findings += 1
        print(f"{path}:{line}: {text}")

    def warn(self, path, line, text):
        print(f"{path}:{line}: warning: {text}")

    def files(self):
        """Tracked files and new ones that are not ignored; all files if this is no checkout."""
        command = ["git", "-C", self.root, "ls-files", "-co", "--exclude-standard", "-z"]
        git = subprocess.run(command, capture_output=True, text=True, check=False)
        if git.returncode == 0:
            names = [n for n in git.stdout.split("\0") if n]
        else:
            names = [str(p.relative_to(self.root)) for p in self.root.rglob("*")]
        skip = re.compile(r"^(build|\.git)/|^LICENSE$|^tests/fuzz/corpus/")  # The last is bytes.
        return sorted(n for n in names if not skip.match(n) and (self.root / n).is_file())

    def run(self):
        count = 0
        names = self.files()
        self.check_listed(names)
        for name in names:
            try:
                lines = (self.root / name).read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                self.report(name, 1, "not UTF-8 text")
                continue
            count += 1
            self.check(name, lines)
        print(f"{count} files, {self.findings} findings")
        return 1 if self.findings or not count else 0

    def check_listed(self, names):
        """Each source and test is an argument, relative to it, in a CMakeLists.txt above it."""
        listed = set()
        for name in names:
            if pathlib.PurePath(name).name == "CMakeLists.txt":
                text = (self.root / name).read_text(encoding="utf-8", errors="replace")
                words = re.sub(r"#.*", "", text).replace("(", " ").replace(")", " ").split()
                folder = pathlib.PurePath(name).parent
                listed.update(str(folder / word.strip('"')) for word in words)
        for name in names:
            if LISTED.match(name) and name not in listed:
                self.report(name, 1, "stands in no CMakeLists.txt, so nothing builds or runs it")

    def check(self, name, lines):
        for where, what, why in FORBIDDEN:
            if re.search(where, name):
                for number, line in enumerate(lines, 1):
                    if re.search(what, line):
                        self.report(name, number, why)
        script = bool(lines) and lines[0].startswith("#!")
        if name.endswith(TEXT) or name.endswith("CMakeLists.txt") or script:
            self.check_text(name, lines, script)
        if name.endswith(CPP):
            code = strip_literals(lines)
            self.check_includes(name, lines)
            self.check_orders(name, lines, code)
            self.check_functions(name, code)

    def check_text(self, name, lines, script):
        head = lines[1:2] if script else lines[:1]
        if not head or "SPDX-License-Identifier: LGPL-2.1-or-later" not in head[0]:
            self.report(name, 1, "the first line (the second of a script) is the SPDX line")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX:
                self.report(name, number, f"{len(line)} columns, at most {COLUMNS_MAX}")
            if line != line.rstrip() or "\t" in line:
                self.report(name, number, "a tab, or blanks at the end")
        if len(lines) > FILE_LINES_MAX:
            self.report(name, 1, f"{len(lines)} lines, at most {FILE_LINES_MAX}")
        elif len(lines) > FILE_LINES_AIM:
            self.warn(name, 1, f"{len(lines)} lines, aim for {FILE_LINES_AIM}")

    def check_includes(self, name, lines):
        layer = next((key for key in LAYERS if name.startswith(key + "/")), None)
        if layer is None:
            self.report(name, 1, "lies in no known layer; see LAYERS")
            return
        allowed = tuple(f"{key}/" for key in LAYERS[layer] + (layer,))
        for number, line in enumerate(lines, 1):
            include = re.match(r'\s*#\s*include\s+(["<])([^">]+)', line)
            if not include:
                continue
            quote, header = include.groups()
            if quote == '"' and not (self.root / header).is_file():
                self.report(name, number, "write project headers from the root of the repository")
            elif quote == '"' and not header.startswith(allowed):
                self.report(name, number, f"{layer} must not include {header}")
            for folder, pattern, why in BANNED_HEADERS:
                if quote == "<" and name.startswith(folder) and re.match(pattern, header):
                    if name != "core/sync/rcu.h":
                        self.report(name, number, why)

    def check_orders(self, name, lines, code):
        if name.startswith("tests/"):
            return
        for number, line in enumerate(code, 1):
            near = lines[max(0, number - 5):number]
            if STRONG_ORDER.search(line) and not any(PAIRS.search(text) for text in near):
                self.report(name, number, "say within 4 lines above what this order pairs with")
            if name.startswith(("core/", "fusefs/")) and UNNAMED_ORDER.search(line):
                self.report(name, number, "name the memory order")

    def check_functions(self, name, code):
        """A function is a block that follows a ')' and lies in no other such block."""
        depth, start, inside, statement = 0, 0, None, ""
        for number, line in enumerate(code, 1):
            if line.lstrip().startswith("#"):
                continue
            for char in line:
                if char == "{":
                    scope = re.match(r"\s*(?:template\s*<.*>\s*)?"
                                     r"(namespace|class|struct|enum|union|extern)\b", statement)
                    if inside is None and "(" in statement and not scope:
                        inside, start = depth, number
                    depth += 1
                elif char == "}":
                    depth -= 1
                    if inside == depth:
                        self.function_ends(name, start, number - start + 1)
                        inside = None
                statement = "" if char in "{};" else statement + char
            statement += " "

    def function_ends(self, name, start, length):
        if length > FUNCTION_LINES_MAX:
            self.report(name, start, f"function of {length} lines, at most {FUNCTION_LINES_MAX}")
        elif length > FUNCTION_LINES_AIM:
            self.warn(name, start, f"function of {length} lines, aim for {FUNCTION_LINES_AIM}")


def strip_literals(lines):
    """The lines without comments and without what stands in quotes; raw strings over lines too."""
    token = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|'
                       r'//[^\n]*|/\*.*?\*/', re.DOTALL)
    # A quote between digits separates them and begins nothing.
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "", "\n".join(lines))
    return token.sub(lambda found: "\n" * found.group().count("\n"), text).split("\n")


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parents[2]
    sys.exit(Lint(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here).run())
