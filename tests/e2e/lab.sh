#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# The lab, tests/mvlab: its nodes are apart and yet can talk, a command there is as
# one here, and nothing is left of a lab, however it ends.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"

# ---- what there is of a lab ----

# Every process that a command of this lab started, told by its environment, and
# every one in a network namespace that was the lab's.
lab_processes() {
	local pid space
	for pid in /proc/[0-9]*; do
		space=$(readlink "$pid/ns/net" 2>/dev/null) || continue
		grep -qxF "$space" "$tmp/spaces" ||
			grep -qzxF "MVLAB_DIR=$MVLAB_DIR" "$pid/environ" 2>/dev/null || continue
		echo "${pid#/proc/}: $(tr '\0' ' ' 2>/dev/null <"$pid/cmdline")"
	done
}

remember_spaces() {
	local pid
	cat "$MVLAB_DIR"/*/pid | while read -r pid _; do
		readlink "/proc/$pid/ns/net"
	done >>"$tmp/spaces"
}

machine_network() {
	ip -o link
	ip -o address
	ip route
}

# What else of the machine a lab might change. (Other tests have labs at the same time: of the control
# groups those count that ours were given.)
machine() {
	sort /proc/self/mountinfo
	machine_network
	while read -r group; do
		[ ! -e "$group" ] || echo "$group"
	done <"$tmp/groups"
	ls -a "$tmp/labs"
}

has_no_process() {
	[ -z "$(lab_processes)" ]
}

nothing_is_left() {
	wait_until 20 has_no_process
	diff <(echo "$before") <(machine)
}

host_uuid() { # NODE
	lab_virsh "$1" capabilities | grep '<uuid>'
}

mkdir "$tmp/labs"
MVLAB_DIR=$tmp/labs/lab
: >"$tmp/spaces"
: >"$tmp/groups"
before=$(machine)
network=$(machine_network)

# ---- up, and a command there ----

status 0 "$MV_SRCDIR/run" mvlab --help
says 'Usage: mvlab up'
status 125 "$mvlab" up
status 125 "$mvlab" up 0
status 125 "$mvlab" up --cpus many 2
status 125 "$mvlab" exec node1 -- true
says 'mvlab: there is no lab in'

lab_up --home-tree 2
remember_spaces
[ -n "$(lab_processes)" ]
equal "$network" "$(machine_network)"
status 125 "$mvlab" up 1
says 'there is a lab in .* already'
status 125 "$mvlab" exec node3 -- true
says 'no node "node3" \(there are: node1 node2\)'

equal node1 "$(lab_on node1 hostname)"
equal node2 "$(lab_on 2 cat /srv/node)"
equal "eth0 lo" "$(lab_on node2 ls /sys/class/net | paste -sd ' ')"
equal 1 "$(lab_on node1 pgrep -c libvirtd)"
[ "$(host_uuid node1)" != "$(host_uuid node2)" ]
cd "$tmp/labs"
status 3 lab_on node1 sh -c 'pwd; echo "$VARIABLE"; exit 3'
VARIABLE=kept status 3 lab_on node1 sh -c 'pwd; echo "$VARIABLE"; cat; exit 3' <<<input
equal "$tmp/labs kept input" "$(paste -sd ' ' "$tmp/status.out")"
cd /
status 143 lab_on node1 sh -c 'kill $$'
status 127 lab_on node1 no-such-program
status 0 "$mvlab" exec 1 --user nobody -- sh -c 'id -un; echo $HOME'
equal "nobody $(getent passwd nobody | cut -d: -f6)" "$(paste -sd ' ' "$tmp/status.out")"
status 125 "$mvlab" exec 1 --user no-such-user -- true

# What the command in between is sent goes on, and it does not outlive it.
signalled() { # SIGNAL
	lab_exec node1 sh -c 'trap "echo caught; exit 9" USR1; echo ready; while :; do sleep 0.1; done' \
		>"$tmp/signalled" &
	pid=$!
	wait_until 20 grep -q ready "$tmp/signalled"
	kill "-$1" $pid
	ended=0
	wait $pid || ended=$?
}
signalled USR1
equal "9 caught" "$ended $(tail -n 1 "$tmp/signalled")"
signalled KILL
equal 137 $ended
wait_until 20 must_fail lab_on node1 pgrep -f 'echo caught'

# On a terminal: Ctrl-C, Ctrl-Z and fg.
status 7 "$MV_SRCDIR/tests/pty" 'expect:[#$] ' "send:$mvlab exec 1 -- sleep 100\\r" 'sleep:1' \
	'send:\x1a' 'expect:Stopped' 'send:fg\r' 'expect:mvlab' 'sleep:1' 'send:\x03' 'send:echo $?.\r' \
	'expect:130\.' "send:$mvlab exec 1 -- bash --norc -i\\r" 'expect:[#$] ' 'send:hostname; tty\r' \
	'expect:node1' 'send:sleep 100\r' 'sleep:1' 'send:\x03' 'send:exit 7\r' 'send:exit $?\r' \
	-- bash --norc --noprofile -i

equal "node1 up node2 up" "$("$mvlab" status | awk 'NR > 1 { print $1, $2 }' | paste -sd ' ')"
status 0 lab_on node2 mvrun hostname
equal node2 "$(cat "$tmp/status.out")"

# ---- the network ----

server='
import socket
listener = socket.create_server(("10.77.0.2", 9999))
print("ready", flush=True)
client, _ = listener.accept()
while data := client.recv(100):
    client.sendall(data)
'
client='
import socket, sys, time
server = socket.create_connection(("node2", 9999), 20)
for line in sys.stdin:
    server.sendall(line.encode())
    print(server.recv(100).decode(), end="", flush=True)
'
reachable() {
	lab_on node1 timeout 2 bash -c 'exec 3<>/dev/tcp/node2/9999'
}

said() { # TEXT
	[ "$(tail -n 1 "$tmp/client")" = "$1" ]
}

lab_exec node2 python3 -c "$server" >"$tmp/server" &
wait_until 20 grep -q ready "$tmp/server"
mkfifo "$tmp/talk"
lab_exec node1 python3 -c "$client" <"$tmp/talk" >"$tmp/client" &
talker=$!
exec 5>"$tmp/talk"
echo one >&5
wait_until 20 said one
"$mvlab" cut node2
equal cut "$("$mvlab" status | awk '$1 == "node2" { print $2 }')"
must_fail reachable
echo two >&5
must_fail reachable
said one
"$mvlab" heal node2
wait_until 60 said two
exec 5>&-
wait $talker

# ---- daemons and whole nodes end and start again ----

states() { # NODE
	"$mvlab" status | awk -v node="$1" '$1 == node { print $2, $4, $5 }'
}
"$mvlab" mvd node1 kill
equal "up up down" "$(states node1)"
status 125 "$mvlab" mvd node1 restart
"$mvlab" mvd node1 start
status 125 "$mvlab" mvd node1 start
"$mvlab" libvirtd node1 stop
equal "up down up" "$(states node1)"
"$mvlab" libvirtd node1 start
equal "up up up" "$(states node1)"

uuid=$(host_uuid node2)
lab_exec node2 sleep 1234 &
victim=$!
wait_until 20 lab_on node2 pgrep -fx 'sleep 1234'
"$mvlab" kill node2
ended=0
wait $victim || ended=$?
equal 137 $ended
equal "dead - -" "$(states node2)"
status 125 lab_on node2 true
says 'node2 is dead'
equal node1 "$(lab_on node1 hostname)"
"$mvlab" boot node2
remember_spaces
equal "up up up" "$(states node2)"
equal "$uuid" "$(host_uuid node2)"
lab_exec node2 python3 -c "$server" >"$tmp/server" &
wait_until 20 reachable

# ---- two labs at once, and limits ----

other() {
	MVLAB_DIR=$tmp/labs/other "$@"
}
cleanup_fn other "$mvlab" down
other status 0 "$mvlab" up --no-cluster --cpus 1 --memory 1500 1
other status 0 "$mvlab" exec 1 -- cat /etc/hosts
says '10\.77\.0\.1 node1'
cp "$tmp/labs/other/node1/cgroups" "$tmp/groups"
limited() { # VALUE FILE...: in a control group of that lab
	local value=$1 group file
	shift
	while read -r group; do
		for file; do
			! grep -qsx "$value" "$group/$file" || return 0
		done
	done <"$tmp/groups"
	return 1
}
limited 1572864000 memory.max memory.limit_in_bytes
limited '100000 100000' cpu.max || limited 100000 cpu.cfs_quota_us
other "$mvlab" down
equal node1 "$(lab_on node1 hostname)"

"$mvlab" down
nothing_is_left
"$mvlab" down

# ---- up is interrupted ----

wrapper() { # DIRECTORY NAME SHELL-TEXT: a program that goes before the real one
	mkdir -p "$tmp/$1"
	printf '#!/bin/sh\n%s\nexec %s "$@"\n' "$3" "$(command -v "$2")" >"$tmp/$1/$2"
	chmod 755 "$tmp/$1/$2"
}

# Slow daemons, so that each moment lasts.
wrapper slow libvirtd 'sleep 0.5'
wrapper slow mvd 'sleep 0.5'

# Kill `mvlab up` as soon as it has come so far, by a file that it makes.
interrupted_at() { # SIGNAL FILE
	local up got=0
	PATH=$tmp/slow:$PATH "$mvlab" up 2 >"$tmp/up" 2>&1 &
	up=$!
	wait_until 60 test -e "$MVLAB_DIR/$2"
	kill "-$1" $up
	wait $up || got=$?
	case $1.$got in
	TERM.143) ;;
	KILL.137) "$mvlab" down ;;
	*) cat "$tmp/up" && fail "mvlab up, sent $1, ended with $got" ;;
	esac
	nothing_is_left
}
interrupted_at TERM mvlab
interrupted_at TERM switch/pid
interrupted_at TERM node1/pid
interrupted_at TERM node1/ready
interrupted_at TERM node1/libvirtd.log
interrupted_at TERM node1/mvd.log
interrupted_at TERM node2/options
interrupted_at TERM node2/mvd.log
interrupted_at KILL switch/pid
interrupted_at KILL node2/pid
interrupted_at KILL node2/mvd.log

# One that fails by itself.
wrapper broken mvd 'echo "this mvd is broken" >&2; exit 1'
PATH=$tmp/broken:$PATH status 125 "$mvlab" up 1
says 'this mvd is broken'
says 'mvd of node1 has ended'
nothing_is_left
