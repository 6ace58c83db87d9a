#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# What people can order, and what they can wish for a job: where it starts, which jobs it stays
# with, who has to go and who may stay; a job that has no room waits until there is some; and what
# becomes of jobs and nodes when a node is cut off, or dies.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$(dirname "$0")/../sched.sh"

lab_up --schedule 3
for node in node1 node2 node3; do
	setting balance no $node
	setting place no $node
done

waiters=()
idle() { # NAME [OPTION]...: a job of node1 that only waits
	local name=$1
	shift
	lab_exec node1 mvrun -m 128 --name "$name" "$@" sleep 1000 </dev/null >"$tmp/$name.out" 2>"$tmp/$name.err" &
	waiters+=($!)
}
at() { # JOB NODE
	[ "$(lab_job_field "$1" host) $(lab_job_field "$1" state)" = "$2 running" ]
}
runs_at() { # JOB NODE
	wait_until 120 at "$1" "$2" || fail "$1 is at $(lab_job_field "$1" host), $(lab_job_field "$1" state): $(cat "$tmp/$1.err")"
}

# ---- where a job starts ----

status 0 lab_on node1 mvctl best
says '^node[123]$'
idle first --on node2 --group both
runs_at first node2
status 0 lab_on node1 mvrun -v -m 128 --not-on node1,node3 true
says 'starting it at node2'
idle second --not-on node1 --group both
away() {
	at second node2 || at second node3
}
wait_until 120 away
at second node2 || lab_on node1 mvctl migrate second node2 >/dev/null
runs_at second node2
idle beside --near first
runs_at beside node2
idle fixed --pin --on node2
runs_at fixed node2
status 0 lab_on node1 mvrun -m 128 --best --group both sh -c 'exit 0'
must_fail lab_on node1 mvrun --near nobody true
# Who runs where, by the two of them.
status 0 lab_on node1 mvctl nodes
says '^NODE .* JOBS +AWAY '
has_jobs() { # NODE "THERE OF-OTHERS ELSEWHERE"
	[ "$2" = "$(lab_on node1 mvctl nodes --json | python3 -c '
import json, sys
node = [node for node in json.load(sys.stdin) if node["name"] == sys.argv[1]][0]
print(node["jobs"], node["guests"], node["away"])' "$1")" ]
}
wait_until 20 has_jobs node1 "0 0 4"
wait_until 20 has_jobs node2 "4 4 0"

# ---- a node that takes nothing ----

status 0 lab_on node1 mvctl block node3
equal blocked "$(nodes_field node3 state)"
status 1 lab_on node1 mvctl migrate first node3
says 'takes no jobs'
refused() { # WHY
	lab_on node1 mvrun -m 128 --nowait --not-on node1,node2 true >"$tmp/refused" 2>&1
	[ $? = 125 ] && grep -q "no node has room for it now.*$1" "$tmp/refused"
}
wait_until 30 refused 'takes no jobs'
# It stands, also when the agent is started anew.
blocked() { # says its agent itself
	[ "$(nodes_field node3 state node3)" = blocked ]
}
"$mvlab" mvd node3 stop
"$mvlab" mvd node3 start
wait_until 60 blocked
status 0 lab_on node1 mvctl unblock node3
setting in_use yes node3
wait_until 30 refused 'in use by its owner'
setting in_use no node3
setting slots 0 node3
wait_until 30 refused 'as many jobs as it may'
status 125 lab_on node1 mvrun -m 128 --on node3 true
says 'as many jobs as it may'
status 1 lab_on node1 mvctl migrate first node3
says 'as many jobs as it may'
setting slots 512 node3

# ---- what is to be together stays so ----

status 0 lab_on node1 mvctl migrate first node3
status 0 lab_on node1 mvctl stay node2
setting balance yes node2
keeps() {
	lab_on node1 mvctl why beside | grep -q 'its node keeps its jobs'
}
wait_until 60 keeps
at beside node2
status 0 lab_on node1 mvctl unstay node2
runs_at beside node3
setting balance no node2

# ---- everybody has to go, but who cannot ----

status 1 lab_on node1 mvctl drain node2
says "fixed, of node1\): .*pin"
must_fail at second node2
status 0 lab_on node1 mvctl undrain node2
status 0 lab_on node1 mvctl expel node3
says '^node3 has no guests$'
must_fail at first node3
must_fail at beside node3
status 0 lab_on node1 mvctl undrain node3
equal open "$(nodes_field node3 state)"
status 1 lab_on node1 mvctl migrate --group both nowhere
says '^mvctl: job [0-9]+ \(first\): .*nowhere'
says '^mvctl: job [0-9]+ \(second\): .*nowhere'
status 0 lab_on node1 mvctl migrate --group both node3
runs_at first node3
runs_at second node3
status 1 lab_on node1 mvctl bring
says 'fixed, of node1'
runs_at first node1
runs_at second node1
status 0 lab_on node1 mvctl unstay

# ---- a job without room waits ----

for node in node1 node2 node3; do
	setting slots 0 $node
done
lab_exec node1 mvrun -m 128 --best --name patient sh -c 'exit 7' </dev/null >"$tmp/patient.out" 2>"$tmp/patient.err" &
patient=$!
wait_until 30 grep -q 'waits for room: node[123] hosts as many jobs as it may' "$tmp/patient.err"
equal waiting "$(lab_job_field patient state)"
status 0 lab_on node1 mvctl why patient
says 'waits for room'
status 125 lab_on node1 mvrun -m 128 --home true
says 'as many jobs as it may'
setting slots 512 node2
rc=0
wait_end $patient 120 || rc=$?
equal 7 "$rc"
# One that is ended while it waits leaves nothing.
setting slots 0 node2
lab_exec node1 mvrun -m 128 --best --name hopeless true </dev/null >/dev/null 2>"$tmp/hopeless.err" &
hopeless=$!
wait_until 30 grep -q 'waits for room' "$tmp/hopeless.err"
status 0 lab_on node1 mvctl kill hopeless
wait_end $hopeless 60 && fail "a job that was killed while it waited ended well"
must_fail lab_on node1 mvctl info hopeless

# ---- a group ends ----

status 0 lab_on node1 mvctl kill --group both
for k in 0 1; do
	wait_end "${waiters[$k]}" 60 && fail "a job that was killed ended well"
done
status 0 lab_on node1 mvctl jobs --group both
lab_on node1 mvctl kill fixed
lab_on node1 mvctl kill beside
for k in 2 3; do
	wait_end "${waiters[$k]}" 60 && fail "a job that was killed ended well"
done

# ---- what a job exchanges with its home is known where it is, and its home asks there ----

for node in node1 node2 node3; do
	setting slots 512 $node
done
cat >"$tmp/writer" <<'END'
while [ ! -e "$1" ]; do head -c 1000000 /dev/zero >"$2"; done
END
lab_exec node1 mvrun -m 128 --name writer --on node2 sh "$tmp/writer" "$tmp/written" "$tmp/sink" </dev/null >/dev/null 2>"$tmp/writer.err" &
writer=$!
# A second of it is at least one file, and no more than a few.
has_traffic() {
	local rate
	rate=$(lab_job_field writer traffic)
	[ "${rate:-0}" -gt 500000 ] && [ "$rate" -lt 100000000 ]
}
wait_until 120 has_traffic
touch "$tmp/written"
wait_end $writer 60

# ---- a node is cut off, and one dies ----

loops_start node1 far 1 --on node2
loops_start node1 home 1 --on node1
wait_until 120 loops_running node1 far 1
wait_until 120 loops_running node1 home 1
"$mvlab" cut node3
gone() { # nobody is sent there
	[ "$(lab_on node1 mvctl best 128)" != node3 ] &&
		must_fail lab_on node1 mvrun -m 128 --on node3 true
}
wait_until 60 gone
loops_running node1 home 1
loops_running node1 far 1
"$mvlab" heal node3
"$mvlab" kill node2
# The job that was there is lost, and no other.
lost() {
	loops_list node1 far | grep -q 'HOST-LOST'
}
wait_until 60 lost
loops_running node1 home 1
loops_start node1 after 1 --not-on node1
wait_until 120 loops_running node1 after 1
equal 1 "$(jobs_at node3 after)"
status 0 lab_on node1 mvctl kill -KILL --group far
wait_end "${loop_waiters[0]}" 120 && fail "a lost job ended well"
unset 'loop_waiters[0]' 'loop_outs[0]'
loops_end
lab_is_clean
