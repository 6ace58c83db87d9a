# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What makes a part of this machine a node: directories of its own where libvirt
# and the agent keep their state, so that the machine's own are neither seen nor
# touched. For tests/node.sh (one node, for a test) and tests/mvlab (several, with
# a network between them). Called in a private mount namespace.
#
# libvirt asks a QEMU it has not met what it can do, which takes some ten
# seconds, and an agent tries whether KVM works; both answers are kept in a cache
# directory and shared by all nodes.

node_private_dirs() { # ETC CACHE: ETC holds what becomes /etc/libvirt
	local dir
	for dir in /var/lib/libvirt /var/log/libvirt; do
		mount -t tmpfs -o mode=755 node-libvirt "$dir"
	done
	mount --bind "$2" /var/cache/libvirt
	mount --bind "$1" /etc/libvirt
	node_hide_kvm "$1"
	# The daemons of a node take no part in the machine's control groups.
	mount -t tmpfs -o mode=755 node-cgroup /sys/fs/cgroup
}

# Where QEMU's user may not open /dev/kvm, libvirt asks QEMU again before each
# start, ten seconds long: it probes with the right to open anything, and then
# finds the answer at odds with the permissions. Nodes get no /dev/kvm there.
node_hide_kvm() { # DIRECTORY
	local user=libvirt-qemu
	[ -e /dev/kvm ] && id $user >/dev/null 2>&1 || return 0
	setpriv --reuid=$user --regid="$(id -g $user)" --init-groups \
		sh -c 'test -r /dev/kvm && test -w /dev/kvm' && return
	: >"$1/no-kvm"
	chmod 000 "$1/no-kvm"
	mount --bind "$1/no-kvm" /dev/kvm
}

node_configure() { # ETC UUID
	mkdir -p "$1/qemu/networks"
	cat >"$1/qemu.conf" <<-END
	stdio_handler = "file"
	security_driver = "none"
	cgroup_controllers = [ ]
	namespaces = [ ]
	END
	cat >"$1/libvirtd.conf" <<-END
	auth_unix_rw = "none"
	unix_sock_rw_perms = "0700"
	host_uuid = "$2"
	log_outputs = "3:stderr"
	END
}

node_new_uuid() {
	cat /proc/sys/kernel/random/uuid
}

# ---- whether KVM works here is found out once for all nodes; see mvd(8) ----

node_accel_known() { # CACHE
	if [ -n "${MV_TEST_ACCEL:-}" ]; then
		echo "$MV_TEST_ACCEL"
	else
		[ -s "$1/accel" ] && cat "$1/accel"
	fi
}

# The answer of an agent that tried (mvctl nodes --json) is on standard input.
node_accel_learn() { # CACHE
	python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["accel"])' >"$1/accel.$$" &&
		mv "$1/accel.$$" "$1/accel" && cat "$1/accel"
}
