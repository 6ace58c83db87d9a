#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# A job that fits nowhere gets room: a smaller one is moved for it, and those that are pinned stay. Who
# waits is told where room is made.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$(dirname "$0")/../sched.sh"
requires python3

lab_up --schedule 2
# What jobs were promised counts, so it does not matter how much a guest really has.
for node in node1 node2; do
	"$mvlab" mvd $node stop
	"$mvlab" mvd $node start --memory 560 --set balance=no --set patience=2 --set hold=90
done
# So that what is to be moved begins there.
setting place no node1

job_is() { # NODE JOB HOST STATE
	[ "$(loops_list "$1" "$2" | cut -d' ' -f1,2)" = "$3 $4" ]
}
# Jobs that wait for a line, and say it: while the machine is busy, these do not make it more so.
waiters=()
waits() { # NODE NAME MIB [OPTION]...
	local node=$1 name=$2 mib=$3
	shift 3
	mkfifo "$tmp/$name.in"
	lab_exec "$node" mvrun -m "$mib" --name "$name" --group "$name" "$@" head -n 1 \
		<"$tmp/$name.in" >"$tmp/$name.out" 2>"$tmp/$name.err" &
	waiters+=($!)
}

# node1 has 360 MiB free then, and node2 340. The large job needs 412 as emulated, and a twentieth of 560 is
# to be left: it fits when the small one has gone.
waits node1 rock 100 --pin
waits node2 anchor 220 --pin
waits node1 small 100
exec 5>"$tmp/rock.in" 6>"$tmp/anchor.in" 7>"$tmp/small.in"
wait_until 150 job_is node1 rock node1 running
wait_until 150 job_is node2 anchor node2 running
wait_until 150 job_is node1 small node1 running
equal 360 "$(nodes_field node1 memory_free)"
equal 340 "$(nodes_field node2 memory_free)"

waits node2 large 236 5>&- 6>&- 7>&-
exec 8>"$tmp/large.in"
placed() {
	lab_on node2 mvctl why large >>"$tmp/why" 2>/dev/null || true
	[ "$(loops_list node2 large | cut -d' ' -f1,2)" != "node2 waiting" ]
}
wait_until 150 placed
status 0 cat "$tmp/large.err"
says 'waits for room: node[12] has [0-9.]* MiB of memory free'
says 'waits for room, which is being made at node1'
status 0 cat "$tmp/why"
says 'waits for room, which is being made at node1'
status 0 grep 'it makes room' "$MVLAB_DIR/node1/mvd.log"
wait_until 150 job_is node2 large node1 running
equal "node2 running 1" "$(loops_list node1 small)"
equal "node1 running 0" "$(loops_list node1 rock)"
equal "node2 running 0" "$(loops_list node2 anchor)"
equal False "$(nodes_field node1 making_room)"

for fd in 5 6 7 8; do
	echo "line $fd" >&$fd
done
exec 5>&- 6>&- 7>&- 8>&-
for waiter in "${waiters[@]}"; do
	wait_end "$waiter" 120
done
equal "line 5line 6line 7line 8" "$(printf %s "$(<"$tmp/rock.out")" "$(<"$tmp/anchor.out")" "$(<"$tmp/small.out")" "$(<"$tmp/large.out")")"
lab_is_clean
