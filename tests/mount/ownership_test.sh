#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a user makes belongs to that user, by the rules of the source's file system: uid, gid,
# supplementary groups, umask, set-gid directories. The same steps on the source are the measure.
set -uo pipefail  # Not -e: how a step ends is what is compared.
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
need setpriv
begin ownership
uid=12345 gid=12346 extra=12347 other=12348

# as COMMAND...: as the user, with one supplementary group.
as() { setpriv --reuid=$uid --regid=$gid --groups=$extra -- "$@"; }

# Makes one of everything in the directory $1 and says how each step ended.
steps() {
  local dir=$1
  cd "$dir" || return
  umask 027
  as touch open/file; echo "file $?"
  as mkdir open/dir; echo "dir $?"
  as ln -s nowhere open/link; echo "link $?"
  as mkfifo open/fifo; echo "fifo $?"
  as mknod open/device c 1 3 2>/dev/null; echo "device $?"
  as touch setgid/file; echo "setgid file $?"
  as mkdir setgid/dir; echo "setgid dir $?"
  as touch bygroup/file; echo "by a supplementary group $?"
  as mkdir bygroup/dir; echo "dir by a supplementary group $?"
  as touch closed/file 2>/dev/null; echo "in a closed directory $?"
  as touch sticky/mine; echo "in a sticky directory $?"
  as rm -f sticky/theirs 2>/dev/null; echo "another's file in it $?"
  as ln open/file open/hard; echo "hard link $?"
  (umask 0; as touch open/everybody; as mkdir open/everybodys); echo "umask 0 $?"
  (umask 0777; as touch open/nobody); echo "umask 0777 $?"
  as chmod 2755 open/everybody; echo "set-gid by the owner $?"
  as chmod 4711 open/file; echo "set-uid by the owner $?"
  as sh -c 'echo more >>open/file'; echo "writing to it $?"
  as chown $uid:$extra open/nobody; echo "chgrp to an own group $?"
  as chown $uid:$other open/nobody 2>/dev/null; echo "chgrp to another $?"
  as chown 0 open/nobody 2>/dev/null; echo "giving it away $?"
  as chmod 777 sticky/theirs 2>/dev/null; echo "chmod of another's $?"
  as truncate -s 3 open/file; echo "truncate $?"
  as touch -d '2001-02-03 04:05:06' open/file; echo "times $?"
  touch open/roots && mkdir setgid/roots; echo "as root $?"
  chown 1:2 open/roots; chmod 6755 open/roots; chown 3 open/roots; echo "chown of set-uid $?"
  find . -printf '%P %y %m %U %G %s %n %l\n' | sort
}

prepare() {
  mkdir -p "$1"/{open,setgid,bygroup,closed,sticky}
  chmod 755 "$1"
  chown $uid:$gid "$1/open"
  chown 0:$other "$1/setgid" && chmod 2777 "$1/setgid"
  chown 0:$extra "$1/bygroup" && chmod 770 "$1/bygroup"
  chmod 1777 "$1/sticky" && touch "$1/sticky/theirs"
}

prepare "$tmp/plain"
prepare "$src/tree"
(steps "$tmp/plain") >"$tmp/wanted" 2>&1
for locking in lockless sharded rwlock mutex; do
  for timeout in 0 1; do
    rm -rf "$src/tree"
    prepare "$src/tree"
    start --locking=$locking --entry-timeout=$timeout --attr-timeout=$timeout
    (steps "$mnt/tree") >"$tmp/got" 2>&1
    diff "$tmp/wanted" "$tmp/got" || fail "$locking, timeouts $timeout"
    (cd "$src/tree" && find . -printf '%P %y %m %U %G %s %n %l\n' | sort) >"$tmp/behind"
    (cd "$mnt/tree" && find . -printf '%P %y %m %U %G %s %n %l\n' | sort) >"$tmp/through"
    diff "$tmp/behind" "$tmp/through" || fail "mount and source differ ($locking)"
    stop
  done
done

# Others may use root's mount, and only as far as modes allow.
start
as cat "$mnt/tree/open/file" >/dev/null || fail "the owner cannot read"
! as ls "$mnt/tree/closed/../bygroup/nothing" 2>/dev/null || fail "found what is not there"
chmod 700 "$mnt/tree/closed"
! as ls "$mnt/tree/closed" >/dev/null 2>&1 || fail "listed a closed directory"
stop
echo "ownership: passed"
