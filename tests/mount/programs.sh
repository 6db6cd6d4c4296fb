#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs that people use do in a mount what they do elsewhere, and the backing directory then
# holds the same: git clone and fsck, a CMake build, rsync in and back, tar in and diff, an SQLite
# database with a write-ahead log and concurrent writers.
# Quick: a small project is built; long (EVENFS_LONG=1): evenfs itself, with its unit tests.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need git cmake rsync tar sqlite3 diff c++
begin programs

backing=$tmp/backing mnt=$tmp/mnt
# Other people's repositories, and nobody's settings.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null HOME=$tmp
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example
generator=()
if command -v ninja >/dev/null; then generator=(-G Ninja); fi

# step NAME SECONDS COMMAND...: a command with its own patience; its output is shown if it fails.
step() {
  local name=$1 seconds=$2 begin=$SECONDS status=0
  shift 2
  bounded "$seconds" "$@" >"$tmp/step.log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 20 "$tmp/step.log"
    fail "$name: status $status: $*"
  fi
  say "$name: $((SECONDS - begin)) s"
}

# This repository, or one made of the source tree where there is none.
repository() {
  if git -C "$source_dir" rev-parse --verify -q HEAD >/dev/null 2>&1; then
    echo "$source_dir"
    return
  fi
  mkdir "$tmp/source"
  (cd "$source_dir" && tar c --exclude=./build --exclude=./.git .) | tar x -C "$tmp/source"
  git -C "$tmp/source" init -q && git -C "$tmp/source" add -A &&
    git -C "$tmp/source" commit -q -m all && echo "$tmp/source"
}

run_git() {
  local from
  from=$(repository)
  step 'git clone' 120 git clone -q --no-hardlinks "$from" "$mnt/clone"
  step 'git fsck' 120 git -C "$mnt/clone" fsck --full --strict
  step 'git gc' 120 git -C "$mnt/clone" gc -q
  step 'git checkout' 120 git -C "$mnt/clone" checkout -q -b other
  [ "$(git -C "$mnt/clone" rev-parse HEAD)" = "$(git -C "$from" rev-parse HEAD)" ] ||
    fail "the clone has another HEAD"
  [ -z "$(git -C "$mnt/clone" status --porcelain)" ] || fail "the clone is not clean"
}

# A project of a library of twenty files, a generated header and a test.
write_project() {
  local dir=$1 i
  mkdir -p "$dir/src"
  cat >"$dir/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.20)
project(small CXX)
enable_testing()
configure_file(number.h.in number.h)
file(GLOB sources src/f*.cc)
add_library(parts STATIC ${sources})
target_include_directories(parts PUBLIC ${CMAKE_CURRENT_BINARY_DIR})
set(NUMBER 1)
add_executable(sum src/main.cc)
target_link_libraries(sum parts)
add_test(NAME sum COMMAND sum)
EOF
  echo 'inline constexpr int kOne = 1;' >"$dir/number.h.in"
  {
    for i in $(seq 20); do echo "int f$i();"; done
    echo 'int main() { return 0'
    for i in $(seq 20); do echo " + f$i()"; done
    echo ' == 210 ? 0 : 1; }'
  } >"$dir/src/main.cc"
  for i in $(seq 20); do
    printf '#include "number.h"\nint f%d() { return kOne * %d; }\n' "$i" "$i" >"$dir/src/f$i.cc"
  done
}

run_small_build() {
  local dir=$mnt/small
  write_project "$dir"
  step 'cmake' 120 cmake "${generator[@]}" -S "$dir" -B "$dir/build"
  step 'build' 120 cmake --build "$dir/build" --parallel 4
  step 'its test' 60 ctest --test-dir "$dir/build" --no-tests=error
  step 'build again' 60 cmake --build "$dir/build"
  ! grep -q Building "$tmp/step.log" || fail "a second build found something to do"
}

