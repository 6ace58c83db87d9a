#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# Nodes know each other's load and who is alive, by datagrams that nobody else can
# write, read or send again: over IPv4 and IPv6, with clocks an hour apart.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires ss python3
lab_up --no-cluster 3

faketime=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || fail "there is no libfaketime (package faketime)"
# Sanitizers cannot bear a library that is loaded before theirs.
grep -qs '^#define MV_SANITIZERS' "$MV_BUILDDIR/config.h" && faketime=

cluster() { # NODE ACTION...
	lab_on "$1" mvctl cluster "${@:2}" </dev/null
}

# What a node believes: node1=alive node2=dead ...
beliefs() { # NODE
	cluster "$1" status --json | python3 -c 'import json, sys
print(*sorted(m["name"] + "=" + m["liveness"] for m in json.load(sys.stdin)["members"]))'
}

believes() { # NODE BELIEFS
	[ "$(beliefs "$1")" = "$2" ]
}

all_well="node1=alive node2=alive node3=alive"

# Does it have a load vector of each member, none older than this?
knows_loads() { # NODE SECONDS
	cluster "$1" status --json | python3 -c 'import json, sys
members = json.load(sys.stdin)["members"]
sys.exit(not all(m.get("load_age_ms", 1e9) < float(sys.argv[1]) * 1000 for m in members))' "$2"
}

counter() { # NODE NAME
	cluster "$1" status --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["datagrams"][sys.argv[1]])' "$2"
}

at_least() { # NODE NAME NUMBER
	[ "$(counter "$1" "$2")" -ge "$3" ]
}

# ---- a cluster over both families ----

address() { # NUMBER
	echo 10.77.0.$1
}
device() { # NODE
	lab_on "$1" ip -o -4 address show scope global | awk '{print $2; exit}'
}
if lab_on node1 ip -6 address add fd77::1/64 dev "$(device node1)" nodad 2>/dev/null; then
	lab_on node2 ip -6 address add fd77::2/64 dev "$(device node2)" nodad
	lab_on node3 ip -6 address add fd77::3/64 dev "$(device node3)" nodad
	address() {
		[ "$1" = 3 ] && echo 10.77.0.3 || echo fd77::$1
	}
	seed=[fd77::1]
else
	echo "there is no IPv6 here"
	seed=10.77.0.1
fi
equal "" "$(lab_on node1 ss -Hlnu)"
cluster node1 init node1 --address "$(address 1)"
# Alone it has nobody to send to.
equal "" "$(lab_on node1 ss -Hlnu)"
for k in 2 3; do
	cluster node$k join $seed "$(cluster node1 invite 2>/dev/null)" node$k --address "$(address $k)"
done
for node in node1 node2 node3; do
	wait_until 60 believes $node "$all_well"
	wait_until 60 knows_loads $node 20
	equal 600 "$(lab_on $node stat -c %a /run/mvnode/lib/cluster/datagram.key)"
	equal 7480 "$(lab_on $node ss -Hlnu | awk '{print $4}' | sed 's/.*://' | sort -u)"
done

# ---- what others send changes nothing, and is counted ----

cat >"$tmp/meddle" <<-'END'
	import random, socket, struct, sys, time
	random.seed(1)
	# Datagrams as they pass by, whoever sends them.
	tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
	tap.settimeout(30)
	to = sys.argv[1], 7480
	family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
	out = socket.socket(family, socket.SOCK_DGRAM)
	seen = []
	while len(seen) < 6:
	    packet, where = tap.recvfrom(65536)
	    if where[2] != socket.PACKET_OUTGOING:
	        continue
	    start = packet.find(b"mvdg")
	    # kind 1 is a hello, which may be taken twice
	    if start >= 0 and packet[start + 5] > 1 and socket.inet_pton(family, to[0]) in packet[:start]:
	        seen.append(packet[start:])
	time.sleep(0.5)
	for datagram in seen:
	    def put(at, format, value):
	        return datagram[:at] + struct.pack(format, value) + datagram[at + struct.calcsize(format):]
	    at = random.randrange(56, len(datagram))
	    for bad in (
	        datagram,                                         # replayed
	        put(at, "B", datagram[at] ^ 1),                   # altered
	        put(48, "<Q", 1 << 60),                           # counted ahead
	        put(32, "<Q", 12345),                             # of another life
	        put(8, "<Q", 1 << 40),                            # of a future key
	        put(16, "<Q", 4711), put(24, "<Q", 4711),         # from, to nobody known
	        put(4, "B", 9), put(5, "B", 99), put(6, "<H", 1), # another version, kind, format
	        datagram[:random.randrange(len(datagram))],       # cut
	        datagram + b"x", b"", bytes(1200), random.randbytes(1400),
	    ):
	        out.sendto(bad, to)
	print("meddled")
