#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Pause points are in the programs where the build asks for them, and only there.
# usage: no_pause_points_test.sh PROGRAM ON|OFF
set -euo pipefail

program=$EVENFS_BIN_DIR/$1
expected=0
[ "$2" != ON ] || expected=1
symbols=$(nm --demangle "$program")
grep -q 'evenfs::BasicCache<evenfs::LocklessPolicy>::lookup' <<<"$symbols" ||
  { echo "no symbols in $program, so nothing can be said"; exit 1; }
found=0
if grep -q 'evenfs::pause' <<<"$symbols" || grep -qaF 'lookup.counted' "$program"; then
  found=1
fi
if [ "$found" -ne "$expected" ]; then
  echo "pause points in $program: $found, expected: $expected"
  exit 1
fi
echo "pause points in $program: $found, as it should be"
