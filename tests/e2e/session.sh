#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# Without a system agent an ordinary user's mvrun starts a private one by itself, on
# a libvirt of the user's own; or says what is missing.
. "$(dirname "$0")/../lib.sh"
node_up
node_mvd_stop
node_libvirtd_stop
on_node rm -f /run/monovisor/mvd.sock

runtime=$tmp/runtime
mkdir -m 700 "$tmp/home" "$runtime"
chown nobody:nogroup "$tmp/home" "$runtime"
cd "$tmp/home"

at_runtime() { # RUNTIME-DIRECTORY COMMAND...
	local directory=$1
	shift
	on_node "${as_user[@]}" env "HOME=$tmp/home" "XDG_RUNTIME_DIR=$directory" "$@"
}
session() { # COMMAND...
	at_runtime "$runtime" "$@"
}

# The output is emptied first: the job before this one was ready, too.
session_job() {
	: >"$tmp/job.out"
	node_exec "${as_user[@]}" env "HOME=$tmp/home" "XDG_RUNTIME_DIR=$runtime" \
		mvrun sh -c 'echo ready; exec sleep 600' </dev/null >"$tmp/job.out" 2>"$tmp/job.err" &
	job_pid=$!
	wait_until 60 grep -q ready "$tmp/job.out"
}

# In the node, a directory of programs in which some can be missing for a while.
hide() { # PROGRAM: with its path
	local layers=/run/hidden/${1##*/}
	on_node mkdir -p "$layers/upper" "$layers/work"
	on_node mount -t overlay -o "lowerdir=${1%/*},upperdir=$layers/upper,workdir=$layers/work" \
		none "${1%/*}"
	on_node rm "$1"
}
unhide() { # PROGRAM; what runs from there goes on
	on_node umount --lazy "${1%/*}"
}

# Nothing of any job: no domain, no process, no socket or file.
no_domain() {
	[ -z "$(session virsh -q -c qemu:///session list --all --name | sed '/^$/d')" ]
}
session_is_clean() {
	wait_until 20 no_domain
	must_fail node_runs qemu-system-x86
	must_fail node_runs mvrun
	wait_until 10 no_files
	equal mvd.sock "$(find "$runtime/monovisor" -type s -printf '%f\n')"
	equal "" "$(find "$runtime/libvirt/qemu/run" -name 'mv-*')"
	wait_until 10 no_log
}
no_files() {
	[ -z "$(find "$runtime/monovisor/mvd.jobs" -mindepth 1)" ]
}
no_log() {
	[ -z "$(find "$tmp/home/.cache/libvirt/qemu/log" -name 'mv-*')" ]
}

# No place for its socket.
status 125 at_runtime "$tmp/absent" mvrun true
says "^mvrun: .*$tmp/absent/monovisor.*XDG_RUNTIME_DIR.*No such file or directory"
mkdir "$tmp/closed"
status 125 at_runtime "$tmp/closed" mvrun true
says "^mvrun: .*$tmp/closed/monovisor.*XDG_RUNTIME_DIR.*Permission denied"
equal "" "$(ls -A "$tmp/closed")"
chmod 700 "$tmp/closed"
status 125 at_runtime "$tmp/closed" mvrun true
says "^mvrun: .*$tmp/closed/monovisor.*XDG_RUNTIME_DIR.*Permission denied"
# One where somebody else could put a socket of his own.
mkdir -m 777 "$runtime/monovisor"
chown nobody:nogroup "$runtime/monovisor"
status 125 session mvrun true
says "^mvrun: .*$runtime/monovisor is open to other users"
rmdir "$runtime/monovisor"
mkdir "$runtime/monovisor"
status 125 session mvrun true
says "^mvrun: .*$runtime/monovisor belongs to user 0"
rmdir "$runtime/monovisor"
must_fail node_runs mvd

# No libvirtd that it could start.
hide /usr/sbin/libvirtd
status 125 session mvrun true
says '^mvrun: cannot connect to libvirt \(qemu:///session\).*install libvirt-daemon'
status 1 session mvctl doctor
says '^BAD +libvirt .*qemu:///session'
# No QEMU that libvirt could start, from the moment on when it can be started.
hide /usr/bin/qemu-system-x86_64
unhide /usr/sbin/libvirtd
must_fail node_runs mvrun
status 125 session mvrun true
says '^mvrun: cannot start the microVM: .*mvctl doctor'
status 1 session mvctl doctor
says '^BAD +qemu +libvirt finds no QEMU'
says 'install qemu-system-x86'
session_is_clean
unhide /usr/bin/qemu-system-x86_64

# The same agent does it when there is one.
status 3 session mvrun sh -c 'id -un; touch made; exit 3'
equal nobody "$(cat "$tmp/status.out")"
equal nobody:nogroup "$(stat -c %U:%G made)"

# The next finds it running.
status 0 session mvrun true
equal "" "$(cat "$tmp/status.err")"
status 0 session mvctl jobs --json
equal "[]" "$(cat "$tmp/status.out")"
session_is_clean

# Jobs that fail leave nothing, however they do.
status 125 session mvrun -m 60000000 true
says '^mvrun: .*MiB'
status 127 session mvrun ./absent
session_job
session virsh -q -c qemu:///session destroy "mv-nobody-sh-$job_pid"
job_end 125
grep -q '^mvrun: .*destroyed' "$tmp/job.err"
session_is_clean
session_job
# Root sees and touches the jobs of another's agent, if told where that is.
status 0 on_node env "MONOVISOR_SOCKET=$runtime/monovisor/mvd.sock" mvctl info "$job_pid"
says nobody
status 0 on_node env "MONOVISOR_SOCKET=$runtime/monovisor/mvd.sock" mvctl suspend "$job_pid"
status 0 on_node env "MONOVISOR_SOCKET=$runtime/monovisor/mvd.sock" mvctl resume "$job_pid"
status 125 on_node env "MONOVISOR_SOCKET=$runtime/monovisor/mvd.sock" mvrun true
says "^mvrun: the agent at .* belongs to user"
kill -KILL "$job_pid"
job_end 137
session_is_clean
cd /
