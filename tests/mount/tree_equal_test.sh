#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A mounted tree lists and stats as its source does: with the default timeouts, alone and by eight
# processes at once, and in each locking policy with timeouts of 0, where each answer is ours.
# Quick: some twenty thousand names of /usr; long (EVENFS_LONG=1): all of it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
begin tree_equal

subtrees=(.)
if [ "$long" != 1 ]; then
  subtrees=()
  for candidate in include share/doc share/perl share/zoneinfo bin; do
    [ ! -d "/usr/$candidate" ] || subtrees+=("$candidate")
    [ "$(cd /usr && find "${subtrees[@]}" | wc -l)" -lt 18000 ] || break
  done
fi
list_tree /usr "${subtrees[@]}" >"$tmp/source"
say "$(wc -l <"$tmp/source") names: ${subtrees[*]}"
[ "$(wc -l <"$tmp/source")" -ge 100 ] || fail "too few names in /usr to show anything"
patience=$((long == 1 ? 600 : 100))

# compare LISTING: against what the source says now, since something may have changed it.
compare() {
  cmp -s "$tmp/source" "$1" && return
  list_tree /usr "${subtrees[@]}" >"$tmp/source"
  cmp -s "$tmp/source" "$1" && return
  diff "$tmp/source" "$1" | head -n 10
  fail "${1##*/} differs from the source"
}

export -f list_tree
# list_mount NAME: as its own process, so that a hang can be ended.
list_mount() {
  bounded "$patience" bash -c 'list_tree "$@"' - "$mnt" "${subtrees[@]}" >"$tmp/$1" ||
    fail "find in the mount: status $?"
}

mount_evenfs /usr "$mnt"
list_mount alone
compare "$tmp/alone"
pids=()
for i in 1 2 3 4 5 6 7 8; do
  list_mount "eight.$i" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
for i in 1 2 3 4 5 6 7 8; do compare "$tmp/eight.$i"; done
umount_evenfs "$mnt"
say "default timeouts: equal, alone and eight at once"

for locking in lockless sharded rwlock mutex; do
  mount_evenfs /usr "$mnt" --locking="$locking" --entry-timeout=0 --attr-timeout=0
  [ "$(stat_of "$mnt" options locking)" = "$locking" ] || fail "the daemon is not $locking"
  list_mount "$locking"
  compare "$tmp/$locking"
  umount_evenfs "$mnt"
  say "timeouts 0, $locking: equal"
done
