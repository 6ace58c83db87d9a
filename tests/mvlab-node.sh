# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For tests/mvlab: how a node, and the switch between the nodes, come to be and go.
#
# Each is a "holder", a process whose namespaces are the node's: network, mounts,
# host name, IPC and processes, so that a node sees no process of another one and
# dies as a whole when its holder, which is its process 1, is killed. The switch
# is a bridge in a network namespace.
#
# A holder ends by itself if the command that makes it ends without saying that
# all is well; so however `mvlab up` is interrupted, no process is left.
#
#	$lab/node1/pid       the holder: its pid, and when it started
#	$lab/node1/ready     it has made its namespaces
#	$lab/node1/keep      all is well: it outlives the command that made it
#	$lab/node1/options   HOME-TREE CPUS MEMORY SCHEDULE DOMAIN-GROUPS
#	$lab/node1/lib       the agent's state
#	$lab/node1/*.log     of the holder, of libvirtd and of mvd
#
# In the node its directory is /run/mvnode, on each the same. The agent's state stays when the node
# dies, as it would on a disk; all else is in memory and goes with the node.

lab_network=10.77.0
lab_maker_fd=8

# ---- holders ----

# The words of a process's stat file after its name: state, parent and so on.
process_stat() { # DIRECTORY-IN-PROC
	local stat
	{ stat=$(<"$1/stat"); } 2>/dev/null && [ -n "$stat" ] && echo "${stat##*) }"
}

# When a process started, in ticks since the boot; fails when there is none.
process_start() { # DIRECTORY-IN-PROC
	local stat words
	stat=$(process_stat "$1") || return
	read -r -a words <<<"$stat"
	[ "${words[0]}" != Z ] && echo "${words[19]}"
}

holder_alive() { # DIRECTORY
	local pid start
	{ read -r pid start <"$1/pid"; } 2>/dev/null || return
	[ "$(process_start "/proc/$pid")" = "$start" ]
}

holder_gone() { # DIRECTORY
	! holder_alive "$1"
}

holder_pid() { # DIRECTORY
	local pid
	read -r pid _ <"$1/pid" && echo "$pid"
}

holder_start() { # DIRECTORY ROLE UNSHARE-OPTION...
	local dir=$1 role=$2
	shift 2
	rm -f "$dir"/{pid,ready,keep}
	(
		cgroup_enter "$dir"
		exec setsid unshare "$@" -- "$BASH" "$here/mvlab" --holder "$role" "$dir" $$
	) </dev/null >>"$dir/holder.log" 2>&1 &
	wait_for 30 test -e "$dir/ready" && return
	cat "$dir/holder.log" >&2
	fail "cannot make ${dir##*/}, see above"
}

# Killing process 1 kills all the others, and it is gone only after them.
holder_end() { # DIRECTORY
	holder_alive "$1" || return 0
	kill -KILL "$(holder_pid "$1")" 2>/dev/null
	wait_for 30 holder_gone "$1" || fail "${1##*/} does not end: process $(holder_pid "$1")"
}

# What a holder runs.
holder_main() { # ROLE DIRECTORY MAKER
	local dir=$2 pid
	set -e
	eval "exec $lab_maker_fd</proc/$3"
	read -r pid _ </proc/self/stat
	echo "$pid $(process_start "/proc/$pid")" >"$dir/pid.new"
	mv "$dir/pid.new" "$dir/pid"
	"holder_$1" "$dir"
	touch "$dir/ready"
	holder_wait "$dir"
}

holder_wait() { # DIRECTORY
	until [ -e "$1/keep" ]; do
		# The last that it does may be to say "keep".
		process_start "/proc/self/fd/$lab_maker_fd" >/dev/null || [ -e "$1/keep" ] || exit 1
		sleep 0.2
	done
	eval "exec $lab_maker_fd<&-"
	# Process 1 collects the processes that lost their parent: bash does so
	# while it waits.
	while :; do
		sleep 1000000 &
		wait $!
	done
}

# ---- the switch ----

holder_switch() {
	ip link add lab0 type bridge
	ip link set lab0 up
}

on_switch() {
	nsenter --target "$(holder_pid "$lab/switch")" --net -- "$@"
}

