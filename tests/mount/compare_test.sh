#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tools/compare: what it leaves and prints; and that a file system that does not do the work, or does not
# mount, is named as failed and not measured.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/mount_lib.sh"
need_root
begin compare
[ -w /proc/sys/vm/drop_caches ] || skip "the kernel's caches cannot be dropped"

compare() {
  EVENFS_BIN_DIR=$bin_dir bounded 200 "$source_dir/tools/compare" --quick --rounds=2 --seconds=0.1 \
    --work="$tmp" "$@"
}

# Peers in front of those that are installed: one shows an empty directory, one does not mount at all.
mkdir "$tmp/peers" "$tmp/empty"
cat >"$tmp/peers/bindfs" <<EOF
#!/bin/sh
[ "\$1" != --version ] || { echo "bindfs version 0"; exit; }
for point; do :; done
mount --bind "$tmp/empty" "\$point"
while mountpoint -q "\$point"; do sleep 0.1; done
EOF
printf '#!/bin/sh\necho "no such option" >&2\nexit 1\n' >"$tmp/peers/mergerfs"
chmod 755 "$tmp/peers"/*

status=0
PATH=$tmp/peers:$PATH compare --workloads='^(stat-1|tail|walk-cold|tree)$' \
  --subjects='^(directory|nullfs-fd|evenfs-(lockless|mutex)-fd|bindfs|mergerfs)$' "$tmp/out" \
  >"$tmp/table" 2>"$tmp/said" || status=$?
expect "status with two that failed: $(tail -n 5 "$tmp/said")" 1 "$status"
python3 -B - "$tmp/out/compare.json" <<'EOF' || fail "what compare.json has"
import json, sys
report = json.load(open(sys.argv[1]))
runs = report["runs"]
metrics = {"stat-1": [""], "tail": ["p99", "rate"], "walk-cold": ["find", "ls", "du"],
           "tree": ["untar", "cp", "rm"]}
for workload, names in metrics.items():
    for subject in ("directory", "nullfs-fd", "evenfs-lockless-fd", "evenfs-mutex-fd"):
        for metric in names:
            rounds = [run["round"] for run in runs if
                      (run["workload"], run["metric"], run["subject"]) == (workload, metric, subject)]
            constant = subject == "nullfs-fd" and workload != "stat-1"
            assert rounds == ([] if constant else [0, 1]), (workload, metric, subject, rounds)
for run in runs:
    assert run["value"] > 0, run
    if run["workload"] == "stat-1" and run["subject"].startswith("evenfs"):
        # Entry and attributes are asked for at each stat.
        assert run["requests"]["lookup"] >= 0.1 * run["value"], run
        assert run["requests"]["getattr"] >= run["requests"]["lookup"] - 2, run
assert {run["subject"] for run in runs if run["workload"] in ("walk-cold", "tree")}.isdisjoint(
    {"bindfs", "mergerfs"})
errors = {(failure["subject"], failure["workload"]): failure["error"] for failure in report["failures"]}
assert ("bindfs", "walk-cold") in errors and ("bindfs", "tree") in errors, errors
assert "did not mount: no such option" in errors["mergerfs", "stat-1"], errors
assert report["machine"]["cores"] and report["versions"]["evenfs-mutex-fd"]
EOF
grep -q '^stat-1 .*ahead, fd' "$tmp/table" || fail "the table: $(cat "$tmp/table")"
grep -q '^failed: walk-cold, bindfs' "$tmp/table" || fail "the failure is not in the table"
expect "mounts that are left" 0 "$(grep -c "$tmp" /proc/self/mountinfo || true)"
expect "trees that are left" "" "$(find "$tmp" -maxdepth 1 -name 'compare.*')"

compare --from="$tmp/out/compare.json" "$tmp/again" >"$tmp/table.again" 2>/dev/null
cmp "$tmp/table" "$tmp/table.again" || fail "from the file comes another table"

status=0
compare --workloads='(' "$tmp/out" >/dev/null 2>"$tmp/said" || status=$?
expect "status of a wrong expression" 2 "$status"
status=0
compare --subjects='^none$' "$tmp/out" >/dev/null 2>"$tmp/said" || status=$?
expect "status with nobody to measure" 1 "$status"
expect "lines about it" 1 "$(wc -l <"$tmp/said")"
echo "compare: passed"
