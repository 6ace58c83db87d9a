#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 300
# The short form of the evaluation of gossip and of the failure detector: what is measured
# agrees with what was published.
. "$(dirname "$0")/../lib.sh"
requires python3
mvsim=$MV_BUILDDIR/scheduler/mvsim
[ -x "$mvsim" ] || fail "mvsim is not built in $MV_BUILDDIR"

"$MV_SRCDIR/docs/evaluation/gossip.py" --check "$mvsim"
# The same seed, the same result.
equal "$("$mvsim" gossip --nodes=64 --seed=7 --json)" "$("$mvsim" gossip --nodes=64 --seed=7 --json)"
equal "$("$mvsim" swim --nodes=32 --loss=0.1 --seed=7 --json)" \
	"$("$mvsim" swim --nodes=32 --loss=0.1 --seed=7 --json)"
status 2 "$mvsim" gossip --nodes=3
says 'gossip needs 4 to'
status 2 "$mvsim" gossip --nodes=64 --window=64
says 'smaller than the nodes'
