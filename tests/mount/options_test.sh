#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Wrong command lines are one clear line and status 2 with nothing mounted; right ones do what
# they say, on the command line and behind -o, and as mount(8) calls a helper.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin options
evenfs=$bin_dir/evenfs

# refused PATTERN ARGUMENT...
refused() {
  local pattern=$1 status=0
  shift
  timeout 30 "$evenfs" "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
  expect "status of: evenfs $*" 2 "$status"
  expect "lines of: evenfs $*" 1 "$(wc -l <"$tmp/err")"
  expect "standard output of: evenfs $*" "" "$(cat "$tmp/out")"
  grep -q "^evenfs: .*$pattern" "$tmp/err" || fail "evenfs $*: $(cat "$tmp/err")"
  ! mounted "$mnt" || fail "evenfs $* mounted something"
}

touch "$tmp/file"
mkdir -p "$src/inside" "$tmp/other"
ln -s "$src/inside" "$tmp/link"
mkdir "$tmp/bind" && mount --bind "$src" "$tmp/bind"

refused 'SOURCE and MOUNTPOINT'
refused 'MOUNTPOINT is missing' "$src"
refused 'No such file' "$tmp/nothing" "$mnt"
refused 'not a directory' "$tmp/file" "$mnt"
refused 'No such file' "$src" "$tmp/nothing"
refused 'not a directory' "$src" "$tmp/file"
refused 'inside' "$src" "$src"
refused 'inside' "$src" "$src/inside"
refused 'inside' "$src" "$tmp/link"
refused 'inside' "$src/../src" "$src/./inside"
refused 'inside' "$src" "$tmp/bind"
refused 'inside' "$src" "$tmp/bind/inside"
refused 'inside' / "$mnt"
umount "$tmp/bind"
refused 'not expected' "$src" "$mnt" third
refused 'no-such-option' "$src" "$mnt" --no-such-option
refused 'no_such_option' "$src" "$mnt" -o ro,no_such_option
refused 'memory' "$src" "$mnt" --memory=lots
refused 'memory' "$src" "$mnt" --memory=12Q
refused 'memory' "$src" "$mnt" --memory=-1
refused 'memory' "$src" "$mnt" --memory=1023K
refused 'memory' "$src" "$mnt" --memory=99999999999T
refused 'locking' "$src" "$mnt" --locking=none
refused 'transport' "$src" "$mnt" --transport=pigeon
refused 'transport' "$src" "$mnt" -o transport=
refused 'threads' "$src" "$mnt" --threads=0
refused 'threads' "$src" "$mnt" --threads=4x
refused 'threads' "$src" "$mnt" --threads
refused 'entry-timeout' "$src" "$mnt" --entry-timeout=soon
refused 'entry-timeout' "$src" "$mnt" --entry-timeout=-1
refused 'attr-timeout' "$src" "$mnt" -o attr_timeout=1y
refused 'negative-timeout' "$src" "$mnt" --negative-timeout=
refused 'cache-ttl' "$src" "$mnt" --cache-ttl=1e3
refused 'coherence' "$src" "$mnt" --coherence=ttl=2s..1s
refused 'coherence' "$src" "$mnt" --coherence=ttl=0..1s
refused 'coherence' "$src" "$mnt" --coherence=ttl=1s..
refused 'coherence' "$src" "$mnt" -o coherence=ttl=..1s
refused 'coherence' "$src" "$mnt" --coherence=mostly
refused 'coherence' "$src" "$mnt" --coherence=ttl
refused 'coherence' "$src" "$mnt" -o coherence=ttl=soon
refused 'coherence' "$src" "$mnt" --coherence=
refused 'watch-queue' "$src" "$mnt" --watch-queue=0
refused 'watch-queue' "$src" "$mnt" -o watch_queue=many

# --help and --version, without a mount, on standard output.
"$evenfs" --help >"$tmp/out" 2>"$tmp/err" || fail "--help: status $?"
for word in SOURCE MOUNTPOINT --coherence --entry-timeout --cache-ttl --locking --memory --threads 1G \
  lockless; do
  grep -q -e "$word" "$tmp/out" || fail "--help does not say $word"
