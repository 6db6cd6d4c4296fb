#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Random operations of four processes with different rights, in a plain directory and in a mount,
# must have equal outcomes and leave equal trees (tests/differential/). First the tester must show
# that it finds a difference where there is one, and none where there is none.
# Quick: 20,000 operations over six kinds of mounts; long (EVENFS_LONG=1): 1,000,000.
# EVENFS_SEED: the first seed, 1 by default. EVENFS_WITHOUT: groups to leave out.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin differential

EVENFS_WITHOUT=${EVENFS_WITHOUT-}
differ="$source_dir/tests/differential/differ.py"
seed=${EVENFS_SEED:-1}
plain=$tmp/plain
mkdir "$plain" "$tmp/other"

# All seeds of a configuration: seeds of so many operations.
seeds=1 ops=3340 patience=300
[ "$long" = 1 ] && seeds=34 ops=4902 patience=3000

# run_differ ARGUMENT...: its status; what it says is in $tmp/differ.log.
run_differ() { bounded "$patience" python3 "$differ" --plain "$plain" "$@" >"$tmp/differ.log" 2>&1; }

run_differ --mount "$tmp/other" --seed "$seed" --ops 400 ||
  fail "two plain directories differ: $(cat "$tmp/differ.log")"
status=0
run_differ --mount "$tmp/other" --seed "$seed" --ops 400 --wrong-umask || status=$?
expect "status where one side has another umask" 1 "$status"
grep -q '^A sequence of .* that still differs' "$tmp/differ.log" ||
  fail "no short sequence: $(cat "$tmp/differ.log")"
say "finds a wrong umask, and nothing in two plain directories"

# compare WHAT OPTION...: a mount with these options. Devices and set-id bits as in the plain one.
compare() {
  local what=$1 status=0
  shift
  start -o dev,suid "$@"
  run_differ --mount "$mnt" --source "$src" --seed "$seed" --seeds "$seeds" --ops "$ops" \
    ${EVENFS_WITHOUT:+--without "$EVENFS_WITHOUT"} || status=$?
  [ "$status" -eq 0 ] || fail "$what: status $status: $(cat "$tmp/differ.log")"
  say "$what: $(tail -n 1 "$tmp/differ.log")"
  seed=$((seed + seeds))
  stop
}

zero=(--entry-timeout=0 --attr-timeout=0 --negative-timeout=0)
compare "timeouts 1s"
compare "timeouts 0" "${zero[@]}"
compare "timeouts 0, --memory=1M" "${zero[@]}" --memory=1M
compare "timeouts 0, mutex" "${zero[@]}" --locking=mutex
for locking in sharded rwlock; do
  compare "timeouts 0, $locking, content by evenfs" "${zero[@]}" --locking="$locking" --passthrough=off
done
