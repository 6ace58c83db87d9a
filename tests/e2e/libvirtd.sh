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

# Neither agent nor libvirtd: none can be started.
node_mvd_stop
node_libvirtd_stop
on_node rm -f /run/monovisor/mvd.sock
status 125 job true
says '^mvrun: .*(libvirtd|mvd)'
