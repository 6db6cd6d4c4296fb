#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The kernel keeps the listing of a directory that rests and asks for it no more; whoever changes the directory,
# in the mount or behind it, sees the change in the next listing, also where its mtime was set back.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin listing

requests() {
  stat_of "$mnt" requests >/dev/null && python3 -c 'import json, sys
requests = json.load(open(sys.argv[1]))["requests"]
print(sum(requests.get(name, 0) for name in sys.argv[2:]))' "$tmp/stat.json" "$@"
}
names() { (cd "$1" && printf '%s ' *); }
# Whether another listing does without a READDIR. The first ones may not: what was changed just now could
# change again within the same tick of the clock.
kept() {
  local before
  before=$(requests readdir readdirplus) || return
  [ -n "$(names "$mnt/d")" ] && [ "$(requests readdir readdirplus)" = "$before" ]
}
in_mount() { eval "${1//DIR/"$mnt/d"}"; }
in_source() { eval "${1//DIR/"$src/d"}; touch -d @1000000000 '$src/d'"; }

# changes_show WHERE OPTION...
changes_show() {
  local where=$1 change
  shift
  rm -rf "$src/d"
  mkdir "$src/d"
  touch "$src/d/"{a,b,c}
  start -o noatime "$@"
  poll 30 kept || fail "a directory at rest is listed again and again ($where, $*)"
  expect "names, at rest" "a b c " "$(names "$mnt/d")"
  for change in 'touch DIR/e' 'rm DIR/a' 'mv DIR/b DIR/g' 'mkdir DIR/h' 'ln DIR/c DIR/i' 'ln -s x DIR/j' \
    'rmdir DIR/h' 'mv DIR/g DIR/../g && mv DIR/../g DIR/l' 'mkfifo DIR/k'; do
    "$where" "$change"
    expect "names after $change, $where" "$(names "$src/d")" "$(names "$mnt/d")"
  done
  expect "names in the end" "c e i j k l " "$(names "$mnt/d")"
  poll 30 kept || fail "a directory that rests again is listed again and again ($where, $*)"
  stop
}
changes_show in_mount --cache-ttl=inf --entry-timeout=1h --attr-timeout=1h --negative-timeout=1h
changes_show in_mount --entry-timeout=0 --attr-timeout=0
changes_show in_source --cache-ttl=0 --entry-timeout=0 --attr-timeout=0
changes_show in_source --cache-ttl=0 --entry-timeout=0 --attr-timeout=1ms

# One open directory: after rewinding it shows what has changed meanwhile.
start -o noatime --cache-ttl=inf --entry-timeout=1h --attr-timeout=1h
poll 30 kept || fail "a directory at rest is listed again and again"
bounded 60 python3 -B - "$mnt/d" <<'EOF' || fail "a listing from its beginning is of before the change"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.fdopendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.readdir.argtypes = libc.rewinddir.argtypes = [ctypes.c_void_p]
stream = libc.fdopendir(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY))
def names():
    libc.rewinddir(stream)
    found = set()
    while entry := libc.readdir(stream):
        found.add(ctypes.string_at(entry + 19).decode())
    return found - {".", ".."}
there = names()
assert there == set(os.listdir(sys.argv[1])) and there, there
for number in range(200):
    os.close(os.open(f"{sys.argv[1]}/n{number}", os.O_CREAT))
    there.add(f"n{number}")
    assert names() == there, number
for number in range(200):
    os.unlink(f"{sys.argv[1]}/n{number}")
    there.discard(f"n{number}")
    assert names() == there, number
EOF
stop

# And the daemon keeps the names: with nothing left in the kernel it opens no directory of the source a second
# time, and tells what else is asked of an open one.
listed() { stat_of "$mnt" counters listing.store; }
mkdir -p "$src/t/"{1..9}/{1..5}
start -o noatime --cache-ttl=inf --entry-timeout=1h --attr-timeout=1h
expected=$(cd "$src/t" && find . -printf '%p %i %y\n' | sort)
expect "tree" "$expected" "$(cd "$mnt/t" && find . -printf '%p %i %y\n' | sort)"
before=$(listed)
[ "$before" -ge 55 ] || fail "$before directories were listed"
for round in 1 2 3; do
  drop_kernel_caches || break
  expect "tree" "$expected" "$(cd "$mnt/t" && find . -printf '%p %i %y\n' | sort)"
done
expect "directories listed at the source again" "$before" "$(listed)"
mv "$mnt/t/1" "$mnt/t/9/moved"
expected=$(cd "$src/t" && find . -printf '%p %i %y\n' | sort)
drop_kernel_caches || true
expect "tree" "$expected" "$(cd "$mnt/t" && find . -printf '%p %i %y\n' | sort)"
[ $(($(listed) - before)) -le 8 ] || fail "$(($(listed) - before)) directories were listed anew after one move"
lsattr -d "$mnt/t/2" >/dev/null || fail "flags of a directory whose names are kept"
sync "$mnt/t/2" || fail "sync of a directory whose names are kept"
expect "listings that are kept" yes "$([ "$(stat_of "$mnt" cache listings)" -ge 50 ] && echo yes)"
stop

# The target of a link is kept as well, where reading it moves no time.
ln -s target "$src/link"
start -o noatime --cache-ttl=inf
for _ in 1 2 3 4 5; do expect "target" target "$(readlink "$mnt/link")"; done
asked=$(requests readlink)
[ "$asked" -le 1 ] || fail "$asked readlinks of one link"
ln -sfn other "$mnt/link"
expect "target of another link" other "$(readlink "$mnt/link")"
stop

# Where each listing moves the access time, none is kept.
mkdir "$tmp/strict"
mount -t tmpfs -o strictatime,size=1M tmpfs "$tmp/strict"
touch "$tmp/strict/f"
mount_evenfs "$tmp/strict" "$mnt" --cache-ttl=inf
moved() { [ "$(names "$mnt")" = "f " ] && [ "$(stat -c %x "$tmp/strict")" != "$last" ]; }
settled() { [ $(($(date +%s) - $(stat -c %Z "$tmp/strict"))) -gt 3 ]; }
expect "names" "f " "$(names "$mnt")"
poll 30 settled || fail "the clock stands still"
for round in 1 2 3; do
  last=$(stat -c %x "$tmp/strict")
  poll 10 moved || fail "listing again moved no access time where each listing does (round $round)"
done
umount_evenfs "$mnt"
echo "listing: passed"
