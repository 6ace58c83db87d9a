#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make bench: benchmarks on a node of their own. BENCH_SECONDS per kind of work
# (default 1), BENCH_STARTS of `true` (default 7).

. "$(dirname "$0")/../lib.sh"

node_up
on_node python3 "$MV_SRCDIR/tests/bench/bench.py" "$MV_BUILDDIR/tests/bench/mvbench" \
	"$MV_BUILDDIR/bench.json" "${BENCH_SECONDS:-1}" "${BENCH_STARTS:-7}"
