#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sources on other file systems: the operations of basic_ops, the lists of acl, handles, on XFS and btrfs in
# loop images, tmpfs, and overlayfs on the file system of the temporary directory. What this machine
# cannot make or mount is named; if that is everything, the test is skipped.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
need mkfs.xfs mkfs.btrfs truncate
begin sources
tests=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
mkdir "$tmp/fs"

make_xfs() {
  truncate -s 320M "$tmp/xfs.img" && mkfs.xfs -q "$tmp/xfs.img" && mount -o loop "$tmp/xfs.img" "$1"
}
make_btrfs() {
  truncate -s 256M "$tmp/btrfs.img" && mkfs.btrfs -q "$tmp/btrfs.img" &&
    mount -o loop "$tmp/btrfs.img" "$1"
}
make_tmpfs() { mount -t tmpfs -o size=256M tmpfs "$1"; }
make_overlay() {
  mkdir -p "$tmp"/{lower,upper,work} &&
    mount -t overlay -o "lowerdir=$tmp/lower,upperdir=$tmp/upper,workdir=$tmp/work" overlay "$1"
}

# on KIND TEST [ARGUMENT...]: runs one of our tests with its files on that file system.
on() {
  local kind=$1 test=$2 status=0
  shift 2
  TMPDIR=$tmp/fs EVENFS_BIN_DIR=$bin_dir EVENFS_LOCKING=lockless \
    bounded 300 "$@" "$tests/$test" >"$tmp/$kind.out" 2>&1 || status=$?
  [ "$status" -eq 0 ] || [ "$status" -eq 77 ] || {
    fail "$kind: $test: status $status: $(tail -n 40 "$tmp/$kind.out")"
  }
  say "$kind: $(tail -n 1 "$tmp/$kind.out")"
}

tested=0
for kind in xfs btrfs tmpfs overlay; do
  if ! "make_$kind" "$tmp/fs" >"$tmp/$kind.log" 2>&1; then
    say "$kind: not made here: $(tail -n 1 "$tmp/$kind.log")"
    continue
  fi
  on $kind basic_ops_test.py python3
  on $kind acl_test.sh bash
  # An overlayfs gives out no handles without nfs_export.
  [ $kind = overlay ] || on $kind handles_test.sh bash
  poll 10 try_umount "$tmp/fs" || fail "umount of $kind: $(cat "$tmp/umount.log")"
  tested=$((tested + 1))
done
[ "$tested" -gt 0 ] || skip "no other file system can be mounted here"
echo "sources: $tested file systems passed"
