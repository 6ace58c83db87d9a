#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Home and job see each other's changes at once, and exclude each other by locks.
. "$(dirname "$0")/../lib.sh"
node_up

# What a job has written is at home when write() returns.
job_start sh -c 'exec 9>"$1/seen"; echo now >&9; echo ready; sleep 60' sh "$tmp"
equal now "$(cat "$tmp/seen")"

# What home writes, the job sees.
kill "$job_pid"
job_end 143
echo first >"$tmp/flag"
job_start sh -c 'cat "$1/flag" >/dev/null; echo ready; until grep -q changed "$1/flag"; do sleep 0.1; done' \
	sh "$tmp"
echo changed >"$tmp/flag"
job_end 0

# Locks of either kind exclude across the border, in both directions.
touch "$tmp/lock"
job_start sh -c 'exec 9>"$1"; flock 9; echo ready; sleep 60' sh "$tmp/lock"
must_fail flock --nonblock "$tmp/lock" true
kill "$job_pid"
job_end 143
wait_until 10 flock --nonblock "$tmp/lock" true
exec 8>"$tmp/lock"
flock 8
status 9 job flock --nonblock -E 9 "$tmp/lock" true
exec 8>&-

posix_lock='import fcntl, sys, time
f = open(sys.argv[1], "r+")
try:
    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(9)
print("ready", flush=True)
time.sleep(float(sys.argv[2]))'
job_start python3 -c "$posix_lock" "$tmp/lock" 60
status 9 python3 -c "$posix_lock" "$tmp/lock" 0
kill "$job_pid"
job_end 143
python3 -c "$posix_lock" "$tmp/lock" 60 >"$tmp/holder" &
holder=$!
wait_until 10 grep -q ready "$tmp/holder"
status 9 job python3 -c "$posix_lock" "$tmp/lock" 0
kill $holder
wait_end $holder || true

node_is_clean
