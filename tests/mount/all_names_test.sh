#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A directory all of whose names are known: what is not in it is denied without the source being asked, through
# all that is then done with it from inside; and not for longer than --cache-ttl.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin all_names

zero=(--entry-timeout=0 --attr-timeout=0 --negative-timeout=0)
asked() { stat_of "$mnt" counters lookup.store; }
denied() { stat_of "$mnt" counters lookup.complete; }
none() { ! stat "$1" >/dev/null 2>&1 || fail "$1 was found"; }
there() { stat "$1" >/dev/null || fail "$1 was not found"; }
# as_in_the_source: each of the names, by mount and by source.
as_in_the_source() {
  local name
  for name in f1 f2 f3 f7 f8 new moved made other/f3 other/moved none; do
    expect "$name after $1" "$(stat -c %i "$src/d/$name" 2>/dev/null)" \
      "$(stat -c %i "$mnt/d/$name" 2>/dev/null)"
  done
}

mkdir "$src/d" "$src/d/other"
for i in $(seq 300); do : >"$src/d/f$i"; done

start "${zero[@]}" --cache-ttl=inf
none "$mnt/d/before"
expect "absent names denied before a listing" 0 "$(denied)"
# After the first names the kernel asks for plain ones, until it is asked for attributes; so what is not cached
# yet is after `ls -l`, and the next listing meets all names.
ls -l "$mnt/d" "$mnt/d/other" >/dev/null
ls "$mnt/d" >/dev/null
expect "directories that are known" 2 "$(stat_of "$mnt" counters dentry.names_complete)"

before=$(asked)
for i in $(seq 50); do none "$mnt/d/none$i"; done
none "$mnt/d/other/none"
none "$mnt/d/none/below"
there "$mnt/d/f300"
expect "names that the source was asked for" "$before" "$(asked)"
[ "$(denied)" -ge 51 ] || fail "only $(denied) names denied"
expect "negative names" 1 "$(stat_of "$mnt" cache negative_dentries)"

# Changes from inside keep it.
as_in_the_source listing
echo x >"$mnt/d/new"
mkdir "$mnt/d/made"
as_in_the_source creation
rm "$mnt/d/f1"
mv "$mnt/d/f2" "$mnt/d/moved"
mv "$mnt/d/f3" "$mnt/d/other/f3"
as_in_the_source "removal and renaming"
mv "$mnt/d/moved" "$mnt/d/other/moved"
rmdir "$mnt/d/made"
ln "$mnt/d/new" "$mnt/d/other/link"
mv -T "$mnt/d/other/f3" "$mnt/d/f3"
as_in_the_source "renaming back"
for i in $(seq 20); do none "$mnt/d/later$i"; done
expect "names that the source was asked for, changes included" "$before" "$(asked)"

# What is made in a directory that was just made is not looked for.
mkdir "$mnt/fresh"
before=$(asked)
bounded 60 python3 -B - "$mnt/fresh" <<'PYTHON' || fail "creations in a new directory"
import os, sys
for number in range(500):
    os.close(os.open(f"{sys.argv[1]}/{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
os.mkdir(f"{sys.argv[1]}/below")
for number in range(500):
    os.rename(f"{sys.argv[1]}/{number}", f"{sys.argv[1]}/below/{number}")
PYTHON
expect "names of 500 new files that were asked for" "$before" "$(asked)"
expect "what is listed" "$(list_tree "$src/fresh" | cut -d' ' -f1-5)" \
  "$(list_tree "$mnt/fresh" | cut -d' ' -f1-5)"

# A rename of two names of one file does nothing.
ln "$mnt/d/new" "$mnt/d/twin"
python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$mnt/d/new" "$mnt/d/twin"
there "$mnt/d/new"
there "$mnt/d/twin"
# One that leaves a whiteout leaves a name. (Not each source can.)
python3 -B -c 'import ctypes, sys
ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 4)' "$mnt/d/f1" "$mnt/d/f7"
python3 -B -c 'import ctypes, sys
ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 4)' "$mnt/d/f8" "$mnt/d/f1"
as_in_the_source whiteouts
# And one that fails leaves what is there.
! python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$mnt/d/f9" "$mnt/d/other" 2>/dev/null ||
  fail "a file replaced a directory"
there "$mnt/d/f9"
there "$mnt/d/other"
stop

# What others make is seen in time.
start "${zero[@]}" --cache-ttl=200ms
is_denied() {
  ls -l "$mnt/d/other" >/dev/null
  none "$mnt/d/other/behind"
  [ "$(denied)" -ge 1 ]
}
poll 30 is_denied || fail "an absent name is asked for after each listing"
: >"$src/d/other/behind"
poll 10 stat "$mnt/d/other/behind" >/dev/null 2>&1 || fail "a name that others made is never seen"
stop
start "${zero[@]}" --cache-ttl=0
for i in $(seq 50); do
  ls -l "$mnt/d/other" >/dev/null
  none "$mnt/d/other/at-once$i"
  : >"$src/d/other/at-once$i"
  there "$mnt/d/other/at-once$i"
done
expect "names denied without a time to live" 0 "$(denied)"
stop
echo "all_names: passed"
