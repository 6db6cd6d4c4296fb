#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# statloop notices what it is there to notice. On a plain directory, which is spoilt on purpose:
# a wrong size, mode, type, link count, a missing name, a name that must not exist, a link that
# leads elsewhere. A test that uses statloop proves nothing unless each of these ends with status 1.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
scratch statloop_self
statloop=$bin_dir/statloop
[ -x "$statloop" ] || fail "no statloop in $bin_dir"

# ends_with STATUS TEXT ARGUMENT...: TEXT must be in what is printed.
ends_with() {
  local wanted=$1 text=$2 status=0
  shift 2
  bounded 60 "$statloop" "$@" >"$tmp/out" 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] || fail "status $status, not $wanted: $*: $(cat "$tmp/out")"
  grep -qF -- "$text" "$tmp/out" || fail "no '$text': $*: $(cat "$tmp/out")"
}

dir=$tmp/dir
mkdir "$dir"
for set in one-file one-dir own-dir deep missing mix; do
  ends_with 0 ' 0 wrong; 0 unexpected errors' --op=mix --set=$set --threads=2 --mutators=2 \
    --files=50 --seconds=0.3 "$dir"
  ends_with 0 ' 0 wrong' --op=mix --set=$set --processes=2 --ops=2000 --files=50 "$dir"
done
ends_with 0 '"wrong": 0' --op=fstat --set=own-dir --threads=2 --ops=2000 --json=- "$dir"
[ -z "$(ls -A "$dir")" ] || fail "statloop left files: $(ls -A "$dir")"

# spoilt WHAT-IT-SAYS OP COMMAND...: makes a tree, changes it by the command, run in the directory
# of its files with $file and $link set, and expects the finding.
spoilt() {
  local says=$1 op=$2
  shift 2
  ends_with 0 ' 0 wrong' --op=mix --ops=10 --files=20 --keep "$dir"
  (
    cd "$dir/d.one"
    files=(f*) links=(l*)
    export file=${files[7]} link=${links[7]}
    eval "$*"
  )
  ends_with 1 "$says" --op="$op" --ops=5000 --files=20 --no-create "$dir"
  rm -rf "${dir:?}"/d.*
}
spoilt 'size not in the name' stat 'truncate -s +5000 $file'
spoilt 'size not in the name' lookup 'truncate -s +5000 $file'
spoilt 'size not in the name' fstat 'truncate -s +5000 $file'
spoilt 'mode is neither' stat 'chmod 600 $file'
spoilt 'not a regular file' stat 'rm $file; mkdir $file'
spoilt 'wrong link count' stat 'ln $file other'
spoilt 'granted, but no file is executable' access 'chmod 755 $file'
spoilt 'another target' readlink 'ln -sfn elsewhere $link'
spoilt 'reported missing' readlink 'rm $link'

# What is not there from the start is refused at once; what vanishes later is a wrong answer.
ends_with 1 'No such file' --files=20 --no-create "$dir"
ends_with 0 ' 0 wrong' --set=missing --ops=10 --files=20 --keep "$dir"
touch "$dir/d.one/m27-0-0"
ends_with 1 'the name never existed' --set=missing --ops=5000 --files=20 --no-create "$dir"
rm -rf "${dir:?}"/d.*
"$statloop" --seconds=20 --files=20 "$dir" >"$tmp/out" 2>&1 &
pid=$!
helpers+=("$pid")
poll $hang_limit test -e "$dir/d.one" || fail "statloop made no tree"
poll $hang_limit eval '[ "$(ls "$dir/d.one" | wc -l)" -eq 20 ]' || fail "statloop made no files"
victim=$(ls "$dir/d.one" | head -n 1)
# Not before it has begun: until then a missing file is an error of the set-up, also status 1.
mv "$dir/d.one/$victim" "$dir/d.one/gone"
poll $hang_limit grep -qE 'reported missing|No such file' "$tmp/out" || fail "a removed file went unnoticed"
kill -INT "$pid" 2>/dev/null || true
wait "$pid" && fail "statloop ended with status 0 after a wrong answer"
helpers=()

for arguments in '' '--op=nothing .' '--threads=0 .' '--seconds=never .' "$tmp/out" '--mutate=x .'; do
  # shellcheck disable=SC2086
  ends_with 2 'statloop: ' $arguments
  [ "$(wc -l <"$tmp/out")" -eq 1 ] || fail "more than one line for bad usage: $arguments"
done
say "statloop: all spoilt trees were noticed"
