#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A node whose kernels have no modules for guests says which, and how to mend it.
. "$(dirname "$0")/../lib.sh"
node_up
node_mvd_stop

release=$(mvkit --output "$tmp/k" | sed -n 's|.*/kit-\(.*\)\.cpio$|\1|p')
mkdir -p "$tmp/lib/modules/$release"
cp "/lib/modules/$release/modules."{builtin,builtin.modinfo,order} "$tmp/lib/modules/$release"
depmod -b "$tmp" "$release"
on_node mount --bind "$tmp/lib/modules" /lib/modules
rm -rf "${node_state:?}/lib"
node_mvd_start
status 125 job true
says "^mvrun: .*$release.*fuse"

# No kernel at all.
on_node mount -t tmpfs none /lib/modules
node_mvd_stop
rm -rf "${node_state:?}/lib"
node_mvd_start
status 125 job true
says "^mvrun: .*kernel.*linux-image-cloud-amd64"
node_is_clean
