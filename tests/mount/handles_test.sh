#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# File handles (name_to_handle_at, open_by_handle_at) of a mount: good as long as the object exists, also
# when the kernel and the cache have forgotten it, and over a new mount; ESTALE afterwards, also when the
# inode number is used again; never another object. Not on sources that give out no handles of their own.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin handles

seed=${EVENFS_SEED:-$RANDOM}
steps() {
  local step=$1 tree=$2
  shift 2
  bounded 120 python3 -B "$source_dir/tests/mount/handles_steps.py" "$step" "$tree" "$@" \
    >"$tmp/steps.out" 2>&1 || fail "$step $*: $(tail -n 3 "$tmp/steps.out")"
  say "$step: $(cat "$tmp/steps.out")"
}
nothing_held() { drop_kernel_caches && [ "$(stat_of "$mnt" cache kernel_inodes)" = 0 ]; }

make_tree() {
  mkdir -p "$1"/{a/b/c,d,gone/sub}
  for i in $(seq 40); do echo "file $i of $1" >"$1/d/$i"; done
  for i in $(seq 20); do echo "gone $i" >"$1/gone/$i"; done
  echo deep >"$1/a/b/c/deep"
  ln "$1/a/b/c/deep" "$1/hard"
  ln -s a/b "$1/link"
  mkfifo "$1/fifo"
  mknod "$1/null" c 1 3
}

make_tree "$src"
outside=$tmp/outside
mkdir "$outside"
start --memory=1M --cache-ttl=100ms --negative-timeout=0
steps save "$mnt" "$tmp/all"
steps check "$mnt" "$tmp/all"

# Neither the kernel nor the cache knows them any more: others, let go part by part, have their slots.
forget_all() {
  local part evicted=0
  "$source_dir/tools/treegen/treegen" --files=5000 --seed="$1" "$tmp/many.$1" >/dev/null
  mv "$tmp/many.$1" "$src/many"
  for part in "$src"/many/*/; do
    poll 30 nothing_held || fail "the kernel dropped its caches, but holds inodes"
    poll 30 test -d "$mnt/many/$(basename "$part")" || fail "a new directory in the source is not seen"
    list_tree "$mnt/many/$(basename "$part")" >/dev/null
  done
  rm -rf "$src/many"
  poll 30 nothing_held || fail "the kernel dropped its caches, but holds inodes"
  evicted=$(stat_of "$mnt" counters dentry.evicted)
  [ "$evicted" -gt 1000 ] || fail "only $evicted evictions"
}
forget_all 1
steps check "$mnt" "$tmp/all"
steps forge "$mnt" 3000 "$seed"
umount_evenfs "$mnt"

for policy in lockless sharded rwlock mutex; do
  start --locking=$policy
  steps check "$mnt" "$tmp/all"
  umount_evenfs "$mnt"
done

# What is removed is stale at once, and stays so when others get the number, in this mount and the next.
start
steps save "$mnt/gone" "$tmp/gone"
rm -r "$mnt/gone"
steps stale "$mnt" "$tmp/gone"
mkdir "$mnt/gone" "$mnt/gone/sub"
for i in $(seq 60); do echo "again $i" >"$mnt/gone/$i"; done
steps stale "$mnt" "$tmp/gone"
umount_evenfs "$mnt"
start
steps stale "$mnt" "$tmp/gone"

# A directory that others took out of the source is not reached.
steps save "$mnt/a" "$tmp/a"
python3 -c 'import json, sys; p = sys.argv[1]; s = [o for o in json.load(open(p)) if o[0] in ("b", "b/c")]
json.dump(s, open(p, "w"))' "$tmp/a"
umount_evenfs "$mnt"
mv "$src/a" "$outside/a"
start
steps stale "$mnt" "$tmp/a"
umount_evenfs "$mnt"

# Nor is anything by a handle of another source.
mkdir "$tmp/other"
make_tree "$tmp/other"
mount_evenfs "$tmp/other" "$mnt"
steps stale "$mnt" "$tmp/gone"
steps save "$mnt" "$tmp/of_other"
umount_evenfs "$mnt"
start
steps stale "$mnt" "$tmp/of_other"
umount_evenfs "$mnt"
echo "handles: $(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$tmp/all") objects"
