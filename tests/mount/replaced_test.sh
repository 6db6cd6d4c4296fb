#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is replaced, moved or removed in the source while programs know it, have it open or are in it: a path is
# looked up once more and leads to what is there, who holds an object goes on or is told ESTALE, and nobody
# is shown another one, also where the file system gives the inode number to the next object at once (XFS).
# EVENFS_SEED repeats a run's choices.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
begin replaced
tests=$source_dir/tests/mount
seed=${EVENFS_SEED:-$RANDOM}
rounds=16
[ "$long" = 0 ] || rounds=400
# For what a mode lets be old, and a machine that does something else just then.
patience_ms=2000

status=0
"$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
watched=()
if [ "$status" = 0 ]; then
  watched=(watch "watch --passthrough=off")
  unmount "$mnt"
else
  say "not watched here: $(cat "$tmp/err")"
fi

# played MODE STEPS ARGUMENT...
played() {
  local mode=$1 steps=$2
  shift 2
  bounded 600 python3 -B "$tests/$steps" "$@" >"$tmp/steps.out" 2>&1 ||
    fail "--coherence=$mode: $(cat "$tmp/steps.out")"
  say "--coherence=$mode: $steps"
  cat "$tmp/steps.out"
}
bound_of() { if [ "$1" = strict ]; then say 0; else say $patience_ms; fi; }

mkdir "$tmp/outside"
for mode in "${watched[@]}" ttl=100ms strict; do
  rm -rf "$src" "$tmp/outside"
  mkdir "$src" "$tmp/outside"
  # shellcheck disable=SC2086  # A mode may come with an option.
  start --coherence=$mode
  played "$mode" stale_steps.py "$src" "$mnt" "$tmp/outside" "$(bound_of "$mode")"
  stop
done
# Long before anything is asked for again by its time.
rm -rf "$src"
mkdir "$src"
start --coherence=ttl=1h
played ttl=1h stale_steps.py "$src" "$mnt" "$tmp/outside" 0 replaced_files
stop

if ! command -v mkfs.xfs >/dev/null; then
  say "mkfs.xfs is not installed: numbers that are used again are not tested"
  exit 0
fi
mkdir "$tmp/fs"
truncate -s 320M "$tmp/xfs.img"
mkfs.xfs -q -d agcount=2 "$tmp/xfs.img"
if ! mount -o loop "$tmp/xfs.img" "$tmp/fs" 2>"$tmp/err"; then
  say "XFS cannot be mounted here: numbers that are used again are not tested: $(cat "$tmp/err")"
  exit 0
fi
for mode in "${watched[@]}" ttl=100ms strict; do
  rm -rf "$tmp/fs/source"
  mkdir "$tmp/fs/source"
  # shellcheck disable=SC2086
  mount_evenfs "$tmp/fs/source" "$mnt" --coherence=$mode
  played "$mode" replaced_steps.py "$tmp/fs/source" "$mnt" "$(bound_of "$mode")" "$rounds" "$seed"
  stop
done
unmount "$tmp/fs"
say "replaced: passed"
