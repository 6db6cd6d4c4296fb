#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# More changes at once than any queue holds: an archive is unpacked in the source, and another one over it,
# while `find` and `git status` go round in the mount. They go on, memory stays within what it may be, what was
# lost is counted, and in the end mount and source are the same. 20,000 changes; EVENFS_LONG=1: 100,000, twice.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
need tar
begin burst
tests=$source_dir/tests/mount
changes=20000 bursts=1
[ "$long" = 0 ] || changes=100000 bursts=2
# Of a file: made, written, given an owner, a mode and times; then removed and all of that again.
files=$((changes / 11))
memory_mib=32
slack_mib=16  # Threads, buffers, the queue: 16384 notices of some hundred bytes.

# watch FIGURE: of what was told so far.
watch() { stat_of "$mnt" watch "$1"; }

limit=/proc/sys/fs/fanotify/max_queued_events
limit_was=$(cat $limit 2>/dev/null || true)
restore_limit() { [ -z "$limit_was" ] || echo "$limit_was" 2>/dev/null >$limit || true; }
# Without -e, or the trap would end where the status is given back to it.
trap 'status=$?; set +eE; restore_limit; (exit $status); cleanup' EXIT

status=0
"$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
[ "$status" = 0 ] || skip "not watched here: $(cat "$tmp/err")"
unmount "$mnt"

for version in 1 2; do python3 "$tests/burst_steps.py" "$tmp/$version.tar" "$files" "$version"; done

# A work tree. The archives change some of what git knows, which it opens, and of what nobody opens. git is to
# find no other settings than its own.
export HOME=$tmp GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
with_git=0
if command -v git >/dev/null; then with_git=1; else say "git is not installed: it does not look"; fi
make_source() {
  rm -rf "$src"
  mkdir "$src"
  tar -xf "$tmp/1.tar" -C "$src" t/00 t/01 t/20 t/30
  [ $with_git = 1 ] || return 0
  git -C "$src" init -q
  git -C "$src" add t/00 t/01
  git -C "$src" -c user.name=t -c user.email=t@t commit -qm all
}

# round NAME COMMAND...: again and again in the background, with a line for each time.
round() {
  local name=$1
  shift
  : >"$tmp/rounds.$name"
  while [ ! -e "$tmp/enough" ]; do
    "$@" >"$tmp/looked.$name" 2>&1 || true
    echo >>"$tmp/rounds.$name"
  done &
  helpers+=($!)
}
rounds_of() { wc -l <"$tmp/rounds.$1"; }
# gone_round NAME MORE_THAN
gone_round() { [ "$(rounds_of "$1")" -gt "$2" ]; }
looks() {
  rm -f "$tmp/enough"
  # Files that were replaced are looked up again when they are opened: most shall not be.
  round find find "$mnt" -newermt 2000-01-01
  round cat find "$mnt/t/02" "$mnt/t/12" -type f -exec cat {} +
  [ $with_git = 0 ] || round git git -C "$mnt" status --porcelain -uall
}
# Not before each has gone round twice, so once at least from its beginning, since the burst.
end_looks() {
  local name pid file
  for file in "$tmp"/rounds.*; do
    name=${file##*.}
    poll $((hang_limit * 2)) gone_round "$name" $(($(rounds_of "$name") + 1)) || fail "$name hangs in the mount"
  done
  : >"$tmp/enough"
  for pid in "${helpers[@]}"; do
    poll $hang_limit gone "$pid" || fail "somebody hangs in the mount"
    wait "$pid"
  done
  helpers=()
}

unpack() {
  local version
  for version in 1 2; do tar -xpf "$tmp/$version.tar" -C "$src" || return; done
  rm -r "$src"/t/1?
}
# Others than these find or give back blocks by themselves, of which nobody tells.
left_out=()
case $(stat -f -c %T "$src") in
  ext2/ext3 | tmpfs) ;;
  *) left_out=(st_blocks) ;;
esac
same_tree() { python3 "$tests/same_tree.py" "$src" "$mnt" "${left_out[@]}" >"$tmp/differences"; }
memory_of() { awk -v what="$2:" '$1 == what {print int($2 / 1024)}' "/proc/$1/status"; }

# burst: with what was waiting at most in $waiting. Who is asked answers meanwhile, unless it stands still.
burst() {
  local now=0 pid
  unpack 2>"$tmp/unpack.log" &
  pid=$!
  helpers+=($pid)
  until gone $pid; do
    [ "$1" != overflows ] || { sleep 0.02; continue; }
    now=$(watch notices_waiting)
    [ "$now" -le "$waiting" ] || waiting=$now
  done
  wait $pid || fail "$1: the archives cannot be unpacked: $(cat "$tmp/unpack.log")"
  unset 'helpers[-1]'
}

# run WHICH QUEUE [OPTION...]: WHICH must have overflowed; -: nothing has to.
run() {
  local which=$1 queue=$2 before waiting=0 i peak peaks=() name
  shift 2
  make_source
  start --coherence=watch --memory=${memory_mib}M "$@"
  same_tree || fail "before anything: $(cat "$tmp/differences")"
  before=$(memory_of "$daemon" VmRSS)
  for ((i = 0; i < bursts; ++i)); do
    looks
    # The kernel's queue is read faster than anybody changes things, unless the reader stands still.
    [ "$which" != overflows ] || kill -STOP "$daemon"
    burst "$which"
    kill -CONT "$daemon"
    end_looks
    poll $hang_limit same_tree || fail "$which: mount and source differ in the end: $(cat "$tmp/differences")"
    peaks+=("$(memory_of "$daemon" VmHWM)")
  done
  if [ $with_git = 1 ]; then
    git -C "$src" status --porcelain -uall >"$tmp/git.source" 2>&1
    git -C "$mnt" status --porcelain -uall >"$tmp/git.mount" 2>&1
    cmp "$tmp/git.source" "$tmp/git.mount" || fail "$which: git says something else in the mount"
  fi
  [ "$which" = - ] || [ "$(watch "$which")" -gt 0 ] || fail "nothing overflowed: $which"
  [ "$which" = - ] || [ "$(watch everything)" -gt 0 ] || fail "$which: everything was to be told"
  expect "$which: waiting in the end" 0 "$(watch notices_waiting)"
  [ "$waiting" -le "$queue" ] || fail "$which: $waiting notices in a queue for $queue"
  for peak in "${peaks[@]}"; do
    [ "$peak" -le $((before + memory_mib + slack_mib)) ] || fail "$which: $peak MiB of memory, $before before"
  done
  say "${*:-default queues}: $(watch events) events, overflows: $(watch overflows) of events," \
    "$(watch queue_overflows) of notices; everything was told $(watch everything) times," \
    "$(watch notices_sent) notices, $waiting waiting at most; memory: $before MiB, ${peaks[*]} at most"
  for name in find cat git; do
    [ ! -e "$tmp/rounds.$name" ] || say "  $name: $(rounds_of $name) rounds about the last burst"
  done
  stop
}
run - 16384
run queue_overflows 2 --watch-queue=2
if { echo 64 >$limit; } 2>/dev/null; then
  run overflows 16384
  restore_limit
else
  say "the kernel's queue cannot be made shorter here: its overflow is not tested"
fi
say "burst: passed"
