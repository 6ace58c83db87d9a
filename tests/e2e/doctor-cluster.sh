#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# mvctl doctor says why a node is not seen; a cluster is found by its seeds.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires iptables python3 ss
lab_up --no-cluster 3

faketime=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || fail "there is no libfaketime (package faketime)"
# Sanitizers cannot bear a library that is loaded before theirs.
grep -qs '^#define MV_SANITIZERS' "$MV_BUILDDIR/config.h" && faketime=

cluster() { # NODE ACTION...
	lab_on "$1" mvctl cluster "${@:2}" </dev/null
}

invite() {
	cluster node1 invite 2>/dev/null
}

doctor_says() { # NODE REGEX
	lab_on "$1" mvctl doctor >"$tmp/doctor" || true
	grep -Eq -- "$2" "$tmp/doctor"
}

# ---- finding a cluster ----

doctor_says node1 '^ok +cluster +this node is in no cluster'
doctor_says node1 '^ok +mdns .*Avahi daemon does not run'
status 0 cluster node1 discover
says 'no node announces itself on this network: the Avahi daemon does not run'
status 0 cluster node1 init
status 1 cluster node2 join "$(invite)"
says 'no node of the token.s cluster is found on this network: .*Avahi'
status 2 cluster node2 join
says 'usage: mvctl cluster join \[HOST'
status 1 cluster node2 join mv1-nonsense
says 'this is no token'
"$mvlab" mvd node2 stop
"$mvlab" mvd node2 start --set 'seeds=10.77.0.77:1, 10.77.0.3,10.77.0.1'
status 0 cluster node2 discover
says '^seed 10\.77\.0\.77:1$'
status 0 cluster node2 join "$(invite)" node2
says 'joined as node2; the cluster has 2 nodes'
lab_on node3 mvctl set seeds 10.77.0.1:7480
status 0 cluster node3 join "$(invite)" --address node3
says 'joined as node3; the cluster has 3 nodes'
wait_until 60 doctor_says node1 '^ok +cluster +this node is node1; 2 other members, and all are seen'

# ---- why a node is not seen ----

"$mvlab" mvd node2 stop
wait_until 60 doctor_says node1 'node2 is not reached'
grep -q 'nothing serves that port' "$tmp/doctor"
"$mvlab" mvd node2 start

"$mvlab" cut node2
wait_until 60 doctor_says node1 'node2 is not reached'
grep -Eq 'packets vanish|no way to that address' "$tmp/doctor"
"$mvlab" heal node2
wait_until 120 doctor_says node1 'all are seen'

for way in INPUT OUTPUT; do
	lab_on node2 iptables -A $way -p udp -j DROP
done
wait_until 120 doctor_says node1 'node2 answers by TCP, but not by UDP'
grep -q 'firewalls of both nodes' "$tmp/doctor"
for way in INPUT OUTPUT; do
	lab_on node2 iptables -D $way -p udp -j DROP
done
wait_until 120 doctor_says node1 'all are seen'

# Somebody else has the UDP port.
"$mvlab" mvd node2 stop
lab_exec node2 python3 -c '
import socket, time
taken = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
taken.bind(("::", 7480))
time.sleep(600)' </dev/null &
squatter=$!
port_is_taken() {
	lab_on node2 ss -Hlnu | grep -q ":7480 "
}
wait_until 20 port_is_taken
"$mvlab" mvd node2 start
wait_until 60 doctor_says node2 'UDP port is taken'
kill $squatter
wait $squatter || true
# It is tried again by itself.
wait_until 120 doctor_says node2 'all are seen'

if [ -n "$faketime" ]; then
	"$mvlab" mvd node2 stop
	LD_PRELOAD=$faketime FAKETIME=+10m DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 \
		"$mvlab" mvd node2 start
	wait_until 60 doctor_says node1 'the clock of node2 is (59|60)[0-9] seconds ahead'
	"$mvlab" mvd node2 stop
	"$mvlab" mvd node2 start
fi

# A name that leads home: as some installers write it into /etc/hosts.
"$mvlab" mvd node1 stop
sed 's/^.* node3$/127.0.1.1 node3/' "$MVLAB_DIR/hosts" >"$tmp/hosts"
lab_on node1 mount --bind "$tmp/hosts" /etc/hosts
"$mvlab" mvd node1 start
wait_until 60 doctor_says node1 'node3 is not reached'
wait_until 60 doctor_says node1 'its name leads to this node.s own loopback address'
lab_on node1 umount /etc/hosts
"$mvlab" mvd node1 stop
"$mvlab" mvd node1 start
wait_until 120 doctor_says node1 'all are seen'

"$mvlab" mvd node3 stop
lab_on node3 mv /run/mvnode/lib/cluster /run/mvnode/kept
"$mvlab" mvd node3 start
status 0 cluster node3 init node3
wait_until 60 doctor_says node1 'node3 is not reached: .*another cluster'
grep -q 'a member of another cluster since' "$tmp/doctor"

for node in node1 node2 node3; do
	"$mvlab" mvd $node stop
	must_fail grep -H 'Sanitizer\|runtime error' "$MVLAB_DIR/$node/mvd.log"
done
