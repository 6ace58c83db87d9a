# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A cluster of a test's own, made by tests/mvlab: source this after lib.sh.
#
#	lab_up N [OPTION...]      nodes node1 to nodeN; the end of the test removes them
#	lab_on NODE COMMAND...    run a command there, as root, in this directory
#	lab_exec NODE COMMAND...  the same for the background: $! is its process
#	lab_virsh NODE ...        virsh there
#	lab_job_start NODE ...    mvrun there in the background, see below
#	lab_job_field JOB FIELD [WHOM-TO-ASK]  of "mvctl info", at node1; 0 if it has none; nothing without such a job
#	lab_is_clean              no domain, process, socket or file is left over
#
# mvlab's other commands (cut, heal, kill, boot, mvd, libvirtd) are "$mvlab" COMMAND.

mvlab=$MV_SRCDIR/tests/mvlab
export MVLAB_DIR=$tmp/lab

lab_up() { # N [OPTION-OF-MVLAB-UP]...
	requires_root
	requires ip unshare nsenter setpriv libvirtd virsh qemu-system-x86_64 python3
	requires_built mvd mvrun mvctl mvkit
	cleanup_fn lab_down
	"$mvlab" up "$@" || fail "mvlab up $*"
}

lab_exec() {
	local node=$1
	shift
	exec "$mvlab" exec "$node" -- "$@"
}

lab_on() {
	(lab_exec "$@")
}

lab_virsh() {
	local node=$1
	shift
	lab_on "$node" timeout 60 virsh -q -c qemu:///system "$@"
}

lab_nodes() {
	local dir
	for dir in "$MVLAB_DIR"/node*; do
		echo "${dir##*/}"
	done
}

lab_down() {
	trap - ERR
	[ "$test_status" = 0 ] || lab_show_logs
	"$mvlab" down
}

lab_show_logs() {
	local log node
	for node in $(lab_nodes); do
		echo "---- files of jobs and moves at $node:"
		lab_files "$node"
	done
	for log in "$MVLAB_DIR"/node*/*.log; do
		[ -s "$log" ] || continue
		echo "---- the end of ${log#"$MVLAB_DIR/"}:"
		grep -v 'virCgroup\|/sys/fs/cgroup' "$log" | tail -n 40
	done
}

# ---- jobs in the background ----
#
# $job_pid is mvrun's process in its node, $job_waiter the one to wait for. Output
# is in $tmp/NAME.out and $tmp/NAME.err; the NAME is "job" if $lab_job does not
# say otherwise. The program runs when this returns: it says "ready" first.

lab_job=job

lab_job_start() { # NODE, mvrun's options and the program
	local node=$1
	shift
	: >"$tmp/$lab_job.out"
	# The shell has those in the background ignore Ctrl-C.
	# shellcheck disable=SC2016
	lab_exec "$node" sh -c 'echo $$ >"$0" && exec env --default-signal=INT mvrun "$@"' "$tmp/$lab_job.pid" "$@" \
		</dev/null >"$tmp/$lab_job.out" 2>"$tmp/$lab_job.err" &
	job_waiter=$!
	wait_until 90 grep -q ready "$tmp/$lab_job.out"
	job_pid=$(cat "$tmp/$lab_job.pid")
}

lab_job_end() { # WANTED-STATUS [WAITER]: as the shell sees it
	local got=0
	wait_end "${2:-$job_waiter}" || got=$?
	[ "$got" = "$1" ] && return
	tail -n 20 "$tmp/$lab_job.out" "$tmp/$lab_job.err"
	fail "the exit status of job \"$lab_job\" is $got instead of $1"
}

lab_job_field() { # JOB FIELD [WHOM-TO-ASK]
	lab_on "${3:-node1}" mvctl info --json "$1" 2>/dev/null |
		python3 -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1], 0))' "$2" 2>/dev/null
}

# ---- the promise at the end of each test ----

lab_is_clean() {
	local node
	for node in $(lab_nodes); do
		wait_until 20 lab_has_no_domain "$node"
		# What was made ready for a node that died stays until the agent has asked for it in vain.
		wait_until 60 lab_has_no_file "$node"
		equal "" "$(lab_on "$node" find /var/lib/libvirt/qemu/channel -type s)"
		equal "" "$(lab_on "$node" pgrep -l 'qemu-|^mvrun' || true)"
	done
}

# Of jobs and of moves; what is left is the agent's own.
lab_files() { # NODE
	lab_on "$1" find /run/monovisor -mindepth 1 ! -path '*/mvd.sock' ! -path '*/mvd.lock' \
		! -path '*/mvd.jobs' ! -path '*/mvd.kvm' ! -path '*/migrate'
}

lab_has_no_file() { # NODE
	[ -z "$(lab_files "$1")" ]
}

lab_has_no_domain() {
	[ -z "$(lab_virsh "$1" list --all --name | sed '/^$/d')" ]
}
