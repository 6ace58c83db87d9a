#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# A live migration of a guest that changes its memory faster than it is sent ends
# with no help: the allowed stop grows, and libvirt slows the guest down. Guests in
# emulation stand still otherwise, because QEMU may lose what they write meanwhile
# (see mvd-migrate.c); so what this one does afterwards is not looked at.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
[ -x "$MV_BUILDDIR/tests/bench/moving" ] || fail "tests/bench/moving is not built"
export MVD_HOLD_DIR=$tmp/hold
mkdir "$MVD_HOLD_DIR"
: >"$MVD_HOLD_DIR/live"

lab_up 2
# shellcheck disable=SC2016
lab_job_start node1 sh -c 'echo ready; exec "$@"' sh "$MV_BUILDDIR/tests/bench/moving" dirtymax 64
sleep 3
lab_virsh node1 migrate-setspeed "$(lab_virsh node1 list --name | head -n 1)" --bandwidth 30
lab_on node1 timeout 300 mvctl migrate "$job_pid" node2 >"$tmp/said" 2>&1 || true
said=$(sed -n "s/.*job $job_pid has moved to node2: //p" "$MVLAB_DIR/node1/mvd.log")
echo "$said"
[ -n "$said" ] || fail "$(cat "$tmp/said")"
# As much as it has, and more than once: it was not stopped to be sent.
[[ $said =~ ^[0-9]+\ ms,\ ([0-9]+)\ ms\ of\ them\ stopped,\ ([0-9]+)\ KiB\ in\ ([0-9]+)\ rounds ]]
[ "${BASH_REMATCH[3]}" -gt 3 ]
[ "${BASH_REMATCH[2]}" -gt $((2 * 64 << 10)) ]
[ "${BASH_REMATCH[1]}" -lt 30000 ]
lab_on node1 kill -KILL "$job_pid" 2>/dev/null || true
wait_end $job_waiter 60 || true
lab_is_clean
