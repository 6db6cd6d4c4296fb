#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the kernel's side of FUSE answers without asking evenfs, and what evenfs does not pass on: each
# call ends as docs/posix.md says, and all others as in a plain directory.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
need mkswap
begin kernel_answers

start
mkdir "$tmp/plain"
bounded 60 python3 -B "$source_dir/tests/mount/kernel_answers_steps.py" "$tmp/plain" "$mnt" ||
  fail "answers differ"
stop
echo "kernel_answers: passed"
