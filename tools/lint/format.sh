#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Says which C++ files clang-format would change; with --fix, changes them.
# Status 1 if there are any, 77 (skipped) where clang-format is not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v clang-format >/dev/null; then
  echo "SKIPPED: clang-format is not installed"
  exit 77
fi
# Each version formats a little differently; this is the one of Debian 12.
version=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
if [ "$version" != 14 ]; then
  echo "SKIPPED: clang-format is version $version, the sources follow 14"
  exit 77
fi
mapfile -t files < <(find core fusefs tests tools \( -name '*.cc' -o -name '*.h' \) | sort)
[ ${#files[@]} -gt 0 ] || { echo "no C++ files found"; exit 1; }

if [ "${1:-}" = --fix ]; then
  exec clang-format -i "${files[@]}"
fi
status=0
for file in "${files[@]}"; do
  if ! clang-format "$file" | cmp -s "$file" -; then
    echo "$file: clang-format would change it; run tools/lint/format.sh --fix"
    status=1
  fi
done
exit "$status"