done
"$evenfs" --version >"$tmp/out" 2>>"$tmp/err" || fail "--version: status $?"
for word in 'evenfs [0-9]' 'libfuse 3\.' 'liburcu [0-9]'; do
  grep -q "^$word" "$tmp/out" || fail "--version does not say $word"
done
expect "messages of --help and --version" "" "$(cat "$tmp/err")"

# A mount that the system refuses: one line, status 1.
status=0
timeout 30 "$evenfs" "$src" "$mnt" -o context=nonsense >"$tmp/out" 2>"$tmp/err" || status=$?
if [ "$status" = 1 ]; then
  expect "lines of a refused mount" 1 "$(wc -l <"$tmp/err")"
  ! mounted "$mnt" || fail "a refused mount is there"
else
  # Where the system takes that option (SELinux), the mount has to work.
  expect "status" 0 "$status"
  umount "$mnt"
fi

# in_force NAME EXPECTED: the statistics say what is in force.
in_force() { expect "option $1" "$2" "$(stat_of "$mnt" options "$1")"; }

start --entry-timeout=0 --attr-timeout=1500ms --negative-timeout=2m --cache-ttl=inf \
  --locking=sharded --memory=64M --threads=3
in_force entry_timeout_s 0.0
in_force attr_timeout_s 1.5
in_force negative_timeout_s 120.0
in_force cache_ttl_s inf
in_force locking sharded
in_force threads 3
expect "memory limit" $((64 << 20)) "$(stat_of "$mnt" memory limit_bytes)"
stop

# A mode sets the four times; what is given by itself is as it is given.
# times MODE ENTRY ATTR NEGATIVE CACHE
times() {
  in_force coherence "$1"
  in_force entry_timeout_s "$2"
  in_force attr_timeout_s "$3"
  in_force negative_timeout_s "$4"
  in_force cache_ttl_s "$5"
  grep -q "coherence $1)" "$mnt.out" || fail "the start line does not say $1: $(cat "$mnt.out")"
  stop
}
start --coherence=ttl=250ms && times ttl=250ms 0.25 0.25 0.25 0.25
start --coherence=ttl=250ms..5s && times ttl=250ms..5s 5.0 5.0 5.0 5.0
start -o coherence=ttl=5 && times ttl=5s 5.0 5.0 5.0 5.0
start --coherence=strict && times strict 0.0 0.0 0.0 0.0
year=31536000.0
start --coherence=exclusive && times exclusive $year $year $year inf
start --coherence=exclusive --attr-timeout=1 --cache-ttl=2 && times exclusive $year 1.0 $year 2.0
# The default. Whether there is a watch is the system's affair.
start
mode=$(stat_of "$mnt" options coherence)
case $mode in
  watch) times watch $year $year $year inf ;;
  *) times ttl=1s 1.0 1.0 1.0 1.0 ;;
esac
start --coherence=auto
in_force coherence "$mode"
stop
# Whoever says how long everything may serve needs none.
start --entry-timeout=0 --attr-timeout=0 --negative-timeout=0 --cache-ttl=0
grep -q 'no watch: how long answers' "$mnt.out" || fail "why there is no watch: $(cat "$mnt.out")"
times ttl=1s 0.0 0.0 0.0 0.0
if [ "$mode" = watch ]; then
  start -o coherence=watch,watch_queue=100 --cache-ttl=3 --entry-timeout=0 && times watch 0.0 $year $year 3.0
fi
start --cache-ttl=inf --coherence=strict --negative-timeout=3 && times strict 0.0 0.0 3.0 inf

start -o "rw,entry_timeout=0.25,locking=rwlock,noauto,_netdev,x-systemd.automount,user,noatime" \
  -o 'nosuid,nodev,fsname=a\,b'
in_force entry_timeout_s 0.25
in_force locking rwlock
grep -q "^a,b $mnt fuse.evenfs rw,nosuid,nodev,noatime" /proc/self/mounts ||
  fail "mount options: $(grep "$mnt" /proc/self/mounts)"
