#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --coherence=watch without root, where each directory is marked by itself: what others change is seen as soon
# as with root; what cannot be marked goes by time, as what has other names does; a mark is taken away when
# nobody knows its directory any more. As nobody, with a mount by fusermount3, and as root of a user namespace,
# whose limits are its own; both with mounts of their own, so that /dev/fuse may be opened. EVENFS_LONG=1: more
# rounds.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
need setpriv unshare fusermount3
in_namespace=${EVENFS_IN_NAMESPACE-}
[ -n "$in_namespace" ] || [ -n "${EVENFS_OWN_MOUNTS-}" ] ||
  EVENFS_OWN_MOUNTS=1 exec unshare -m bash "$0" "$@"
begin coherence_by_directory
steps=$source_dir/tests/mount/coherence_steps.py
rounds=6
[ "$long" = 0 ] || rounds=100
nobody=65534
as_root_of_nothing() { "$@"; }
as=as_root_of_nothing  # In whose name the mount is used.
python=python3
# What nobody tells of: a second in each cache, a tick, and the rest as in coherence_test.sh.
untold_ms=$((2010 + 500))

watch() { stat_of "$mnt" watch "$1"; }
more() { [ "$(watch "$1")" -gt "$2" ]; }
is() { [ "$($as cat "$1" 2>/dev/null)" = "$2" ]; }
fresh() {
  rm -rf "$src"
  mkdir "$src"
  [ -n "$in_namespace" ] || chown $nobody:$nobody "$src"
}
# begin_watch [OPTION...]: and it is one by directory.
begin_watch() {
  start --coherence=watch "$@"
  expect "coherence" watch "$(stat_of "$mnt" options coherence)"
}
# measure BOUND_MS ROUNDS
measure() {
  say "$what: how old answers were, the median, 99 of 100, all"
  $as timeout -k 5 1800 "$python" -B "$steps" "$src" "$mnt" "$1" "$2" ||
    fail "$what: an answer was old for too long"
}

# --- What holds whoever it is.
seen_by_all() {
  fresh
  begin_watch
  measure 500 "$rounds"
  more marked 5 || fail "$what: $(watch marked) directories are marked"
  expect "refused" 0 "$(watch marks_refused)"
  # Own changes wake nobody.
  read_all() { more own $((own + 199)); }
  own=$(watch own) notices=$(($(watch notices_sent) + $(watch notices_unknown)))
  for i in {1..50}; do
    $as mkdir "$mnt/own$i" && $as mv "$mnt/own$i" "$mnt/moved$i" && $as chmod 700 "$mnt/moved$i"
    $as rmdir "$mnt/moved$i"
  done
  poll $hang_limit read_all || fail "own changes were not read: $(watch own) after $own"
  expect "notices of own changes" "$notices" $(($(watch notices_sent) + $(watch notices_unknown)))
  stop

  # Another name, made while none was known: what is done by it is seen when the time has passed.
  fresh
  $as mkdir "$src/d" "$src/never_met"
  echo one >"$src/d/f"
  ln "$src/d/f" "$src/never_met/f"
  begin_watch
  is "$mnt/d/f" one || fail "$what: the content"
  began=$(date +%s%N)
  echo three >"$src/never_met/f"
  size_is() { [ "$($as stat -c %s "$mnt/d/f")" = 6 ]; }
  poll $hang_limit size_is || fail "$what: what was written by another name is not seen"
  [ $((($(date +%s%N) - began) / 1000000)) -le "$untold_ms" ] || fail "$what: it was seen too late"

  # Marks are taken away with what they are of.
  mkdir "$src"/m{1..20}
  $as ls -lR "$mnt" >/dev/null
  few() { [ "$(watch marked)" -le 3 ]; }
  more marked 20 || fail "$what: $(watch marked) marks of 22"
  rmdir "$src"/m*
  poll $hang_limit few || fail "$what: $(watch marked) marks of what is gone"
  stop
}

