#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The harness itself: a wait that times out says where everybody was, in the kernel
# and in our programs, and what guests and daemons said last; and it does fail.
. "$(dirname "$0")/../lib.sh"
node_up
same_begin "$tmp/same"

# What must have failed; then its output is read with "holds".
times_out() { # COMMAND...
	local got=0
	("$@") >"$tmp/dump" 2>&1 </dev/null || got=$?
	[ $got != 0 ] || fail "succeeded: $*"
}

holds() { # EXTENDED-REGEX...
	local regex
	for regex in "$@"; do
		grep -Eq -- "$regex" "$tmp/dump" && continue
		cat "$tmp/dump"
		fail "the dump does not hold: $regex"
	done
}

# The job's mvrun, its agent and its microVM, whoever is their parent; what the
# guest says on its console; what mvd says in its log.
holds_all() {
	holds '^[0-9]+ mvrun: .*say-and-wait' '^[0-9]+ mvd: ' '^[0-9]+ qemu-system-x86: ' \
		'^  thread [0-9]+ .*: [A-Z] \(.*\), in ' \
		'^---- the end of .*\.console \(qemu' '^.*word from the guest' \
		'^---- the end of .*/mvd\.log'
	# Nobody else: not who started this test, nor a test beside it.
	if grep -Eq "^$PPID |^$$ |^1 " "$tmp/dump"; then
		fail "the dump holds who is not of this test"
	fi
	# Without the right to see stacks the kernel says so; with it there are frames.
	if [ -r /proc/self/stack ] && grep -q . /proc/self/stack; then
		holds '^    \[<0>\] .*\+0x'
	fi
	if command -v gdb >/dev/null || command -v eu-stack >/dev/null; then
		holds '^#[0-9]+ .*poll' '^#[0-9]+ .*main'
	fi
}

waits='mknod /dev/kmsg c 1 11; echo "<1>word from the guest" >/dev/kmsg; echo ready; sleep 600; : say-and-wait'

job_start sh -c "$waits"
times_out wait_until 1 false
holds 'still not so: false'
holds_all

# Waiting for a job's end is bounded as well. (The wait's own shell is not the
# parent, so only its time-out can end it.)
times_out wait_end "$job_pid" 1
holds 'still not so: has_ended'
holds_all
kill -KILL "$job_pid"
job_end 137
wait_until 20 node_has_no_domain

# So is a comparison of a command with itself as a job.
late() {
	same_limit=25 && . "$MV_SRCDIR/tests/same.sh"
	same_begin "$tmp/same"
	on_node() {
		(node_exec "$@")
	}
	same sh -c "grep -q ' mv.id=' /proc/cmdline || exit 0; $waits"
}
times_out late
holds 'not done in time \(job\)' 'how it ended differs'
holds_all
node_is_clean

# So is a step on a terminal.
times_out env MV_PTY_LIMIT=1 MV_TEST_SLOWER=1 "$MV_SRCDIR/tests/pty" 'expect:never' -- sleep 300
holds 'pty: no "never" within 1 s' '^[0-9]+ sleep: sleep 300' '^  thread [0-9]+ sleep: S \(sleeping\), in '

# And a whole test, by its driver.
cat >"$tmp/late" <<-'END'
	#!/bin/sh
	# limit: 2
	exec sleep 300
END
chmod +x "$tmp/late"
status 124 env MV_TEST_SLOWER=1 "$MV_SRCDIR/tests/driver" "$tmp/late"
says 'still running after 2 s'
says '^[0-9]+ sleep: sleep 300'
says '^  thread [0-9]+ sleep: S \(sleeping\), in '
