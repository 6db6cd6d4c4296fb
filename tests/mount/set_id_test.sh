#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Set-user-id, set-group-id and file capabilities go and stay as in the source: each kind of caller, each
# way to change content or owner, and the same in a plain directory is the measure. Also with an evenfs
# that has fewer rights, or lives in a user namespace; and for a file system above the mount. And the
# kernel does not ask for capabilities before each write.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
need setpriv
begin set_id

steps() { bounded 120 python3 -B "$source_dir/tests/mount/set_id_steps.py" "$@"; }

# fresh DIRECTORY: everybody may enter it.
fresh() { rm -rf "$1" && mkdir -m 755 "$1"; }

# compare WHAT [CALLERS [OPTION...]]: in the mount as in the plain directory, all callers if none are
# named. Of lines that match $but_for, if it is set, nothing is asked.
compare() {
  local what=$1 callers=${2:-all}
  shift $(($# < 2 ? $# : 2))
  steps "$tmp/plain" "$callers" >"$tmp/wanted" || fail "the steps do not run in a plain directory"
  steps "$mnt/tree" "$callers" "$@" >"$tmp/got" || fail "$what: status $?"
  for of in wanted got; do grep -vE "${but_for:-^$}" "$tmp/$of" >"$tmp/$of.asked"; done
  diff "$tmp/wanted.asked" "$tmp/got.asked" || fail "$what"
  say "$what: $(wc -l <"$tmp/got.asked") steps"
}

fresh "$tmp/plain"
fresh "$src/tree"
if [ -n "${EVENFS_IN_NAMESPACE:-}" ]; then
  start
  # Nobody has CAP_FSETID there, evenfs included, when it writes what was written by a mapping.
  but_for=', mapping,' compare "in a user namespace"
  stop
  exit 0
fi
start
compare "timeouts 1s"
stop
# With EVENFS_SHORT only the first, for a caller who changed only how requests come and go.
[ -z "${EVENFS_SHORT:-}" ] || exit 0
start --passthrough=off
compare "content by evenfs"
stop
# Files get their bits behind the mount, after they were written through it.
start --entry-timeout=0 --attr-timeout=0 --negative-timeout=0 --cache-ttl=0 --locking=rwlock
compare "bits from behind the mount" all --source "$src/tree"
stop

# without CAPABILITIES WHAT: evenfs lacks them, and nobody keeps bits by that.
evenfs_itself=$bin_dir
mkdir "$tmp/bin"
without() { # CAPABILITIES WHAT
  printf '#!/bin/sh\nexec setpriv --bounding-set=%s "%s/evenfs" "$@"\n' "$1" "$evenfs_itself" >"$tmp/bin/evenfs"
  chmod 755 "$tmp/bin/evenfs"
  bin_dir=$tmp/bin
  start -o allow_other
  compare "$2" "owner;member;stranger;impostor;root of users"
  stop
  bin_dir=$evenfs_itself
}
# Then it cannot tell what call a caller waits in, and of root, who has more rights, whether he is of its
# namespace.
but_for='chown\(-1, -1\)' without -sys_ptrace "evenfs without CAP_SYS_PTRACE"
# Then it makes all for itself, but need not keep bits; those that mean nothing it may take away.
but_for='chown|chgrp|ACL|2767|2745|6767' without -setuid,-setgid "evenfs that cannot take on ids"

mkdir -m 777 "$tmp/namespace"
TMPDIR=$tmp/namespace EVENFS_IN_NAMESPACE=1 bounded 120 \
  python3 -B "$source_dir/tests/support/in_user_namespace.py" "$tmp" bash "$0" "${bin_dir%/bin}" ||
  fail "in a user namespace"

# The kernel asks in the name of who mounted the other file system, for somebody else who waits in chown.
on_top() {
  mkdir -p "$1/upper" "$1/work" "$tmp/lower" "$tmp/merged"
  printf x >"$1/upper/f"
  chown 5001:5002 "$1/upper/f"
  chmod 6755 "$1/upper/f"
  mount -t overlay overlay -o "lowerdir=$tmp/lower,upperdir=$1/upper,workdir=$1/work" "$tmp/merged"
  setpriv --reuid=5001 --regid=5002 --groups=5003 chgrp 5003 "$tmp/merged/f" || say "chgrp: $?"
  stat -c '%a %u %g' "$tmp/merged/f"
  chmod 6755 "$tmp/merged/f"
  setpriv --reuid=5001 --regid=5002 --clear-groups dd if=/dev/zero of="$tmp/merged/f" bs=1 count=1 \
    conv=notrunc status=none
  stat -c '%a %u %g' "$tmp/merged/f"
  chmod 6755 "$tmp/merged/f"
  setpriv --reuid=5001 --regid=5002 --clear-groups truncate -s 100 "$tmp/merged/f"
  stat -c '%a %u %g' "$tmp/merged/f"
  chmod 6755 "$tmp/merged/f"
  printf more >>"$tmp/merged/f"
  stat -c '%a %u %g' "$tmp/merged/f"
  umount "$tmp/merged"
}
mkdir "$tmp/below" "$src/below"
start
expect "bits through an overlay, content by the kernel" "$(on_top "$tmp/below")" "$(on_top "$mnt/below")"
stop
start --passthrough=off
expect "bits through an overlay" "$(on_top "$tmp/below")" "$(on_top "$mnt/below")"

# count_requests WHAT COMMAND...: what 1000 writes of a byte cost in requests.
count_requests() {
  local what=$1 writes asked
  shift
  "$@" dd if=/dev/zero of="$mnt/written" bs=1 count=1 conv=notrunc status=none
  writes=$(stat_of "$mnt" requests write)
  asked=$(stat_of "$mnt" requests getxattr)
  "$@" dd if=/dev/zero of="$mnt/written" bs=1 count=1000 conv=notrunc status=none
  writes=$(($(stat_of "$mnt" requests write) - writes))
  asked=$(($(stat_of "$mnt" requests getxattr) - asked))
  expect "requests for 1000 writes by $what" 1000 "$writes"
  # Most of them by those who read the statistics.
  [ "$asked" -le 10 ] || fail "the kernel asked $asked times for an attribute of what $what wrote"
}
printf x >"$src/written"
chmod 666 "$src/written"
count_requests root env
count_requests "another user" setpriv --reuid=12345 --regid=12345 --clear-groups
stop
echo "set_id: passed"
