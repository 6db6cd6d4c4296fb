#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many names: how many descriptors and how many bytes they cost the daemon, and that a small
# --memory evicts all that the kernel does not hold, and has the kernel asked for the rest, while every answer
# stays right and what is in use stays cached.
# Quick: 30,000 files and a limit of 5 MiB; long (EVENFS_LONG=1): 200,000 and 32 MiB, and for what is in use
# 1,000,000 and 64 MiB.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
# In memory if there is room: making and removing that many files can take minutes on a disk.
place=${TMPDIR:-/tmp}
if [ -w /dev/shm ] && [ "$(df --output=avail /dev/shm | tail -n 1)" -gt 2000000 ]; then
  place=/dev/shm
fi
begin memory_limit "$place"

descriptors_max=64
bytes_per_name_max=450
# The arena's memory comes in pages of this size, and the last one of those that a mount starts with comes some
# milliseconds after it is mounted: the resident size before may be short of one.
huge_page=$((2 << 20))
files=30000 limit=5M
if [ "$long" = 1 ]; then files=200000 limit=32M; fi
limit_bytes=$((${limit%M} << 20))

"$source_dir/tools/treegen/treegen" --files=$files "$tmp/tree" >"$tmp/shape"
list_tree "$tmp/tree" >"$tmp/source"
say "tree: $(cat "$tmp/shape")"
export -f list_tree

# list_mount: as its own process, so that a hang can be ended; and compares.
list_mount() {
  bounded 280 bash -c 'list_tree "$1"' - "$mnt" >"$tmp/listed" || fail "find: status $?"
  cmp "$tmp/source" "$tmp/listed" || fail "$1: the mount lists otherwise than the source"
}

show() {
  bounded 20 "$bin_dir/evenfs-stat" "$mnt" --json | python3 -c '
import json, sys
stats = json.load(sys.stdin)
for part in ("cache", "memory", "descriptors"):
    print("  " + part + ": " + ", ".join(f"{k} {v}" for k, v in stats[part].items()))
print("  evictions: " + ", ".join(f"{k} {v}" for k, v in stats["counters"].items()
                                  if "evict" in k))'
}

resident_bytes() { awk '/^VmRSS/ {print $2 * 1024}' "/proc/${daemon_of[$mnt]}/status"; }

cache_bytes() {
  echo $(($(stat_of "$mnt" memory cache_bytes) + $(stat_of "$mnt" memory store_bytes)))
}

# The cache shall hold what it was told for as long as it has room: no time limit.
mount_evenfs "$tmp/tree" "$mnt" --cache-ttl=inf
before=$(resident_bytes)
# Hash tables have a fixed size; only among many names is a name's share of them small.
fixed=0
[ "$long" = 1 ] || fixed=$(cache_bytes)
list_mount "no limit"
after=$(resident_bytes)
show
names=$(stat_of "$mnt" cache dentries)
[ "$names" -ge $files ] || fail "only $names of $files names are in the cache"
descriptors=$(stat_of "$mnt" descriptors total)
seen=$(ls "/proc/${daemon_of[$mnt]}/fd" | wc -l)
[ "$descriptors" -le $descriptors_max ] && [ "$seen" -le $descriptors_max ] ||
  fail "$descriptors descriptors by its own count, $seen by /proc; at most $descriptors_max"
by_stat=$((($(cache_bytes) - fixed) / names))
by_rss=$(((after - before) / names))
say "$names names: $descriptors descriptors; bytes for a name: $by_stat by evenfs-stat, $by_rss by" \
  "resident size ($before, then $after)"
[ $by_stat -le $bytes_per_name_max ] && [ $by_rss -le $((bytes_per_name_max + huge_page / names)) ] ||
  fail "more than $bytes_per_name_max bytes for a name"
umount_evenfs "$mnt"

mount_evenfs "$tmp/tree" "$mnt" --memory=$limit --cache-ttl=inf
list_mount "limit $limit"
show
used=$(stat_of "$mnt" memory cache_bytes)
held=$(stat_of "$mnt" cache kernel_inodes)
inodes=$(stat_of "$mnt" cache inodes)
evicted=$(stat_of "$mnt" counters dentry.evicted)
say "limit $limit: $used bytes used, $evicted evicted, $inodes inodes, the kernel holds $held"
if [ "$used" -gt $((limit_bytes + limit_bytes / 64)) ] && [ $((inodes - held)) -gt $((inodes / 20 + 64)) ]; then
  fail "over the limit with inodes that nobody holds"
