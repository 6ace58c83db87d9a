#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# A cluster is made, joined and left; who does not belong to it is refused, and both
# sides say why; nothing but its one port is open.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires ss python3
lab_up --no-cluster 3

port=7480
faketime=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || fail "there is no libfaketime (package faketime)"
# Sanitizers cannot bear a library that is loaded before theirs.
grep -qs '^#define MV_SANITIZERS' "$MV_BUILDDIR/config.h" && faketime=

log_of() { # NODE
	cat "$MVLAB_DIR/$1/mvd.log"
}

log_says() { # NODE TEXT
	wait_until 20 grep -qF -- "$2" "$MVLAB_DIR/$1/mvd.log"
}

cluster() { # NODE ACTION...
	lab_on "$1" mvctl cluster "${@:2}" </dev/null
}

members() { # NODE
	cluster "$1" status --json | python3 -c 'import json, sys
print(*sorted(m["name"] for m in json.load(sys.stdin)["members"]))'
}

# Members, and whether each answers.
answers() { # NODE
	cluster "$1" status --json | python3 -c 'import json, sys
print(*sorted(m["name"] + ("+" if m["reachable"] else "-")
	      for m in json.load(sys.stdin)["members"]))'
}

knows() { # NODE MEMBERS
	[ "$(members "$1")" = "$2" ]
}

invite() { # the token alone is on standard output
	cluster node1 invite 2>/dev/null
}

# ---- no cluster ----

status 1 cluster node1 status
says '^mvctl: this node is in no cluster .*mvctl cluster init'
status 1 cluster node1 invite
says 'in no cluster'
status 1 cluster node1 remove node2
says 'in no cluster'
status 2 cluster node1
status 2 cluster node1 nonsense
says 'nonsense'
status 2 cluster node1 join 10.77.0.1
says 'missing is the "token".*usage: mvctl cluster join'
status 2 cluster node1 init --port 70000
says '70000'
status 1 lab_on node1 "${as_user[@]}" mvctl cluster init
says 'only root'
status 0 lab_on node1 mvctl --help
says '^ *mvctl cluster join \[HOST'
equal "" "$(lab_on node1 ss -Hlntu)"

# ---- making and joining ----

status 1 cluster node1 init home
says '"home" cannot be a node'
lab_exec node1 python3 -c '
import socket, time
with socket.create_server(("", 7480)):
    time.sleep(60)' </dev/null &
squatter=$!
port_is_taken() {
	lab_on node1 ss -Hlnt | grep -q ":$port "
}
wait_until 20 port_is_taken
status 1 cluster node1 init
says 'cannot serve the cluster at port 7480: .*in use'
kill $squatter
wait $squatter || true
status 0 cluster node1 init
says 'this node is node1, at 10\.77\.0\.1 port 7480'
status 1 cluster node1 init
says 'in a cluster already, as node1'
lab_on node1 test "$(lab_on node1 stat -c %a /run/mvnode/lib/cluster)" = 700

token=$(invite)
status 0 cluster node2 join 10.77.0.1 "$token"
says 'joined as node2; the cluster has 2 nodes'
equal "node1+ node2+" "$(answers node1)"
equal "node1+ node2+" "$(answers node2)"

# A token that was used, one that is wrong, and one of another cluster.
status 1 cluster node3 join 10.77.0.1 "$token"
says 'the token was used already, by node2'
log_says node1 'was not admitted: the token was used already'
token=$(invite)
status 1 cluster node3 join 10.77.0.1 mv1-00112233445566778899aabbccddeeff"${token:36}"
says 'the token is not known here'
status 1 cluster node3 join 10.77.0.1 "${token:0:37}00112233445566778899aabbccddeeff"
says 'the token is for another cluster'
status 1 cluster node3 join 10.77.0.1 12345
says 'this is no token'
status 1 cluster node3 join 10.77.0.1:9 "$token"
says '10\.77\.0\.1 port 9: .*refused'
status 1 cluster node3 join 10.77.0.2 "$token"
says 'node2 cannot admit nodes: join by way of node1'
status 1 cluster node3 join 10.77.0.1 "$token" node2
says 'the cluster has a node node2 already'
status 1 cluster node2 join 10.77.0.1 "$token"
says 'in a cluster already, as node2'
status 1 cluster node2 invite
says 'only node1, where the cluster was made'

