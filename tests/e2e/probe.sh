#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The agent finds out by itself whether KVM works, says once if it does not, and
# remembers the answer.
. "$(dirname "$0")/../lib.sh"
node_up
node_mvd_stop
accel=$(cat "$node_state/accel")
on_node rm -f /run/monovisor/mvd.kvm

node_mvd_run --accel auto
status 0 job true
cp "$tmp/status.err" "$tmp/first"
status 0 job true
equal "" "$(cat "$tmp/status.err")"
case $accel in
tcg)
	equal 1 "$(wc -l <"$tmp/first")"
	grep -Eqi 'KVM' "$tmp/first"
	;;
kvm) equal "" "$(cat "$tmp/first")" ;;
esac
on_node mvctl nodes | grep -qw "$accel"

# A restarted agent does not boot a guest to try again: its first job is as fast
# as another. (Where libvirt itself says no, nothing is tried and nothing kept.)
node_mvd_stop
node_mvd_run --accel auto
status 0 job true
on_node mvctl nodes | grep -qw "$accel"
if on_node test -e /run/monovisor/mvd.kvm; then
	equal "$accel" "$(on_node sed -n 's/^accel=//p' /run/monovisor/mvd.kvm)"
fi
node_is_clean
