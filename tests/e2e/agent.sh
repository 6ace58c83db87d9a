#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobs outlive the agent, however it ends, and none of their output is lost.
. "$(dirname "$0")/../lib.sh"
node_up

restart() { # SIGNAL
	node_mvd_stop "$1"
	sleep 1
	node_mvd_start
}

writer='echo ready; i=0; while [ $i -lt 120 ]; do i=$((i + 1)); echo $i; echo $i >>"$1"; sleep 0.05; done; exit 7'
job_start --name writer sh -c "$writer" sh "$tmp/log"
restart KILL
status 0 on_node mvctl info "$job_pid"
restart TERM
job_end 7
equal "$( (echo ready; seq 120) | sha256sum)" "$(sha256sum <"$tmp/job.out")"
equal "$(seq 120 | sha256sum)" "$(sha256sum <"$tmp/log")"
grep -q . "$tmp/job.err" && cat "$tmp/job.err"

# A job that ends while no agent is there ends as well, and is cleared away later.
job_start sh -c 'echo ready; sleep 2; exit 8'
node_mvd_stop KILL
job_end 8
node_mvd_start
node_is_clean

# One that dies meanwhile leaves nothing either.
job_start sh -c 'echo ready; sleep 60'
node_mvd_stop KILL
kill -KILL "$job_pid"
job_end 137
node_mvd_start
node_is_clean

# The restarted agent takes new jobs.
status 4 job sh -c 'exit 4'
node_is_clean
