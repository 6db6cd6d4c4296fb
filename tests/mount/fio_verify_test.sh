#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The verify jobs of tools/fio find every block as it was written: buffered, direct and mapped, in
# lockless and in mutex. 5 s each; long (EVENFS_LONG=1): 60 s each.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need fio
begin fio_verify

seconds=$((long == 1 ? 60 : 5))
cd "$tmp"  # fio leaves files of its own where it is started.
for locking in lockless mutex; do
  mount_evenfs "$src" "$mnt" --locking="$locking"
  for job in buffered direct mmap; do
    status=0
    EVENFS_FIO_DIR=$mnt EVENFS_FIO_SECONDS=$seconds bounded $((seconds + 120)) \
      fio "$source_dir/tools/fio/verify-$job.fio" >"$tmp/fio.log" 2>&1 || status=$?
    if [ "$status" -ne 0 ] || ! grep -q 'err= 0' "$tmp/fio.log" ||
      grep -E 'err= *[1-9]' "$tmp/fio.log"; then
      tail -n 15 "$tmp/fio.log"
      fail "verify-$job, $locking: status $status"
    fi
    say "verify-$job, $locking, $seconds s:" \
      "$(grep -oE '(IOPS|BW)=[^ ,]*' "$tmp/fio.log" | paste -sd' ')"
    find "$mnt" -name 'verify.*' -delete
  done
  umount_evenfs "$mnt"
done
[ -z "$(ls -A "$src")" ] || fail "files are left in the backing directory"