grep "$mnt" /proc/self/mounts | grep -q default_permissions,allow_other ||
  fail "root's defaults: $(grep "$mnt" /proc/self/mounts)"
stop

start -o ro
expect "writing to a read-only mount" 1 "$({ touch "$mnt/x" || true; } 2>&1 | grep -c Read-only)"
stop

# Access times: an old one moves with the first read (relatime), unless the mount asks for it to stay.
# atimes: the years of the access times behind the mount, after a read and a listing through it.
atimes() {
  touch -a -d 2001-01-01 "$src/read" "$src/listed"
  start -o "$1"
  cat "$mnt/read" >/dev/null && ls "$mnt/listed" >/dev/null
  stop
  stat -c %x "$src/read" "$src/listed" | cut -d- -f1 | paste -sd' '
}
mkdir "$src/listed"
echo text >"$src/read"
: >"$src/listed/name"
year=$(date +%Y)
if atimes rw | grep -qx "$year $year"; then
  expect "access times with noatime" "2001 2001" "$(atimes noatime)"
  expect "access times with nodiratime" "$year 2001" "$(atimes nodiratime)"
else
  say "access times are not kept here: noatime is not tested"
fi
rm -r "$src/read" "$src/listed"

# The mount's own rule, also where the source has another.
# moved SOURCE-OPTION MOUNT-OPTION: which of two reads a second apart, and of a listing, move the time.
moved() {
  local at before after
  mkdir -p "$tmp/tmpfs"
  mount -t tmpfs -o "$1" tmpfs "$tmp/tmpfs"
  mkdir -p "$tmp/tmpfs/dir/sub"
  touch -a -d 2001-01-01 "$tmp/tmpfs/dir"
  echo text >"$tmp/tmpfs/file"
  mount_evenfs "$tmp/tmpfs" "$mnt" -o "$2"
  for at in first second; do
    before=$(stat -c %x "$tmp/tmpfs/file")
    sleep 0.02  # A clock of the kernel's that times are read from has gone on.
    cat "$mnt/file" >/dev/null
    after=$(stat -c %x "$tmp/tmpfs/file")
    [ "$before" = "$after" ] || echo "$at"
    expect "access time in the mount" "$after" "$(stat -c %x "$mnt/file")"
  done
  ls "$mnt/dir" >/dev/null
  stat -c %x "$tmp/tmpfs/dir" | grep -q ^2001 || echo listing
  umount_evenfs "$mnt"
  umount "$tmp/tmpfs"
}
# below TOP-OPTION BELOW-OPTION MOUNT-OPTION: whether a read moves the time on a mount below the source.
below() {
  local before
  mkdir -p "$tmp/tmpfs"
  mount -t tmpfs -o "$1" tmpfs "$tmp/tmpfs"
  mkdir "$tmp/tmpfs/below"
  mount -t tmpfs -o "$2" tmpfs "$tmp/tmpfs/below"
  echo text >"$tmp/tmpfs/below/file"
  before=$(stat -c %x "$tmp/tmpfs/below/file")
  mount_evenfs "$tmp/tmpfs" "$mnt" -o "$3"
  sleep 0.02
  cat "$mnt/below/file" >/dev/null
  [ "$before" = "$(stat -c %x "$tmp/tmpfs/below/file")" ] && echo kept || echo moved
  ! umount "$tmp/tmpfs" 2>/dev/null || fail "the source could be unmounted"
  umount_evenfs "$mnt"
  umount "$tmp/tmpfs/below" "$tmp/tmpfs"
}
if [ "$(id -u)" -eq 0 ]; then
  expect "noatime, below" kept "$(below noatime strictatime noatime)"
  expect "nodiratime, below noatime" kept "$(below strictatime noatime nodiratime)"
  expect "strictatime, below noatime" moved "$(below strictatime noatime strictatime)"
  expect "strictatime over relatime" "first second listing" "$(moved relatime strictatime | paste -sd' ')"
  expect "relatime over strictatime" "first listing" "$(moved strictatime relatime | paste -sd' ')"
  expect "relatime over noatime" "first listing" "$(moved noatime noatime,relatime | paste -sd' ')"
  expect "noatime over strictatime" "" "$(moved strictatime noatime | paste -sd' ')"
  expect "nodiratime over strictatime" "first second" "$(moved strictatime nodiratime | paste -sd' ')"
  expect "no option over strictatime" "first second listing" "$(moved strictatime rw | paste -sd' ')"
