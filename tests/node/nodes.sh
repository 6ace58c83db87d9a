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
requires qemu-system-x86_64 qemu-img dpkg-buildpackage dh lintian mmdebstrap syslinux mformat unshare openssl
[ -r /usr/share/OVMF/OVMF_CODE_4M.fd ] || skip "there is no OVMF_CODE_4M.fd (ovmf)"
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
# A folder of the host's, at the same path there.
share=$vm_dir/share
mkdir "$share"
vm_start node1 --cluster new --share "$share"
vm_start_elsewhere node2 --user ann:1234:1234 --cluster 10.77.0.1 --token "mv1-$(printf '0%.0s' {1..32})-$(printf '0%.0s' {1..32})"
cleanup_fn vm_report
vm_up node1
vm_up node2

step "each is a machine of its own"
for node in node1 node2; do
	vm $node 60 'hostname; uname -r; ls -l /dev/vhost-vsock; systemctl is-active mvd libvirtd'
	vm $node 60 '[ -c /dev/vhost-vsock ] && [ "$(hostname)" = '$node' ] && systemctl -q is-active mvd'
	vm $node 60 'systemd-analyze security --no-pager --threshold=40 mvd.service | tail -n 1; [ ${PIPESTATUS[0]} = 0 ]'
	vm $node 60 'cat /proc/sys/kernel/random/boot_id' >"$tmp/boot.$node"
	grep -qE '^[0-9a-f-]{36}$' "$tmp/boot.$node"
done
! cmp -s "$tmp/boot.node1" "$tmp/boot.node2" || fail "both are one machine"
vm node1 60 '[ ! -e /sys/firmware/efi ]'
vm node2 60 '[ -e /sys/firmware/efi ]'
# The one whom its seed names is logged in at the console, and may do everything.
# (The kernel says things at the console, too, at any time.)
is_ann() {
	vm node2 60 '[ "$SUDO_USER" = ann ] && id ann' | grep '^uid=1234(ann) gid=1234(ann)'
}
vm_until 60 is_ann
# The host's port is that of the node's agent.
on_host() { # COMMAND...: beside node1's QEMU
	nsenter --net --target "${vm_pid[node1]}" "$@"
}
agent_answers() {
	on_host openssl s_client -connect 127.0.0.1:7480 -tls1_3 </dev/null 2>/dev/null |
		openssl x509 -noout -subject | grep node1
}
on_host ip link set lo up
vm_until 120 agent_answers

step "one cluster: refusals, each with its reason, and then node2's service joins"
vm node1 120 'systemctl start monovisor-node-join'
token=$(vm node1 120 'mvctl cluster invite' | grep -o 'mv1-[0-9a-f]*-[0-9a-f]*')
bad_token() {
	vm node2 60 'journalctl -b -u monovisor-node-join --no-pager | grep "the token is for another cluster"'
}
vm_until 180 bad_token
refused() { # PATTERN COMMAND
	! vm node2 120 "$2" >"$tmp/refused" 2>&1 || fail "it went well: $2"
	cat "$tmp/refused"
	grep -q "$1" "$tmp/refused" || fail "it does not say: $1"
}
join="mvctl cluster join 10.77.0.1 $token"
vm node2 60 'systemctl stop monovisor-node-join; date -s "+1 hour"'
refused 'its clock is .* ahead of that of node1' "$join node2 --address 10.77.0.2"
vm node2 60 'date -s "-1 hour"'
refused 'has a node node1 already' "$join node1 --address 10.77.0.2"
vm node2 120 "sed -i 's/^token=.*/token=$token/' /run/monovisor-node/seed && systemctl start monovisor-node-join"
node2_is() { # STATE
	vm node1 60 "mvctl nodes | grep '^node2  *$1'"
}
vm_until 120 node2_is up
# Jobs move when they are told to, also where the agent was started anew.
for node in node1 node2; do
	vm $node 60 'mkdir -p /etc/monovisor && echo "balance = no" >/etc/monovisor/mvd.conf && systemctl restart mvd'
