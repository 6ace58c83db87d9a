#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 2700
# Two machines of the node image, each with a kernel, vhost_vsock, libvirtd and mvd of its own, one cluster. A job
# whose link is a vsock moves to the other one and back while it reads and writes files at home.
#
# Where KVM works the machines use it. Elsewhere mvnode has QEMU emulate them, with AMD's virtualization: so their
# own guests run under KVM all the same, at the speed of one emulation and not of two.
. "$(dirname "$0")/../lib.sh"
requires_root
requires qemu-system-x86_64 qemu-img dpkg-buildpackage mmdebstrap syslinux mformat unshare
. "$MV_SRCDIR/tests/node/vm.sh"
mkdir "$vm_dir"

vm_image
vm_start node1 --cluster new --
vm_start node2 --
vm_up node1
vm_up node2

# ---- each is a machine of its own ----

for node in node1 node2; do
	vm $node 60 'hostname; uname -r; ls -l /dev/vhost-vsock; systemctl is-active mvd libvirtd; systemd-analyze'
	vm $node 60 '[ -c /dev/vhost-vsock ] && [ "$(hostname)" = '$node' ] && systemctl -q is-active mvd'
done
[ "$(vm node1 60 'cat /proc/sys/kernel/random/boot_id')" != "$(vm node2 60 'cat /proc/sys/kernel/random/boot_id')" ]

# ---- one cluster ----

token=$(vm node1 120 'systemctl start monovisor-node-join && mvctl cluster invite 2>/dev/null')
vm node2 120 "mvctl cluster join 10.77.0.1 $token node2 --address 10.77.0.2"
! vm node2 120 "mvctl cluster join 10.77.0.1 $token node3" || fail "a token admitted twice"
vm node1 120 'for i in $(seq 60); do mvctl nodes | grep -q "^node2 *up" && break; sleep 1; done; mvctl nodes'
vm node1 60 'mvctl nodes | grep -q "^node2 *up"'

# ---- a job that moves ----

# It goes on until it is told to end, and what it writes does not depend on when that is.
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
done
sha256sum <input.$1 >>"$1"
uname -r
END
head -c 100000 /dev/urandom >input; touch go; sh job.sh native go >/dev/null; wc -l native'

vm node1 60 'cd /root/work; mvrun -v -m 256 -c 1 sh job.sh moved stop >job.out 2>job.err </dev/null &'
attached() { # TIMES
	[ "$(vm node1 60 'grep -c "transport: vsock" /root/work/job.err')" -ge "$1" ] ||
		{ vm node1 60 'cat /root/work/job.err'; return 1; }
}
wait_until 600 vm node1 60 'grep -q "the program runs" /root/work/job.err'
attached 1
vm node1 60 'mvctl jobs'

move() { # NODE
	vm node1 900 "mvctl migrate sh $1"
	wait_until 120 vm node1 60 "mvctl jobs | grep -q '  *$1 '"
	vm node1 60 'mvctl jobs'
}
move node2
wait_until 120 attached 2
lines=$(vm node1 60 'wc -l </root/work/moved')
move node1
wait_until 120 attached 3
echo "lines while it was at node2: $lines and more"

vm node1 60 'touch /root/work/stop'
wait_until 600 vm node1 60 'grep -q "has ended" /root/work/job.err'
vm node1 60 'cd /root/work; cat job.err; cat job.out; cmp native moved && cmp input.native input.moved && echo same' | tee "$tmp/end"
grep -q '^same$' "$tmp/end" || fail "the job's files are not those of the native run"
! grep -q "transport: virtio-serial" "$tmp/end" || fail "a link that was no vsock"
