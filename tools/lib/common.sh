# SPDX-License-Identifier: LGPL-2.1-or-later
# Shared by the entry scripts (deps, mount, test). Sourced by bash with `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
deps_dir=$(realpath -m "${EVENFS_DEPS:-$root/build/deps}")
log_dir=$root/build/logs
me=${0##*/}

say() { printf '%s: %s\n' "$me" "$*" >&2; }

die() {
  say "$@"
  exit 2
}

# run_logged LOG COMMAND...: long output goes to build/logs/LOG; its end is shown only on failure.
run_logged() {
  local log=$log_dir/$1 rc=0
  shift
  mkdir -p "$log_dir"
  "$@" >"$log" 2>&1 </dev/null 9>&- || rc=$?  # 9: the lock of tools/deps is not for children.
  if [ "$rc" -ne 0 ]; then
    say "failed (status $rc): $*"
    tail -n 25 "$log" >&2
    say "whole log: $log"
  fi
  return "$rc"
}

# build PRESET [TARGET...]: configures if that was never done or the private libfuse or the presets
# are newer, and builds. Quiet unless it fails.
build() {
  local preset=$1 target=()
  shift
  [ $# -eq 0 ] || target=(--target "$@")
  local dir=$root/build/$preset
  local stamp=$dir/.configured
  # The cache's own time does not do: CMake leaves it alone if nothing in it changes.
  if [ ! -e "$dir/build.ninja" ] || [ "$deps_dir/fuse/.built-by" -nt "$stamp" ] ||
    [ "$root/CMakePresets.json" -nt "$stamp" ] ||
    ! grep -qsxF "EVENFS_DEPS_DIR:INTERNAL=$deps_dir" "$dir/CMakeCache.txt"; then
    (cd "$root" && run_logged "$preset.configure.log" cmake --preset "$preset") || return
    touch "$stamp"
  fi
  (cd "$root" && run_logged "$preset.build.log" cmake --build --preset "$preset" "${target[@]}")
}
