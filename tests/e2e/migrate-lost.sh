#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 900
# A home out of reach, a host out of reach, two copies of one job, and a job that
# somebody moves by hand: who is told, who waits, who ends.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$MV_SRCDIR/tests/moving.sh"
requires socat iptables
home=node3

job_line() { # NODE: what mvctl jobs says there of the job
	lab_on "$1" mvctl jobs -a | awk -v pid="$job_pid" '$1 == pid'
}

says_at() { # NODE REGEX
	job_line "$1" | grep -Eq "$2"
}

# For how many seconds it has been lost, by mvctl jobs --json.
lost_for() { # NODE
	local since
	since=$(job_field "$1" lost_since)
	[ -n "$since" ] && [ $(($(date +%s) - since)) -ge 0 ] && [ $(($(date +%s) - since)) -lt 120 ]
}

stands_still() {
	local lines
	lines=$(count_lines)
	sleep 1
	equal "$lines" "$(count_lines)"
}

lab_up 3

# ---- home is cut off: one job waits, the other one is not to ----

lab_job=doomed count_start $home --on node1 --on-home-lost=kill:5
doomed=$job_waiter doomed_pid=$job_pid doomed_uuid=$count_uuid
count_start $home --on node1 --on-home-lost=wait
"$mvlab" cut $home
has_been_killed() {
	! lab_virsh node1 list --all --uuid | grep -q "$doomed_uuid"
}
wait_until 60 has_been_killed
wait_until 60 says_at node1 'HOME-LOST [0-9]+'
wait_until 60 says_at $home 'HOST-LOST [0-9]+'
lost_for node1
lost_for $home
equal running "$(lab_virsh node1 domstate "$count_uuid" | xargs)"
equal $home "$(job_field node1 home)"
stands_still
[ -z "${MV_TEST_HEAVY:-}" ] || sleep 150
kill -0 "$doomed" # its mvrun cannot know
status 1 lab_on $home mvctl migrate "$job_pid" node2
says 'host is out of reach'
status 0 lab_on $home mvctl why "$job_pid"
says 'host is out of reach'
status 1 lab_on node1 mvctl migrate "$job_pid" node2
says 'home is out of reach'
"$mvlab" heal $home
count_goes_on
count_is_exact
copy_at=node1
told_where $home
wait_until 60 says_at node1 running
lab_job=doomed lab_job_end 125 "$doomed"
grep -q 'its home was out of reach for 5 s (--on-home-lost)' "$tmp/doomed.err"
equal "" "$(job_pid=$doomed_pid job_field $home state)"
equal "" "$(silence_apart "$tmp/job.err")"

# ---- two copies: the target has begun, and the source does not hear of it ----

# Answers from the target vanish as soon as memory comes in; the whole source is
# cut off when the target's copy runs. So libvirt there believes that the move has
# failed, and the job goes on there too.
memory_comes() {
	[ "$(lab_virsh node1 domjobinfo "$count_uuid" | awk '/^Data processed/ { print int($3) }')" -gt 0 ]
}
deaf() { # -A|-D: make the source deaf to the target, or not
	lab_on node2 iptables "$1" OUTPUT -p tcp --sport 7480 -d 10.77.0.1 -m length --length 100: -j DROP
}
ended_at() { # NODE
	! runs_at "$1"
}
runs_at() { # NODE
	[ "$(lab_virsh "$1" domstate "$count_uuid" 2>/dev/null | xargs)" = running ]
}
touch "$count_file.dirty"
wait_until 120 count_has_passed $(($(count_lines) + 20))
deaf -A
deaf -D
lab_exec $home mvctl migrate "$job_pid" node2 >"$tmp/move.out" 2>&1 </dev/null &
mover=$!
wait_until 60 memory_comes
deaf -A
wait_until 120 runs_at node2
"$mvlab" cut node1
deaf -D
must_fail wait_end $mover 120
wait_until 120 runs_at node1
runs_at node2
rm "$count_file.dirty"
copy_at=node2
told_where $home
count_goes_on
# It cannot reach its home, and says so.
wait_until 60 says_at node1 'HOME-LOST [0-9]+'
"$mvlab" heal node1
wait_until 60 ended_at node1
one_copy
equal node2 "$copy_at"
count_goes_on
count_is_exact
lab_on $home mvctl migrate "$job_pid" node1
rm -f "$count_file.dirty"
one_copy
equal node1 "$copy_at"

# ---- moved by hand: mvd follows, counts, and moves it on ----

# libvirt's socket and QEMU's are joined over the lab's network.
socats=()
join() { # FROM TO
	local number=${2#node} name port=5000
	for node in "$@"; do
		lab_on "$node" sh -c 'mkdir -p /run/hand && chmod 777 /run/hand && rm -f /run/hand/*'
	done
	for name in libvirt memory; do
		port=$((port + 1))
		lab_exec "$2" socat "TCP-LISTEN:$port,reuseaddr,fork" \
			"UNIX-CONNECT:$([ $name = libvirt ] && echo /run/libvirt/libvirt-sock || echo /run/hand/memory)" &
		socats+=($!)
		lab_exec "$1" socat "UNIX-LISTEN:/run/hand/$name,fork,mode=777" "TCP:10.77.0.$number:$port" &
		socats+=($!)
	done
	wait_until 20 lab_on "$1" test -S /run/hand/libvirt -a -S /run/hand/memory
	wait_until 20 lab_on "$2" sh -c 'ss -tln | grep -q :5001 && ss -tln | grep -q :5002'
}
by_hand() { # FROM TO
	join "$@"
	# Emulated guests lose what they write while they are sent: see mvd-migrate.c.
	lab_virsh "$1" migrate ${live:+--live} "$count_uuid" "qemu+unix:///system?socket=/run/hand/libvirt" \
		--migrateuri unix:///run/hand/memory
	kill "${socats[@]}"
	wait "${socats[@]}" 2>/dev/null || true
	socats=()
	one_copy
	equal "$2" "$copy_at"
	told_where $home
	count_goes_on
	count_is_exact
	moves=$((moves + 1))
	wait_until 20 is_counted "$1"
}
is_counted() { # FROM
	[ "$1 $moves" = "$(job_field $home from) $(job_field $home moves)" ]
}
live=$(lab_virsh node1 dumpxml "$count_uuid" | grep "<domain type='kvm'" || true)
moves=$(job_field $home moves)
by_hand node1 node2
by_hand node2 $home
by_hand $home node1
lab_on $home mvctl migrate "$job_pid" node2
count_clock_is_right
moves=$((moves + 1))
is_counted node1
equal "" "$(silence_apart "$tmp/job.err")"
count_end

# ---- home dies: what it left elsewhere ends when it is back ----

count_start $home --on node1
"$mvlab" kill $home
wait_end $job_waiter || true
wait_until 60 says_at node1 'HOME-LOST [0-9]+'
runs_at node1
"$mvlab" boot $home
wait_until 60 ended_at node1
lab_is_clean
