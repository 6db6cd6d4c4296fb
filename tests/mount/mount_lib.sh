# SPDX-License-Identifier: LGPL-2.1-or-later
# Shared by the tests that mount. Sourced by bash after `set -euo pipefail`.
#
# A test gets a private directory, $tmp, with $src and $mnt in it, and may mount only below it.
# However it ends, what it mounted is taken down, what it started is ended, and $tmp is removed; a
# mount that does not answer is aborted through fusectl first, so that nothing waits for it for
# ever. A test that fails says why in a line that begins with "FAILED: ", and shows below it what
# there is of mounts, daemons and their messages.
#
# The build directory is $1, or EVENFS_BIN_DIR names the programs. EVENFS_LONG=1: long forms.
# EVENFS_OPTIONS: options for every evenfs, before those of the test.

set -E  # The trap on ERR below shall also see functions.
source_dir=${EVENFS_SOURCE_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)}
bin_dir=${EVENFS_BIN_DIR:-${1:-$source_dir/build/release}/bin}
long=${EVENFS_LONG:-0}
read -ra everywhere <<<"${EVENFS_OPTIONS-}"
export LC_ALL=C

tmp=                     # Private directory; empty until begin.
src=                     # $tmp/src, to be mounted.
mnt=                     # $tmp/mnt, to mount on.
daemon=                  # Process of the latest mount_evenfs.
declare -A daemon_of=()  # Mountpoint: process.
helpers=()               # Other processes of the test that must not outlive it.
stopped_at=              # Where a command failed that nobody looked at.
told=0                   # Whether the failure has been reported.
hang_limit=40              # Seconds for anything that only a hang would use up.

say() { printf '%s\n' "$*"; }

# On the error stream, because functions are called with the standard output taken.
fail() {
  told=1
  {
    say "FAILED: $*"
    show_state
  } >&2
  exit 1
}

skip() {
  say "SKIPPED: $*"
  exit 77
}

# expect WHAT WANTED GOT
expect() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# need COMMAND...: skips the test if one is not installed.
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || skip "$command is not installed"
  done
}

need_root() { [ "$(id -u)" -eq 0 ] || skip "needs root"; }

# bounded SECONDS COMMAND...: a FUSE request that is never answered must not hang the test.
bounded() { timeout -k 5 "$@"; }

# scratch NAME [DIRECTORY]: makes $tmp, in the directory if one is given.
scratch() {
  trap cleanup EXIT
  trap 'exit 130' INT TERM
  trap 'stopped_at="${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR
  tmp=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/evenfs.$1.XXXXXX")
  tmp=$(realpath "$tmp")
  chmod 755 "$tmp"  # Some tests act as another user.
}

# begin NAME [DIRECTORY]: the same for a test that mounts; skips it where that is not possible.
begin() {
  [ -w /dev/fuse ] || skip "/dev/fuse is missing or not writable"
  [ -x "$bin_dir/evenfs" ] || fail "no evenfs in $bin_dir"
  need mountpoint umount timeout python3
  scratch "$@"
  src=$tmp/src mnt=$tmp/mnt
  mkdir "$src" "$mnt"
}

# Does not ask the mount, which may not answer.
mounted() { awk -v mnt="$1" '$5 == mnt {found = 1} END {exit !found}' /proc/self/mountinfo; }

# Number of the connection that serves a mount, as fusectl names it.
connection_of() {
  awk -v mnt="$1" '$5 == mnt {split($3, d, ":"); last = d[2]} END {print last}' \
    /proc/self/mountinfo
}

# Ends the connection of a mount, so that everybody who waits for it gets an error.
abort_mount() {
  local connection
  connection=$(connection_of "$1")
  [ -n "$connection" ] && { echo 1 >"/sys/fs/fuse/connections/$connection/abort"; } 2>/dev/null
}

# A process that has ended and that nobody has waited for is gone too: a daemon is left to process
# 1, and in a container that is often a program that does not wait for what it did not start.
gone() {
  local line=
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
  case ${line##*) } in
    Z* | X*) return 0 ;;
  esac
  return 1
}

# poll SECONDS COMMAND...: repeats the command until it succeeds.
poll() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.02
  done
}

# What a failure needs to be understood: for each mount, whether it is there, what the threads of
# its daemon do, what it wrote.
show_state() {
  [ -n "$tmp" ] || return 0
  set +eE
  local at task
  for at in "${!daemon_of[@]}"; do
    say "  $at: $(mounted "$at" && say mounted || say not mounted), daemon ${daemon_of[$at]}"
    for task in /proc/"${daemon_of[$at]}"/task/*; do
      [ -r "$task/status" ] || { say "    no such process"; break; }
      say "    thread ${task##*/}: $(grep '^State:' "$task/status"), in $(cat "$task/wchan")"
    done
    sed 's/^/    said: /' "$at.out" "$at.log" 2>/dev/null | tail -n 20
    # In a mount namespace of its own somebody keeps what was unmounted here.
    say "    $(grep -lsF " $at " /proc/[0-9]*/mountinfo | wc -l) processes see it mounted"
  done
  grep -F " $tmp" /proc/self/mounts | sed 's/^/  mounts: /'
  for at in "${helpers[@]}"; do
    gone "$at" || say "  still runs: $at: $(tr '\0' ' ' <"/proc/$at/cmdline")"
  done
}

