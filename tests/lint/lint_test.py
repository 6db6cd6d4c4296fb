# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each rule of tools/lint/lint.py finds what it is for, and nothing in a file that keeps it."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPDX = "// SPDX-License-Identifier: LGPL-2.1-or-later\n"


def lint(files):
    """(status, output) of the linter over a tree that holds just `files`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # A folder in no checkout, wherever temporary files lie.
        environment = dict(os.environ, GIT_CEILING_DIRECTORIES=str(pathlib.Path(folder).parent))
        done = subprocess.run([sys.executable, "-B", ROOT / "tools/lint/lint.py", folder],
                              capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout


class Rules(unittest.TestCase):
    def finds(self, text, name, body, **others):
        status, output = lint({name: SPDX + body, **others})
        self.assertEqual(status, 1, output)
        self.assertIn(f"{name}:", output)
        self.assertIn(text, output)

    def accepts(self, name, body, **others):
        status, output = lint({name: SPDX + body, **others})
        self.assertEqual(status, 0, output)

    def test_a_tree_without_files_is_no_success(self):
        self.assertEqual(lint({})[0], 1)

    def test_licence_line(self):
        status, output = lint({"core/base/a.h": "int x;\n"})
        self.assertEqual(status, 1)
        self.assertIn("SPDX", output)

    def test_columns(self):
        self.accepts("core/base/a.h", "//" + "x" * 98 + "\n")
        self.finds("113 columns", "core/base/a.h", "//" + "x" * 111 + "\n")

    def test_file_length(self):
        self.accepts("core/base/a.h", "int x;\n" * 399)
        self.finds("401 lines", "core/base/a.h", "int x;\n" * 400)

    def test_function_length(self):
        self.accepts("core/base/a.h", "void f() {\n" + "  g();\n" * 58 + "}\n")
        long_body = "void C::f() const noexcept {\n" + "  if (a) { g('{'); }\n" * 59 + "}\n"
        self.finds(":4: function of 61 lines", "core/base/a.cc",
                   "namespace e {\n\n" + long_body + "}\n")

    def test_a_long_class_is_no_function(self):
        body = "  void f() { g(); }\n" * 70
        self.accepts("core/base/a.h", "class alignas(64) C {\n" + body + "};\n")

    def test_layers(self):
        header = {"core/sync/b.h": SPDX}
        self.accepts("core/mem/a.h", '#include "core/sync/b.h"\n', **header)
        self.finds("must not include", "core/base/a.h", '#include "core/sync/b.h"\n', **header)
        self.finds("root of the repository", "core/sync/a.h", '#include "b.h"\n', **header)
        self.finds("no FUSE", "core/cache/a.h", "#include <fuse_lowlevel.h>\n")
        self.finds("only core/sync/rcu.h", "fusefs/a.h", "#include <urcu/urcu-memb.h>\n")

    def test_a_source_stands_in_a_cmake_list(self):
        head, text = "# " + SPDX[3:], "stands in no CMakeLists.txt"
        self.accepts("core/mem/a.cc", "int x;\n",
                     **{"core/CMakeLists.txt": head + "add_library(mem\n  mem/a.cc)\n"})
        self.finds(text, "core/mem/a.cc", "int x;\n")
        # Another file whose name ends so, a comment, a list that lies in another folder.
        for lists in ("add_library(mem mem/ba.cc)\n", "# mem/a.cc\n", "add_library(mem a.cc)\n"):
            self.finds(text, "core/mem/a.cc", "int x;\n", **{"core/CMakeLists.txt": head + lists})
        for name in ("fusefs/a.cc", "tools/a/b.cc", "tests/unit/a_test.cc"):
            self.finds(text, name, "int x;\n")
        self.accepts("tests/support/a.cc", "int x;\n")

    def test_a_script_named_as_a_test_stands_in_a_cmake_list(self):
        head = "# " + SPDX[3:]
        scripts = {"tests/mount/a_test.sh": head, "tests/mount/steps.py": head}
        self.accepts("tests/CMakeLists.txt", "script_test(mount/a_test.sh)\n", **scripts)
        status, output = lint(scripts)
        self.assertEqual(status, 1)
        self.assertIn("tests/mount/a_test.sh:1: stands in no", output)
        self.assertNotIn("steps.py", output)

    def test_memory_orders(self):
        load = "auto x = a.load(std::memory_order_acquire);\n"
        self.accepts("core/sync/a.h", "// [MO-1] acquire, the partner is end().\n\n\n\n" + load)
        self.finds("pairs with", "core/sync/a.h", "// It pairs with end().\n\n\n\n\n" + load)
        self.finds("pairs with", "core/sync/a.h", "// acquire\n" + load)
        self.accepts("core/sync/a.h", "// memory_order_acquire in a comment\n")
        self.finds("name the memory order", "core/sync/a.h", "auto x = a.load();\n")
        self.finds("name the memory order", "core/sync/a.h", "a.fetch_add(1);\n")

    def test_forbidden_words(self):
        self.finds("belongs in an issue", "core/base/a.h", "// TO" "DO: more\n")
        self.finds("no addresses", "core/base/a.h", "// see https:" "//example.org\n")
        self.finds("machine", "core/base/a.h", '// "/ho' 'me/somebody"\n')
        self.finds("list files by name", "core/CMakeLists.txt", "file(GLOB" " sources *.cc)\n")
        self.finds("does not sleep", "tests/unit/a.cc", "usle" "ep(10);\n")


if __name__ == "__main__":
    unittest.main()
