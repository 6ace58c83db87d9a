#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A guest that runs out of memory or panics, and a job that is too large: a
# message with what to do, and nothing left.
. "$(dirname "$0")/../lib.sh"
node_up

# More than the node has.
status 125 job -m 60000000 true
says '^mvrun: .*(memory|MiB)'

# What was asked for is what the job gets, about.
got=$(job -m 700 -c 2 sh -c 'nproc; awk "/MemTotal/ {print int(\$2 / 1024)}" /proc/meminfo' | xargs)
equal 2 "${got% *}"
[ "${got#* }" -gt 550 ] && [ "${got#* }" -le 700 ]

# Out of memory: the kernel kills the program, mvrun dies likewise and says why.
rc=0
job -m 200 python3 -c 'x = []
while True: x.append(bytearray(1 << 20))' >"$tmp/status.out" 2>"$tmp/status.err" || rc=$?
[ $rc = 137 ] || [ $rc = 1 ] || fail "exit status $rc"
if [ $rc = 137 ]; then
	says '^mvrun: .*memory.*(-m|--memory)'
fi

# A panic: by the guest's own /proc, so home feels nothing.
status 125 job sh -c 'echo c >/proc/sysrq-trigger; sleep 60'
says '^mvrun: .*(panic|crash)'

node_is_clean
