#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 1200
# A compression by several threads, moved there and back ten times, has the same result.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires xz
moves=${MV_MOVES:-20} # there and back ten times

image=$(ls /boot/vmlinuz-* | tail -n 1)
pack=(xz -9 -T2 --block-size=1MiB -c "$image")
cd "$tmp"
"${pack[@]}" >native.xz
[ "$(xz --robot --list native.xz | awk '$1 == "totals" { print $3 }')" -gt 2 ]

# Again and again until it has moved often enough.
lab_up 2
# shellcheck disable=SC2016
lab_job_start node1 --cpus 2 sh -c '
	echo ready
	n=0
	until [ -e enough ]; do
		n=$((n + 1))
		"$@" >job.$n.xz || exit
	done' sh "${pack[@]}"
lab_on node1 "$MV_SRCDIR/tests/mover" "$job_pid" "$moves" node2 home
packed=$(ls job.*.xz | wc -l)
touch enough
lab_job_end 0
# So moves fell inside a compression, not only between two.
[ "$packed" -lt "$moves" ] || fail "$packed compressions ended within $moves moves"
echo "$moves moves while $packed times $(stat -c %s "$image") bytes were packed"
for result in job.*.xz; do
	cmp native.xz "$result"
done
cd /
lab_is_clean
