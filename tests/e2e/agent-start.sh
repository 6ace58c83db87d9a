#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The agent killed while jobs begin and end, at whatever moment that is of theirs:
# each of them ends as it should, and none is started twice.
. "$(dirname "$0")/../lib.sh"
node_up

# SECONDS after the first of several jobs has begun, 0.4 s apart, the agent dies.
declare -A pids
burst() { # SECONDS
	local job
	pids=()
	for job in 1 2 3; do
		rm -f "$tmp/$job".*
		# shellcheck disable=SC2016
		node_exec mvrun sh -c 'echo $1; echo $1 >>"$2"; exit $1' sh $job "$tmp/$job.ran" \
			</dev/null >"$tmp/$job.out" 2>"$tmp/$job.err" &
		pids[$job]=$!
		sleep 0.4
	done
	sleep "$1"
	node_mvd_stop KILL
	node_mvd_start
	for job in "${!pids[@]}"; do
		burst_end "$job"
	done
}

burst_end() { # JOB: its status, its output, and that it ran once
	local got=0
	wait_end "${pids[$1]}" || got=$?
	[ $got = "$1" ] || cat "$tmp/$1.err"
	equal "$1" "$got"
	equal "$1" "$(cat "$tmp/$1.out")"
	equal "$1" "$(cat "$tmp/$1.ran")"
	equal "" "$(cat "$tmp/$1.err")"
}

for delay in 0 1.2 2.5; do
	burst $delay
	wait_until 20 node_has_no_domain
	node_drop_logs # of those that ended just then
	node_is_clean
done

# Killed just while libvirt makes the domain: the next agent finds it on its way.
# shellcheck disable=SC2016
has_qemu='for _ in $(seq 3000); do
		for log in /var/log/libvirt/qemu/mv-*.log; do [ ! -e "$log" ] || exit 0; done
		sleep 0.01
	done
	exit 1'
on_node sh -c "$has_qemu" &
watcher=$!
node_exec mvrun -v sh -c 'echo done; exit 6' </dev/null >"$tmp/job.out" 2>"$tmp/job.err" &
job_pid=$!
wait_end $watcher
kill -STOP "$node_libvirtd_pid"
kill -KILL "$node_mvd_pid"
wait_end "$node_mvd_pid" || true
node_exec mvd --state-dir "$node_state/lib" --accel "$(cat "$node_state/accel")" </dev/null \
	>>"$node_state/mvd.log" 2>&1 &
node_mvd_pid=$!
sleep 1 # until it has asked libvirtd
kill -CONT "$node_libvirtd_pid"
job_end 6
equal "done" "$(cat "$tmp/job.out")"
node_is_clean
