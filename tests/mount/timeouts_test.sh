#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the kernel may answer by itself, and what it still asks: by the daemon's count of requests, and by
# what is seen of a change behind the mount.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin timeouts

zero=(--entry-timeout=0 --negative-timeout=0)
lookups() { stat_of "$mnt" requests lookup; }
getattrs() { stat_of "$mnt" requests getattr; }

# loop TIMES PATH: stats it so often.
loop() {
  bounded 60 python3 -B -c 'import os, sys
for _ in range(int(sys.argv[1])): os.stat(sys.argv[2])' "$@"
}

# changes TIMES WHAT: changes WHAT behind the mount and looks through it each time.
changes() {
  bounded 60 python3 -B - "$1" "$src/$2" "$mnt/$2" <<'EOF' || fail "a change of $2 in the source is seen late"
import os, sys
for number in range(int(sys.argv[1])):
    mode = (0o700, 0o755)[number % 2]
    os.chmod(sys.argv[2], mode)
    seen = os.stat(sys.argv[3]).st_mode & 0o777
    assert seen == mode, f"{number}: {seen:o}, not {mode:o}"
EOF
}

mkdir -m 755 "$src/d"
touch "$src/d/f"

# Asks for each name and for the file's attributes. For the directory's, whose permission it checks, it asks
# once in a tick.
start "${zero[@]}" --attr-timeout=0 --cache-ttl=inf
loop 5000 "$mnt/d/f"
asked=$(lookups) got=$(getattrs)
[ "$asked" -ge 10000 ] || fail "only $asked lookups"
[ "$got" -ge 5000 ] || fail "only $got getattrs"
[ "$got" -le 8000 ] || fail "$got getattrs of 5000 files"
say "timeouts 0: $asked lookups and $got getattrs for 5000 stats"
stop

# One request for each name: attributes come with it.
start "${zero[@]}" --attr-timeout=1ms --cache-ttl=inf
loop 5000 "$mnt/d/f"
asked=$(lookups) got=$(getattrs)
[ "$asked" -ge 10000 ] || fail "only $asked lookups"
[ "$got" -le 3000 ] || fail "$got getattrs beside the lookups"
say "attributes for a tick: $asked lookups and $got getattrs for 5000 stats"
stop

# Who asks by name sees each change at once, when the cache keeps nothing.
start "${zero[@]}" --attr-timeout=1ms --cache-ttl=0
changes 300 d/f
stop
# And nothing is kept of a directory either.
start "${zero[@]}" --attr-timeout=0 --cache-ttl=0
changes 300 d/f
changes 300 d
# By a descriptor: a name would be looked up, and its attributes come with that.
bounded 60 python3 -B - "$src/d" "$mnt/d" <<'EOF' || fail "permission of a directory is checked late"
import os, sys
directory = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
os.setegid(65534)
os.seteuid(65534)
for number in range(300):
    os.seteuid(0)
    os.chmod(sys.argv[1], (0o700, 0o755)[number % 2])
    os.seteuid(65534)
    try:
        os.stat("f", dir_fd=directory)
        seen = 1
    except PermissionError:
        seen = 0
    assert seen == number % 2, number
EOF
stop

# What was open for writing only, by the kernel itself, it knows afterwards; it has seen each write.
start --entry-timeout=1h --attr-timeout=1h --cache-ttl=inf
if [ "$(stat_of "$mnt" options passthrough)" != off ] && : >"$mnt/probe" && exec 7<"$mnt/probe" &&
  [ "$(stat_of "$mnt" descriptors backing_files)" = 1 ]; then
  exec 7<&-
  bounded 60 python3 -B - "$mnt" <<'EOF' || fail "sizes of what is written"
import os, sys
for number in range(100):
    path = f"{sys.argv[1]}/w{number}"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    for size in range(1, 4):
        os.write(fd, b"x")
        assert os.stat(path).st_size == size, (path, size)
    os.close(fd)
EOF
  before=$(getattrs)
  for _ in 1 2 3; do ls -U "$mnt" >/dev/null; done
  for number in $(seq 0 99); do [ "$(stat -c %s "$mnt/w$number")" = 3 ] || fail "size of w$number"; done
  loop 1000 "$mnt/w5"
  after=$(getattrs)
  [ $((after - before)) -le 110 ] || fail "$((after - before)) getattrs of 100 files that were closed"
else
  say "this kernel has no FUSE passthrough: what it knows of its own writes is not looked at"
fi
stop
echo "timeouts: passed"
