#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A signal to mvrun is a signal to the job.
. "$(dirname "$0")/../lib.sh"
node_up

# All but KILL and STOP, which cannot be caught, and the C library's own two. In
# Python, because a shell has its own ideas of SEGV, CHLD and the stops.
catcher='import os, signal, sys, time
def caught(number, frame):
    print(names[number], flush=True)
    if number == signal.SIGRTMIN:
        sys.exit(9)
names = {getattr(signal, "SIG" + name): name for name in sys.argv[1:]}
for number in names:
    signal.signal(number, caught)
print("ready", flush=True)
while True:
    time.sleep(0.05)'
caught=(HUP INT QUIT USR1 USR2 TERM WINCH ALRM URG IO PIPE ABRT FPE BUS SYS XFSZ SEGV ILL TRAP
	CHLD TTIN TTOU VTALRM PROF XCPU STKFLT PWR RTMAX)
job_start python3 -c "$catcher" "${caught[@]}" CONT RTMIN
for name in "${caught[@]}"; do
	kill -$name "$job_pid"
	wait_until 10 grep -qx $name "$tmp/job.out"
done
kill -RTMIN "$job_pid"
job_end 9

# A program that does nothing about it dies of it, and mvrun of the same.
for pair in TERM:143 INT:130 HUP:129 USR1:138; do
	job_start sh -c 'echo ready; exec sleep 100'
	kill "-${pair%:*}" "$job_pid"
	job_end "${pair#*:}"
done

# Stopped means frozen: the counter stands still. Continued, it goes on.
counter() {
	wc -l <"$tmp/job.out"
}
job_start sh -c 'echo ready; while :; do echo tick; sleep 0.1; done'
kill -STOP "$job_pid"
sleep 1.5
one=$(counter)
sleep 1.5
equal "$one" "$(counter)"
kill -CONT "$job_pid"
moved_on() {
	[ "$(counter)" -gt "$one" ]
}
wait_until 10 moved_on
kill "$job_pid"
job_end 143

# A signal that mvrun was started to ignore stays ignored (nohup).
(
	trap '' HUP
	job_start sh -c 'echo ready; sleep 2; exit 5'
	kill -HUP "$job_pid"
	job_end 5
)

# A guest that does not answer, and nobody knows why: that is said once, and once that it does again.
job_start sh -c 'echo ready; until [ -e "$1" ]; do sleep 0.1; done; exit 6' sh "$tmp/go"
qemu=$(on_node cat "/run/libvirt/qemu/$(job_domain "$job_pid").pid")
kill -STOP "$qemu"
wait_until 60 grep -q '^mvrun: the job at .* has not answered for 20 s' "$tmp/job.err"
kill -CONT "$qemu"
wait_until 60 grep -q '^mvrun: the job at .* answers again$' "$tmp/job.err"
touch "$tmp/go"
job_end 6
equal "1 1" "$(grep -c 'has not answered' "$tmp/job.err") $(grep -c 'answers again' "$tmp/job.err")"

# A job that cannot be reached does not hold its mvrun for ever: the first signal
# waits for the job, the second ends mvrun.
job_start sh -c 'echo ready; exec sleep 100'
on_node mvctl suspend "$job_pid"
sleep 27 # until the link notices; mvrun does not say again what the agent has said
kill -TERM "$job_pid"
wait_until 10 grep -q 'cannot be reached' "$tmp/job.err"
kill -0 "$job_pid"
kill -TERM "$job_pid"
job_end 143
must_fail grep -q 'has not answered' "$tmp/job.err"
node_is_clean
