#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The statistics count what happened, are found on the root only, and are listed nowhere.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
need getfattr
begin stats

value() { stat_of "$mnt" "$@"; }
no_open_files() { [ "$(value descriptors open_files)" = 0 ]; }

mkdir "$src/dir"
for i in $(seq 20); do echo "$i" >"$src/dir/f$i"; done
start --entry-timeout=0 --attr-timeout=0 --negative-timeout=0 --cache-ttl=inf

for round in 1 2 3; do
  for i in $(seq 20); do stat "$mnt/dir/f$i" >/dev/null; done
done
[ "$(value requests lookup)" -ge 120 ] || fail "lookups: $(value requests lookup)"
# The first round asks the source for each file, the others are answered from the cache.
expect "lookups that asked the source" 21 "$(value counters lookup.store)"
[ "$(value counters lookup.hit)" -ge 99 ] || fail "hits: $(value counters lookup.hit)"
expect "names in the cache" 21 "$(value cache dentries)"
expect "inodes in the cache" 22 "$(value cache inodes)"

for round in 1 2 3; do ! stat "$mnt/nothing" 2>/dev/null || fail "found what is not there"; done
expect "negative answers from the cache" 2 "$(value counters lookup.negative)"
expect "negative names" 1 "$(value cache negative_dentries)"

expect "open files" 0 "$(value descriptors open_files)"
exec 7<"$mnt/dir/f1"
expect "open files" 1 "$(value descriptors open_files)"
before=$(value descriptors total)
exec 7<&-
# The kernel releases a file after close() has returned.
poll 30 no_open_files || fail "open files after the last close: $(value descriptors open_files)"
[ "$(value descriptors total)" -lt "$before" ] || fail "descriptors did not go down"
[ "$(value memory resident_bytes)" -gt 1000000 ] || fail "resident: $(value memory resident_bytes)"
[ "$(value memory cache_bytes)" -gt 0 ] || fail "no memory in use"

! getfattr -d -m - "$mnt" 2>/dev/null | grep -q evenfs || fail "the statistics are listed"
! getfattr -n evenfs.stats "$mnt/dir" >/dev/null 2>&1 || fail "statistics on another inode"

"$bin_dir/evenfs-stat" "$mnt" >"$tmp/table" || fail "evenfs-stat: status $?"
for word in "$src on $mnt" 'lookup hit rate' 'fallback.miss' 'descriptors:'; do
  grep -q -e "$word" "$tmp/table" || fail "the table does not say '$word'"
done
status=0
"$bin_dir/evenfs-stat" "$src" >"$tmp/out" 2>"$tmp/err" || status=$?
expect "status for something else" 2 "$status"
expect "lines for something else" 1 "$(wc -l <"$tmp/err")"

# --watch shows rates from the second table on.
exec {watch}< <(exec timeout 20 "$bin_dir/evenfs-stat" "$mnt" --watch 0.1)
helpers+=($!)
grep -m 1 -q '/s' <&"$watch" || fail "no rates with --watch"
kill "${helpers[0]}"
exec {watch}<&-
stop
echo "stats: passed"
