#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# The tour: some twenty everyday programs do as a job what they do natively.
. "$(dirname "$0")/../lib.sh"
node_up
on_node "$MV_SRCDIR/tests/tour"
node_is_clean
