#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# Without a system agent an ordinary user's mvrun starts a private one by itself.
. "$(dirname "$0")/../lib.sh"
node_up
node_mvd_stop
node_libvirtd_stop
on_node rm -f /run/monovisor/mvd.sock

mkdir -m 700 "$tmp/home" "$tmp/runtime"
chown nobody:nogroup "$tmp/home" "$tmp/runtime"
user=("${as_user[@]}" env "HOME=$tmp/home" "XDG_RUNTIME_DIR=$tmp/runtime")
cd "$tmp/home"

status 3 on_node "${user[@]}" mvrun sh -c 'id -un; touch made; exit 3'
equal nobody "$(cat "$tmp/status.out")"
equal nobody:nogroup "$(stat -c %U:%G made)"
[ -S "$tmp/runtime/monovisor/mvd.sock" ]

# The second one finds it running.
status 0 on_node "${user[@]}" mvrun true
status 0 on_node "${user[@]}" mvctl jobs --json
equal "[]" "$(cat "$tmp/status.out")"
cd /
