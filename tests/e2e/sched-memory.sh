#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# A node whose jobs grow until it is short of memory sends one away, whatever the load, before its
# memory is exhausted: nothing is killed, and the job's result is right.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$(dirname "$0")/../sched.sh"
requires python3

# Guests may have all of their memory at any time: when they start, and on some kernels when they are sent.
lab_up --schedule --memory 1000,1600 2

# Takes so much memory as it reads, and says a sum of it in the end.
cat >"$tmp/eater" <<'END'
import sys
kept = []
print("ready", flush=True)
for line in sys.stdin:
    kept.append(bytearray(b"x") * (int(line) << 20))
    print("has", sum(map(len, kept)) >> 20, flush=True)
print("sum", sum(k.count(b"x") for k in kept), flush=True)
END
mkfifo "$tmp/meal" "$tmp/meal2"

# ---- memory ----

setting balance no
setting usher no node1
setting memory_high 0.3 node1
setting memory_low 0.2 node1
lab_exec node1 mvrun --on node1,node2 -m 300 --name eater python3 "$tmp/eater" \
	<"$tmp/meal" >"$tmp/eater.out" 2>"$tmp/eater.err" &
eater=$!
exec 7>"$tmp/meal"
wait_until 120 grep -q ready "$tmp/eater.out"
eater_is() { # where, and in which state
	lab_on node1 mvctl info --json eater | python3 -c '
import json, sys
job = json.load(sys.stdin)
print(job["host"], job["state"])'
}
[[ $(eater_is) = "node1 "* ]] || lab_on node1 mvctl migrate eater node1 >/dev/null
loops_start node1 small 1 --on node1 7>&-
wait_until 120 loops_running node1 small 1
# The node has more to do than its jobs.
lab_exec node1 python3 "$tmp/eater" <"$tmp/meal2" >"$tmp/eater2.out" 7>&- &
eater2=$!
exec 8>"$tmp/meal2"
wait_until 60 grep -q ready "$tmp/eater2.out"
setting usher yes node1

# They grow as programs do, a little at a time; all of it would not fit.
echo "node1 has $(nodes_field node1 memory_free) MiB free"
meal=0
while [ "$(eater_is)" = "node1 running" ]; do
	[ $meal -lt 160 ] || fail "node1 keeps a job that has taken $meal MiB"
	meal=$((meal + 10))
	echo 10 >&7
	echo 30 >&8
	wait_until 120 grep -q "has $meal" "$tmp/eater.out"
	wait_until 120 grep -q "has $((3 * meal))" "$tmp/eater2.out"
	sleep 1.5 # the agent looks once a second, a busy one less often
done
echo "it leaves with $meal MiB, and $(nodes_field node1 memory_free) MiB are free"
[ $meal -gt 0 ]
away() {
	[[ $(eater_is) = "node2 running" ]]
}
wait_until 120 away
status 0 grep -h 'moves to node2: memory is short' "$MVLAB_DIR/node1/mvd.log"
status 0 lab_on node1 mvctl why eater
says 'moved from node1 to node2 at .*: memory is short'
# Nobody was killed for want of memory.
killed() {
	local dir
	while read -r dir; do
		cat "$dir/memory.oom_control" "$dir/memory.events" 2>/dev/null || true
	done <"$MVLAB_DIR/node1/cgroups" | sed -n 's/^oom_kill //p'
}
equal 0 "$(killed)"
loops_running node1 small 1
exec 7>&- 8>&-
wait_end $eater2 60
wait_end $eater 120
equal "sum $((meal << 20))" "$(tail -n 1 "$tmp/eater.out")"
loops_end
lab_is_clean
