#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# However it ends, nothing stays: SIGINT, SIGTERM, SIGHUP, umount, abort through fusectl; idle,
# under load, with an open file, with somebody's working directory in the mount; in the foreground
# and as a daemon; in all four locking policies, or those of
# EVENFS_LOCKING=NAME[,NAME...].
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../mount/mount_lib.sh"
need_root
begin shutdown

mkdir "$src/dir"
for i in $(seq 50); do echo "content $i" >"$src/dir/f$i"; done
load=()
cases=0

# Whether connections can be aborted: in a container fusectl may be missing, or be read-only.
can_abort() {
  local connections=/sys/fs/fuse/connections abort
  mountpoint -q $connections || mount -t fusectl fusectl $connections 2>/dev/null || return
  start
  abort=$connections/$(connection_of "$mnt")/abort
  if [ ! -w "$abort" ]; then abort=; fi
  stop
  [ -n "$abort" ]
}

# load_loop NAME: looks, creates, renames and removes until it is told to stop. Marks its first
# round in which everything worked, outside of the mount.
load_loop() {
  trap 'exit 0' TERM
  set +eE
  local i round_ok
  while :; do
    round_ok=1
    find "$mnt" -type f -newer "$mnt/dir" || round_ok=0
    for i in 1 2 3 4 5; do
      echo x >"$mnt/dir/$1.$i" && mv "$mnt/dir/$1.$i" "$mnt/dir/moved.$1.$i" &&
        rm "$mnt/dir/moved.$1.$i" || round_ok=0
    done
    [ $round_ok = 0 ] || : >"$tmp/$1.worked"
  done
}

start_load() {
  local n
  load=()
  for n in 1 2; do
    rm -f "$tmp/load$n.worked"
    load_loop "load$n" >"$tmp/load$n.log" 2>&1 &
    load+=($!)
    helpers+=($!)
  done
  # Only once both have done something is it a load.
  for n in 1 2; do
    poll $hang_limit test -e "$tmp/load$n.worked" ||
      fail "the load does not run: $(tail -n 5 "$tmp/load$n.log")"
  done
}

# Nobody who used the mount may be left waiting.
stop_load() {
  local pid
  kill "${load[@]}" || fail "the load ended by itself: $(tail -n 5 "$tmp"/load?.log)"
  for pid in "${load[@]}"; do
    poll $hang_limit gone "$pid" || fail "a user of the mount hangs: $(cat "/proc/$pid/wchan")"
    wait "$pid" || fail "the load ended with status $?"
  done
  helpers=()
}

end_by() {
  case $1 in
    umount) unmount "$mnt" ;;
    lazy) umount -l "$mnt" || fail "umount -l" ;;
    abort) abort_mount "$mnt" || fail "abort: connection $(connection_of "$mnt")" ;;
    *) kill "-$1" "$daemon" ;;
  esac
}

