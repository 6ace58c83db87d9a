#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 300
# The last stop of the tour: a job counts on the screen while it moves.
. "$(dirname "$0")/../lib.sh"
requires_root
requires_built mvd mvrun mvctl mvkit
"$MV_SRCDIR/tests/tour-move" >"$tmp/out" </dev/null || fail "tour-move: $(cat "$tmp/out")"
grep -q '150 numbers, none missing, none twice' "$tmp/out"
[ "$(grep -c 'moved from' "$tmp/out")" = 2 ]
