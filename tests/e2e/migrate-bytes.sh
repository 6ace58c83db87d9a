#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 300
# What a move sends is what the job has: not what it has freed, and not what it could
# read again from its files. And while it moves nothing but the agents' port is open.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires ss
export MVD_HOLD_DIR=$tmp/hold
mkdir "$MVD_HOLD_DIR"

program='
import os, sys, time
block = bytearray(os.urandom(1 << 20) * 200)
for i in range(0, len(block), 4096):
    block[i:i + 8] = os.urandom(8)
del block
total = 0
with open(sys.argv[1], "rb") as file:
    while data := file.read(1 << 20):
        total += len(data)
print("ready", total, flush=True)
block = None
while True:
    time.sleep(0.1)
    if not block and os.path.exists(sys.argv[1] + ".more"):
        block = os.urandom(300 << 20)
        print("more", flush=True)'

lab_up 2
head -c 250M /dev/urandom >"$tmp/data"
lab_job_start node1 --memory 640 python3 -c "$program" "$tmp/data"
grep -qx "ready $((250 << 20))" "$tmp/job.out"

listening() { # NODE: ports that somebody listens on
	lab_on "$1" ss -Hlntu | awk '{ print $5 }' | sed 's/.*://' | sort -u
}

sent() { # RESULT: MiB
	python3 -c 'import json, sys; print(json.load(sys.stdin)["bytes"] >> 20)' <"$1"
}

least=1000
for node in node2 node1 node2 node1; do
	# Held when the memory is there and QEMU and libvirt are still at it on both sides.
	: >"$MVD_HOLD_DIR/release"
	lab_exec node1 mvctl migrate --json "$job_pid" $node >"$tmp/result" </dev/null &
	mover=$!
	for each in 1 2 3 4 5 6 7 8 9 10; do
		equal 7480 "$(listening node1)"
		equal 7480 "$(listening node2)"
	done
	wait_until 60 grep -q held "$MVD_HOLD_DIR/release"
	equal 7480 "$(listening node1)"
	equal 7480 "$(listening node2)"
	rm "$MVD_HOLD_DIR/release"
	wait $mover
	echo "to $node: $(sent "$tmp/result") MiB"
	[ "$(sent "$tmp/result")" -gt 5 ] || fail "$(cat "$tmp/result")"
	[ "$(sent "$tmp/result")" -gt $least ] || least=$(sent "$tmp/result")
done
# The guest forgets its page cache while the target is made ready, and may not be done with
# that on a busy machine: then the next move does not send it.
[ $least -lt 80 ] || fail "no move sent less than $least MiB"

# With more to send, and slowly, there is time for a bar, on a terminal.
touch "$tmp/data.more"
wait_until 120 grep -qx more "$tmp/job.out"
lab_virsh node1 migrate-setspeed "$(lab_virsh node1 list --name | head -n 1)" --bandwidth 60
status 0 "$MV_SRCDIR/tests/pty" 'expect:\[=* *\] +[0-9]+ %, [0-9]+ MiB sent' 'expect:moved from node1 to node2 in' -- \
	"$mvlab" exec node1 -- mvctl migrate "$job_pid" node2
lab_on node1 mvctl migrate "$job_pid" home
lab_on node1 kill "$job_pid"
lab_job_end 143
lab_is_clean
