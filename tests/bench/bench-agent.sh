#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make bench-agent: what the agent of an idle node takes, with more and more peers.
# BENCH_MEMBERS of the clusters (default "2 100 1000"), BENCH_SECONDS of measuring each
# (60) after BENCH_SETTLE seconds (30).

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"

# No job runs, so none has to be tried.
export MV_TEST_ACCEL=${MV_TEST_ACCEL:-tcg}
lab_up --no-cluster 1
"$mvlab" mvd node1 stop
# shellcheck disable=SC2086 # sizes are words
python3 "$MV_SRCDIR/tests/bench/bench-agent.py" "$MV_BUILDDIR/tests/bench/crowd" \
	"$MV_BUILDDIR/bench-agent.json" "${BENCH_SECONDS:-60}" "${BENCH_SETTLE:-30}" \
	${BENCH_MEMBERS:-2 100 1000}
