#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A source of several file systems and btrfs subvolumes, which give the same numbers to their inodes. The mount
# has one st_dev: who looks for hard links or for loops must not take one object for another.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
begin several_devices

# fill DIRECTORY WORD
fill() {
  mkdir "$1/d"
  printf %s "$2" >"$1/f"
  ln "$1/f" "$1/g"
  printf %s "$2" >"$1/d/f"
  ln "$1/d/f" "$1/h"
  # More than one request lists.
  mkdir "$1/many"
  touch "$1/many/with_a_long_name_"{001..300}
}
fill "$src" top
for n in 1 2; do
  mkdir "$src/tmpfs$n"
  mount -t tmpfs -o size=4M tmpfs "$src/tmpfs$n"
  fill "$src/tmpfs$n" "tmpfs$n"
done
mkdir "$src/btrfs"
if truncate -s 128M "$tmp/btrfs.img" && mkfs.btrfs -q "$tmp/btrfs.img" >/dev/null 2>&1 &&
  mount -o loop "$tmp/btrfs.img" "$src/btrfs" 2>/dev/null; then
  for n in 1 2; do
    btrfs subvolume create "$src/btrfs/part$n" >/dev/null
    fill "$src/btrfs/part$n" "part$n"
  done
else
  say "btrfs: not made here"
fi

for transport in auto fd; do
  start --transport=$transport
  python3 -B "$source_dir/tests/mount/several_devices_steps.py" "$src" "$mnt" || fail "numbers ($transport)"
  drop_kernel_caches || true
  # Both look for hard links by (st_dev, st_ino).
  mkdir "$tmp/copy" "$tmp/unpacked"
  cp -a "$mnt/." "$tmp/copy" || fail "cp"
  tar -C "$mnt" -cf - . | tar -C "$tmp/unpacked" -xf - || fail "tar"
  for at in copy unpacked; do
    bounded 60 diff -r "$src" "$tmp/$at" || fail "what was copied is not what is there ($at)"
    [ "$tmp/$at/tmpfs2/f" -ef "$tmp/$at/tmpfs2/g" ] || fail "a hard link became a copy ($at)"
  done
  expect "names that find sees" "$(find "$src" | wc -l)" "$(find "$mnt" 2>"$tmp/err" | wc -l)"
  [ ! -s "$tmp/err" ] || fail "find: $(cat "$tmp/err")"
  stop
  rm -rf "$tmp/copy" "$tmp/unpacked"
done
say "several_devices: passed"