if [ -n "$in_namespace" ]; then
  what="root of a user namespace"
  seen_by_all
  # As many marks as there may be, and no more: the rest goes by time.
  limit=/proc/sys/user/max_fanotify_marks
  { echo 4 >$limit; } 2>/dev/null || skip "$limit cannot be written"
  what="four marks"
  fresh
  begin_watch
  measure "$untold_ms" 2
  more marks_refused 0 || fail "no mark was refused"
  [ "$(watch marked)" -le 3 ] || fail "$(watch marked) marks besides that of the root"
  stop
  # Not even for the root.
  echo 0 >$limit
  status=0
  "$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
  expect "status without a mark" 1 "$status"
  grep -q '^evenfs: --coherence=watch: .*max_user_marks' "$tmp/err" || fail "no reason: $(cat "$tmp/err")"
  mount_evenfs "$src" "$mnt" --coherence=auto
  expect "coherence" ttl=1s "$(stat_of "$mnt" options coherence)"
  stop
  say "coherence by directory: passed in a user namespace"
  exit 0
fi

# --- As nobody.
mknod "$tmp/fuse" c 10 229 2>/dev/null || skip "no device can be made here"
chmod 666 "$tmp/fuse"
mount --bind "$tmp/fuse" /dev/fuse
true_bin=$bin_dir
nobodys() { setpriv --reuid=$nobody --regid=$nobody --clear-groups -- "$@"; }
nobodys test -x "$bin_dir/evenfs" || skip "others may not run $bin_dir/evenfs"
nobodys sh -c 'exec 3<>/dev/fuse' 2>/dev/null || skip "others cannot open a device here"
python=$(type -aP python3 | while read -r one; do
  ! nobodys "$one" -c "" 2>/dev/null || { say "$one" && break; }
done)
[ -n "$python" ] || skip "others may not run python3"
mkdir "$tmp/bin"
for program in evenfs evenfs-stat; do
  printf '#!/bin/sh\nexec setpriv --reuid=%s --regid=%s --clear-groups -- "%s" "$@"\n' \
    $nobody $nobody "$true_bin/$program" >"$tmp/bin/$program"
  chmod 755 "$tmp/bin/$program"
done
bin_dir=$tmp/bin
as=nobodys what=nobody
chown $nobody:$nobody "$mnt"
fresh
status=0
"$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
if [ "$status" != 0 ]; then
  grep -q '^evenfs: --coherence=watch: ' "$tmp/err" || fail "watch: $(cat "$tmp/err")"
  skip "not watched here: $(cat "$tmp/err")"
fi
unmount "$mnt"
seen_by_all

# What may not be read cannot be marked.
fresh
mkdir -m 711 "$src/closed"
echo one >"$src/closed/f"
begin_watch
is "$mnt/closed/f" one || fail "the content in what may not be read"
echo three >"$src/closed/f"
poll $hang_limit is "$mnt/closed/f" three || fail "what changed in what may not be read is not seen"
more marks_refused 0 || fail "a directory that may not be read was marked"
stop

# The kernel is told of changes from the first moment, and all the same knows the root when somebody comes.
# (Root may pass without that.)
fresh
echo one >"$src/f"
while :; do : >"$src/new" && rm -f "$src/new"; done &
helpers+=($!)
for i in {1..10}; do
  begin_watch
  is "$mnt/f" one || fail "in a mount that has just begun"
  stop
done
{ kill "${helpers[0]}" && wait "${helpers[0]}"; } 2>/dev/null || true
helpers=()

# Too few threads: one line, about what could not be started.
fresh
for most in {2..40}; do
  status=0
  prlimit --nproc="$most" "$bin_dir/evenfs" "$src" "$mnt" --threads=2 --coherence=watch \
    >"$tmp/out" 2>"$tmp/err" || status=$?
  [ "$status" != 0 ] || break
  # fusermount3, too, may not be started to take down what it has mounted.
  ! mounted "$mnt" || unmount "$mnt"
  expect "status with $most threads" 1 "$status"
  expect "lines with $most threads" 1 "$(wc -l <"$tmp/err")"
  sed 's/:[^:]*$//' "$tmp/err" >>"$tmp/wanting"
done
unmount "$mnt"
expect "what could not be started" "the pruner,the clock,the watch,2 threads,the watch" \
  "$(sed -n 's/^evenfs: cannot start //p' "$tmp/wanting" | uniq | paste -sd,)"

TMPDIR=$tmp/namespace
mkdir -m 777 "$TMPDIR"
status=0
TMPDIR=$TMPDIR EVENFS_IN_NAMESPACE=1 bounded 600 \
  python3 -B "$source_dir/tests/support/in_user_namespace.py" "$TMPDIR" bash "$0" "${true_bin%/bin}" ||
  status=$?
[ "$status" = 0 ] || [ "$status" = 77 ] || fail "in a user namespace: status $status"
say "coherence by directory: passed"
