#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libvirt is the record of what runs: whatever virsh does to a job is legal.
. "$(dirname "$0")/../lib.sh"
node_up

job_start --name reader sh -c 'echo ready; while :; do echo tick; sleep 0.1; done'
domain=$(job_domain "$job_pid")
equal "mv-root-reader-$job_pid" "$domain"
equal running "$(node_virsh domstate "$domain" | xargs)"

# Its facts are in its metadata.
node_virsh dumpxml "$domain" >"$tmp/xml"
for fact in "$job_pid" reader root "$(on_node hostname)" "echo ready"; do
	grep -q -- "$fact" <(sed -n '/<metadata>/,/<\/metadata>/p' "$tmp/xml")
done
grep -q "machine='microvm'" "$tmp/xml"

lines() {
	wc -l <"$tmp/job.out"
}
grows() {
	[ "$(lines)" -gt "$one" ]
}
node_virsh suspend "$domain"
wait_until 10 grep -q suspended "$tmp/job.err"
one=$(lines)
sleep 1
equal "$one" "$(lines)"
node_virsh resume "$domain"
wait_until 10 grows

node_virsh destroy "$domain"
job_end 125
grep -Eq '^mvrun: .*destroyed' "$tmp/job.err"

# A shutdown that the guest did not ask for, seen as an end of QEMU.
job_start sh -c 'echo ready; sleep 60'
kill -KILL "$(on_node cat "/run/libvirt/qemu/$(job_domain "$job_pid").pid")"
job_end 125
grep -q '^mvrun: ' "$tmp/job.err"
node_is_clean
