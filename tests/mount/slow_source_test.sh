#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Over a source that takes 20 ms for each request: who asks for what is cached does not wait with those who ask
# for what is not, however many they are.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin slow_source

slow=$tmp/slow seconds=$((long == 1 ? 10 : 3))
mkdir "$slow" "$src/missing"
"$bin_dir/delayfs" -f "$src" "$slow" --delay=20ms >"$tmp/delayfs.out" 2>&1 &
helpers+=($!)
delayfs=$!
poll $hang_limit mounted "$slow" || fail "no slow source: $(cat "$tmp/delayfs.out")"

mount_evenfs "$slow" "$mnt" --entry-timeout=0 --attr-timeout=0 --negative-timeout=0 --cache-ttl=inf --threads=2
expect "transport over a source that is a program" fd "$(stat_of "$mnt" options transport)"

# loop ARGUMENT...: its operations per second.
loop() {
  bounded 120 "$bin_dir/statloop" --files 10 "$@" "$mnt" --json "$tmp/loop.json" >"$tmp/loop.log" 2>&1 ||
    fail "statloop: $(tail -n 5 "$tmp/loop.log")"
  python3 -c 'import json, sys; print(int(json.load(open(sys.argv[1]))["ops_per_second"]))' "$tmp/loop.json"
}

# ask_for_what_is_not_there NUMBER: another name each time.
ask_for_what_is_not_there() {
  exec python3 - "$mnt/missing" "$1" <<'PYTHON'
import os, sys
asked = 0
while True:
    try:
        os.stat(f"{sys.argv[1]}/{sys.argv[2]}.{asked}")
    except FileNotFoundError:
        asked += 1
PYTHON
}

alone=$(loop --seconds "$seconds" --keep)
askers=()
for i in $(seq 12); do
  ask_for_what_is_not_there "$i" &
  askers+=($!)
  helpers+=($!)
done
asking() { [ "$(stat_of "$mnt" threads)" -ge 10 ]; }
poll $hang_limit asking || fail "nobody stands in for threads that are held up: $(stat_of "$mnt" threads)"
beside=$(loop --seconds "$seconds" --no-create)
kill "${askers[@]}"
wait "${askers[@]}" 2>/dev/null || true
say "stats per second: $alone alone, $beside beside 12 who wait for the source"
# Mostly it is above 0.8 of it, but 0.3 was seen beside other tests. Who waits with them does some hundred.
[ $((beside * 10)) -ge "$alone" ] || fail "hits wait with misses"

# Then the threads go that are not needed any more.
few() { [ "$(stat_of "$mnt" threads)" -le 3 ]; }
poll $hang_limit few || fail "$(stat_of "$mnt" threads) threads are left"
umount_evenfs "$mnt"
umount "$slow"
poll $hang_limit gone "$delayfs" || fail "delayfs still runs"
