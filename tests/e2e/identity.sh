#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A job is who, where and how its mvrun is.
. "$(dirname "$0")/../lib.sh"
node_up
same_begin "$tmp/same"

who='id; pwd; umask; nice; ulimit -a; hostname; uname -n; date +%Z; tr "\0" "\n" </proc/self/environ |
	grep -v "^_=" | sort; ps -o comm= -p $$ 2>/dev/null || cat /proc/$$/comm'

# As root, with a changed umask, niceness, limits, time zone and environment.
(
	umask 027
	ulimit -S -n 333 -s 4096
	export TZ=Asia/Kolkata MULTI=$'two\nlines' EMPTY=
	same nice -n 5 sh -c "$who"
)

# As an ordinary user, with groups.
same_as=(setpriv --reuid=nobody --regid=nogroup --groups=games,users --)
same sh -c "$who; touch f; mkdir d; ln -s f l; chmod 640 f"
same_as=("${as_user[@]}")
same sh -c "$who"
same_as=()

# The first process has the pid of mvrun, and is a child of process 1.
# shellcheck disable=SC2016
node_exec mvrun sh -c 'echo $$ $PPID' >"$tmp/pid" &
first=$!
wait_end $first
equal "$first 1" "$(cat "$tmp/pid")"

# The clock is home's: make compares it with the times of home's files.
before=$(date +%s)
job sh -c 'date +%s; touch "$1"' sh "$tmp/touched" >"$tmp/clock"
after=$(date +%s)
for time in $(cat "$tmp/clock") $(stat -c %Y "$tmp/touched"); do
	[ "$time" -ge $((before - 1)) ] && [ "$time" -le $((after + 1)) ] ||
		fail "the job's time $time is not between $before and $after"
done

# /proc, /sys and /dev are the guest's own; everything else is home's.
job sh -c 'test -e /proc/self/status && test -d /sys/kernel && test -c /dev/null &&
	test -c /dev/ptmx && : >/dev/shm/x && test ! -e "/proc/$1"' sh $$
[ ! -e /dev/shm/x ]
node_is_clean
