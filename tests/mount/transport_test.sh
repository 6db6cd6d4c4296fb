#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --transport: what is chosen and what is said of it, with FUSE over io_uring turned off and on in the kernel;
# and that a mount over io_uring does and ends as one over /dev/fuse does, by the tests that are about that.
# Turns the kernel's switch, and leaves it as it was.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin transport

switch=/sys/module/fuse/parameters/enable_uring
[ -e $switch ] || skip "this kernel has no FUSE over io_uring"
before=$(cat $switch)
turn() { { echo "$1" >$switch; } 2>/dev/null; }
turn Y || skip "$switch cannot be written"
# In front of what mount_lib does at the end.
trap 'turn "$before"; cleanup' EXIT

# chosen WANTED OPTION...: mounts with these options; the transport must be that.
chosen() {
  local wanted=$1
  shift
  start "$@"
  expect "transport of: $*" "$wanted" "$(stat_of "$mnt" options transport)"
}

touch "$src"/{one,two,three}
turn N
chosen fd --transport=uring
expect "lines about a kernel that has it turned off" 1 "$(wc -l <"$mnt.log")"
grep -q "to turn it on: echo Y > $switch" "$mnt.log" || fail "it says: $(cat "$mnt.log")"
expect "files by /dev/fuse instead" 3 "$(find "$mnt" -type f | wc -l)"
expect "threads of rings" 0 "$(stat_of "$mnt" ring_threads)"
: >"$mnt.log"
stop
chosen fd
stop

turn Y
local_type=$(stat -f -c %T "$src")
case $local_type in
  ext2/ext3 | xfs | btrfs | tmpfs) chosen uring ;;
  *) chosen fd ;;
esac
# A file system in a program may take its time: ours, for example.
mount_evenfs "$mnt" "$tmp/upper"
expect "transport over a mount of evenfs" fd "$(stat_of "$tmp/upper" options transport)"
umount_evenfs "$tmp/upper"
daemon=${daemon_of[$mnt]}
stop
chosen fd --transport=fd
stop

chosen uring --transport=uring --entry-timeout=0 --attr-timeout=0 --negative-timeout=0
head -c 5000000 /dev/urandom >"$tmp/data"
cp "$tmp/data" "$mnt/data"
drop_kernel_caches 3 || true
cmp "$tmp/data" "$mnt/data" || fail "what was read is not what was written"
cmp "$tmp/data" "$src/data" || fail "what is in the source is not what was written"
for i in $(seq 50); do stat "$mnt/one" "$mnt/two" >/dev/null; done
! stat "$mnt/none" >/dev/null 2>&1 || fail "a name that is not there is found"
lookups=$(stat_of "$mnt" requests lookup)
[ "$lookups" -ge 101 ] || fail "only $lookups lookups are counted"
[ "$(stat_of "$mnt" ring_threads)" -ge 1 ] || fail "no ring has answered"
[ "$(stat_of "$mnt" counters lookup.hit)" -ge 90 ] || fail "the cache has not answered"
stop

# Each by itself, in a shell and a directory of its own.
for test in mount/basic_ops_test.py mount/set_id_test.sh mount/kill_test.sh shutdown/shutdown_test.sh; do
  interpreter=bash
  [ "${test##*.}" = sh ] || interpreter=python3
  EVENFS_OPTIONS=--transport=uring EVENFS_LOCKING=lockless EVENFS_SHORT=1 EVENFS_BIN_DIR=$bin_dir TMPDIR=$tmp \
    $interpreter "$source_dir/tests/$test" >"$tmp/test.log" 2>&1 ||
    fail "$test over io_uring: $(cat "$tmp/test.log")"
  say "over io_uring: $test: $(tail -n 1 "$tmp/test.log")"
done
