#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 2700
# Two machines of the node image, each with a kernel, vhost_vsock, libvirtd and mvd of its own, one cluster. A job
# whose link is a vsock moves to the other one and back while it reads and writes files at home, while
# the agent of its host is restarted and while the network between the two is cut. Then one of them is switched off.
#
# Where KVM works the machines use it. Elsewhere mvnode has QEMU emulate them, with AMD's virtualization: so their
# own guests run under KVM all the same, at the speed of one emulation and not of two.
. "$(dirname "$0")/../lib.sh"
requires_root
requires qemu-system-x86_64 qemu-img dpkg-buildpackage mmdebstrap syslinux mformat unshare
. "$MV_SRCDIR/tests/node/vm.sh"
mkdir "$vm_dir"

step_from=$SECONDS
step() { # TEXT: how long each part took is in the log
	echo "---- $((SECONDS - step_from)) s; $*"
	step_from=$SECONDS
}

step "the image"
vm_image
step "two machines; the second one's token admits nobody"
vm_start node1 --cluster new --
vm_start node2 --cluster 10.77.0.1 --token "mv1-$(printf '0%.0s' {1..32})-$(printf '0%.0s' {1..32})" --
vm_up node1
vm_up node2

step "each is a machine of its own"
for node in node1 node2; do
	vm $node 60 'hostname; uname -r; ls -l /dev/vhost-vsock; systemctl is-active mvd libvirtd; systemd-analyze security --no-pager mvd.service | tail -n 1'
	vm $node 60 '[ -c /dev/vhost-vsock ] && [ "$(hostname)" = '$node' ] && systemctl -q is-active mvd'
done
[ "$(vm node1 60 'cat /proc/sys/kernel/random/boot_id')" != "$(vm node2 60 'cat /proc/sys/kernel/random/boot_id')" ]

step "one cluster: refusals, each with its reason, and then node2's service joins"
token=$(vm node1 120 'systemctl start monovisor-node-join && mvctl cluster invite 2>/dev/null')
bad_token() {
	vm node2 60 'journalctl -b -u monovisor-node-join --no-pager | grep "token"'
}
wait_until 180 bad_token
bad_token
refused() { # PATTERN COMMAND
	vm node2 120 "$2" >"$tmp/refused" 2>&1 && fail "it went well: $2"
	cat "$tmp/refused"
	grep -q "$1" "$tmp/refused" || fail "it does not say: $1"
}
join="mvctl cluster join 10.77.0.1 $token"
vm node2 60 'systemctl stop monovisor-node-join; date -s "+1 hour"'
refused 'clock' "$join node2 --address 10.77.0.2"
vm node2 60 'date -s "-1 hour"'
refused 'has a node node1 already' "$join node1 --address 10.77.0.2"
vm node2 120 "sed -i 's/^token=.*/token=$token/' /run/monovisor-node/seed && systemctl start monovisor-node-join"
vm node1 120 'for i in $(seq 60); do mvctl nodes | grep -q "^node2 *up" && break; sleep 1; done; mvctl nodes'
vm node1 60 'mvctl nodes | grep -q "^node2 *up"'
# Jobs move when they are told to, also where the agent was started anew.
for node in node1 node2; do
	vm $node 60 'mkdir -p /etc/monovisor && echo "balance = no" >/etc/monovisor/mvd.conf && systemctl reload-or-restart mvd'
done
wait_until 60 vm node1 60 'mvctl nodes | grep -q "^node2 *up"'

step "three jobs of node1: one that will move, one that stays, one at node2"
# The first goes on until it is told to end, and what it writes does not depend on when that is.
vm node1 60 'mkdir -p /root/work && cd /root/work && cat >job.sh <<"END"
set -e
i=0
while [ $i -lt 40 ] || [ ! -e "$2" ]; do
	i=$((i + 1))
	if [ $i -le 40 ]; then
		echo "$i $(sha256sum <input)" >>"$1"
		head -c 3000 input >>input.$1
		cat input.$1 | wc -c >>"$1"
	fi
	sleep 0.2
	echo >>beat.$1
done
sha256sum <input.$1 >>"$1"
uname -r
END
head -c 100000 /dev/urandom >input; touch go; sh job.sh native go >/dev/null; wc -l native'

start() { # NAME MVRUN-ARGUMENT...
	vm node1 60 "cd /root/work; mvrun -v -m 192 -c 1 --name $* >$1.out 2>$1.err </dev/null &"
}
runs() { # NAME
	vm node1 60 "grep 'the program runs' /root/work/$1.err"
}
start moves --on node1 sh job.sh moved stop
start stays --home sh -c '"while [ ! -e stop2 ]; do sleep 1; echo >>beat.stays; done"'
start leaves --on node2 sleep 10000
for job in moves stays leaves; do
	wait_until 600 runs $job
done

attached() { # NAME TIMES
	[ "$(vm node1 60 "grep -c 'transport: vsock' /root/work/$1.err")" -ge "$2" ] ||
		{ vm node1 60 "cat /root/work/$1.err"; return 1; }
}
attached moves 1
attached stays 1
attached leaves 1
beats() { # NAME
	vm node1 60 "wc -l </root/work/beat.$1"
}
beats_more() { # NAME THAN
	[ "$(beats "$1")" -gt "$2" ]
}
goes_on() { # NAME
	wait_until 180 beats_more "$1" "$(beats "$1")"
}
state() { # NAME PATTERN
	vm node1 60 "mvctl jobs | tee /dev/stderr | grep ' $1 .*$2'"
}
move() { # NODE
	vm node1 900 "mvctl migrate moves $1"
	vm node1 60 "mvctl jobs"
}

step "to node2"
move node2
wait_until 120 attached moves 2
goes_on moved

step "node2's agent is restarted, and then killed"
vm node2 120 'systemctl restart mvd'
goes_on moved
vm node2 120 'systemctl kill -s KILL mvd; sleep 2; systemctl is-active mvd'
goes_on moved

step "the network is cut for 60 s"
vm_cut node2
sleep 60
state moves 'HOST-LOST'
state leaves 'HOST-LOST'
before=$(beats moved)
goes_on stays
equal "$before" "$(beats moved)"
vm_heal node2
goes_on moved
wait_until 60 vm node1 60 '! mvctl jobs | grep HOST-LOST'

step "home again"
move node1
wait_until 120 attached moves 3
vm node1 60 'touch /root/work/stop'
ended() { # NAME
	vm node1 60 "grep 'has ended' /root/work/$1.err"
}
wait_until 600 ended moves
vm node1 60 'cd /root/work; cat moves.err; cat moves.out; cmp native moved && cmp input.native input.moved && echo same' | tee "$tmp/end"
grep -q '^same$' "$tmp/end" || fail "the job's files are not those of the native run"

step "node2 is switched off"
vm_off node2
wait_until 120 state leaves 'HOST-LOST'
goes_on stays
vm node1 60 'touch /root/work/stop2'
wait_until 300 ended stays
# Whoever gives the lost one up ends it.
vm node1 60 'mvctl kill -9 leaves; sleep 3; mvctl jobs'
vm node1 60 '! mvctl jobs | grep leaves'

step "all links were vsocks"
vm node1 60 'cd /root/work; grep -h transport: *.err' | tee "$tmp/links"
! grep -v 'transport: vsock' "$tmp/links" || fail "a link that was no vsock"
