#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two mounts of one source, and a mount of a mount: what is changed in one is seen in the other when its mode
# says, they do not keep each other busy, and each ends before the other or after it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin two_mounts
steps=$source_dir/tests/mount/coherence_steps.py
one=$tmp/one two=$tmp/two
rounds=1
[ "$long" = 0 ] || rounds=50

status=0
"$bin_dir/evenfs" "$src" "$mnt" --coherence=watch >"$tmp/out" 2>"$tmp/err" || status=$?
watching=0
if [ "$status" = 0 ]; then
  watching=1
  unmount "$mnt"
else
  say "not watched here: $(cat "$tmp/err")"
fi

# Twice the time of ttl=100ms and a tick; the rest is for a machine that does something else just then.
bound_of() {
  case $1 in
    strict) say 0 ;;
    ttl=100ms) say 710 ;;
    *) say 500 ;;
  esac
}
# measure CHANGED LOOKED_AT MODE [KIND_LEFT_OUT]
measure() {
  local changed=$1 at=$2 mode=$3
  shift 3
  rm -rf "${src:?}"/*
  bounded 600 python3 -B "$steps" "$changed" "$at" "$(bound_of "$mode")" $rounds "$@" >"$tmp/steps.out" 2>&1 ||
    fail "what is changed in ${changed##*/} is old for too long in ${at##*/} ($mode): $(cat "$tmp/steps.out")"
}
# end MOUNTPOINT: by SIGTERM.
end() {
  kill -TERM "${daemon_of[$1]}"
  clean_end "SIGTERM" "$1"
}
both() {
  mount_evenfs "$src" "$one" --coherence="$1"
  mount_evenfs "$src" "$two" --coherence="$2"
  measure "$one" "$two" "$2"
  measure "$two" "$one" "$1"
  say "$1 and $2: both ways"
}

both ttl=100ms strict
end "$one"
end "$two"
if [ "$watching" = 1 ]; then
  both watch watch

  # --- Each change is told to the other once, and what follows from that is no change.
  watch() { stat_of "$1" watch "$2"; }
  # Of the source: others are busy on its file system, too.
  known() {
    stat_of "$1" watch >"$tmp/watch"
    python3 -c 'import ast, sys; w = ast.literal_eval(open(sys.argv[1]).read())
print(w["events"] - w["own"] - w["elsewhere"])' "$tmp/watch"
  }
  # chmod is about what the other one does not know.
  read_all() { [ "$(watch "$1" own)" -ge $((own + 300)) ] && [ "$(known "$2")" -ge $((known_two + 200)) ]; }
  notices() { say $(($(watch "$1" notices_sent) + $(watch "$1" notices_unknown))); }
  told_all() { [ "$(watch "$1" notices_waiting)" = 0 ]; }
  rm -rf "${src:?}"/*
  own=$(watch "$one" own) known_two=$(known "$two")
  poll $hang_limit told_all "$one" && poll $hang_limit told_all "$two" || fail "notices wait"
  before_one=$(notices "$one") before_two=$(notices "$two")
  for i in {1..100}; do mkdir "$one/$i" && mv "$one/$i" "$one/moved$i" && chmod 700 "$one/moved$i"; done
  poll $hang_limit read_all "$one" "$two" || fail "not all events were read"
  poll $hang_limit told_all "$two" || fail "notices wait"
  told_one=$(($(notices "$one") - before_one)) told_two=$(($(notices "$two") - before_two))
  expect "notices of one's own changes" 0 "$told_one"
  # Of a change: the name, or two, the directories, and the object; each again if the kernel did not know it.
  [ "$told_two" -gt 0 ] && [ "$told_two" -le $((300 * 8)) ] || fail "$told_two notices of 300 changes"
  known_one=$(known "$one") known_two=$(known "$two")
  for at in "$one" "$two"; do
    [ "$(find "$at" -name 'moved*' -perm 700 | wc -l)" = 100 ] || fail "${at##*/} does not show what is there"
  done
  expect "events of the source after looking" "$known_one $known_two" "$(known "$one") $(known "$two")"
  say "300 changes in one mount: $told_one notices there, $told_two in the other"
  end "$two"
  end "$one"
fi

# --- A mount of a mount.
inner=strict
[ "$watching" = 0 ] || inner=watch
outer_on_inner() {
  rm -rf "${src:?}"/*
  echo deep >"$src/f"
  mount_evenfs "$src" "$one" --coherence=$inner
  mount_evenfs "$one" "$two" --coherence="$1"
  expect "what the outer one shows" deep "$(bounded 20 cat "$two/f")"
}
outer_on_inner auto
expect "coherence of a mount of a mount" ttl=1s "$(stat_of "$two" options coherence)"
echo new >"$two/new"
expect "what was made in the outer one" new "$(bounded 20 cat "$src/new")"
try_umount "$one" && fail "the inner mount is unmounted from under the outer one"
umount_evenfs "$two"
umount_evenfs "$one"

for mode in ttl=100ms strict; do
  outer_on_inner $mode
  # Pages of a mapping are the kernel's own where it does not read the source's file by itself.
  measure "$one" "$two" $mode "write: mapped content"
  end "$two"
  end "$one"
done
say "a mount of a mount: both modes"

# --- The inner one goes first.
outer_on_inner ttl=100ms
umount -l "$one"
expect "over an inner mount that was unmounted lazily" deep "$(bounded 20 cat "$two/f")"
echo more >"$two/more"
expect "what was made then" more "$(cat "$src/more")"
end "$two"
clean_end "after the outer mount" "$one"

outer_on_inner strict
kill -TERM "${daemon_of[$one]}"
poll $hang_limit gone "${daemon_of[$one]}" || fail "the inner daemon does not end"
status=0
said=$(bounded 20 ls -l "$two" 2>&1) || status=$?
[ "$status" != 124 ] && [ "$status" != 137 ] && [ "$status" != 0 ] ||
  fail "over an inner daemon that ended: $status, $said"
end "$two"
clean_end "SIGTERM" "$one"
say "two_mounts: passed"
