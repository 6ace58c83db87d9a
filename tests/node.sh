# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A node of a test's own: a libvirtd and an mvd in a private mount namespace with
# fresh directories where both keep their state, so that nothing of the machine's
# own libvirt is seen or touched.
#
#	node_up              start it; node_down runs by itself at the end
#	on_node COMMAND...   run a command there, as root, in this directory
#	node_mvd_start, node_mvd_stop, node_libvirtd_start, node_libvirtd_stop
#
# In the background use node_exec, whose pid is the command's own:
#	node_exec mvrun sleep 60 &

. "$MV_SRCDIR/tests/node-setup.sh"

node_pid=
node_state=
node_cache=$MV_BUILDDIR/tests/node-cache

# Runs as process "node" inside the new namespace.
node_setup() { # STATE CACHE
	local state=$1 cache=$2
	mount -t tmpfs -o mode=755 node-run /run
	mkdir -p /run/lock /run/user "$state/etc" "$cache"
	node_configure "$state/etc" "$(node_new_uuid)"
	node_private_dirs "$state/etc" "$cache"
	touch "$state/ready"
	exec sleep infinity
}

on_node() {
	(node_exec "$@")
}

node_exec() {
	exec nsenter --target "$node_pid" --mount --root --wdns="$PWD" -- "$@"
}

node_up() {
	requires_root
	requires unshare nsenter libvirtd virsh qemu-system-x86_64 python3
	requires_built mvd mvrun mvctl mvkit
	node_state=${tmp:?}/node
	mkdir -p "$node_state" "$node_cache"
	# shellcheck disable=SC2016
	unshare --mount --propagation private \
		bash -c '. "$1/tests/node.sh"; set -e; node_setup "$2" "$3"' \
		node "$MV_SRCDIR" "$node_state" "$node_cache" </dev/null &
	node_pid=$!
	cleanup_fn node_down
	wait_until 20 test -e "$node_state/ready"
	node_libvirtd_start
	node_accel >"$node_state/accel"
	node_mvd_start
}

node_libvirt_answers() {
	on_node timeout 20 virsh -q -c qemu:///system version
}

node_libvirtd_start() {
	node_exec libvirtd </dev/null >>"$node_state/libvirtd.log" 2>&1 &
	node_libvirtd_pid=$!
	wait_until 120 node_libvirt_answers
}

node_libvirtd_stop() { # [SIGNAL]
	kill "-${1:-TERM}" "$node_libvirtd_pid"
	wait_end "$node_libvirtd_pid" || true
}

node_agent_answers() {
	on_node timeout 20 mvctl nodes
}

node_accel() {
	node_accel_known "$node_cache" && return
	node_mvd_run --accel auto
	on_node timeout 120 mvrun -v true </dev/null >&2 || fail "the first job failed"
	on_node mvctl nodes --json | node_accel_learn "$node_cache"
	node_mvd_stop
}

node_mvd_run() { # OPTION...
	node_exec mvd --state-dir "$node_state/lib" "$@" </dev/null >>"$node_state/mvd.log" 2>&1 &
	node_mvd_pid=$!
	wait_until 120 node_agent_answers
}

node_mvd_start() {
	node_mvd_run --accel "$(cat "$node_state/accel")"
}

node_mvd_stop() { # [SIGNAL]
	kill "-${1:-TERM}" "$node_mvd_pid"
	wait_end "$node_mvd_pid" || true
}

node_virsh() {
	on_node timeout 60 virsh -q -c qemu:///system "$@"
}

node_domains() {
	node_virsh list --all --name | sed '/^$/d'
}

job() { # mvrun's options and the program
	on_node mvrun "$@"
}

# A job in the background: its pid in $job_pid, its output in $tmp/job.out and
# $tmp/job.err. It runs when this returns: every such program says "ready" first.
job_start() {
	: >"$tmp/job.out"
	node_exec mvrun "$@" </dev/null >"$tmp/job.out" 2>"$tmp/job.err" &
	job_pid=$!
	wait_until 60 grep -q ready "$tmp/job.out"
}

job_end() { # WANTED-STATUS: as the shell sees it
	local got=0
	wait_end "$job_pid" || got=$?
	[ "$got" = "$1" ] && return
	cat "$tmp/job.out" "$tmp/job.err"
	fail "the job's exit status is $got instead of $1"
}

job_domain() { # PID
	node_domains | grep -- "-$1\$"
}

# The promise at the end of each test: no domain, no process, no socket or file.
node_is_clean() {
	wait_until 10 node_has_no_domain
	wait_until 10 node_has_no_files
	equal "mvd.sock" "$(on_node find /run/monovisor -type s -printf '%f\n' | sort | paste -sd ' ')"
	equal "" "$(on_node find /var/lib/libvirt/qemu/channel -type s)"
	must_fail node_runs qemu-system-x86
	must_fail node_runs mvrun
}

# The agent removes them when libvirt has told it of the end; what it finds when it starts, when libvirt has
# said twice that there is no such domain.
node_has_no_files() {
	node_files >"$tmp/node-files"
	[ ! -s "$tmp/node-files" ]
}

# QEMU's own log is not among them: libvirt may write its last line after the agent has
# removed it.
node_files() {
	on_node find /run/monovisor/mvd.jobs -mindepth 1
}

node_qemu_logs() {
	on_node find /var/log/libvirt/qemu -name 'mv-*.log'
}

# What stays for people to read, see mvd(8): the log of a QEMU that crashed, and of one
# that ended while there was no agent.
node_drop_logs() {
	on_node find /var/log/libvirt/qemu -name 'mv-*.log' -delete
}

node_has_no_domain() {
	[ -z "$(node_domains)" ]
}

node_runs() { # COMMAND-NAME
	local pid
	for pid in $(node_processes); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in "$1"*) return 0 ;; esac
	done
	return 1
}

# The words before a command that make an ordinary user of it.
as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups --)

# Every process in the node's mount namespace, and those that libvirt put into
# namespaces of their own, which are children of these.
node_processes() {
	local pid space
	space=$(readlink "/proc/$node_pid/ns/mnt") || return 0
	for pid in /proc/[0-9]*; do
		[ "$(readlink "$pid/ns/mnt" 2>/dev/null)" = "$space" ] || continue
		[ "${pid#/proc/}" = "$node_pid" ] || echo "${pid#/proc/}"
	done
}

node_show_logs() {
	local log
	[ "$test_status" != 0 ] || return 0
	for log in "$node_state"/*.log; do
		[ -s "$log" ] || continue
		echo "---- the end of the node's $(basename "$log"):"
		grep -v 'virCgroup\|/sys/fs/cgroup' "$log" | tail -n 40
	done
}

node_down() {
	local try pids
	trap - ERR
	[ -n "$node_pid" ] || return 0
	node_show_logs
	for try in TERM TERM KILL KILL KILL; do
		pids=$(node_processes)
		[ -n "$pids" ] || break
		# shellcheck disable=SC2086 # pids are words
		kill "-$try" $pids 2>/dev/null
		for _ in $(seq 25); do
			pids=$(node_processes)
			[ -n "$pids" ] || break 2
			sleep 0.1
		done
	done
	kill -KILL "$node_pid"
	wait 2>/dev/null
	node_pid=
}