fi

# As mount(8) calls a helper: -f there means to mount nothing, and it daemonizes otherwise.
ln -s "$evenfs" "$tmp/mount.fuse.evenfs"
"$tmp/mount.fuse.evenfs" "$src" "$mnt" -f -s -n -v -t fuse.evenfs -o rw || fail "fake: status $?"
! mounted "$mnt" || fail "a fake mount is there"
timeout 30 "$tmp/mount.fuse.evenfs" "$src" "$mnt" -n -t fuse.evenfs -o rw,entry_timeout=0 ||
  fail "helper: status $?"
mounted "$mnt" || fail "the helper did not mount"
grep -q " $mnt fuse.evenfs rw,relatime," /proc/self/mounts ||
  fail "as mount(8) mounts for root: $(grep "$mnt" /proc/self/mounts)"
"$tmp/mount.fuse.evenfs" "$src" "$mnt" \
  -o remount,ro,noexec,nosuid,user_id=0,group_id=0,default_permissions,allow_other || fail "remount: status $?"
grep -q " $mnt fuse.evenfs ro,nosuid,noexec,relatime" /proc/self/mounts ||
  fail "remounted: $(grep "$mnt" /proc/self/mounts)"
expect "writing after a remount" 1 "$({ touch "$mnt/x" || true; } 2>&1 | grep -c Read-only)"
"$tmp/mount.fuse.evenfs" "$src" "$mnt" -o ro,noatime,remount,user_id=0,relatime,rw || fail "remount: status $?"
touch "$mnt/x" && rm "$mnt/x" || fail "writing after it was made writable again"
pid=$(stat_of "$mnt" pid)
helpers+=("$pid")
unmount "$mnt"
poll $hang_limit gone "$pid" || fail "the helper still runs after umount"
helpers=()

# Started with some of 0 to 2 closed: no other descriptor may get those numbers.
# are_null PROCESS NUMBER...
are_null() {
  local number process=$1
  shift
  for number in "$@"; do
    expect "$number, closed: $closed" /dev/null "$(readlink "/proc/$process/fd/$number")"
  done
}
echo text >"$src/closed"
for closed in 0 1 2 '0 1' '0 2' '1 2' '0 1 2'; do
  closing=$(for number in $closed; do printf '%s>&- ' "$number"; done)
  status=0
  eval "timeout -k 5 20 \"\$evenfs\" \"\$src\" \"\$mnt\" $closing" || status=$?
  expect "status, closed: $closed" 0 "$status"
  mounted "$mnt" || fail "not mounted, closed: $closed"
  expect "names, closed: $closed" 1 "$(bounded 20 ls "$mnt" | grep -cx closed)"
  pid=$(stat_of "$mnt" pid)
  helpers+=("$pid")
  are_null "$pid" 0 1 2
  unmount "$mnt"
  poll $hang_limit gone "$pid" || fail "it still runs, closed: $closed"

  eval "exec \"\$evenfs\" -f \"\$src\" \"\$mnt\" >\"\$tmp/out\" 2>&1 $closing" &
  pid=$!
  helpers+=("$pid")
  poll 20 mounted "$mnt" || fail "not mounted in the foreground, closed: $closed"
  expect "content in the foreground, closed: $closed" text "$(bounded 20 cat "$mnt/closed")"
  are_null "$pid" $closed
  unmount "$mnt"
  wait "$pid" || fail "status $? in the foreground, closed: $closed"
  helpers=()
done
rm "$src/closed"

# A directory above the source may be mounted over: what is held open stays reachable.
mkdir -p "$mnt/deep/source"
echo content >"$mnt/deep/source/file"
mount_evenfs "$mnt/deep/source" "$mnt"
expect "a file of a hidden source" content "$(cat "$mnt/file")"
stop
echo "options: passed"
