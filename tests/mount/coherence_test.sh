#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What others change in the source is seen in the mount as soon as the mode says, whatever it is; own changes
# wake nobody; a mount ends in time in the middle of it all; where the source cannot be watched, that is said.
# EVENFS_LONG=1: more rounds. Of more changes than queues hold see burst_test.sh, of mounts submounts_test.sh.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
begin coherence
steps=$source_dir/tests/mount/coherence_steps.py
rounds=6
[ "$long" = 0 ] || rounds=200

fresh() {
  rm -rf "$src"
  mkdir "$src"
}
# watch FIGURE: of what was told so far. is_watch FIGURE VALUE. more FIGURE VALUE.
watch() { stat_of "$mnt" watch "$1"; }
more() { [ "$(watch "$1")" -gt "$2" ]; }

fresh
status=0
"$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
if [ "$status" != 0 ]; then
  grep -q 'cannot be watched\|takes root\|does not tell' "$tmp/err" || fail "watch: $(cat "$tmp/err")"
  watching=0
  say "not watched here: $(cat "$tmp/err")"
else
  unmount "$mnt"
  watching=1
fi

# measure MODE BOUND_MS ROUNDS [OPTION...]
measure() {
  local mode=$1 bound=$2 count=$3
  shift 3
  fresh
  start "--coherence=$mode" "$@"
  say "--coherence=$mode${*:+ $*}: how old answers were, the median, 99 of 100, all"
  bounded 1800 python3 "$steps" "$src" "$mnt" "$bound" "$count" || fail "$mode: an answer was old for too long"
  stop
}
# Twice the time and a tick; the rest is for a machine that does something else just then.
measure ttl=100ms $((210 + 300)) $((rounds / 3))
measure strict 0 $((rounds / 2))

# Where content comes by evenfs the kernel takes only one of several answers that it waits for, and perhaps the
# oldest: its pages are not to be used.
if printf '6.6\n%s\n' "$(uname -r)" | sort -CV; then
  start --coherence=strict --passthrough=off
  say "--coherence=strict --passthrough=off"
  bounded 300 python3 "$steps" "$src" "$mnt" --overwrites 2000 || fail "strict: old content was read"
  stop
else
  say "strict without passthrough: not asked of a kernel before 6.6, which does not promise it"
fi

# What the modes have in common: a source that cannot be watched. An overlay, where one can be mounted.
mkdir -p "$tmp/lower" "$tmp/upper" "$tmp/work" "$tmp/overlay"
if mount -t overlay overlay -o "lowerdir=$tmp/lower,upperdir=$tmp/upper,workdir=$tmp/work" "$tmp/overlay" \
  2>/dev/null; then
  status=0
  "$bin_dir/evenfs" "$tmp/overlay" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
  expect "status where the source cannot be watched" 1 "$status"
  expect "lines" 1 "$(wc -l <"$tmp/err")"
  ! mounted "$mnt" || fail "it was mounted all the same"
  mount_evenfs "$tmp/overlay" "$mnt" --coherence=auto
  expect "coherence" ttl=1s "$(stat_of "$mnt" options coherence)"
  grep -q 'coherence ttl=1s)' "$mnt.out" || fail "the start line: $(cat "$mnt.out")"
  grep -q '^evenfs: no watch: ' "$mnt.out" || fail "no reason: $(cat "$mnt.out")"
  [ -n "$(stat_of "$mnt" options coherence_note)" ] || fail "the statistics give no reason"
  stop
  umount "$tmp/overlay"
fi

if [ "$watching" = 0 ]; then
  say "coherence: passed, without a watch"
  exit 0
fi

measure watch 500 "$rounds"
measure watch 500 $((rounds / 2)) --passthrough=off

# --- Other file systems, where they can be made here.
make_xfs() {
  truncate -s 320M "$tmp/xfs.img" && mkfs.xfs -q "$tmp/xfs.img" && mount -o loop "$tmp/xfs.img" "$1"
}
make_btrfs() {
  truncate -s 256M "$tmp/btrfs.img" && mkfs.btrfs -q "$tmp/btrfs.img" &&
    mount -o loop "$tmp/btrfs.img" "$1"
}
make_tmpfs() { mount -t tmpfs -o size=64M tmpfs "$1"; }
mkdir "$tmp/fs"
for kind in xfs btrfs tmpfs; do
  if ! "make_$kind" "$tmp/fs" >"$tmp/$kind.log" 2>&1; then
    say "$kind: not made here: $(tail -n 1 "$tmp/$kind.log")"
    continue
  fi
  mkdir "$tmp/fs/source"
  mount_evenfs "$tmp/fs/source" "$mnt" --coherence=watch
  bounded 600 python3 "$steps" "$tmp/fs/source" "$mnt" 500 $((rounds / 6)) >"$tmp/$kind.log" ||
    fail "$kind: $(cat "$tmp/$kind.log")"
  stop
  unmount "$tmp/fs"
  say "$kind: watched"
done

# --- auto is a watch here, and times that are given are as they are given.
fresh
start --coherence=auto --entry-timeout=3
expect "coherence" watch "$(stat_of "$mnt" options coherence)"
expect "entry timeout" 3.0 "$(stat_of "$mnt" options entry_timeout_s)"
grep -q 'coherence watch)' "$mnt.out" || fail "the start line: $(cat "$mnt.out")"

# --- Own changes are read, and wake nobody else.
read_all() { more own $((own + 399)); }
own=$(watch own)
for i in {1..100}; do mkdir "$mnt/own$i" && mv "$mnt/own$i" "$mnt/moved$i" && chmod 700 "$mnt/moved$i"; done
rmdir "$mnt"/moved*
poll $hang_limit read_all || fail "own changes were not read: $(watch own) after $own"
expect "notices after own changes" 0 "$(($(watch notices_sent) + $(watch notices_unknown)))"

# --- Who watches something in the mount is told when it goes in the source.
bounded 60 python3 "$steps" "$src" "$mnt" --deletions || fail "inotify in the mount"
stop

# --- The end, in the middle of changes, with programs that hold directories and pages.
# looks: in the background, until they are killed.
looks() {
  local i
  for i in 1 2; do
    while :; do find "$mnt" -type f -exec cat {} + >/dev/null 2>&1 || true; done &
    helpers+=($!)
  done
}
end_looks() {
  local pid
  for pid in "${helpers[@]}"; do { kill "$pid" && wait "$pid"; } 2>/dev/null || true; done
  helpers=()
}
for way in TERM umount lazy abort; do
  fresh
  start --coherence=watch --watch-queue=64
  timeout -k 5 120 python3 "$steps" "$src" "$mnt" --storm 100 &  # No function: it is to be killed.
  storm=$!
  looks
  seen() { more notices_sent 500; }
  poll $hang_limit seen || fail "no storm: $(watch notices_sent) notices"
  case $way in
    TERM) kill -TERM "$daemon" ;;
    lazy) umount -l "$mnt" ;;
    abort) abort_mount "$mnt" || kill -TERM "$daemon" ;;
    umount) ;;
  esac
  end_looks
  [ "$way" != umount ] || unmount "$mnt"
  clean_end "$way in a storm" "$mnt"
  kill "$storm" 2>/dev/null || true
  wait "$storm" 2>/dev/null || true
done
say "coherence: passed"
