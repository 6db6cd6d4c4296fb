#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A source that goes: its file system unmounted lazily and mounted again, or failing under the mount; its top
# renamed, removed, and another one put in its place. No call hangs, each error is the source's, and what
# docs/coherence.md says of it holds.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
need mkfs.ext4 losetup truncate
begin source_gone
call_limit=20  # Seconds for one call that nobody holds up.

status=0
"$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
modes=(watch ttl=100ms strict)
if [ "$status" = 0 ]; then
  unmount "$mnt"
else
  say "not watched here: $(cat "$tmp/err")"
  modes=(ttl=100ms strict)
fi

# call WHAT COMMAND...: it must end in time. Status and $said are the command's.
call() {
  local what=$1 status=0
  shift
  bounded $call_limit "$@" >"$tmp/said" 2>&1 || status=$?
  said=$(cat "$tmp/said")
  [ $status -ne 124 ] && [ $status -ne 137 ] || fail "$mode: $what hangs"
  return $status
}
is() { [ "$(bounded $call_limit cat "$1" 2>/dev/null)" = "$2" ]; }
none() { ! bounded $call_limit test -e "$1"; }
# seen WHAT COMMAND...: within what the mode allows, and some patience.
seen() {
  local what=$1
  shift
  poll $hang_limit "$@" || fail "$mode: $what"
}
# fails ERROR WHAT COMMAND...
fails() {
  local error=$1 what=$2
  shift 2
  ! call "$what" "$@" || fail "$mode: $what succeeds: $said"
  case $said in
    *"$error"*) ;;
    *) fail "$mode: $what: wanted '$error', got '$said'" ;;
  esac
}

# --- The top is renamed, another directory gets its name: the mount is of the directory, not of the name.
for mode in "${modes[@]}"; do
  rm -rf "$src" "$tmp/moved"
  mkdir -p "$src/d" "$src/below"
  echo one >"$src/d/f"
  : >"$src/below/covered"
  start --coherence="$mode"
  is "$mnt/d/f" one || fail "$mode: the mount does not show the source"
  ls "$mnt/below" >/dev/null
  mv "$src" "$tmp/moved"
  mkdir -p "$src/d"
  echo another >"$src/d/f"
  echo two >"$tmp/moved/d/f"
  seen "what changes in the directory that was renamed is not seen" is "$mnt/d/f" two
  echo three >"$mnt/d/new"
  is "$tmp/moved/d/new" three || fail "$mode: what is made in the mount is not in the renamed directory"
  mount -t tmpfs tmpfs "$tmp/moved/below"
  seen "what is mounted in the directory that was renamed is not seen" none "$mnt/below/covered"
  stop
  umount "$tmp/moved/below"
done
say "a source that is renamed: followed"

# --- The top is removed, and another one made: there is nothing in the mount, until it is made anew.
for mode in "${modes[@]}"; do
  rm -rf "$src"
  mkdir -p "$src/d"
  echo one >"$src/d/f"
  start --coherence="$mode"
  is "$mnt/d/f" one || fail "$mode: the mount does not show the source"
  exec 7<"$mnt/d/f"
  rm -rf "$src"
  mkdir "$src"
  echo another >"$src/f"
  seen "what was removed is seen" none "$mnt/d"
  none "$mnt/f" || fail "$mode: what is in the new directory is seen"
  call "a listing" ls -A "$mnt" || fail "$mode: a listing: $said"
  expect "$mode: what is listed" "" "$said"
  call "stat" stat "$mnt" || fail "$mode: stat: $said"
  call "df" df "$mnt" || fail "$mode: df: $said"
  fails "No such file or directory" "making a file" touch "$mnt/f"
  expect "$mode: who has a file open" one "$(bounded $call_limit cat <&7)"
  exec 7<&-
  stop
  start --coherence="$mode"
  is "$mnt/f" another || fail "$mode: a new mount does not show what is there now"
  stop
done
say "a source that is removed: an empty directory"

# --- Its file system.
mkdir "$tmp/fs"
truncate -s 32M "$tmp/ext4.img"
mkfs.ext4 -q "$tmp/ext4.img"
if ! mount -o loop "$tmp/ext4.img" "$tmp/fs" 2>"$tmp/err"; then
  say "no file system can be mounted from an image here: $(cat "$tmp/err")"
  exit 0
fi
image_free() { [ -z "$(losetup -j "$tmp/ext4.img")" ]; }
device=$(losetup -j "$tmp/ext4.img" | cut -d: -f1)

for mode in "${modes[@]}"; do
  mountpoint -q "$tmp/fs" || mount -o loop "$tmp/ext4.img" "$tmp/fs"
  device=$(losetup -j "$tmp/ext4.img" | cut -d: -f1)
  rm -rf "$tmp/fs/source"
  mkdir -p "$tmp/fs/source/d"
  echo one >"$tmp/fs/source/d/f"
  mount_evenfs "$tmp/fs/source" "$mnt" --coherence="$mode"
  is "$mnt/d/f" one || fail "$mode: the mount does not show the source"
  fails busy "umount of the source's file system" umount "$tmp/fs"
  umount -l "$tmp/fs"
  is "$mnt/d/f" one || fail "$mode: a source that was unmounted lazily is not there"
  echo two >"$mnt/d/f"
  echo new >"$mnt/d/new"
  is "$mnt/d/f" two || fail "$mode: nothing can be written to a source that was unmounted lazily"
  mount "$device" "$tmp/fs"  # The same file system: it is still in use.
  is "$tmp/fs/source/d/new" new || fail "$mode: what was made meanwhile is not there"
  echo three >"$tmp/fs/source/d/f"
  seen "what changes in what was mounted again is not seen" is "$mnt/d/f" three
  umount "$tmp/fs"  # Not busy: that mount is nobody's.
  stop
  poll $hang_limit image_free || fail "$mode: the file system is still in use when evenfs has ended"
done
say "a source that is unmounted lazily: in use until the end, and the same when it is mounted again"

# --- It fails, as a disk does that is pulled out: each call that needs it says so.
shut_down() {
  python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))' "$1"
}
for mode in "${modes[@]}"; do
  mount -o loop "$tmp/ext4.img" "$tmp/fs"
  rm -rf "$tmp/fs/source"
  mkdir -p "$tmp/fs/source/d"
  echo one >"$tmp/fs/source/d/f"
  sync -f "$tmp/fs"
  mount_evenfs "$tmp/fs/source" "$mnt" --coherence="$mode"
  is "$mnt/d/f" one || fail "$mode: the mount does not show the source"
  shut_down "$tmp/fs"
  fails "Input/output error" "making a file" touch "$mnt/d/new"
  fails "Input/output error" "making a directory" mkdir "$mnt/d/newer"
  fails "Input/output error" "writing a file" bash -c 'echo two >"$1"' - "$mnt/d/f"
  call "a listing" ls -l "$mnt/d" || true
  call "find" find "$mnt" || true
  call "stat" stat "$mnt/d/f" || true
  stop
  umount "$tmp/fs"
  mount -o loop "$tmp/ext4.img" "$tmp/fs"
  mount_evenfs "$tmp/fs/source" "$mnt" --coherence="$mode"
  is "$mnt/d/f" one || fail "$mode: a new mount of what was repaired does not show it"
  stop
  unmount "$tmp/fs"
done
say "a source that fails: its errors"
say "source_gone: passed"
