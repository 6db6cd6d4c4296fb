#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is mounted in the source and unmounted there while programs look: ext4, XFS, tmpfs, another part of the
# same file system, a file. It is seen, what changes in it is seen, what it covered is seen again, and nobody is
# shown a mixture.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
begin submounts
tests=$source_dir/tests/mount

status=0
"$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
modes=(watch ttl=100ms)
if [ "$status" = 0 ]; then
  unmount "$mnt"
else
  say "not watched here: $(cat "$tmp/err")"
  modes=(ttl=100ms)
fi

# who DIRECTORY NAME: as submounts_steps.py knows it.
who() {
  printf %s "$2" >"$1/who"
  printf %s "$2" >"$1/of-$2"
}
make_ext4() {
  truncate -s 32M "$tmp/ext4.img" && mkfs.ext4 -q "$tmp/ext4.img" && mount -o loop "$tmp/ext4.img" "$1"
}
make_xfs() {
  truncate -s 320M "$tmp/xfs.img" && mkfs.xfs -q "$tmp/xfs.img" && mount -o loop "$tmp/xfs.img" "$1"
}
make_tmpfs() { mount -t tmpfs -o size=16M tmpfs "$1"; }
make_bind() { mkdir -p "$tmp/bound" && mount --bind "$tmp/bound" "$1"; }

# Each is kept mounted elsewhere, so that what was mounted in the source can be changed when it is not there.
kinds=()
for kind in ext4 xfs tmpfs bind; do
  mkdir "$tmp/$kind"
  if "make_$kind" "$tmp/$kind" >"$tmp/$kind.log" 2>&1; then
    kinds+=("$kind")
    who "$tmp/$kind" "$kind"
  else
    say "$kind: not made here: $(tail -n 1 "$tmp/$kind.log")"
  fi
done

is() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
listed() { [ "$(ls -I lost+found "$1" 2>/dev/null | tr '\n' ' ')" = "$2" ]; }
seen() {
  local what=$1
  shift
  poll $hang_limit "$@" || fail "$mode: $what"
}
look() {
  python3 -B "$tests/submounts_steps.py" "$mnt/below" "$tmp/tally.$1" 2>"$tmp/looks.$1" &
  helpers+=($!)
}
end_looks() {
  local pid
  for pid in "${helpers[@]}"; do
    ! gone "$pid" || fail "$mode: a reader ended: $(cat "$tmp"/looks.*)"
    kill "$pid"
    wait "$pid" 2>/dev/null || true
  done
  helpers=()
  [ -s "$tmp/tally.1" ] && [ -s "$tmp/tally.2" ] || fail "$mode: nobody has looked"
}

# one KIND: mounts it, changes it there, mounts something in it, and takes all away again.
one() {
  local kind=$1 names="of-$1 who "
  mount --bind "$tmp/$kind" "$src/below"
  seen "$kind is mounted, and not seen" is "$mnt/below/who" "$kind"
  seen "what is in $kind is not listed" listed "$mnt/below" "$names"
  printf %s changed >"$tmp/new"
  cp "$tmp/new" "$src/below/x" && mv "$src/below/x" "$src/below/y"
  seen "what changes in $kind is not seen" is "$mnt/below/y" changed
  printf %s changed-again >"$src/below/y"
  seen "what is written in $kind is not seen" is "$mnt/below/y" changed-again
  printf %s written >"$mnt/below/y"
  is "$src/below/y" written || fail "$mode: what is written in the mount is not in $kind"
  mkdir "$src/below/deeper"
  seen "a directory in $kind is not seen" test -d "$mnt/below/deeper"
  mount -t tmpfs tmpfs "$src/below/deeper"
  : >"$src/below/deeper/in"
  seen "what is mounted in $kind is not seen" test -e "$mnt/below/deeper/in"
  umount -l "$src/below/deeper"  # evenfs keeps it busy, as the next.
  seen "what was unmounted in $kind is seen" test ! -e "$mnt/below/deeper/in"
  ! umount "$src/below" 2>/dev/null || fail "$mode: $kind is not in use, and was looked at"
  rm "$src/below/y"
  rmdir "$src/below/deeper"
  umount -l "$src/below"
  seen "$kind was unmounted, and is seen" is "$mnt/below/who" covered
  seen "what $kind covered is not listed" listed "$mnt/below" "of-covered who "
}
for mode in "${modes[@]}"; do
  rm -rf "$src"
  mkdir -p "$src/below"
  who "$src/below" covered
  : >"$src/file"
  rm -f "$tmp"/tally.*
  start --coherence="$mode"
  look 1
  look 2
  for kind in "${kinds[@]}"; do one "$kind"; done
  end_looks
  # A file on a file.
  is "$mnt/file" "" || fail "$mode: an empty file is not empty"
  mount --bind "$tmp/tmpfs/who" "$src/file"
  seen "a file that was mounted is not seen" is "$mnt/file" tmpfs
  umount -l "$src/file"
  seen "a file that was unmounted is seen" is "$mnt/file" ""
  stop
  say "--coherence=$mode: ${kinds[*]}"
done

for kind in "${kinds[@]}"; do unmount "$tmp/$kind"; done
say "submounts: passed"
