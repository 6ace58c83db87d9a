#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# mvrun killed with -9 takes its microVM along, at any moment of its life.
. "$(dirname "$0")/../lib.sh"
node_up

# The process that is the microVM of the job in the background.
qemu_pid() {
	on_node cat "/run/libvirt/qemu/$(job_domain "$job_pid").pid"
}

# The microVM's own process is what counts; libvirt tells of its end later. It
# takes a fraction of a second.
for number in 1 2 3; do
	job_start sh -c 'echo ready; sleep 600'
	qemu=$(qemu_pid)
	must_fail has_ended "$qemu"
	from=$(date +%s%N)
	kill -KILL "$job_pid"
	until has_ended "$qemu"; do
		[ $((($(date +%s%N) - from) / 1000000)) -lt 20000 ] || break
		sleep 0.02
	done
	took=$((($(date +%s%N) - from) / 1000000))
	echo "the microVM of job $number was gone after $took ms"
	if [ $took -ge 2000 ]; then
		show_stacks
		fail "the microVM outlived its mvrun by $took ms"
	fi
	job_end 137
	wait_until 10 node_has_no_domain
done

# While it boots.
for delay in 0 0.2 0.5 1 2 3; do
	node_exec mvrun sleep 600 >"$tmp/job.out" 2>&1 &
	job_pid=$!
	sleep $delay
	kill -KILL "$job_pid"
	job_end 137
	wait_until 20 node_has_no_domain
done

# On a terminal that it has made raw, which is restored (pty checks that).
rc=0
# shellcheck disable=SC2016
on_node "$MV_SRCDIR/tests/pty" 'expect:ready' raw: 'run:kill -KILL $PID' -- \
	mvrun sh -c 'echo ready; read x' >"$tmp/pty" || rc=$?
equal 137 $rc
wait_until 20 node_has_no_domain
node_is_clean
