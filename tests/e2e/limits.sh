#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# A guest that runs out of memory, at once or slowly, or panics, and a job that is
# too large: a message with what to do, and nothing left. A job that only fills
# its memory with pages of files is none of these.
. "$(dirname "$0")/../lib.sh"
requires perl python3 gcc
node_up

# More than the node has.
status 125 job -m 60000000 true
says '^mvrun: .*(memory|MiB)'

# What was asked for is what the job gets, about.
got=$(job -m 700 -c 2 sh -c 'nproc; awk "/MemTotal/ {print int(\$2 / 1024)}" /proc/meminfo' | xargs)
equal 2 "${got% *}"
[ "${got#* }" -gt 550 ] && [ "${got#* }" -le 700 ]

# Out of memory: the program is killed, mvrun dies likewise and says why.
killed='^mvrun: the guest ran out of memory \(200 MiB\) and its kernel killed the program; .* -m MIB'
status 137 job -m 200 python3 -c 'x = []
while True: x.append(bytearray(1 << 20))'
says "$killed"

# In small pieces: there is always a page of the program left that can be dropped
# and read again, so the kernel itself may go on so for ever.
status 137 job -m 200 perl -e 'my @x; push @x, "x" x (1 << 12) while 1'
says "$killed"
status 137 job -m 200 perl -e 'my @x; push @x, "x" x (1 << 20) while 1'
says "$killed"

# A child of the program: it is killed, the program goes on, and mvrun says so too.
# shellcheck disable=SC2016
status 5 job -m 200 sh -c \
	'perl -e "my @x; push @x, q(x) x (1 << 12) while 1"; echo "child $?"; exit 5'
equal "child 137" "$(cat "$tmp/status.out")"
says '^mvrun: the guest ran out of memory \(200 MiB\) and its kernel killed 1 of the job.s processes; .* -m MIB'

# Reading more than the memory holds, again and again, and a compiler in little
# memory: neither is short of it.
truncate -s 300M "$tmp/large"
status 0 job -m 200 sh -c "cat '$tmp/large' '$tmp/large' '$tmp/large' | wc -c"
equal 943718400 "$(cat "$tmp/status.out")"
equal "" "$(cat "$tmp/status.err")"
status 0 job -m 256 sh -c "cd '$MV_SRCDIR' && for i in link control kit; do
	gcc -O2 -std=gnu17 -D_GNU_SOURCE -I. -c -o '$tmp'/\$i.o */\$i.c & done; wait; ls '$tmp' | grep -c '\.o$'"
equal 3 "$(cat "$tmp/status.out")"
equal "" "$(cat "$tmp/status.err")"

# A panic: by the guest's own /proc, so home feels nothing.
status 125 job sh -c 'echo c >/proc/sysrq-trigger; sleep 60'
says '^mvrun: .*kernel panicked: sysrq triggered crash'

node_is_clean
