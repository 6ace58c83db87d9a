#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# A job that is suspended, or whose mvrun is stopped, moves and stays so; and what
# is about to move but ends, or has no place for its sockets, says so.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$MV_SRCDIR/tests/moving.sh"
home=node3

move() { # NODE
	lab_on $home timeout 200 mvctl migrate "$job_pid" "$1"
}

is_so() { # STATE HOST, by its home
	[ "$1 $2" = "$(job_field $home state) $(job_field $home host)" ]
}

stands_still() {
	local lines
	lines=$(count_lines)
	sleep 1
	equal "$lines" "$(count_lines)"
}

lab_up 3
count_start $home --on node1

# ---- suspended by its user ----

lab_on $home mvctl suspend "$job_pid"
wait_until 40 is_so suspended node1
move node2
wait_until 40 is_so suspended node2
equal "node2 paused" "$(copies)"
stands_still
move $home
wait_until 40 is_so suspended $home
move node1
wait_until 40 is_so suspended node1
# Its agents learn it again.
for node in node1 $home; do
	"$mvlab" mvd "$node" kill
	"$mvlab" mvd "$node" start
	wait_until 30 is_so suspended node1
done
stands_still
lab_on $home mvctl resume "$job_pid"
wait_until 40 is_so running node1
count_goes_on
count_is_exact

# ---- its mvrun is stopped, as by Ctrl-Z ----

# Nobody but us would continue what runs it in its node.
stop() {
	lab_on $home kill -STOP "$job_pid"
}
continue_it() {
	kill -CONT $job_waiter
	lab_on $home kill -CONT "$job_pid"
}
cleanup_fn kill -CONT $job_waiter
stop
wait_until 40 is_so stopped node1
for node in node2 $home node1; do
	move $node
	wait_until 40 is_so stopped $node
	equal "$node paused" "$(copies)"
done
for node in node1 $home; do
	"$mvlab" mvd "$node" kill
	"$mvlab" mvd "$node" start
	wait_until 30 is_so stopped node1
done
stands_still
continue_it
wait_until 40 is_so running node1
count_goes_on
move node2
move node1
count_goes_on
count_is_exact
# It has heard of the user's wishes, and nothing else.
equal "suspended resumed" "$(sed 's/.* was //; s/ by mvctl .*//' "$tmp/job.err" | paste -sd ' ')"

# ---- it has to stay ----

job=$job_pid waiter=$job_waiter
lab_job=resident lab_job_start $home --home sh -c 'echo ready; exec sleep 1000'
status 1 lab_on $home mvctl migrate "$job_pid" node1
says 'to run at home \(mvrun --home\)'
lab_on $home kill "$job_pid"
lab_job=resident lab_job_end 143
job_pid=$job job_waiter=$waiter

# ---- no place for sockets, at either end ----

for node in node1 node2; do
	lab_on $node sh -c 'rmdir /run/monovisor/migrate; echo >/run/monovisor/migrate'
	status 1 move node2
	says 'cannot make the directory .*: Not a directory'
	lab_on $node rm /run/monovisor/migrate
	one_copy
	equal node1 "$copy_at"
done
count_goes_on
move node2
count_end

# ---- its clock is home's, wherever it is: this mvrun's differs from that of all nodes ----

faketime=$(find /usr/lib -name libfaketime.so.1 | head -n 1)
[ -n "$faketime" ] || fail "there is no libfaketime (package faketime)"
mkdir "$tmp/fast"
printf '#!/bin/sh\nLD_PRELOAD=%s FAKETIME=+40s DONT_FAKE_MONOTONIC=1 exec %s "$@"\n' "$faketime" "$(command -v mvrun)" >"$tmp/fast/mvrun"
chmod 755 "$tmp/fast/mvrun"

clock_is_ours() {
	rm -f "$tmp/clock"
	wait_until 60 test -s "$tmp/clock"
	# It was written some time before it is read.
	python3 -c 'import sys, time; sys.exit(not 30 < float(open(sys.argv[1]).read()) - time.time() < 41)' "$tmp/clock"
}
# shellcheck disable=SC2016
PATH=$tmp/fast:$PATH lab_job=clock lab_job_start $home --on node1 env -u LD_PRELOAD -u FAKETIME sh -c '
	echo ready
	while :; do date +%s.%N >"$0.new"; mv "$0.new" "$0"; sleep 0.3; done' "$tmp/clock"
for node in node2 $home node1; do
	wait_until 60 clock_is_ours
	move $node
done
wait_until 60 clock_is_ours
lab_on $home kill "$job_pid"
lab_job=clock lab_job_end 143
lab_is_clean
