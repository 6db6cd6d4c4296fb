#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Access control lists and what else is kept beside the mode: default ACLs and the umask, who may pass
# by an ACL, set-group-id under setfacl, attributes that only root sees, capabilities and set-id bits
# that a write takes away, chattr's flags. The same steps in a plain directory are the measure.
set -uo pipefail  # Not -e: how a step ends is what is compared.
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
PATH=$PATH:/sbin:/usr/sbin
need_root
need setpriv setfacl getfacl setfattr getfattr chattr lsattr setcap getcap fallocate
begin acl
user=12345 other=12346 team=12347

# as USER COMMAND...: as that user, whose group has the same number. with_team: in the team too.
as() { local id=$1; shift; setpriv --reuid="$id" --regid="$id" --clear-groups -- "$@"; }
with_team() { setpriv --reuid=$user --regid=$user --groups=$team -- "$@"; }

# tried WHAT COMMAND...: says how the command ended; of its message only the reason.
tried() {
  local what=$1 status=0 message
  shift
  message=$("$@" 2>&1) || status=$?
  echo "$what: $status ${message##*: }"
}

default_acls() {
  mkdir d
  setfacl -m u:$user:rwx d
  setfacl -d -m u:$user:rwx,g:$other:rx,m::rwx d
  (umask 077; touch d/file; mkdir d/dir; mknod d/fifo p; ln -s file d/link)
  (umask 077; as $user sh -c 'echo made >d/by_user; mkdir d/dir_by_user')
  tried 'not in the list' as $other touch d/by_other
  tried 'may read by group' as $other ls d
  (umask 027; touch without; mkdir dir_without; mkfifo fifo_without)
  setfacl -k d
  (umask 027; touch d/no_default_any_more)
  getfacl -R -n -p . 2>&1
}

passing_by_acl() {
  mkdir -m 700 closed
  echo text >closed/file
  chmod 600 closed/file
  tried 'before' as $user cat closed/file
  setfacl -m u:$user:x closed
  setfacl -m u:$user:r closed/file
  tried 'with both' as $user cat closed/file
  tried 'write' as $user sh -c 'echo more >>closed/file'
  setfacl -x u:$user closed
  tried 'after' as $user cat closed/file
  setfacl -m u:$user:x closed
  setfacl -b closed/file
  tried 'without the list' as $user cat closed/file
  chmod 640 closed/file
  setfacl -m u:$user:rw closed/file
  chmod g= closed/file
  tried 'masked' as $user cat closed/file
  getfacl -n closed/file
}

set_group_id() {
  local name
  for name in stranger member; do
    touch $name
    chown $user:$team $name
    chmod 2775 $name
  done
  as $user setfacl -m u:$other:rw stranger
  with_team setfacl -m u:$other:rw member
  mkdir inherits
  chown 0:$team inherits
  chmod 2777 inherits
  setfacl -d -m u:$other:rwx inherits
  (umask 022; as $user sh -c 'touch inherits/file; mkdir inherits/dir')
  stat -c '%n %a %u %g' stranger member inherits inherits/*
}

hidden_attributes() {
  touch x
  chmod 666 x
  setfattr -n trusted.t -v secret x
  setfattr -n user.u -v open x
  setfattr -n security.evenfs -v 1 x
  getfattr -d -m - x | sort
  as $user getfattr -d -m - x 2>/dev/null | sort  # btrfs lists trusted names, and then has none.
  tried 'trusted by another' as $user getfattr -n trusted.t x
  tried 'set trusted' as $user setfattr -n trusted.t -v 2 x
  tried 'remove trusted' as $user setfattr -x trusted.t x
  tried 'user attribute of a fifo' sh -c 'mkfifo p; setfattr -n user.u -v 1 p'
}

# Each way to change a file's content as somebody who may only write it.
taken_away() {
  local way
  for way in 'echo more >>f' 'echo new >f' 'truncate -s 3 f' 'fallocate -l 100000 f' \
    'dd if=/dev/zero of=f bs=4096 count=1 oflag=direct status=none'; do
    printf '#!/bin/sh\n' >f
    chmod 6777 f
    as $user sh -c "$way"
    stat -c "$way: %a" f
    chmod 6767 f
    as $user sh -c "$way"
    stat -c "$way, group may not execute: %a" f
  done
  chmod 6755 f
  chown $user f
  stat -c 'chown: %a' f
  setcap cap_net_raw+ep f
  getcap f
  echo more >>f
  getcap f
  setcap cap_net_raw+ep f
  chown $other f
  getcap f
}

flags() {
  touch f
  mkdir dir
  tried '+a' chattr +a f
  tried 'append' sh -c 'echo one >>f; echo two >>f; cat f'
  tried 'overwrite' sh -c 'echo three >f'
  tried 'remove' rm f
  tried 'rename' mv -T f g
  tried '-a' chattr -a f
  tried '+i' chattr +i f
  tried 'append to immutable' sh -c 'echo four >>f'
  tried 'chmod of immutable' chmod 600 f
  tried 'link to immutable' ln f g
  tried 'remove immutable' rm -f f
  tried 'as another' as $user chattr -i f
  lsattr f | cut -d' ' -f1
  tried '-i' chattr -i f
  tried 'dir +d' chattr +d dir
  lsattr -d dir | cut -d' ' -f1
  chown $user f
  tried 'no-dump by the owner' as $user chattr +d f
  tried 'immutable by the owner' as $user chattr +i f
  lsattr f | cut -d' ' -f1
  cat f
}

steps() {
  local group
  for group in default_acls passing_by_acl set_group_id hidden_attributes taken_away flags; do
    mkdir "$1/$group"
    chmod 777 "$1/$group"
    cd "$1/$group" || return
    echo "=== $group"
    umask 022
    $group 2>&1
    cd / || return
  done
}

mkdir "$tmp/plain"
chmod 777 "$tmp/plain"
(steps "$tmp/plain") >"$tmp/wanted"
grep -q 'default:user:12345:rwx' "$tmp/wanted" || skip "no ACLs in $tmp"
expect 'groups of steps that ran' 6 "$(grep -c '^===' "$tmp/wanted")"
for locking in lockless mutex; do
  for timeout in 0 1; do
    rm -rf "$src/tree"
    mkdir "$src/tree"
    chmod 777 "$src" "$src/tree"
    start --locking=$locking --entry-timeout=$timeout --attr-timeout=$timeout
    (steps "$mnt/tree") >"$tmp/got"
    chattr -R -f -i -a "$mnt/tree"
    diff "$tmp/wanted" "$tmp/got" || fail "$locking, timeouts $timeout"
    (cd "$src/tree" && getfacl -R -n -p .) >"$tmp/behind"
    (cd "$mnt/tree" && getfacl -R -n -p .) >"$tmp/through"
    diff "$tmp/behind" "$tmp/through" || fail "lists of mount and source differ ($locking)"
    stop
  done
done
echo "acl: $(wc -l <"$tmp/wanted") lines alike in 4 mounts"