idle() {
  start --locking="$1"
  cat "$mnt"/dir/* >/dev/null
  end_by "$2"
  clean_end "$1, $2, idle" "$mnt"
}

under_load() {
  start --locking="$1" --entry-timeout=0 --attr-timeout=0
  start_load
  end_by "$2"
  # After a lazy unmount the daemon lives until the last user has left.
  [ "$2" != lazy ] || stop_load
  clean_end "$1, $2, under load" "$mnt"
  [ "$2" = lazy ] || stop_load
}

# in_use LOCKING WAY PASSTHROUGH
in_use() {
  local got
  start --locking="$1" --passthrough="$3"
  exec 7<"$mnt/dir/f1" 8>"$mnt/dir/written"
  echo before >&8
  cd "$mnt/dir" || fail "cannot enter the mount"
  end_by "$2"
  clean_end "$1, $2, in use" "$mnt"
  # What the kernel reads by itself it goes on reading.
  if got=$(cat <&7 2>/dev/null); then
    [ "$3" != off ] || fail "$1, $2: a file of a daemon that has ended can be read"
    expect "$1, $2: content without a daemon" "content 1" "$got"
  fi
  ! ls . >/dev/null 2>&1 || fail "$1, $2: a directory of a daemon that has ended can be listed"
  cd /
  # What was written is there; closing may say that the daemon is not.
  { exec 7<&- 8>&-; } 2>/dev/null || true
  expect "what was written before" before "$(cat "$src/dir/written")"
}

# A lazy unmount leaves the daemon to those who still use it.
lazy_in_use() {
  start --locking="$1"
  exec 7<"$mnt/dir/f1"
  ! umount "$mnt" 2>/dev/null || fail "a mount in use was unmounted"
  end_by lazy
  ! gone "$daemon" || fail "it ended under a user"
  expect "a read after the lazy unmount" "content 1" "$(cat <&7)"
  exec 7<&-
  clean_end "$1, lazy, in use" "$mnt"
}

# The command returns when the mount is there, and leaves nothing behind.
as_daemon() {
  timeout 30 "$bin_dir/evenfs" "$src" "$mnt" "${everywhere[@]}" --locking="$1" || fail "daemon: status $?"
  mounted "$mnt" || fail "the command returned before the mount was there"
  expect "content through a daemon" "content 7" "$(cat "$mnt/dir/f7")"
  daemon=$(stat_of "$mnt" pid) || fail "no statistics"
  helpers+=("$daemon")
  end_by "$2"
  poll $hang_limit gone "$daemon" || fail "daemon, $1, $2: it still runs"
  helpers=()
  ! mounted "$mnt" || fail "daemon, $1, $2: still mounted"
}

aborting=(abort)
if ! can_abort; then
  aborting=()
  say "note: connections cannot be aborted here; those cases are left out"
fi

# run_case FUNCTION ARGUMENT...
run_case() {
  "$@"
  cases=$((cases + 1))
}

policies=${EVENFS_LOCKING:-lockless,sharded,rwlock,mutex}
for locking in ${policies//,/ }; do
  for way in INT TERM HUP umount "${aborting[@]}"; do run_case idle $locking "$way"; done
  for way in INT TERM lazy "${aborting[@]}"; do run_case under_load $locking "$way"; done
  for way in TERM "${aborting[@]}"; do
    for passthrough in auto off; do run_case in_use $locking "$way" $passthrough; done
  done
  run_case lazy_in_use $locking
  for way in TERM umount; do run_case as_daemon $locking "$way"; done
done

# Written through a mapping and not synchronised: the unmount must not lose it.
start
python3 - "$mnt/mapped" <<'EOP'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
m[:] = b"m" * (1 << 20)
os._exit(0)
EOP
end_by TERM
clean_end "dirty pages" "$mnt"
expect "bytes written through a mapping" $((1 << 20)) "$(tr -cd m <"$src/mapped" | wc -c)"

# The same while the mapping lives: many pages, each a write of its own.
cat >"$tmp/mapper.py" <<'EOP'
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 16 << 20)
m = mmap.mmap(fd, 16 << 20)
for at in range(0, 16 << 20, 8192):
    m[at:at + 5] = b"hello"
print("written", flush=True)
time.sleep(600)
EOP
has_written() { [ -s "$tmp/mapper.out" ]; }
# still_mapped SIGNAL OPTION...
still_mapped() {
  local signal=$1 mapper began
  shift
  start --passthrough=off "$@"
  rm -f "$src/mapped" "$tmp/mapper.out"
  python3 "$tmp/mapper.py" "$mnt/mapped" >"$tmp/mapper.out" &
  mapper=$!
  helpers+=("$mapper")
  poll $hang_limit has_written || fail "nothing is written through a mapping"
  began=$SECONDS
  end_by "$signal"
  clean_end "$signal, still mapped, $*" "$mnt"
  [ $((SECONDS - began)) -le 20 ] || fail "$signal, still mapped: it took $((SECONDS - began)) s"
  expect "written through a mapping that lives, $signal, $*" 2048 "$(grep -ao hello "$src/mapped" | wc -l)"
  disown "$mapper"
  kill -KILL "$mapper"
  poll $hang_limit gone "$mapper" || fail "who has a mapping hangs: $(cat "/proc/$mapper/wchan")"
  helpers=()
}
for signal in TERM INT HUP; do run_case still_mapped $signal; done
run_case still_mapped TERM --threads=1

# Twice on one path, one after the other: the end of the first must not take the second away.
for round in $(seq 10); do
  timeout 30 "$bin_dir/evenfs" "$src" "$mnt" "${everywhere[@]}" || fail "round $round: status $?"
  mounted "$mnt" || fail "round $round: not mounted"
  helpers+=("$(stat_of "$mnt" pid)")
  unmount "$mnt"
done
for pid in "${helpers[@]}"; do
  poll $hang_limit gone "$pid" || fail "a daemon is left: $pid"
done
helpers=()

say "shutdown: $cases cases passed"
