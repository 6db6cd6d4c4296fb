# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by the tests that mount: a private folder, daemons that are started and ended, checks.
# Needs root and /dev/fuse; without them the test is skipped (status 77).

set -uo pipefail

bin=${EVENFS_BIN_DIR:-${1:+$1/bin}}
[ -n "$bin" ] && [ -x "$bin/evenfs" ] || { echo "usage: $0 BUILD_DIRECTORY"; exit 2; }
[ "$(id -u)" = 0 ] || { echo "SKIP: needs root"; exit 77; }
[ -c /dev/fuse ] || { echo "SKIP: no /dev/fuse"; exit 77; }

work=$(mktemp -d /tmp/evenfs-test.XXXXXX)
src=$work/src
mnt=$work/mnt
chmod 755 "$work"
mkdir "$src" "$mnt"
started=()  # Processes of ours that may still be there at the end.

cleanup() {
  local pid
  cd /
  for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null; done
  local where
  while where=$(grep -o " $work/[^ ]*" /proc/self/mounts | tail -n 1) && [ -n "$where" ]; do
    umount -l "${where# }" || break
  done
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT

fail() {
  echo "FAIL: $*"
  exit 1
}

# expect WHAT WANTED GOT
expect() {
  [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
}

is_mounted() { grep -q " $mnt fuse\.evenfs " /proc/self/mounts; }
is_running() { [ -d "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

# Starts evenfs in the foreground and waits for its line. Sets `daemon`.
start() {
  exec {output}< <(exec "$bin/evenfs" -f "$src" "$mnt" "$@" 2>"$work/stderr")
  daemon=$!
  started+=("$daemon")
  local line=
  read -r -t 30 -u "$output" line || fail "evenfs did not start: $(cat "$work/stderr")"
  case $line in
    "evenfs: $src is mounted on $mnt "*) ;;
    *) fail "unexpected first line: $line" ;;
  esac
  is_mounted || fail "it says that it is mounted, and is not"
}

# Waits for process $1 to be gone.
wait_gone() {
  timeout 40 tail --pid="$1" -s 0.02 -f /dev/null || fail "process $1 does not end"
}

# Waits for the foreground daemon and expects status 0 and silence.
expect_clean_end() {
  local status=0
  wait_gone "$daemon"
  wait "$daemon" || status=$?
  exec {output}<&-
  [ "$status" = 0 ] || fail "$1: status $status: $(cat "$work/stderr")"
  [ ! -s "$work/stderr" ] || fail "$1: unexpected messages: $(cat "$work/stderr")"
  ! is_mounted || fail "$1: still mounted"
}

stop() {
  kill -TERM "$daemon"
  expect_clean_end "the end"
}
