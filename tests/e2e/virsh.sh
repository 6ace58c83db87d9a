#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libvirt is the record of what runs: whatever virsh does to a job is legal, and
# mvrun says what was done.
. "$(dirname "$0")/../lib.sh"
node_up

lines() {
	wc -l <"$tmp/job.out"
}
stands() {
	one=$(lines)
	sleep 1
	equal "$one" "$(lines)"
}
grows() {
	[ "$(lines)" -gt "$one" ]
}
# mvrun says one thing, and nothing else: the next call looks behind it.
begin() { # COMMAND...
	job_start "$@"
	told=0
}
tells() { # EXTENDED-REGEX
	sed -n "$((told + 1))p" "$tmp/job.err" | grep -E "^mvrun: .*$1"
}
said() { # EXTENDED-REGEX
	wait_until 20 tells "$1"
	told=$((told + 1))
}
said_no_more() {
	equal "$told" "$(wc -l <"$tmp/job.err")"
}
state() {
	on_node mvctl jobs --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["state"])'
}

ticking='echo ready; while :; do echo tick; sleep 0.1; done'
begin --name reader sh -c "$ticking"
domain=$(job_domain "$job_pid")
equal "mv-root-reader-$job_pid" "$domain"
equal running "$(node_virsh domstate "$domain" | xargs)"

# Its facts are in its metadata.
node_virsh dumpxml "$domain" >"$tmp/xml"
sed -n '/<metadata>/,/<\/metadata>/p' "$tmp/xml" >"$tmp/metadata"
for fact in "$job_pid" reader root "$(on_node hostname)" "echo ready"; do
	grep -q -- "$fact" "$tmp/metadata"
done
grep -q "machine='microvm'" "$tmp/xml"

node_virsh suspend "$domain"
said 'suspended by .*virsh'
stands
node_virsh resume "$domain"
said 'resumed by .*virsh'
wait_until 10 grows

# While no agent looks: it finds out, and says, when it is back.
node_mvd_stop
node_virsh suspend "$domain"
stands
said_no_more
node_mvd_start
said 'suspended by .*virsh'
equal suspended "$(state)"
node_mvd_stop KILL
node_virsh resume "$domain"
wait_until 10 grows
node_mvd_start
said 'resumed by .*virsh'
equal running "$(state)"
# What has not changed is not said again.
node_mvd_stop
node_mvd_start
on_node mvctl info "$job_pid" >/dev/null
one=$(lines)
wait_until 10 grows
said_no_more

# libvirt keeps no images of domains that it does not keep: the job goes on.
must_fail node_virsh managedsave "$domain" 2>"$tmp/refused"
grep -q transient "$tmp/refused"
one=$(lines)
wait_until 10 grows

node_virsh destroy "$domain"
job_end 125
said 'destroyed'

# Saved to a file, a job waits; restored, it goes on where it was.
# shellcheck disable=SC2016
numbers='echo ready; i=0; while [ $i -lt 100 ]; do i=$((i + 1)); echo $i; sleep 0.1; done; exit 7'
begin sh -c "$numbers"
domain=$(job_domain "$job_pid")
one=2
wait_until 10 grows
node_virsh save "$domain" "$tmp/saved"
said 'suspended by .*virsh'
said 'saved to a file .*virsh restore'
equal saved "$(state)"
status 1 on_node mvctl migrate "$job_pid" node9
says 'does not move to node9: it is saved in a file'
equal "" "$(node_domains)"
status 1 on_node mvctl resume "$job_pid"
says 'saved in a file.*virsh restore'
kill -0 "$job_pid"
node_virsh restore "$tmp/saved"
said 'resumed by .*virsh'
equal running "$(state)"
job_end 7
equal "$( (echo ready; seq 100) | sha256sum)" "$(sha256sum <"$tmp/job.out")"
said_no_more

# An old image of it, and one whose mvrun has gone, are nobody's.
wait_until 20 node_has_no_domain
node_virsh restore "$tmp/saved"
wait_until 20 node_has_no_domain
begin sh -c "$ticking"
node_virsh save "$(job_domain "$job_pid")" "$tmp/saved"
said 'suspended'
said 'saved to a file'
kill -KILL "$job_pid"
job_end 137
node_virsh restore "$tmp/saved"
wait_until 20 node_has_no_domain

begin sh -c "$ticking"
node_mvd_stop
node_virsh destroy "$(job_domain "$job_pid")"
node_mvd_start
job_end 125
said 'gone.*while no agent'

# A request to shut down or to start anew is SIGTERM, as for the programs of any
# machine. What the program makes of it is its own affair.
# shellcheck disable=SC2016
begin sh -c 'trap "echo asked; exit 6" TERM; echo ready; while :; do sleep 0.1; done'
node_virsh shutdown "$(job_domain "$job_pid")"
job_end 6
said 'shut down.*SIGTERM'
grep -qx asked "$tmp/job.out"
begin sh -c 'trap "echo asked" TERM; echo ready; while :; do echo tick; sleep 0.1; done'
node_virsh reboot "$(job_domain "$job_pid")"
said 'shut down.*SIGTERM'
wait_until 10 grep -qx asked "$tmp/job.out"
one=$(lines)
wait_until 10 grows

# A reset ends the job; its QEMU may be gone before virsh has the answer.
node_virsh reset "$(job_domain "$job_pid")" || true
job_end 125
said 'gone.*reset'

# So does a QEMU that ends by itself.
begin sh -c 'echo ready; sleep 60'
kill -KILL "$(on_node cat "/run/libvirt/qemu/$(job_domain "$job_pid").pid")"
job_end 125
grep -q '^mvrun: ' "$tmp/job.err"
[ -n "$(node_qemu_logs)" ] # for people
node_drop_logs
node_is_clean
