#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `cmake --install` puts into a prefix, which is then moved: the programs for users and no
# others, the documents, and a daemon that does not need the build tree. Nothing is mounted.
set -euo pipefail

fail() {
  echo "FAIL: $*"
  exit 1
}

build=$(cd "${EVENFS_BIN_DIR:?}/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
prefix=$tmp/moved

cmake --install "$build" --prefix "$tmp/first" >"$tmp/log" 2>&1 ||
  fail "cmake --install: $(grep -v '^$' "$tmp/log" | tail -n 8)"
mv "$tmp/first" "$prefix"

programs=$(cd "$prefix/bin" && echo *)
[ "$programs" = "evenfs evenfs-stat" ] || fail "bin/ holds: $programs"
for document in LICENSE README.md docs/design.md docs/protocol.md; do
  found=$(find "$prefix" -path "*/evenfs/$document")
  [ -s "$found" ] || fail "$document is not installed"
done

# The build tree's libfuse may not be there where evenfs is used.
deps=$(sed -n 's/^EVENFS_DEPS_DIR:INTERNAL=//p' "$build/CMakeCache.txt")
[ -n "$deps" ] || fail "where is libfuse? CMakeCache.txt does not say"
ldd "$prefix/bin/evenfs" >"$tmp/libraries"
grep -q 'libfuse3\.so.* => /' "$tmp/libraries" || fail "no libfuse: $(cat "$tmp/libraries")"
! grep -F "$deps/" "$tmp/libraries" || fail "it needs the build tree"
"$prefix/bin/evenfs" --version >"$tmp/version" || fail "evenfs --version: status $?"
grep -q '^libfuse 3\.' "$tmp/version" || fail "evenfs --version: $(cat "$tmp/version")"
"$prefix/bin/evenfs-stat" --help >/dev/null || fail "evenfs-stat --help: status $?"
