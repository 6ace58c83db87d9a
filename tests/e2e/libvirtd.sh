#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libvirtd may come and go under a job; without it, nothing starts and mvrun says so.
. "$(dirname "$0")/../lib.sh"
node_up

job_start sh -c 'echo ready; i=0; while [ $i -lt 150 ]; do i=$((i + 1)); echo $i; sleep 0.05; done; exit 7'
node_libvirtd_stop
status 125 job true
says '^mvrun: .*libvirt'
node_libvirtd_start
works() {
	job true
}
wait_until 30 works
job_end 7
equal "$( (echo ready; seq 150) | sha256sum)" "$(sha256sum <"$tmp/job.out")"
node_is_clean

# libvirtd killed: the job does not notice, and its end is heard of later.
job_start sh -c 'echo ready; until [ -e "$1" ]; do sleep 0.1; done; echo end; exit 6' sh "$tmp/go"
node_libvirtd_stop KILL
node_libvirtd_start
wait_until 30 works
touch "$tmp/go"
job_end 6
equal "ready end" "$(paste -sd ' ' "$tmp/job.out")"
node_is_clean

# The agent cannot end a microVM whose mvrun dies while libvirtd is away; it does as
# soon as libvirtd is back.
job_start sh -c 'echo ready; sleep 600'
domain=$(job_domain "$job_pid")
qemu=$(on_node cat "/run/libvirt/qemu/$domain.pid")
node_libvirtd_stop KILL
kill -KILL "$job_pid"
job_end 137
must_fail has_ended "$qemu"
node_libvirtd_start
wait_until 60 has_ended "$qemu"
node_is_clean

# Neither agent nor libvirtd: none can be started.
node_mvd_stop
node_libvirtd_stop
on_node rm -f /run/monovisor/mvd.sock
status 125 job true
says '^mvrun: .*(libvirtd|mvd)'
must_fail node_runs qemu-system-x86
must_fail node_runs mvrun
equal "" "$(node_files)"
