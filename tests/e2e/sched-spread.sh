#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 1000
# Loops that are started on one node spread out by themselves: those that began there leave, and
# later ones start where it is better. With MV_TEST_HEAVY on four nodes of different speed; then a node is also
# emptied, and jobs are brought home.
#
#	MV_TEST_HEAVY=1 MV_LOOPS=12 tests/e2e/sched-spread.sh
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$(dirname "$0")/../sched.sh"

heavy=${MV_TEST_HEAVY:-}
if [ -n "$heavy" ]; then
	half=$((${MV_LOOPS:-12} / 2))
	lab_up --schedule --cpus 0.8,0.3,0.4,0.5 --memory 2500 4
	equal 0.5 "$(nodes_field node4 cpus)"
	others=(node2 node3 node4)
else
	half=3
	lab_up --schedule --cpus 0.9,0.6 --memory 2500 2
	equal 0.6 "$(nodes_field node2 cpus)"
	others=(node2)
fi
equal 2500 "$(nodes_field node2 memory)"
status 0 lab_on node2 mvctl best
says '^node[1-4]$'
status 0 lab_on node1 mvctl get balance node2
says '^balance +=  ?yes'

# ---- half of them all begin on one node: they leave, as far as that is worth it ----

setting place no
loops_start node1 early $half
wait_until 200 loops_running node1 early $half
equal 0 "$(nodes_field node1 started_away)"
spread_out() {
	[ "$(jobs_at node1 early)" -le $(((half + 1) / 2)) ] &&
		[ "$(nodes_field node1 moves)" -ge $((half / 3)) ]
}
wait_until 200 spread_out
[ "$(nodes_field node1 forecasts)" -ge 1 ]
status 0 lab_on node1 mvctl jobs
says 'WHY'
status 0 lab_on node1 mvctl why early1
says '^job [0-9]+ is at node[1-4]: [a-z]'
says '^it (started at node[1-4]|moved from node[1-4] to node[1-4] at .*): [a-z]'
status 0 lab_on node1 mvctl doctor
says 'moves that were decided here'
# Until they have settled no more is asked of them: nobody moves to and fro for ever.
settled() {
	local before
	before=$(loops_list node1 early | sort)
	sleep 5
	[ "$before" = "$(loops_list node1 early | sort)" ]
}
wait_until 200 settled

# ---- the others start where it is best ----

setting place yes
loops_start node1 late $half
wait_until 200 loops_running node1 late $half
[ "$(nodes_field node1 started_away)" -ge 1 ]
[ "$(jobs_at node1 late)" -lt $half ]
all_at() { # HOST
	echo $(($(jobs_at "$1" early) + $(jobs_at "$1" late)))
}
for host in "${others[@]}"; do
	echo "$host has $(all_at $host) of $((2 * half))"
	[ "$(all_at $host)" -ge 1 ] || fail "$host has no job"
done
# It has less than half of all CPUs, or three fifths.
echo "node1 has $(all_at node1) of $((2 * half))"
[ "$(all_at node1)" -le $((2 * half * 2 / 3)) ] || fail "node1 keeps too many"

loops_end
if [ -z "$heavy" ]; then
	# ---- one that has its node to itself leaves for a faster one ----

	speed=$(nodes_field node1 speed)
	echo "$(cat /proc/sys/kernel/random/boot_id) $(python3 -c "print(6 * $speed)")" >"$tmp/speed"
	"$mvlab" mvd node2 stop
	lab_on node2 cp "$tmp/speed" /run/mvnode/lib/speed
	"$mvlab" mvd node2 start
	setting place no
	setting lead 6
	loops_start node1 lone 1
	wait_until 120 loops_running node1 lone 1
	went() {
		[ "$(jobs_at node2 lone)" = 1 ]
	}
	wait_until 120 went
	status 0 lab_on node1 mvctl why lone1
	says 'moved from node1 to node2 at .*: '
	loops_end
	lab_is_clean
	exit 0
fi

# ---- those that are not wanted somewhere are not sent there ----

setting balance no node4
loops_start node1 choosy 1 --not-on node1,node2 --not-on node3
loops_start node1 any 2 --not-on node1
wait_until 200 loops_running node1 choosy 1
wait_until 200 loops_running node1 any 2
equal 1 "$(jobs_at node4 choosy)"
equal 0 "$(jobs_at node1 any)"
must_fail lab_on node1 mvrun --not-on node1,node2,node3,node4 true
must_fail lab_on node1 mvrun --on node1,node9 true

# ---- a node is emptied, and stays empty until it is opened again ----

status 1 lab_on node1 mvctl drain node4
says "choosy1, of node1\): .*exclude"
says '1 job of node4 cannot go now'
lab_on node1 mvctl kill --group choosy
wait_end "${loop_waiters[0]}" 60 && fail "a loop that was killed ended well"
unset 'loop_waiters[0]' 'loop_outs[0]'
status 0 lab_on node1 mvctl drain node4
says '^node4 has no jobs$'
equal 0 "$(jobs_at node4 any)"
equal draining "$(nodes_field node4 state)"
status 1 lab_on node1 mvctl migrate any1 node4
says 'takes no jobs'
status 0 lab_on node4 mvctl undrain
equal open "$(nodes_field node4 state)"

# ---- everything comes home, and ends well ----

setting balance no
status 0 lab_on node1 mvctl bring
says '^node1 has all its jobs at home$'
equal 2 "$(jobs_at node1 any)"
loops_end
lab_is_clean
