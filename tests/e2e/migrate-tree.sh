#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 1500
# A job works on a tree of files and moves all the while: nothing is lost, doubled
# or torn, at home or in the job, and locks hold. Then the same while the agent of
# each node in turn is killed.
#
#	MV_TREE_FILES=5000 tests/e2e/migrate-tree.sh
#	MV_HOME=third ...        home is neither of the two nodes that it moves between
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires python3 flock
files=${MV_TREE_FILES:-300}
moves=${MV_MOVES:-10}

mkdir "$tmp/native" "$tmp/job"
cd "$tmp/native"
python3 "$MV_SRCDIR/tests/tree-work" "$files" /dev/null >"$tmp/native.out"
result=$(sed -n 2p "$tmp/native.out")

# At home somebody else writes to the same journal and wants the same lock.
competitor() {
	local n=0
	cd "$tmp/job"
	until [ -e "$tmp/stop" ]; do
		n=$((n + 1))
		flock journal sh -c "echo home $n >>journal"
		sleep 0.2
	done
}

made_moves() { # NUMBER
	[ "$(wc -l <"$tmp/moves")" -ge "$1" ]
}

home=node1 places=(node2 home) agents=(node1 node2 node1 node2)
if [ "${MV_HOME:-}" = third ]; then
	home=node3 places=(node1 node2) agents=(node1 node2 node3 node1 node2 node3)
fi
lab_up $([ $home = node3 ] && echo 3 || echo 2)
cd "$tmp/job"
touch journal
competitor &
competitor=$!
lab_job_start $home python3 "$MV_SRCDIR/tests/tree-work" "$files" "$tmp/stop"

lock_is_held() {
	! python3 -c 'import fcntl; fcntl.lockf(open("locked", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null
}
lock_is_held
lab_on $home "$MV_SRCDIR/tests/mover" "$job_pid" "$moves" "${places[@]}"
lock_is_held
echo "$moves moves, $(wc -l <"$tmp/job.out") rounds"

# From here on moves may fail, each with its reason, but not the job.
: >"$tmp/moves"
lab_exec $home "$MV_SRCDIR/tests/mover" -t "$job_pid" 0 "${places[@]}" >"$tmp/moves" 2>"$tmp/failed" &
mover=$!
for node in "${agents[@]}"; do
	made=$(wc -l <"$tmp/moves")
	"$mvlab" mvd $node kill
	sleep 0.5
	"$mvlab" mvd $node start
	wait_until 120 made_moves $((made + 1))
	lock_is_held
done
touch "$tmp/stop"
wait $competitor
lab_job_end 0
must_fail lock_is_held
wait $mover
echo "$(wc -l <"$tmp/moves") moves more, $(wc -l <"$tmp/failed") failed, $(wc -l <"$tmp/job.out") rounds"

equal "" "$(cat "$tmp/job.err")"
equal "$result" "$(sed 1d "$tmp/job.out" | sort -u)"
python3 - "$files" $(($(wc -l <"$tmp/job.out") - 1)) <<'END'
import sys
files, rounds = map(int, sys.argv[1:])
lines = {"job": [], "home": []}
for line in open("journal"):
    who, number = line.split()
    lines[who].append(int(number))
assert lines["job"] == list(range(files)) * rounds, "the job's lines in the journal"
assert lines["home"] == list(range(1, len(lines["home"]) + 1)), "home's lines in the journal"
END
diff -r "$tmp/native/source" source
cmp <(head -c 1 mapped) <(printf "\\$(printf %03o $((($(wc -l <"$tmp/job.out") - 1) % 256)))")
equal "journal locked mapped source" "$(ls | paste -sd ' ')"
cd /
lab_is_clean
