#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Capabilities and access control lists that are not there: the source is asked for each once, and not for
# each look, write and start of a program; one that is set is seen: through the mount at once, behind it
# after --cache-ttl.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
need setfacl getfacl setcap getcap
begin xattr
user=12345

asked() { stat_of "$mnt" counters getxattr.store; }
known() { stat_of "$mnt" counters getxattr.hit; }
look() { (cd "$1" && getcap f && getfacl -n f d && ./f) 2>&1; }
agree() { [ "$(look "$src")" = "$(look "$mnt")" ]; }
same() { expect "$1" "$(look "$src")" "$(look "$mnt")"; }

printf '#!/bin/sh\necho ran\n' >"$src/f"
chmod 755 "$src/f"
mkdir "$src/d"
setfacl -m u:$user:r "$src/f" || skip "no ACLs in $src"
setcap cap_net_raw+ep "$src/f" || skip "no capabilities in $src"
setcap -r "$src/f"
setfacl -b "$src/f"

for locking in lockless sharded; do
  start --locking=$locking --cache-ttl=inf --entry-timeout=0 --attr-timeout=0 --passthrough=off -o suid
  same 'at first'
  first=$(asked) hits=$(known)
  for i in 1 2 3 4 5; do
    same "look $i"
    echo "# $i" >>"$mnt/f"
  done
  expect "questions for what is known to be absent ($locking)" "$first" "$(asked)"
  [ "$(known)" -ge $((hits + 20)) ] || fail "only $(($(known) - hits)) answers of the cache ($locking)"

  setcap cap_net_raw+ep "$mnt/f"
  same 'a capability that was set'
  echo more >>"$mnt/f"
  same 'a capability that a write took'
  setfacl -m u:$user:rw "$mnt/f"
  setfacl -d -m u:$user:rwx "$mnt/d"
  same 'lists that were set'
  touch "$mnt/d/child"
  expect 'an inherited list' "$(cd "$src/d" && getfacl -n child)" "$(cd "$mnt/d" && getfacl -n child)"
  setfacl -b "$mnt/f"
  setfacl -k "$mnt/d"
  same 'lists that were removed'
  setcap cap_net_raw+ep "$mnt/f"
  setcap -r "$mnt/f"
  same 'a capability that was removed'
  rm "$mnt/d/child"
  stop
done

# behind [OPTION...]: what others do is seen, soon.
behind() {
  start --entry-timeout=0 --attr-timeout=0 --negative-timeout=0 "$@"
  same "before ($*)"
  setcap cap_net_raw+ep "$src/f"
  poll 10 agree || fail "a capability that others set is not seen ($*)"
  setfacl -m u:$user:--- "$src/f" # Changes the mode.
  poll 10 agree || fail "a list that others set is not seen ($*)"
  setfacl -d -m u:$user:rwx "$src/d" # Does not.
  poll 10 agree || fail "a default list that others set is not seen ($*)"
  setfacl -b "$src/f"
  setfacl -k "$src/d"
  setcap -r "$src/f"
  poll 10 agree || fail "what others removed is still seen ($*)"
  stop
}
behind --cache-ttl=50ms
behind --cache-ttl=1s
start --cache-ttl=0 --entry-timeout=0 --attr-timeout=0
same 'before'
setcap cap_net_raw+ep "$src/f"
same 'at once, without a time to live'
stop
echo "xattr: passed"