done
vm_until 60 node2_is up
vm node1 60 'mvctl nodes'
malformed() { # the number of such datagrams
	vm node1 60 'mvctl cluster status --json' | sed -n 's/.*"malformed": *\([0-9]*\).*/\1/p'
}
before=$(malformed)
on_host bash -c 'echo junk >/dev/udp/127.0.0.1/7480'
one_more() {
	[ "$(malformed)" = $((before + 1)) ]
}
vm_until 30 one_more
equal "1234 /home/ann" "$(vm node2 300 "su - ann -c 'mvrun --home -m 192 -c 1 sh -c \"id -u; pwd\"' 2>/dev/null </dev/null" | paste -sd ' ')"

step "three jobs of node1: one that will move, one that stays, one at node2"
# What it writes depends on how often it went round, and on nothing else. It reads, appends and renames
# all the time, until it is told to stop. Where all is emulated a new process is what costs.
vm node1 60 'mkdir -p /root/work && cd /root/work && cat >job.sh <<"END"
set -e
i=0
cp input data.$1
while [ $i -lt $3 ] && [ ! -e "$2" ]; do
	i=$((i + 1))
	sum=$(sha256sum <data.$1)
	echo "$i $sum" >>"$1"
	echo "$i $sum" >>data.$1
	[ $((i % 4)) != 0 ] || mv data.$1 old.$1
	[ $((i % 4)) != 0 ] || mv old.$1 data.$1
	sleep $4
done
echo $i
END
head -c 50000 /dev/urandom >input; touch moved'

# The one that stays works in the host's folder.
vm node1 60 "touch $share/stays && ln -s $share/stays /root/work"
start() { # NAME MVRUN-ARGUMENT...
	vm node1 60 "cd /root/work; (mvrun -v -m 192 -c 1 --name $* >$1.out 2>$1.err </dev/null; echo \$? >$1.status) &"
}
said() { # NAME TEXT
	vm node1 60 "grep '$2' /root/work/$1.err"
}
start moves --on node1 sh job.sh moved stop 1000000 0.5
# So that it has the first address there, and another one at node2.
vm_until 300 said moves 'the microVM boots'
start stays --home sh -c "'cd $share && while [ ! -e stop2 ]; do sleep 3; echo >>stays; done; echo bye >end'"
start leaves --on node2 sleep 10000
for job in moves stays leaves; do
	vm_until 600 said $job 'the program runs'
	said $job 'transport: vsock'
done

last_transport() { # NAME
	vm node1 60 "grep 'transport: ' /root/work/$1.err | tail -n 1 | sed 's/.*transport: //'"
}
linked_at() { # NODE: over a vsock, says mvrun; and that it is so, say libvirt and the kernel there
	[ "$(last_transport moves)" = "vsock, node $1" ] && vm "$1" 60 'ss --vsock | grep ESTAB'
}
cid_at() { # NODE
	vm "$1" 60 'virsh -q dumpxml $(virsh -q list --name | grep moves) | sed -n "s/.*cid auto=.yes. address=.\([0-9]*\).*/\1/p"'
}
beat() { # NAME: a line for each round
	vm node1 60 "wc -l </root/work/$1" | grep -E '^[0-9]+$'
}
beats_after() { # NAME NUMBER
	[ "$(beat "$1")" -gt "$2" ]
}
goes_on() { # NAME
	local now
	now=$(beat "$1")
	vm_until 300 beats_after "$1" "$now"
}
is() { # NAME STATE: the jobs are shown
	vm node1 60 "mvctl jobs" >"$tmp/jobs" && cat "$tmp/jobs" && grep " $1 .*$2" "$tmp/jobs"
}
is_not() { # NAME STATE
	vm node1 60 "mvctl jobs" >"$tmp/jobs" && grep -q COMMAND "$tmp/jobs" && ! grep " $1 .*$2" "$tmp/jobs"
}
move() { # NODE
	vm node1 900 "mvctl migrate moves $1 2>/dev/null"
	is moves running
	vm_until 120 linked_at "$1"
	goes_on moved
}
linked_at node1
goes_on moved
goes_on stays
cid=$(cid_at node1)