END
meddle() {
	status 0 lab_on node2 python3 "$tmp/meddle" "$(address 1)"
	says meddled
}
must_fail at_least node1 forged 1
meddle
wait_until 60 at_least node1 replayed 6
wait_until 60 at_least node1 forged 18
wait_until 60 at_least node1 unknown_key 6
wait_until 60 at_least node1 stranger 12
wait_until 60 at_least node1 malformed 24
equal 0 "$(counter node1 nonsense)"
equal 0 "$(counter node1 unbelievable)"
for node in node1 node2 node3; do
	# A busy machine may be suspected for a moment, forged or not.
	wait_until 60 believes $node "$all_well"
done
# A stranger who shouts does not drown the others.
lab_on node3 timeout 10 python3 -c '
import os, socket, sys
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(20000):
    out.sendto(os.urandom(1200), ("10.77.0.1", 7480))'
wait_until 60 believes node1 "$all_well"

# ---- a node that is cut, one that dies, and one whose agent is started anew ----

"$mvlab" cut node3
wait_until 120 believes node1 "node1=alive node2=alive node3=dead"
wait_until 120 believes node2 "node1=alive node2=alive node3=dead"
lab_on node1 mvctl nodes >"$tmp/nodes"
grep -Eq '^node3 +dead ' "$tmp/nodes"
wait_until 120 believes node3 "node1=dead node2=dead node3=alive"
"$mvlab" heal node3
for node in node1 node2 node3; do
	wait_until 120 believes $node "$all_well"
done
"$mvlab" mvd node2 kill
wait_until 120 believes node1 "node1=alive node2=dead node3=alive"
"$mvlab" mvd node2 start
for node in node1 node2 node3; do
	wait_until 120 believes $node "$all_well"
	wait_until 60 knows_loads $node 20
done
# Nor does what it said in its former life count.
meddle

# ---- clocks an hour apart ----

if [ -n "$faketime" ]; then
	for offset in -1h +1h; do
		"$mvlab" mvd node3 stop
		LD_PRELOAD=$faketime FAKETIME=$offset DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 \
			"$mvlab" mvd node3 start
		wait_until 120 believes node1 "$all_well"
		wait_until 120 believes node3 "$all_well"
		wait_until 60 knows_loads node1 20
		wait_until 60 knows_loads node3 20
	done
	"$mvlab" mvd node3 stop
	"$mvlab" mvd node3 start
	wait_until 120 believes node3 "$all_well"
fi

# ---- a node that was removed ----

# It keeps its key, and what it said as a member.
cat >"$tmp/record" <<-'END'
	import socket, sys
	tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
	tap.settimeout(30)
	seen = 0
	with open(sys.argv[1], "wb") as record:
	    while seen < 4:
	        packet, where = tap.recvfrom(65536)
	        start = packet.find(b"mvdg")
	        if where[2] == socket.PACKET_OUTGOING and start >= 0:
	            record.write(len(packet[start:]).to_bytes(4, "little") + packet[start:])
	            seen += 1
END
lab_on node3 timeout 60 python3 "$tmp/record" "$tmp/said"
equal 1 "$(counter node2 key)"
status 0 cluster node1 remove node3
removed=$SECONDS
new_key() { # NODE
	[ "$(counter "$1" key)" -gt 1 ]
}
wait_until 60 new_key node1
wait_until 60 new_key node2
equal "" "$(lab_on node3 ss -Hlnu)"
wait_until 60 believes node1 "node1=alive node2=alive"
wait_until 60 believes node2 "node1=alive node2=alive"
strangers=$(($(counter node1 stranger) + $(counter node2 stranger)))
lab_on node3 python3 - "$tmp/said" <<-'END'
	import socket, sys
	out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	with open(sys.argv[1], "rb") as record:
	    while size := record.read(4):
	        datagram = record.read(int.from_bytes(size, "little"))
	        for k in 1, 2:
	            out.sendto(datagram, (f"10.77.0.{k}", 7480))
END
more_strangers() {
	[ $(($(counter node1 stranger) + $(counter node2 stranger))) -ge $((strangers + 8)) ]
}
wait_until 60 more_strangers
# The two go on, with the new key alone.
sleep $((removed + 12 > SECONDS ? removed + 12 - SECONDS : 0))
equal 0 "$(counter node1 nonsense)"
good=$(counter node1 good)
wait_until 60 at_least node1 good $((good + 5))
wait_until 60 believes node1 "node1=alive node2=alive"

for node in node1 node2 node3; do
	"$mvlab" mvd $node stop
	must_fail grep -H 'Sanitizer\|runtime error' "$MVLAB_DIR/$node/mvd.log"
done
