#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A minute of tools/soak, in the long form thirty; EVENFS_SEED repeats a run's choices.
set -euo pipefail
# shellcheck source=tests/mount/mount_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../mount/mount_lib.sh"
need_root
begin soak

minutes=1
if [ "$long" = 1 ]; then minutes=30; fi
export EVENFS_BIN_DIR=$bin_dir TMPDIR=$tmp
"$source_dir/tools/soak" "$minutes" ${EVENFS_SEED:+--seed "$EVENFS_SEED"} || fail "status $?, see above"