step "CPU weights, by version 2 of control groups"
vm node1 60 '[ -e /sys/fs/cgroup/cgroup.controllers ]'
weighed() {
	vm node1 60 'mvctl doctor' | grep 'by the CPU weights of their control groups'
}
vm_until 60 weighed
# What the agent says that it gave is what the domain's group has, or had a moment ago: it falls with the age.
same_shares() {
	local job given has
	vm node1 60 'for job in moves stays; do
	echo $job $(mvctl info --json $job | sed -n "s/.*\"shares\": *\([0-9]*\).*/\1/p") \
		$(virsh schedinfo $(virsh -q list --name | grep $job) | sed -n "s/^cpu_shares *: *//p")
done' | grep -E '^(moves|stays) [0-9]+ [0-9]+$' >"$tmp/shares"
	[ "$(wc -l <"$tmp/shares")" = 2 ] || return
	while read -r job given has; do
		[ "$given" -gt 0 ] && [ "$given" -le $((2 * has)) ] && [ "$has" -le $((2 * given)) ] || return
	done <"$tmp/shares"
}
vm_until 60 same_shares
sed 's/\([0-9]*\) \([0-9]*\)$/was given \1 and has \2/' "$tmp/shares"

step "to node2"
move node2
echo "its vsock address was $cid and is $(cid_at node2)"
[ "$cid" != "$(cid_at node2)" ] || fail "the address did not change: nothing was shown"

step "node2's agent is restarted, and then killed"
vm node2 120 'systemctl restart mvd'
goes_on moved
vm node2 120 'systemctl kill -s KILL mvd'
vm_until 60 vm node2 60 'systemctl is-active mvd'
goes_on moved
vm_until 120 linked_at node2

step "the network is cut for 60 s"
vm_cut node2
cut_at=$SECONDS
vm_until 60 is moves HOST-LOST
vm_until 60 is leaves HOST-LOST
before=$(beat moved)
goes_on stays
[ $((SECONDS - cut_at)) -ge 60 ] || sleep $((60 + cut_at - SECONDS))
equal "$before" "$(beat moved)"
vm_heal node2
goes_on moved
vm_until 60 is_not moves HOST-LOST
vm_until 60 is_not leaves HOST-LOST

step "home again"
move node1
vm node1 60 'touch /root/work/stop'
ended() { # NAME STATUS
	[ "$(vm node1 60 "cat /root/work/$1.status")" = "$2" ]
}
vm_until 300 ended moves 0
vm node1 300 'cd /root/work && rounds=$(cat moves.out) && sh job.sh native nothing $rounds 0 >native.out &&
	cmp native.out moves.out && cmp native moved && cmp data.native data.moved && echo "same after $rounds rounds"' >"$tmp/end"
cat "$tmp/end"
grep -q '^same after [1-9][0-9]* rounds$' "$tmp/end" || fail "the job's files are not those of the native run"

step "node2 is switched off"
vm_off node2
vm_until 120 is leaves HOST-LOST
goes_on stays
touch "$share/stop2"
vm_until 300 ended stays 0
equal bye "$(cat "$share/end")"
# Whoever gives the lost one up ends it.
vm node1 60 'mvctl kill -9 leaves'
vm_until 60 ended leaves 137
vm_until 60 is_not leaves ''

step "all links were vsocks"
vm node1 60 'cd /root/work; grep -H transport: *.err' >"$tmp/links"
cat "$tmp/links"
[ "$(grep -c 'transport: vsock' "$tmp/links")" -ge 7 ]
! grep -v 'transport: vsock' "$tmp/links" || fail "a link that was no vsock"
step "the end"