# A clock that is an hour off: refused, until it is right again.
with_time() { # OFFSET COMMAND...
	LD_PRELOAD=$faketime FAKETIME=$1 DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 "${@:2}"
}
"$mvlab" mvd node3 stop
for offset in ${faketime:+-1h +1h}; do
	with_time $offset "$mvlab" mvd node3 start
	status 1 cluster node3 join 10.77.0.1 "$token"
	says 'its clock is 3[56][0-9][0-9] seconds (ahead of|behind) that of node1'
	"$mvlab" mvd node3 stop
done
if [ -n "$faketime" ]; then
	log_says node1 'seconds ahead of that of node1'
	log_says node1 'seconds behind that of node1'
fi
"$mvlab" mvd node3 start
status 0 cluster node3 join 10.77.0.1 "$token" --address 10.77.0.3
wait_until 20 knows node2 "node1 node2 node3"
for node in node1 node2 node3; do
	equal "node1+ node2+ node3+" "$(answers $node)"
done
equal node3 "$(lab_on node3 mvctl nodes --json | python3 -c '
import json, sys
print(*(n["name"] for n in json.load(sys.stdin) if n["name"] == "node3"))')"

# An agent that is restarted is a member as before.
"$mvlab" mvd node2 kill
equal "node1+ node2- node3+" "$(answers node1)"
"$mvlab" mvd node2 start
equal "node1+ node2+ node3+" "$(answers node1)"

# ---- nothing else is open ----

lab_job_start node1 sh -c 'echo ready; sleep 1000'
cat >"$tmp/scan" <<'END'
import socket, sys
for port in range(1, 65536):
    with socket.socket() as s:
        s.settimeout(5)
        if s.connect_ex((sys.argv[1], port)) == 0:
            print(port)
END
equal "$port" "$(lab_on node2 python3 "$tmp/scan" 10.77.0.1)"
equal "$port" "$(lab_on node1 python3 "$tmp/scan" 10.77.0.2)"
equal "$port" "$(lab_on node1 ss -Hlntu | awk '{print $5}' | sed 's/.*://' | sort -u)"

# ---- strangers on that port ----

# hear NODE CERT KEY VERSION: greet node1 with this certificate; print what it says.
cat >"$tmp/hear" <<'END'
import json, socket, ssl, sys, time
cert, key, version = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
if cert != "-":
    context.load_cert_chain(cert, key)
try:
    with socket.create_connection(("10.77.0.1", 7480), 30) as tcp:
        with context.wrap_socket(tcp) as tls:
            hello = {"monovisor": 1, "purpose": "ask", "roster": 1, "time": int(time.time() * 1000)}
            tls.sendall(json.dumps(hello).encode() + b"\n")
            while line := tls.recv(65536):
                print(line.decode())
except OSError as error:
    print(error)
END
hear() {
	lab_on "$1" timeout 60 python3 "$tmp/hear" "${@:2}"
}
status 0 hear node2 - - TLSv1_3
says 'no certificate was shown'
log_says node1 'no certificate was shown'
status 0 hear node2 - - TLSv1_2
says 'alert|protocol|version|closed|reset'
log_says node1 'the TLS handshake failed'

# ---- removal ----

# node2 is away and does not hear of it; node3 learns by its own question.
"$mvlab" mvd node2 stop
"$mvlab" mvd node3 stop
status 0 cluster node1 remove node3
says 'removed'
says 'node2 could not be told'
status 1 cluster node1 remove node3
says 'no node node3'
status 1 cluster node1 remove node1 --force
says 'cannot be removed'
"$mvlab" mvd node3 start
status 1 cluster node3 status
says 'node3 was removed from its cluster'
log_says node3 'node1 refused: the certificate of node3 was revoked'
log_says node1 'the certificate of node3 was revoked'
log_says node3 'this node was removed from the cluster'
status 1 cluster node3 status
says 'node3 was removed from its cluster'
equal "" "$(lab_on node3 ss -Hlntu)"
# The other direction: node2 still has the old roster and calls it; then it hears.
"$mvlab" mvd node2 start
wait_until 20 knows node2 "node1 node2"
status 0 hear node3 /run/mvnode/lib/cluster/node.pem /run/mvnode/lib/cluster/node.key TLSv1_3
says 'the certificate of node3 was revoked'

