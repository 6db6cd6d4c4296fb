#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs that people use do in a mount what they do elsewhere: git clone of this repository, fsck
# and gc, a build of it, rsync in and back, tar in, an SQLite database with a write-ahead log and
# several writing processes. All but the build is done in a plain directory too and must come out
# alike; in the end the backing directory must hold, byte for byte, what the mount showed.
# Quick: the store library and one unit test are built; long (EVENFS_LONG=1): everything, with all
# unit tests, and the rest once more with timeouts of 0.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need git cmake rsync tar sqlite3 diff c++ pkg-config sha256sum
begin programs

plain=$tmp/plain from=$tmp/repository
cxx=${CXX:-c++}
export EVENFS_DEPS=${EVENFS_DEPS:-$source_dir/build/deps}
# Other people's repositories, nobody's settings, and packs that do not depend on threads.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null HOME=$tmp GIT_CONFIG_COUNT=2
export GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
export GIT_CONFIG_KEY_1=pack.threads GIT_CONFIG_VALUE_1=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example
generator=()
if command -v ninja >/dev/null; then generator=(-G Ninja); fi

# step NAME SECONDS COMMAND...: a command with its own patience; its output is shown if it fails.
step() {
  local name=$1 seconds=$2 begin=$SECONDS status=0
  shift 2
  bounded "$seconds" "$@" >"$tmp/step.log" 2>&1 || status=$?
  [ "$status" -eq 0 ] || fail "$name: status $status: $*: $(tail -n 20 "$tmp/step.log")"
  say "$name: $((SECONDS - begin)) s"
}

# A copy of this repository, which may change while the test runs; or one made of the source tree
# where there is none.
make_repository() {
  if git -C "$source_dir" rev-parse --verify -q HEAD >/dev/null 2>&1; then
    step 'a copy of the repository' 120 git clone -q --bare --no-hardlinks "$source_dir" "$from"
    return
  fi
  mkdir "$from"
  (cd "$source_dir" && tar c --exclude=./build --exclude=./.git .) | tar x -C "$from"
  git -C "$from" init -q
  git -C "$from" add -A
  git -C "$from" commit -q -m all
}

# run_git DIR NAME: what there is to compare goes to $tmp/NAME.git.
run_git() {
  local at=$1/clone
  step "$2: git clone" 120 git clone -q --no-hardlinks "$from" "$at"
  step "$2: git gc" 120 git -C "$at" gc -q
  step "$2: git checkout" 120 git -C "$at" checkout -q -b other
  expect "$2: HEAD" "$(git -C "$from" rev-parse HEAD)" "$(git -C "$at" rev-parse HEAD)"
  expect "$2: changes in the clone" "" "$(git -C "$at" status --porcelain)"
  step "$2: git fsck" 120 git -C "$at" fsck --full --strict --no-progress
  {
    cat "$tmp/step.log"
    git -C "$at" cat-file --batch-all-objects --batch-check
    git -C "$at" ls-files -s
    (cd "$at" && find . -printf '%P %y %m %U %G %n %l\n' | sort)
  } >"$tmp/$2.git"
}

