# SPDX-License-Identifier: LGPL-2.1-or-later
# Shared by the mount tests. Sourced by bash after `set -euo pipefail`.
#
# A test gets a private directory, $tmp, and may mount only below it. However it ends, what it
# mounted is taken down, what it started is ended, and $tmp is removed; a mount that does not
# answer is aborted through fusectl first, so that nothing waits for it for ever.
#
# The build directory is $1, or EVENFS_BIN_DIR names the programs. EVENFS_LONG=1: long forms.

source_dir=${EVENFS_SOURCE_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)}
bin_dir=${EVENFS_BIN_DIR:-${1:-$source_dir/build/release}/bin}
long=${EVENFS_LONG:-0}
export LC_ALL=C

say() { printf '%s\n' "$*"; }
fail() {
  say "FAILED: $*"
  exit 1
}
skip() {
  say "SKIPPED: $*"
  exit 77
}

# need COMMAND...: skips the test if one is not installed.
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || skip "$command is not installed"
  done
}

# bounded SECONDS COMMAND...: a FUSE request that is never answered must not hang the test.
bounded() { timeout -k 5 "$@"; }

declare -A daemon_of=()  # Mountpoint: process.
tmp=

# begin NAME [DIRECTORY]: makes $tmp, in the directory if one is given.
begin() {
  [ -w /dev/fuse ] || skip "/dev/fuse is missing or not writable"
  [ -x "$bin_dir/evenfs" ] || fail "no evenfs in $bin_dir"
  need mountpoint umount timeout python3
  tmp=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/evenfs.$1.XXXXXX")
  trap cleanup EXIT
  trap 'exit 130' INT TERM
}

# Ends the connection of a mount, so that everybody who waits for it gets an error.
abort_mount() {
  local device
  device=$(awk -v mnt="$1" '$5 == mnt {split($3, d, ":"); print d[2]}' /proc/self/mountinfo)
  [ -z "$device" ] || { echo 1 >"/sys/fs/fuse/connections/$device/abort"; } 2>/dev/null || true
}

take_down() {
  local mnt=$1 pid=${daemon_of[$1]}
  if mounted "$mnt"; then
    bounded 10 umount "$mnt" 2>/dev/null || {
      abort_mount "$mnt"
      umount -l "$mnt" 2>/dev/null || true
    }
  fi
  ended_within 10 "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

cleanup() {
  local status=$? mnt
  set +e
  trap - EXIT
  cd /
  for mnt in "${!daemon_of[@]}"; do
    [ "$status" -eq 0 ] || sed 's/^/  daemon: /' "$mnt.log" | tail -n 20
    take_down "$mnt"
  done
  # Left from a kill: never rm -r through a mount.
  if [ -n "$tmp" ] && ! grep -qF " $tmp/" /proc/self/mountinfo; then rm -rf "$tmp"; fi
  exit "$status"
}

# Does not ask the mount, which may not answer.
mounted() { awk -v mnt="$1" '$5 == mnt {found = 1} END {exit !found}' /proc/self/mountinfo; }

# poll SECONDS COMMAND...: repeats the command until it succeeds.
poll() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}

gone() { ! kill -0 "$1" 2>/dev/null; }
ended_within() { poll "$1" gone "$2"; }
mounted_or_ended() { mounted "$1" || gone "$2"; }

# mount_evenfs SOURCE MOUNTPOINT [OPTION...]: MOUNTPOINT is made; the log is MOUNTPOINT.log.
mount_evenfs() {
  local source=$1 mnt=$2
  shift 2
  mkdir -p "$mnt"
  "$bin_dir/evenfs" -f "$source" "$mnt" "$@" >"$mnt.log" 2>&1 &
  daemon_of[$mnt]=$!
  poll 20 mounted_or_ended "$mnt" "$!" || fail "no mount after 20 s"
  mounted "$mnt" || fail "evenfs ended: $(cat "$mnt.log")"
}

# Unmounts and insists on a clean end: status 0 within 20 s, nothing left mounted.
umount_evenfs() {
  local mnt=$1 pid=${daemon_of[$1]} status=0
  bounded 20 umount "$mnt" || fail "umount $mnt: $(grep -l "$mnt" /proc/[0-9]*/mountinfo | wc -l)"
  ended_within 20 "$pid" || fail "the daemon still runs 20 s after umount"
  wait "$pid" || status=$?
  [ "$status" -eq 0 ] || fail "the daemon ended with status $status: $(tail -n 5 "$mnt.log")"
  unset "daemon_of[$mnt]"
}

# stat_of MOUNTPOINT KEY...: a number from evenfs-stat, for example: stat_of MNT cache dentries
stat_of() {
  local mnt=$1
  shift
  bounded 20 "$bin_dir/evenfs-stat" "$mnt" --json >"$tmp/stat.json" || return
  python3 - "$tmp/stat.json" "$@" <<'EOF'
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]:
    value = value[key]
print(value)
EOF
}

# Lets the kernel drop what it holds of all mounts. Status 1: this process may not.
drop_kernel_caches() { { echo "${1:-2}" >/proc/sys/vm/drop_caches; } 2>/dev/null; }

# Everything that a stat of each name below a directory says, in a form that can be compared.
list_tree() {
  (cd "$1" && shift && find "${@:-.}" -xdev -printf '%P %y %m %U %G %s %n %T@ %l\n' | sort)
}
