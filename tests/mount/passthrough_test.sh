#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --passthrough: the kernel reads and writes the source's files by itself; a program notices nothing but the
# speed. Where that cannot be, everything works by evenfs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin passthrough
steps="$source_dir/tests/mount/passthrough_steps.py"

# asked OPCODE...: how many requests of these kinds there were.
asked() {
  bounded 20 "$bin_dir/evenfs-stat" "$mnt" --json >"$tmp/stat.json"
  python3 -c '
import json, sys
requests = json.load(open(sys.argv[1]))["requests"]
print(sum(requests.get(name, 0) for name in sys.argv[2:]))' "$tmp/stat.json" "$@"
}

touch "$src/probe"
start
exec 7<"$mnt/probe"
[ "$(stat_of "$mnt" descriptors backing_files)" = 1 ] || skip "this kernel has no FUSE passthrough"
exec 7<&-
expect "backing files when nothing is open" 0 "$(stat_of "$mnt" descriptors backing_files)"
stop

chattr=0
if touch "$src/flag" && chattr +a "$src/flag" 2>/dev/null && chattr -a "$src/flag"; then chattr=1; fi
for transport in fd auto; do
  for timeout in 0 1s default; do
    case $timeout in
      default) start --transport=$transport ;;
      *) start --transport=$transport --entry-timeout=$timeout --attr-timeout=$timeout ;;
    esac
    bounded 120 python3 -B "$steps" "$mnt" "$src" || fail "timeouts $timeout, $transport"
    expect "requests to read, write and flush" 0 "$(asked read write flush)"
    # Only what may be appended to alone comes to us.
    EVENFS_CHATTR=$chattr bounded 120 python3 -B "$steps" "$mnt" "$src" ||
      fail "append-only: timeouts $timeout, $transport"
    expect "backing files in the end" 0 "$(stat_of "$mnt" descriptors backing_files)"
    stop
    rm -rf "${src:?}"/*
  done
done

# By evenfs: the same, but for mappings, which show a change by others at the next open.
start --passthrough=off
echo content >"$mnt/f"
expect "content" content "$(cat "$mnt/f")"
[ "$(asked read write)" -ge 2 ] || fail "off is not off"
stop

# The source's files are on a file system that stacks on another: the kernel wants no more of that.
mount_evenfs "$src" "$tmp/lower"
mount_evenfs "$tmp/lower" "$mnt"
echo stacked >"$mnt/stacked"
expect "content through two mounts" stacked "$(cat "$mnt/stacked")"
expect "content in the source" stacked "$(cat "$src/stacked")"
[ "$(asked read write)" -ge 2 ] || fail "the upper mount passes through"
umount_evenfs "$mnt"
umount_evenfs "$tmp/lower"
echo "passthrough: passed"
