#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# Nodes on one network find each other by multicast DNS, with the real Avahi daemon, where that
# is installed (tests/unit/test-mvd-avahi has one of its own).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires avahi-daemon dbus-daemon
id avahi >/dev/null 2>&1 || skip "there is no user avahi"

# Each node has a message bus of its own.
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/mvnode/bus
lab_up --no-cluster 2

cat >"$tmp/bus.conf" <<-END
	<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
	 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
	<busconfig>
	  <type>system</type>
	  <listen>$DBUS_SYSTEM_BUS_ADDRESS</listen>
	  <auth>EXTERNAL</auth>
	  <policy context="default">
	    <allow user="*"/> <allow own="*"/>
	    <allow send_type="method_call"/> <allow receive_type="method_call"/>
	    <allow send_type="signal"/> <allow receive_type="signal"/>
	    <allow send_requested_reply="true"/> <allow receive_requested_reply="true"/>
	  </policy>
	</busconfig>
END
printf '[server]\nuse-ipv6=no\nenable-dbus=yes\n' >"$tmp/avahi.conf"

show_logs() {
	[ "$test_status" = 0 ] || tail -n 20 "$tmp"/node?.avahi "$tmp"/node?.bus "$tmp/doctor" "$tmp/found"
}
cleanup_fn show_logs

cluster() { # NODE ACTION...
	lab_on "$1" mvctl cluster "${@:2}" </dev/null
}

finds() { # NODE REGEX...
	local node=$1
	shift
	cluster "$node" discover >"$tmp/found" || return
	for regex; do
		grep -Eq -- "$regex" "$tmp/found" || return
	done
}

doctor_says() { # NODE REGEX
	lab_on "$1" mvctl doctor >"$tmp/doctor" || true
	grep -Eq -- "$2" "$tmp/doctor"
}

avahi() { # NODE
	lab_exec "$1" sh -c 'mkdir -p /run/avahi-daemon
		exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f "$0"' "$tmp/avahi.conf" \
		</dev/null >>"$tmp/$1.avahi" 2>&1 &
}

for node in node1 node2; do
	lab_exec $node dbus-daemon --config-file="$tmp/bus.conf" --nofork --nopidfile \
		</dev/null >"$tmp/$node.bus" 2>&1 &
	wait_until 30 lab_on $node test -S /run/mvnode/bus
	"$mvlab" mvd $node stop
	"$mvlab" mvd $node start
done
cluster node1 init
# It may come later than the agent, and is told then.
for node in node1 node2; do
	avahi $node
	wait_until 60 doctor_says $node '^ok +mdns +Avahi runs'
done
wait_until 60 finds node2 '^node1 +10\.77\.0\.1 +7480 +yes '
status 0 cluster node2 join "$(cluster node1 invite 2>/dev/null)"
says 'joined as node2; the cluster has 2 nodes'
wait_until 60 finds node1 "^node1 .*this node's" "^node2 +10\.77\.0\.2 +7480 +no +this node's"
# Who is no member any more announces nothing.
status 0 cluster node1 remove node2
lost() {
	finds node1 '^node1 ' && ! grep -q '^node2 ' "$tmp/found"
}
wait_until 90 lost

for node in node1 node2; do
	"$mvlab" mvd $node stop
	must_fail grep -H 'Sanitizer\|runtime error' "$MVLAB_DIR/$node/mvd.log"
done
