#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# With a watch of the whole file system: a program that goes on writing to a file by passthrough costs no
# events; what others write to it is seen all the same, while it is open and afterwards.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin ignored_writes
start --coherence=auto
[ "$(stat_of "$mnt" options coherence)" = watch ] || skip "there is no watch here"
exec 7<>"$mnt/probe"
[ "$(stat_of "$mnt" descriptors backing_files)" = 1 ] || skip "this kernel has no FUSE passthrough"
exec 7<&-
[ "$(stat_of "$mnt" watch marked)" = 0 ] || skip "the watch is by directory"
bounded 240 python3 -B "$source_dir/tests/mount/ignored_writes_steps.py" "$mnt" "$src"
stop
say "ignored_writes: passed"