# It may come back, with a new token and a new certificate.
status 0 cluster node3 join 10.77.0.1 "$(invite)"
wait_until 20 knows node2 "node1 node2 node3"
equal "node1+ node2+ node3+" "$(answers node3)"

# ---- a node that hosts a job, and one that has a job elsewhere ----

scanned=($job_pid $job_waiter)
has_no_job_of() { # NODE HOME
	[ -z "$(lab_virsh "$1" list --name | grep "^mv-$2-")" ]
}
for home in node1 node3; do
	[ $home = node1 ] && host=node3 || host=node1
	lab_job=lost lab_job_start $home --on $host -m 256 sh -c 'echo ready; exec sleep 1000'
	if [ $host = node3 ]; then
		status 1 cluster node1 remove node3
		says 'node3 has 1 job, its own or of others, which would be lost'
		status 1 lab_on node3 mvctl kill "$(cat "$tmp/lost.pid")"
		says 'the mvrun of job [0-9]+ is at node1'
	fi
	status 0 cluster node1 remove node3 --force
	lab_job=lost lab_job_end 125
	grep -Eq 'the node that hosted it was removed from the cluster' "$tmp/lost.err"
	wait_until 60 has_no_job_of $host $home
	status 0 cluster node3 join 10.77.0.1 "$(invite)"
	wait_until 20 knows node2 "node1 node2 node3"
done
job_pid=${scanned[0]} job_waiter=${scanned[1]}

# ---- a certificate of another cluster, at node3's address ----

"$mvlab" mvd node3 stop
lab_on node3 mv /run/mvnode/lib/cluster /run/mvnode/lib/cluster.kept
"$mvlab" mvd node3 start
status 0 cluster node3 init
status 0 cluster node1 status
says 'node3 .*the certificate is of another cluster'
log_says node3 'came to nothing: the certificate is of another cluster'
status 0 hear node3 /run/mvnode/lib/cluster/node.pem /run/mvnode/lib/cluster/node.key TLSv1_3
says 'the certificate is of another cluster'
log_says node1 'came to nothing: the certificate is of another cluster'
"$mvlab" mvd node3 stop
lab_on node3 sh -c 'rm -r /run/mvnode/lib/cluster && mv /run/mvnode/lib/cluster.kept /run/mvnode/lib/cluster'

# ---- expired certificates: a node of eleven years later finds all of them so ----

if [ -n "$faketime" ]; then
	with_time +11y "$mvlab" mvd node3 start
	status 0 cluster node3 status
	says 'node1 .*the certificate of node1 has expired'
	log_says node1 'refused: the certificate of node1 has expired'
	"$mvlab" mvd node3 stop
fi
"$mvlab" mvd node3 start
equal "node1+ node2+ node3+" "$(answers node3)"

# ---- a network that is cut ----

"$mvlab" cut node2
equal "node1+ node2- node3+" "$(answers node1)"
"$mvlab" heal node2
whole() {
	[ "$(answers node1)" = "node1+ node2+ node3+" ]
}
wait_until 30 whole

# ---- a place that cannot be written ----

"$mvlab" mvd node2 stop
lab_on node2 mv /run/mvnode/lib/cluster /run/mvnode/kept
lab_on node2 touch /run/mvnode/lib/cluster.new
"$mvlab" mvd node2 start
status 1 cluster node2 init
says 'cannot make the directory /run/mvnode/lib/cluster.new'
status 1 cluster node2 status
says 'in no cluster'

lab_on node1 mvctl kill "$job_pid"
lab_job_end 143
for node in node1 node2 node3; do
	"$mvlab" mvd $node stop
	must_fail grep -H 'Sanitizer\|runtime error' "$MVLAB_DIR/$node/mvd.log"
done
lab_is_clean
