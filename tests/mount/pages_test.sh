#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The kernel keeps the pages of a file from one open to the next, unless somebody has changed it in the
# source: then the next open shows the change, also where size and modification time are as before. Where the
# kernel reads the source's file by itself there are no pages of the mount's to keep.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin pages

# Changes the file in the source in place.
change() {
  printf 'content %03d' "$1" >"$tmp/new"
  dd if="$tmp/new" of="$src/f" conv=notrunc status=none
  touch -d @1000000000 "$src/f"
}
# Whether another open does without a READ. The first ones may not: a file that was changed just now could
# change again within the same tick of the clock.
kept() {
  local before
  before=$(stat_of "$mnt" requests read)
  [ -n "$(<"$mnt/f")" ] && [ "$(stat_of "$mnt" requests read)" = "$before" ]
}

# changes_show WHAT [OPTION...]
changes_show() {
  local what=$1 round i
  shift
  change 0
  start --cache-ttl=inf --passthrough=off "$@"
  expect "content, $what" "content 000" "$(<"$mnt/f")"
  for round in 1 2 3; do
    poll 30 kept || fail "a file at rest is read again at each open ($what)"
    for i in $(seq 100); do
      change "$i"
      expect "content, $what" "$(printf 'content %03d' "$i")" "$(<"$mnt/f")"
    done
  done
  poll 30 kept || fail "a file at rest is read again at each open ($what)"
  stop
}
changes_show "access times by the source's rule"
# By relatime a change makes the next read move the time, and pages are dropped for that alone.
changes_show "no access times" -o noatime

# Where each read moves the access time, pages are not kept: what is read from them would not move it.
mkdir "$tmp/strict"
mount -t tmpfs -o strictatime,size=1M tmpfs "$tmp/strict"
echo content >"$tmp/strict/f"
mount_evenfs "$tmp/strict" "$mnt" --cache-ttl=inf
settled() { [ $(($(date +%s) - $(stat -c %Z "$tmp/strict/f"))) -gt 3 ]; }
moved() {
  expect "content" content "$(<"$mnt/f")"
  [ "$(stat -c %x "$tmp/strict/f")" != "$last" ]
}
expect "content" content "$(<"$mnt/f")"
poll 30 settled || fail "the clock stands still"
for round in 1 2 3; do
  last=$(stat -c %x "$tmp/strict/f")
  poll 10 moved || fail "reading again moved no access time where each read does (round $round)"
done
umount_evenfs "$mnt"
echo "pages: 600 changes were seen at the next open"
