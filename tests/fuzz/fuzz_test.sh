#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the fuzz target (preset fuzz) where it is missing or old, runs each file of the kept corpus once, and
# then fuzzes for 30 seconds, with EVENFS_LONG=1 for 1800. EVENFS_SEED=N repeats the random part of a run.
# What is found is a file in build/logs/fuzz/; `build/fuzz/bin/protocol_fuzz FILE` runs it again.
set -euo pipefail
root=${EVENFS_SOURCE_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
# shellcheck source=tools/lib/common.sh
. "$root/tools/lib/common.sh"

skip() {
  echo "SKIPPED: $*"
  exit 77
}

# clang is often installed without its run-time libraries.
can_fuzz() {
  local probe=$1/probe
  echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' \
    >"$probe.cc"
  clang++ -fsanitize=fuzzer,address "$probe.cc" -o "$probe" >/dev/null 2>&1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v clang++ >/dev/null || skip "clang is not installed"
can_fuzz "$work" || skip "clang has no fuzzer here (libclang-rt-14-dev)"

build fuzz protocol_fuzz || exit 1
target=$root/build/fuzz/bin/protocol_fuzz
found=$log_dir/fuzz/
mkdir -p "$found"
seconds=30
[ -z "${EVENFS_LONG:-}" ] || seconds=1800
seed=${EVENFS_SEED:-$((RANDOM * 32768 + RANDOM + 1))}

# fuzz LOG ARGUMENT...: one run of the target; its whole output is in the log.
fuzz() {
  local log=$log_dir/$1
  shift
  if ! "$target" -timeout=30 -artifact_prefix="$found" "$@" >"$log" 2>&1; then
    grep -v -E 'NEW|REDUCE|pulse' "$log" | tail -n 60
    echo "FAILED; the input is in $found, the log in $log, the seed was $seed"
    exit 1
  fi
}

corpus=("$root"/tests/fuzz/corpus/*)
fuzz fuzz-corpus.log "${corpus[@]}"
echo "corpus: ${#corpus[@]} inputs, no finding"
echo "fuzzing for $seconds s with EVENFS_SEED=$seed"
mkdir "$work/new"
fuzz fuzz.log -seed="$seed" -max_len=2048 -max_total_time="$seconds" -print_final_stats=1 \
  "$work/new" "$root/tests/fuzz/corpus"
grep -E 'DONE|stat::' "$log_dir/fuzz.log"