# A node's address stays with its name, and so does its Ethernet address: a node
# that starts anew is found at once by those that remember it.
node_plug_in() { # NODE
	local k=${1#node} pid
	pid=$(holder_pid "$lab/$1")
	on_switch ip link del "$1" 2>/dev/null
	on_switch ip link add "$1" type veth peer name eth0 \
		address "$(printf '02:77:00:00:00:%02x' "$k")" netns "$pid" &&
		on_switch ip link set "$1" master lab0 up &&
		nsenter --target "$pid" --net -- ip address add "$lab_network.$k/24" dev eth0 &&
		nsenter --target "$pid" --net -- ip link set eth0 up
}

# ---- a node ----

node_start() { # NODE: what it is to be is in its file "options"
	local dir=$lab/$1 groups own=()
	read -r _ _ _ _ groups <"$dir/options"
	# Then its own group is the root of what it sees, as libvirt expects.
	[ "$groups" != yes ] || own=(--cgroup)
	holder_start "$dir" node "${own[@]}" --fork --kill-child --pid --mount --net --uts --ipc \
		--propagation private || return
	node_plug_in "$1" || fail "cannot connect $1 with the switch"
}

node_make() { # NODE HOME-TREE CPUS MEMORY SCHEDULE DOMAIN-GROUPS
	local dir=$lab/$1
	mkdir -p "$dir"/{etc,lib}
	echo "$2 $3 $4 $5 $6" >"$dir/options"
	node_new_uuid >"$dir/uuid"
	node_configure "$dir/etc" "$(cat "$dir/uuid")"
	[ "$6" = no ] || sed -i 's/^cgroup_controllers .*/cgroup_controllers = [ "cpu" ]/' "$dir/etc/qemu.conf"
	[ "$2" = no ] || node_make_tree "$1"
	cgroup_make "$1" "$3" "$4" "$6" || fail "cannot limit $1: $cgroup_trouble"
	node_start "$1"
}

# A home tree is /srv: files that this node has and no other one.
node_make_tree() { # NODE
	mkdir -p "$lab/$1/srv/home"
	echo "$1" >"$lab/$1/srv/node"
	chmod 1777 "$lab/$1/srv/home"
}

# Runs as the new node's process 1.
holder_node() { # DIRECTORY
	local dir=$1 tree
	read -r tree _ <"$dir/options"
	hostname "${dir##*/}"
	ip link set lo up
	mount --bind "$lab/hosts" /etc/hosts
	[ "$tree" = no ] || mount --bind "$dir/srv" /srv
	mount -t proc proc /proc
	cgroup_keep "$dir"
	mount -t sysfs sysfs /sys
	mount -t tmpfs -o mode=1777 node-shm /dev/shm
	node_private_dirs "$dir/etc" "$lab_cache"
	cgroup_show "$dir"
	# Its directory is below the /run that is about to be covered.
	cd "$dir"
	mount -t tmpfs -o mode=755 node-run /run
	mkdir -p /run/lock /run/user /run/mvnode
	mount --no-canonicalize --bind . /run/mvnode
	# A lab may itself be below /run: it has the same path in its nodes.
	if [ ! -e "$dir" ]; then
		mkdir -p "$dir"
		mount --no-canonicalize --bind . "$dir"
	fi
	cd /
}

# For this script itself; see do_exec for others' commands.
in_node() { # NODE COMMAND...
	local pid
	pid=$(holder_pid "$lab/$1") || return
	(
		cgroup_enter "$lab/$1"
		shift
		exec nsenter --target "$pid" --all --wd=/ -- "$@"
	)
}

# ---- its daemons, children of its process 1 ----

daemon_start() { # NODE NAME COMMAND...
	local log=$lab/$1/$2.log node=$1
	shift 2
	in_node "$node" setsid -f "$@" </dev/null >>"$log" 2>&1
}

daemon_pids() { # NODE NAME: pids in the node
	in_node "$1" pgrep -P 1 -u 0 -x "$2"
}

daemon_gone() { # NODE NAME
	[ -z "$(daemon_pids "$1" "$2")" ]
}

daemon_end() { # NODE NAME SIGNAL
	in_node "$1" pkill "-$3" -P 1 -u 0 -x "$2"
	wait_for 60 daemon_gone "$1" "$2" || fail "$2 of $1 does not end"
}

libvirtd_answers() { # NODE
	in_node "$1" timeout 20 virsh -q -c qemu:///system version
}

libvirtd_start() { # NODE
	daemon_start "$1" libvirtd libvirtd
	daemon_wait "$1" libvirtd
}

mvd_answers() { # NODE
	in_node "$1" timeout 20 mvctl nodes
}

mvd_start() { # NODE OPTION...
	local node=$1 schedule
	shift
	read -r _ _ _ schedule _ <"$lab/$node/options"
	[ "$schedule" = yes ] || set -- --set place=no --set balance=no --set usher=no --set weights=no "$@"
	daemon_start "$node" mvd mvd --state-dir /run/mvnode/lib "$@"
	daemon_wait "$node" mvd
}

# Until it answers. One that has ended never will.
daemon_wait() { # NODE NAME
	local deadline=$((SECONDS + 120)) trouble
	until "$2_answers" "$1" >/dev/null 2>&1; do
		trouble="has ended"
		in_node "$1" pgrep -P 1 -u 0 -x "$2|setsid" >/dev/null || break
		trouble="does not answer"
		[ $SECONDS -lt $deadline ] || break
		trouble=
		sleep 0.1
	done
	[ -z "${trouble-}" ] && return
	tail -n 30 "$lab/$1/$2.log" >&2
	fail "$2 of $1 $trouble; above is the end of its log"
}

# ---- limits ----

cgroup_trouble=

# Makes a control group for a node and writes where it is into its file "cgroups".
cgroup_make() { # NODE CPUS MEMORY (MiB) DOMAIN-GROUPS; 0: no limit
	local root
	: >"$lab/$1/cgroups"
	[ "$2 $3 $4" != "0 0 no" ] || return 0
	root=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
	if [ "$4" = yes ]; then
		cgroup_make_v1 "$@"
	elif [ -n "$root" ] && grep -qw cpu "$root/cgroup.controllers"; then
		cgroup_make_v2 "$root" "$@"
	else
		cgroup_make_v1 "$@"
	fi
}

cgroup_make_v2() { # ROOT NODE CPUS MEMORY
	local parent dir
	parent=$1/mvlab-$(stat -c %i "$lab")
	dir=$parent/$2
	echo "$dir" >"$lab/$2/cgroups"
	cgroup_trouble="$1 allows no groups with limits to be made in it"
	echo "+cpu +memory" 2>/dev/null >"$1/cgroup.subtree_control" &&
		mkdir -p "$parent" &&
		echo "+cpu +memory" 2>/dev/null >"$parent/cgroup.subtree_control" &&
		mkdir -p "$dir" || return
	[ "$3" = 0 ] || echo "$(cgroup_quota "$3") 100000" >"$dir/cpu.max" || return
	[ "$4" = 0 ] || echo "$(($4 << 20))" >"$dir/memory.max"
}

cgroup_make_v1() { # NODE CPUS MEMORY
	local controller root dir
	for controller in cpu cpuacct memory; do
		cgroup_trouble="there is no control group with the $controller controller"
		root=$(findmnt -n -t cgroup -O "$controller" -o TARGET | head -n 1)
		[ -n "$root" ] || return
		dir=$root/mvlab-$(stat -c %i "$lab")-$1
		echo "$dir" >>"$lab/$1/cgroups"
		cgroup_trouble="cannot make $dir"
		mkdir -p "$dir" || return
		case $controller in
		cpu) [ "$2" = 0 ] || cgroup_quota "$2" >"$dir/cpu.cfs_quota_us" || return ;;
		memory) [ "$3" = 0 ] || echo $(($3 << 20)) >"$dir/memory.limit_in_bytes" || return ;;
		esac
	done
}