fi
# The root is an inode that the kernel holds without a count.
[ "$evicted" -gt 0 ] || [ $((held + 1)) -ge "$inodes" ] ||
  fail "nothing was evicted, but not all is held"

# A kernel that can be asked to give inodes back (Linux 6.18) has been, in time.
able=$(stat_of "$mnt" prune able)
if [ "$able" = True ]; then
  asked() { [ "$(stat_of "$mnt" prune asked)" -gt 0 ]; }
  poll $hang_limit asked || fail "over the limit, and the kernel was not asked for anything"
  [ "$used" -le $((limit_bytes + limit_bytes / 4)) ] || fail "over the limit with a kernel that can be asked"
else
  say "the kernel cannot be asked to give inodes back; it needs to be Linux 6.18"
fi

# Once the kernel lets go, the same names give the same answers, and room for new ones is made from
# old ones. (The bytes then show what the kernel holds again: it asked for all these names.)
nothing_held() { drop_kernel_caches && [ "$(stat_of "$mnt" cache kernel_inodes)" = 0 ]; }
if drop_kernel_caches; then
  poll 30 nothing_held || fail "the kernel dropped its caches, but holds inodes"
  list_mount "after the kernel let go"
  poll 30 nothing_held || fail "the kernel dropped its caches again, but holds inodes"
  "$source_dir/tools/treegen/treegen" --files=$((files / 2)) --seed=2 "$mnt/more" >/dev/null
  list_tree "$tmp/tree" >"$tmp/source"
  list_mount "with more names"
  evicted=$(stat_of "$mnt" counters dentry.evicted)
  say "more names, after the kernel let go: $evicted evicted," \
    "$(stat_of "$mnt" memory cache_bytes) bytes," \
    "the kernel holds $(stat_of "$mnt" cache kernel_inodes) inodes"
  [ "$evicted" -ge $((files / 10)) ] || fail "too few evictions although nothing was held"
else
  say "eviction after the kernel let go: not checked, drop_caches is not writable"
fi
umount_evenfs "$mnt"

# If the kernel lets go of each part of the tree before the next is listed, the limit is kept.
list_parts() {
  local part
  for part in "$tmp/tree"/*/; do
    list_tree "$1" "$(basename "$part")"
    [ "$1" != "$mnt" ] || poll 30 nothing_held || return
  done
}
if drop_kernel_caches; then
  mount_evenfs "$tmp/tree" "$mnt" --memory=$limit --cache-ttl=inf
  list_parts "$tmp/tree" >"$tmp/source"
  list_parts "$mnt" >"$tmp/listed" || fail "the kernel dropped its caches, but holds inodes"
  cmp "$tmp/source" "$tmp/listed" || fail "part by part: the mount lists otherwise than the source"
  used=$(stat_of "$mnt" memory cache_bytes)
  evicted=$(stat_of "$mnt" counters dentry.evicted)
  say "part by part, limit $limit: $used bytes used, $evicted evicted," \
    "$(stat_of "$mnt" cache dentries) names, $(resident_bytes) bytes resident"
  # What is evicted can be used again a grace period later; on a busy machine that takes its time.
  [ "$used" -le $((limit_bytes + limit_bytes / 8)) ] || fail "over the limit, and nothing is held"
  [ "$evicted" -gt 0 ] || fail "nothing was evicted: the tree is too small for this test"
  show
  umount_evenfs "$mnt"
fi

# What is in use stays cached while the rest passes by.
if [ "$able" = True ]; then
  in_use=300
  if [ "$long" = 1 ]; then
    in_use=10000 limit=64M
    rm -rf "$tmp/tree"
    "$source_dir/tools/treegen/treegen" --files=1000000 "$tmp/tree" >/dev/null
  fi
  mkdir "$tmp/tree/in-use"
  (cd "$tmp/tree/in-use" && for ((i = 0; i < in_use; i++)); do : >"file$i"; done)
  for drop in "" --drop-caches; do
    [ -z "$drop" ] || drop_kernel_caches || continue
    mount_evenfs "$tmp/tree" "$mnt" --memory=$limit --coherence=exclusive
    bounded 900 python3 "$source_dir/tests/mount/hot_set_steps.py" "$mnt" in-use 95 $drop ||
      fail "what is in use was evicted${drop:+ ($drop)}"
    show
    umount_evenfs "$mnt"
  done
fi