# users_of MOUNTPOINT: processes that have something of it open.
users_of() {
  find /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/fd /proc/[0-9]*/map_files -maxdepth 1 \
    -type l \( -lname "$1" -o -lname "$1/*" \) -printf '%p -> %l\n' 2>/dev/null
}

take_down() {
  local at=$1 pid=${daemon_of[$1]}
  if mounted "$at"; then
    bounded 10 umount "$at" 2>/dev/null || {
      abort_mount "$at"
      umount -l "$at" 2>/dev/null
    }
  fi
  poll 10 gone "$pid" || kill -KILL "$pid" 2>/dev/null
}

cleanup() {
  local status=$? at pid
  set +eE
  trap - EXIT ERR
  cd /
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && [ "$told" -eq 0 ]; then
    say "FAILED: status $status${stopped_at:+ at $stopped_at}" >&2
    show_state >&2
  fi
  disown -a  # The shell shall not report what it kills here.
  for pid in "${helpers[@]}"; do gone "$pid" || kill -KILL "$pid" 2>/dev/null; done
  for at in "${!daemon_of[@]}"; do take_down "$at"; done
  # What a test mounted by other means; then never rm -r through a mount.
  while at=$(awk -v tmp="$tmp/" 'index($5, tmp) == 1 {at = $5} END {print at}' \
    /proc/self/mountinfo) && [ -n "$tmp" ] && [ -n "$at" ]; do
    umount -l "$at" || break
  done
  [ -z "$tmp" ] || rm -rf --one-file-system "$tmp"
  exit "$status"
}

started_or_ended() { [ -s "$1.out" ] || gone "$2"; }

# mount_evenfs SOURCE MOUNTPOINT [OPTION...]: in the foreground, its messages in MOUNTPOINT.log.
# MOUNTPOINT is made. Sets $daemon.
mount_evenfs() {
  local source=$1 at=$2 line=
  shift 2
  mkdir -p "$at"
  : >"$at.out"
  # A shell lets its background processes ignore SIGINT, and nohup lets all ignore SIGHUP.
  env --default-signal=INT,HUP,TERM "$bin_dir/evenfs" -f "$source" "$at" "${everywhere[@]}" "$@" \
    >"$at.out" 2>"$at.log" &
  daemon=$!
  daemon_of[$at]=$daemon
  poll $hang_limit started_or_ended "$at" "$daemon" || fail "no mount after $hang_limit s"
  read -r line <"$at.out" || fail "evenfs ended without a mount"
  case $line in
    "evenfs: $source is mounted on $at "*) ;;
    *) fail "unexpected first line: $line" ;;
  esac
  mounted "$at" || fail "it says that it is mounted, and is not"
}

# clean_end WHAT MOUNTPOINT: waits for the daemon to end by itself, with status 0, without a message
# and with nothing left mounted.
clean_end() {
  local what=$1 at=$2 pid=${daemon_of[$2]} status=0
  poll $hang_limit gone "$pid" || fail "$what: the daemon still runs after $hang_limit s"
  wait "$pid" || status=$?
  [ "$status" -eq 0 ] || fail "$what: the daemon ended with status $status"
  [ ! -s "$at.log" ] || fail "$what: unexpected messages: $(cat "$at.log")"
  ! mounted "$at" || fail "$what: still mounted"
  unset "daemon_of[$at]"
}

try_umount() { bounded 20 umount "$1" >"$tmp/umount.log" 2>&1; }

# unmount MOUNTPOINT: somebody else's short visit (an indexer, a monitor) makes umount fail; ours
# must not, so it may take some tries, but then it fails with the names of the visitors.
unmount() {
  poll 10 try_umount "$1" || fail "umount: $(cat "$tmp/umount.log"): $(users_of "$1")"
}

umount_evenfs() {
  unmount "$1"
  clean_end "umount" "$1"
}

# start [OPTION...]: $src on $mnt. stop: by SIGTERM.
start() { mount_evenfs "$src" "$mnt" "$@"; }
stop() {
  kill -TERM "$daemon"
  clean_end "SIGTERM" "$mnt"
}

# stat_of MOUNTPOINT KEY...: a figure from evenfs-stat, for example: stat_of MNT cache dentries
stat_of() {
  local at=$1
  shift
  bounded 20 "$bin_dir/evenfs-stat" "$at" --json >"$tmp/stat.json" || return
  python3 - "$tmp/stat.json" "$@" <<'PYTHON'
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]:
    value = value[key]
print(value)
PYTHON
}

# Lets the kernel drop what it holds of all mounts. Status 1: this process may not.
drop_kernel_caches() { { echo "${1:-2}" >/proc/sys/vm/drop_caches; } 2>/dev/null; }

# Everything that a stat of each name below a directory says, in a form that can be compared.
list_tree() {
  (cd "$1" && shift && find "${@:-.}" -xdev -printf '%P %y %m %U %G %s %n %T@ %l\n' | sort)
}