run_own_build() {
  local dir=$mnt/clone
  export EVENFS_DEPS=${EVENFS_DEPS:-$source_dir/build/deps}
  step 'cmake of evenfs' 300 cmake "${generator[@]}" -S "$dir" -B "$dir/build/release" \
    -DCMAKE_BUILD_TYPE=Release
  step 'build of evenfs' 3000 cmake --build "$dir/build/release" --parallel "$(nproc)"
  step 'its unit tests' 1200 ctest --test-dir "$dir/build/release" -L '^(unit|typed)$' \
    --no-tests=error -j "$(nproc)"
  tail -n 4 "$tmp/step.log"
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
  diff -r --no-dereference --exclude='fifo*' "$1" "$2" >"$tmp/diff" || fail "$(head -n 5 "$tmp/diff")"
  # The size of a directory is its file system's own affair.
  local format='%P %y %m %U %G %n %T@ %l'
  diff <(cd "$1" && find . \( -type d -printf "$format\n" \) -o -printf "$format %s\n" | sort) \
    <(cd "$2" && find . \( -type d -printf "$format\n" \) -o -printf "$format %s\n" | sort) \
    >"$tmp/diff" || fail "$1 and $2 differ: $(head -n 5 "$tmp/diff")"
}

run_copies() {
  write_tree "$tmp/tree"
  step 'rsync in' 120 rsync -aH --sparse "$tmp/tree/" "$mnt/rsync/"
  step 'rsync back' 120 rsync -aH --sparse "$mnt/rsync/" "$tmp/back/"
  same_tree "$tmp/tree" "$tmp/back"
  step 'rsync finds nothing to do' 60 rsync -aHi --checksum "$tmp/tree/" "$mnt/rsync/"
  [ ! -s "$tmp/step.log" ] || fail "rsync would still copy: $(head -n 3 "$tmp/step.log")"
  mkdir "$mnt/tar"
  tar c --format=posix --sparse -C "$tmp/tree" . >"$tmp/tree.tar"
  step 'tar in' 120 tar xp --same-owner -C "$mnt/tar" -f "$tmp/tree.tar"
  same_tree "$tmp/tree" "$mnt/tar"
  say "diff -r: equal"
}

# Each writer adds its rows one transaction each.
sqlite_writer() {
  local i
  {
    echo '.timeout 60000'
    for i in $(seq "$2"); do echo "INSERT INTO t VALUES ($1, $i, randomblob(200));"; done
  } | sqlite3 -bail "$mnt/base.db"
}

run_sqlite() {
  local writers=4 rows=$((long == 1 ? 2000 : 150)) i pids=() begin=$SECONDS
  local mode
  mode=$(sqlite3 "$mnt/base.db" 'PRAGMA journal_mode=WAL;
    CREATE TABLE t (writer INTEGER, number INTEGER, data BLOB, PRIMARY KEY (writer, number));')
  [ "$mode" = wal ] || fail "the database has no write-ahead log, but: $mode"
  # An open reader keeps the log and its shared memory in use.
  export -f sqlite_writer
  export mnt
  for i in $(seq $writers); do
    bounded 280 bash -c "sqlite_writer $i $rows" &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || fail "an SQLite writer ended with status $?"; done
  [ "$(sqlite3 "$mnt/base.db" 'PRAGMA integrity_check;')" = ok ] || fail "integrity_check"
  local count
  count=$(sqlite3 "$mnt/base.db" 'SELECT count(*) || " " || sum(number) FROM t;')
  [ "$count" = "$((writers * rows)) $((writers * rows * (rows + 1) / 2))" ] ||
    fail "rows and their sum: $count"
  sqlite3 "$mnt/base.db" .dump >"$tmp/dump"
  say "sqlite: $writers writers, $rows transactions each: $((SECONDS - begin)) s"
}

mkdir "$backing"
mount_evenfs "$backing" "$mnt"
run_git
if [ "$long" = 1 ]; then run_own_build; else run_small_build; fi
run_copies
run_sqlite

# What the mount shows now, and what lies there afterwards.
list_tree "$mnt" >"$tmp/in_mount"
umount_evenfs "$mnt"
list_tree "$backing" >"$tmp/in_backing"
diff "$tmp/in_mount" "$tmp/in_backing" >"$tmp/diff" ||
  fail "the mount showed otherwise than the backing directory: $(head -n 5 "$tmp/diff")"
git -C "$backing/clone" fsck --full --strict 2>&1 | grep -v '^dangling' || true
[ -z "$(git -C "$backing/clone" status --porcelain)" ] || fail "the clone is not clean in backing"
same_tree "$tmp/tree" "$backing/rsync"
same_tree "$tmp/tree" "$backing/tar"
sqlite3 "$backing/base.db" .dump | cmp - "$tmp/dump" || fail "the database differs"
say "$(wc -l <"$tmp/in_backing") names: the backing directory holds what the mount showed"
