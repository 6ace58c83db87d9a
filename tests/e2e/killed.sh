#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# mvrun killed with -9 takes its microVM along, at any moment of its life.
. "$(dirname "$0")/../lib.sh"
node_up

job_start sh -c 'echo ready; sleep 600'
kill -KILL "$job_pid"
from=$(date +%s%N)
job_end 137
wait_until 10 node_has_no_domain
took=$((($(date +%s%N) - from) / 1000000))
echo "the microVM was gone after $took ms"
[ $took -lt 5000 ]

# While it boots.
for delay in 0 0.2 0.5 1; do
	node_exec mvrun sleep 600 >"$tmp/job.out" 2>&1 &
	job_pid=$!
	sleep $delay
	kill -KILL "$job_pid"
	job_end 137
	wait_until 20 node_has_no_domain
done

# Its terminal's end, too.
# shellcheck disable=SC2016
on_node "$MV_SRCDIR/tests/pty" 'expect:ready' 'run:kill -KILL $PID' -- \
	mvrun sh -c 'echo ready; sleep 600' >"$tmp/pty" || equal 137 $?
node_is_clean
