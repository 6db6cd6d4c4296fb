#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Eight threads of statloop and four mutators, with timeouts of 0: no wrong answer and no unexpected
# errno. Afterwards, once the kernel has been made to drop its caches, it holds no inode of ours and
# no lookup count is left over. Also with processes, and with the default timeouts.
# 5 s in lockless and 2 s in the others; long (EVENFS_LONG=1): 60 s and 10 s.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
begin statloop_mount
[ -x "$bin_dir/statloop" ] || fail "no statloop in $bin_dir"

zero=(--entry-timeout=0 --attr-timeout=0 --negative-timeout=0)
main_seconds=$((long == 1 ? 60 : 5))
side_seconds=$((long == 1 ? 10 : 2))

# loop SECONDS SET OPTION...: on the mount; shows the result, fails on any finding.
loop() {
  local seconds=$1 set=$2 status=0
  shift 2
  bounded $((seconds + 100)) "$bin_dir/statloop" --seconds="$seconds" --set="$set" \
    --op=mix "$@" "$mnt" >"$tmp/statloop.log" 2>&1 || status=$?
  cat "$tmp/statloop.log"
  [ "$status" -eq 0 ] || fail "statloop ended with status $status"
  [ -z "$(ls -A "$src")" ] || fail "files are left in the backing directory"
}

nothing_held() {
  drop_kernel_caches && [ "$(stat_of "$mnt" cache kernel_lookups)" = 0 ] &&
    [ "$(stat_of "$mnt" cache kernel_inodes)" = 0 ]
}

# The kernel forgets in the background, so this asks again until it has, for 30 s at most.
balanced() {
  if ! drop_kernel_caches; then
    say "lookup counts: not checked, /proc/sys/vm/drop_caches is not writable"
    return
  fi
  poll 30 nothing_held || fail "the kernel dropped its caches, but still held:" \
    "$(stat_of "$mnt" cache kernel_inodes) inodes," \
    "$(stat_of "$mnt" cache kernel_lookups) lookups"
  say "lookup counts: all given back"
}

mount_evenfs "$src" "$mnt" "${zero[@]}"
loop "$main_seconds" mix --threads=8 --mutators=4 --files=200
balanced
loop "$side_seconds" one-file --processes=4 --mutators=4
balanced
umount_evenfs "$mnt"

for locking in sharded rwlock mutex; do
  mount_evenfs "$src" "$mnt" "${zero[@]}" --locking=$locking
  loop "$side_seconds" mix --threads=8 --mutators=4 --files=200
  balanced
  umount_evenfs "$mnt"
done

mount_evenfs "$src" "$mnt"
loop "$side_seconds" mix --threads=8 --mutators=4 --files=200
balanced
umount_evenfs "$mnt"

# As little memory as evenfs takes: names and inodes are evicted while they are asked for.
mount_evenfs "$src" "$mnt" "${zero[@]}" --memory=1M
loop "$side_seconds" one-dir --threads=8 --mutators=4 --files=4000
balanced
umount_evenfs "$mnt"
