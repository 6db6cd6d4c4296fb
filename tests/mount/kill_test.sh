#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon is killed while programs write: what they were told is safe (fsync of the file, rename, fsync
# of the directory) is in the source, programs get an error and end, the mount can be taken away and
# mounted again, and shows the same.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
begin kill

steps=$source_dir/tests/mount/kill_steps.py
writers=(1 2 3)
rounds=3
if [ "$long" = 1 ]; then rounds=30; fi

# All have had so many more files acknowledged.
all_have() {
  local n
  for n in "${writers[@]}"; do
    [ "$(wc -l <"$tmp/acked.$n")" -ge "$1" ] || return 1
  done
}

for n in "${writers[@]}"; do : >"$tmp/acked.$n"; done
wanted=0
for round in $(seq $rounds); do
  policies=(lockless sharded rwlock mutex)
  start --locking="${policies[$((round % 4))]}"
  running=()
  for n in "${writers[@]}"; do
    python3 -B "$steps" write "$mnt" "$n" "$tmp/acked.$n" 2>"$tmp/writer.$n.log" &
    running+=($!)
    helpers+=($!)
  done
  wanted=$((wanted + 15 + round * 3))
  poll $hang_limit all_have $wanted || fail "the writers do not get on: $(cat "$tmp"/writer.*.log)"
  disown "$daemon"  # The shell shall not report it.
  kill -KILL "$daemon"
  for pid in "${running[@]}"; do
    poll $hang_limit gone "$pid" || fail "a writer hangs after the daemon was killed"
    wait "$pid" || fail "a writer: $(cat "$tmp"/writer.*.log)"
  done
  poll $hang_limit gone "$daemon" || fail "the daemon does not die"
  mounted "$mnt" || fail "the dead mount is gone by itself"
  unmount "$mnt"
  unset "daemon_of[$mnt]"
  ! mounted "$mnt" || fail "it cannot be taken away"
  python3 -B "$steps" verify "$src" "$tmp"/acked.* || fail "what was acknowledged is not in the source"
  start
  bounded 60 python3 -B "$steps" verify "$mnt" "$tmp"/acked.* || fail "the new mount does not show it"
  stop
done
say "killed $rounds times; $(cat "$tmp"/acked.* | wc -l) acknowledged files are there"