# us of CPU time in each 100,000 us, of a number with two decimals at most.
cgroup_quota() { # CPUS
	local whole=${1%.*} part=
	[[ $1 != *.* ]] || part=${1#*.}
	part=$(printf '%-2s' "$part")
	part=${part// /0}
	echo $((whole * 100000 + 10#$part * 1000))
}

# Its own groups are what a node sees of the machine's, so that its agent knows
# its limits. They are below what is about to be covered: kept aside, and shown then.
cgroup_keep() { # DIRECTORY-OF-NODE
	local dir name
	while read -r dir; do
		name=$(basename "$(dirname "$dir")")
		[[ ${dir%/*} = */mvlab-* ]] && name=unified
		mkdir -p "$1/cgroup/$name"
		mount --bind "$dir" "$1/cgroup/$name"
	done <"$1/cgroups"
}

cgroup_show() { # DIRECTORY-OF-NODE
	local dir
	for dir in "$1"/cgroup/*; do
		[ -d "$dir" ] || continue
		mkdir "/sys/fs/cgroup/${dir##*/}"
		mount --move "$dir" "/sys/fs/cgroup/${dir##*/}"
	done
}

cgroup_enter() { # DIRECTORY-OF-NODE: the calling process does
	local dir
	[ -s "$1/cgroups" ] || return 0
	while read -r dir; do
		echo "$BASHPID" >"$dir/cgroup.procs"
	done <"$1/cgroups"
}

# True when they are gone. In v2 the last node takes their parent with it.
cgroup_removed() { # DIRECTORY-OF-NODE
	local dir
	[ -s "$1/cgroups" ] || return 0
	while read -r dir; do
		# libvirt's groups for its domains are in it.
		[ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + || return
		[ "${dir##*/}" != "${1##*/}" ] || rmdir "${dir%/*}" 2>/dev/null
	done <"$1/cgroups"
	return 0
}
