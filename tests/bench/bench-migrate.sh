#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# make bench-migrate: what moves cost, in a lab of two nodes, and of three for jobs
# whose home is not among the two they move between. A job is KIND/MIB, see moving.c.
#
#	BENCH_JOBS      of home node1, between node1 and node2
#	BENCH_FAR_JOBS  of home node3; may be empty
#	BENCH_CRIU_JOBS may be empty
#	BENCH_MOVES     of each job by each way, there and back (default 4)
#	BENCH_LIMIT     seconds after which one of virsh's is given up (default 60)
#	BENCH_VIRSH     how virsh's memory goes: by "relay" (the default), two processes
#	                between two unix sockets, without which QEMU would need a port that
#	                is open to the network; or by "tcp", from one QEMU to the other
#
# A short one:
#
#	BENCH_JOBS="idle/32 dirty16/32" BENCH_FAR_JOBS= BENCH_CRIU_JOBS= BENCH_MOVES=2 make bench-migrate

. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires socat stdbuf

jobs=${BENCH_JOBS-idle/32 idle/128 idle/512 compute/32 compute/128 compute/512 \
dirty4/32 dirty4/128 dirty4/512 dirty32/128 dirty128/128 dirtymax/32 dirtymax/128 dirtymax/512}
far_jobs=${BENCH_FAR_JOBS-idle/32 compute/32 dirty32/128}
criu_jobs=${BENCH_CRIU_JOBS-idle/32 idle/128 idle/512}
result=$MV_BUILDDIR/bench-migrate.json

# libvirt and QEMU listen on unix sockets only: this is how virsh reaches another
# node's libvirt, and one QEMU another node's.
relay_in() { # NODE PORT SOCKET
	lab_exec "$1" socat -b 262144 "TCP-LISTEN:$2,fork,reuseaddr" "UNIX-CONNECT:$3" \
		</dev/null >/dev/null 2>&1 &
	cleanup_fn kill $!
}

relay_out() { # NODE SOCKET TO PORT
	lab_exec "$1" socat -b 262144 "UNIX-LISTEN:$2,fork,mode=666" "TCP:$3:$4" \
		</dev/null >/dev/null 2>&1 &
	cleanup_fn kill $!
}

# The socket of QEMU at TO has the same path at both ends.
relay_memory() { # FROM TO
	lab_on "$1" mkdir -p -m 1777 /run/bench
	lab_on "$2" mkdir -p -m 1777 /run/bench
	relay_in "$2" 7901 "/run/bench/$2"
	relay_out "$1" "/run/bench/$2" "$2" 7901
}

relay() { # FROM TO
	mkdir -p "$tmp/relays/$1"
	relay_out "$1" "$tmp/relays/$1/$2" "$2" 7900
	wait_until 20 lab_on "$1" virsh -q -c "qemu+unix:///system?socket=$tmp/relays/$1/$2" hostname
}

bench() { # NODE ARGUMENT...
	local node=$1
	shift
	lab_on "$node" python3 "$MV_SRCDIR/tests/bench/bench-migrate.py" "$@"
}

bench_home() { # HOME FROM TO JOB...
	bench "$1" moves "$result" "$MV_BUILDDIR/tests/bench/moving" "$tmp/relays/$1" "$@"
}

rm -f "$result"
nodes=2
[ -z "$far_jobs" ] || nodes=3
lab_up $nodes
for node in node1 node2; do
	relay_in $node 7900 /run/libvirt/libvirt-sock
done
relay_memory node1 node2
relay_memory node2 node1
relay node1 node2
# shellcheck disable=SC2086 # words
[ -z "$jobs" ] || bench_home node1 node1 node2 $jobs
if [ -n "$far_jobs" ]; then
	relay node3 node1
	relay node3 node2
	# shellcheck disable=SC2086
	bench_home node3 node1 node2 $far_jobs
fi
# shellcheck disable=SC2086
[ -z "$criu_jobs" ] || bench node1 criu "$result" "$MV_BUILDDIR/tests/bench/moving" $criu_jobs
bench node1 show "$result"
echo "written: $result"
