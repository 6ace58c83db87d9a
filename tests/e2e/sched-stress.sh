#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# Jobs that make keys, fork, fill memory and simulate are moved to and fro while they work,
# by hand and, once, because a node is drained; what they find is what is found natively.
# MV_STRESS_MOVES says how often each is moved by hand (an odd number, so that they end at node2: 1, a short form; 9 is the long one).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires python3
moves=${MV_STRESS_MOVES:-1}
[ $((moves % 2)) = 1 ] || fail "MV_STRESS_MOVES is odd"
work=$MV_SRCDIR/tests/stress-work

lab_up --schedule 2
for node in node1 node2; do
	lab_on node1 mvctl set balance no $node >/dev/null
done
lab_on node1 mvctl set place no >/dev/null

waiters=()
for kind in rsa fork memory portfolio; do
	lab_job=$kind lab_job_start node1 -m 200 --name $kind --group stress python3 "$work" $kind "$tmp/stop"
	waiters+=("$job_waiter")
done

for ((round = 0; round < moves; round++)); do
	for kind in rsa fork memory portfolio; do
		to=node1
		[ "$(lab_job_field $kind host)" = node2 ] || to=node2
		status 0 lab_on node1 mvctl migrate $kind $to
		says "^moved from .* to $to"
	done
done

# How fast its memory changes is known by then.
changes() {
	[ "$(lab_job_field memory dirty_rate)" -gt 0 ]
}
wait_until 120 changes

# And once by themselves.
status 0 lab_on node1 mvctl drain node2
says '^node2 has no jobs'
status 0 lab_on node1 mvctl undrain node2
status 0 lab_on node1 mvctl migrate --group stress node2
equal 4 "$(lab_on node1 mvctl jobs --json --group stress | grep -c '"host": "node2"')"
status 0 lab_on node1 mvctl drain node2
status 0 lab_on node1 mvctl undrain node2
touch "$tmp/stop"
k=0
for kind in rsa fork memory portfolio; do
	wait_end "${waiters[$k]}" 240 || fail "$kind ended with $?: $(tail -n 5 "$tmp/$kind.err")"
	read -r rounds value <<<"$(tail -n 1 "$tmp/$kind.out")"
	[ "$rounds" -gt 0 ] || fail "$kind made no round"
	echo "$kind: $rounds rounds"
	equal "$rounds $value" "$(python3 "$work" $kind - "$rounds" | tail -n 1)"
	k=$((k + 1))
done
lab_is_clean
