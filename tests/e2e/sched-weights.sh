#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# A job that has computed for long yields to a young one, but never beyond 1/weight_ratio: by
# the CPU weight of its control group, as libvirt has set it; and by niceness where libvirt has
# no control groups.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$(dirname "$0")/../sched.sh"
[ -n "$(findmnt -n -t cgroup -O cpu -o TARGET | head -n 1)" ] ||
	skip "there are no control groups of version 1 with the cpu controller"
base=1024

lab_up --schedule --domain-groups --cpus 0.9 1
status 0 lab_on node1 mvctl set weight_ratio 4
status 0 lab_on node1 mvctl doctor
says 'old jobs are to yield'

# What libvirt says, and what the kernel has.
shares() { # JOB
	local said dir
	said=$(lab_virsh node1 schedinfo "$(lab_job_field "$1" domain)" | sed -n 's/^cpu_shares *: //p')
	dir=$(find "$(sed -n 1p "$MVLAB_DIR/node1/cgroups")"/machine -maxdepth 1 -type d -name "*$1*" | head -n 1)
	[ -n "$dir" ] || fail "there is no control group for $1"
	equal "$said" "$(<"$dir/cpu.shares")"
	echo "$said"
}

# ---- control groups ----

loops_start node1 old 1
wait_until 120 loops_running node1 old 1
# Older than weight_ratio seconds, so that it has the least that there is.
aged() {
	[ "$(lab_job_field old1 cpu_ms)" -gt 5000 ] && [ "$(shares old1)" -lt $((base / 3)) ]
}
wait_until 120 aged
[ "$(shares old1)" -ge $((base / 4)) ]
loops_start node1 young 1
wait_until 120 loops_running node1 young 1
weighed() {
	[ "$(lab_job_field young1 shares)" -gt 0 ]
}
wait_until 30 weighed
[ "$(shares young1)" -gt "$(shares old1)" ]
status 0 lab_on node1 mvctl doctor
says 'by the CPU weights of their control groups'
# It advances all the same.
before=$(lab_job_field old1 cpu_ms)
advances() {
	[ "$(lab_job_field old1 cpu_ms)" -gt $((before + 200)) ]
}
wait_until 60 advances

# ---- switched off: as if nobody had weighed them ----

setting weights no
same() {
	[ "$(shares old1) $(shares young1)" = "$base $base" ]
}
wait_until 30 same
setting weights yes
wait_until 30 aged
loops_end

# ---- no control groups ----

setting weight_ratio 1000
"$mvlab" libvirtd node1 stop
sed -i 's/^cgroup_controllers .*/cgroup_controllers = [ ]/' "$MVLAB_DIR/node1/etc/qemu.conf"
"$mvlab" libvirtd node1 start
loops_start node1 late 1
wait_until 120 loops_running node1 late 1
niced() {
	lab_on node1 mvctl doctor | grep -q 'by their niceness'
}
wait_until 60 niced
# The older of two yields.
old_enough() {
	[ "$(lab_job_field late1 cpu_ms)" -gt 2500 ]
}
wait_until 120 old_enough
loops_start node1 later 1
wait_until 120 loops_running node1 later 1
nice_of() { # JOB: of its processor
	lab_on node1 sh -c 'for pid in $(pgrep -f "qemu-system.*guest=$1"); do
		ps -L -o nice=,comm= -p "$pid" | sed -n "s/^ *\\([0-9]*\\) CPU .*/\\1/p"
	done' - "$(lab_job_field "$1" domain)"
}
yields() {
	[ "$(nice_of late1)" -gt "$(nice_of later1)" ]
}
wait_until 60 yields
loops_end
lab_is_clean