# The unit test is linked by hand: as a target it wants all of the daemon, which takes a minute.
run_quick_build() {
  local at=$mnt/clone build=$mnt/clone/build/quick
  step 'cmake' 120 cmake "${generator[@]}" -S "$at" -B "$build" -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_CXX_FLAGS_DEBUG=-O0
  step 'build' 250 cmake --build "$build" --parallel 2 --target evenfs_store
  step 'build of a test' 120 "$cxx" -std=c++20 -D_LGPL_SOURCE -D_FILE_OFFSET_BITS=64 -I "$at" \
    -o "$build/fd_cache_test" "$at/tests/unit/fd_cache_test.cc" \
    -Wl,--start-group "$build"/core/*.a -Wl,--end-group -lgtest -lgtest_main -lxxhash -pthread
  step 'the test' 60 "$build/fd_cache_test"
  grep -E '^\[  PASSED' "$tmp/step.log" || fail "the test ran nothing: $(cat "$tmp/step.log")"
  step 'build again' 60 cmake --build "$build" --target evenfs_store
  ! grep -q Building "$tmp/step.log" || fail "a second build found something to do"
  built_test=clone/build/quick/fd_cache_test
}

run_long_build() {
  local at=$mnt/clone build=$mnt/clone/build/release
  step 'cmake' 300 cmake "${generator[@]}" -S "$at" -B "$build" -DCMAKE_BUILD_TYPE=Release
  step 'build' 3000 cmake --build "$build" --parallel "$(nproc)"
  step 'its unit tests' 1200 ctest --test-dir "$build" -L '^(unit|typed)$' --no-tests=error \
    -j "$(nproc)"
  tail -n 4 "$tmp/step.log"
  step 'build again' 300 cmake --build "$build"
  ! grep -q Building "$tmp/step.log" || fail "a second build found something to do"
  built_test=clone/build/release/bin/fd_cache_test
}

# A tree with all that rsync and tar preserve.
write_tree() {
  "$source_dir/tools/treegen/treegen" --files=1000 "$1" >/dev/null
  mkfifo "$1/fifo"
  ln -s nowhere "$1/dangling"
  mkdir -m 1777 "$1/sticky"
  dd if=/dev/urandom of="$1/random" bs=64k count=33 status=none
  truncate -s 10M "$1/sparse"
  chmod 4751 "$1/random"
  # Not the present: rsync leaves a time alone that is right to the second.
  find "$1" -exec touch -h -d '2001-02-03 04:05:06.789012345' {} +
}

# same_tree A B: names, contents and all that a stat says but inode and change time.
same_tree() {
  diff -r --no-dereference --exclude='fifo*' "$1" "$2" >"$tmp/diff" ||
    fail "$1 and $2 differ: $(head -n 5 "$tmp/diff")"
  # The size of a directory is its file system's own affair.
  local format='%P %y %m %U %G %n %T@ %l'
  diff <(cd "$1" && find . \( -type d -printf "$format\n" \) -o -printf "$format %s\n" | sort) \
    <(cd "$2" && find . \( -type d -printf "$format\n" \) -o -printf "$format %s\n" | sort) \
    >"$tmp/diff" || fail "$1 and $2 differ: $(head -n 5 "$tmp/diff")"
}

run_copies() {
  local at=$1
  step "$2: rsync in" 120 rsync -aH --sparse "$tmp/tree/" "$at/rsync/"
  step "$2: rsync back" 120 rsync -aH --sparse "$at/rsync/" "$tmp/$2.back/"
  same_tree "$tmp/tree" "$tmp/$2.back"
  step "$2: rsync finds nothing to do" 60 rsync -aHi --checksum "$tmp/tree/" "$at/rsync/"
  [ ! -s "$tmp/step.log" ] || fail "$2: rsync would still copy: $(head -n 3 "$tmp/step.log")"
  mkdir "$at/tar"
  step "$2: tar in" 120 tar xp --same-owner -C "$at/tar" -f "$tmp/tree.tar"
  same_tree "$tmp/tree" "$at/tar"
  rm -rf "$tmp/$2.back"
}

# sqlite_writer DATABASE WRITER ROWS: one transaction for each row.
sqlite_writer() {
  local i
  {
    echo '.timeout 60000'
    for i in $(seq "$3"); do
      echo "INSERT INTO t VALUES ($2, $i, printf('%0200d', $2 * 100000 + $i));"
    done
  } | sqlite3 -bail "$1"
}

sqlite_rows() { sqlite3 "$1" 'SELECT * FROM t ORDER BY writer, number;'; }

run_sqlite() {
  local base=$1/base.db writers=4 rows=$((long == 1 ? 2000 : 150)) i pids=() begin=$SECONDS
  expect "$2: journal mode" wal "$(sqlite3 "$base" 'PRAGMA journal_mode=WAL; CREATE TABLE t
    (writer INTEGER, number INTEGER, data TEXT, PRIMARY KEY (writer, number));')"
  for i in $(seq $writers); do
    bounded 280 bash -c 'sqlite_writer "$@"' - "$base" "$i" $rows &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || fail "$2: an SQLite writer ended with status $?"; done
  expect "$2: integrity check" ok "$(sqlite3 "$base" 'PRAGMA integrity_check;')"
  expect "$2: rows and their sum" "$((writers * rows)) $((writers * rows * (rows + 1) / 2))" \
    "$(sqlite3 "$base" 'SELECT count(*) || " " || sum(number) FROM t;')"
  sqlite_rows "$base" >"$tmp/$2.rows"
  say "$2: sqlite: $writers writers, $rows transactions each: $((SECONDS - begin)) s"
}
export -f sqlite_writer

# everything_but_builds DIR NAME
everything_but_builds() {
  run_git "$1" "$2"
  run_copies "$1" "$2"
  run_sqlite "$1" "$2"
}

alike() {
  local what
  for what in git rows; do
    cmp "$tmp/plain.$what" "$tmp/$1.$what" >&2 || fail "$1: $what: not as in a plain directory"
  done
  same_tree "$plain/rsync" "$mnt/rsync"
  same_tree "$plain/tar" "$mnt/tar"
}

checksums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

# What the mount shows now, and what lies there afterwards.
unmount_and_compare() {
  list_tree "$mnt" >"$tmp/in_mount"
  checksums "$mnt" >"$tmp/in_mount.sums"
  umount_evenfs "$mnt"
  list_tree "$src" >"$tmp/in_backing"
  checksums "$src" >"$tmp/in_backing.sums"
  local what
  for what in '' .sums; do
    diff "$tmp/in_mount$what" "$tmp/in_backing$what" >"$tmp/diff" ||
      fail "the mount showed otherwise than the backing directory: $(head -n 5 "$tmp/diff")"
  done
  git -C "$src/clone" fsck --full --strict --no-progress >"$tmp/step.log" 2>&1 ||
    fail "git fsck in the backing directory: $(tail -n 5 "$tmp/step.log")"
  expect "changes in the clone" "" "$(git -C "$src/clone" status --porcelain)"
  sqlite_rows "$src/base.db" | cmp - "$tmp/plain.rows" || fail "the database differs"
  say "$(wc -l <"$tmp/in_backing") names: the backing directory holds what the mount showed"
}

make_repository
write_tree "$tmp/tree"
tar c --format=posix --sparse -C "$tmp/tree" . >"$tmp/tree.tar"
mkdir "$plain"
everything_but_builds "$plain" plain
start
everything_but_builds "$mnt" mount
alike mount
if [ "$long" = 1 ]; then run_long_build; else run_quick_build; fi
unmount_and_compare
"$src/$built_test" >"$tmp/step.log" ||
  fail "what was built there fails: $(tail -n 9 "$tmp/step.log")"

if [ "$long" = 1 ]; then
  rm -rf "${src:?}"/*
  start --entry-timeout=0 --attr-timeout=0 --negative-timeout=0
  everything_but_builds "$mnt" uncached
  alike uncached
  unmount_and_compare
fi
