#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 1200
# One compression by several threads, moved there and back ten times while it runs,
# has the same result.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires xz
moves=${MV_MOVES:-20} # there and back ten times

image=$(ls /boot/vmlinuz-* | tail -n 1)
pack=(xz -9 -T2 --block-size=1MiB -c)

# The image again and again, until the job has moved often enough.
feed() {
	until [ -e "$tmp/enough" ]; do
		echo >>"$tmp/fed"
		cat "$image"
	done
}

lab_up 2
# shellcheck disable=SC2016
feed | lab_exec node1 sh -c 'echo $$ >"$0" && exec mvrun --cpus 2 "$@"' "$tmp/pid" "${pack[@]}" >"$tmp/job.xz" 2>"$tmp/job.err" &
waiter=$!
wait_until 180 test -s "$tmp/job.xz"
lab_on node1 "$MV_SRCDIR/tests/mover" "$(cat "$tmp/pid")" "$moves" node2 home
! has_ended $waiter || fail "it ended before its last move: $(cat "$tmp/job.err")"
touch "$tmp/enough"
wait_end $waiter 300
fed=$(wc -l <"$tmp/fed")
echo "$moves moves while $fed times $(stat -c %s "$image") bytes were packed"
equal "" "$(cat "$tmp/job.err")"
for ((i = 0; i < fed; i++)); do
	cat "$image"
done | "${pack[@]}" >"$tmp/native.xz"
[ "$(xz --robot --list "$tmp/native.xz" | awk '$1 == "totals" { print $3 }')" -gt 2 ]
cmp "$tmp/native.xz" "$tmp/job.xz"
lab_is_clean
