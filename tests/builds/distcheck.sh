#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 900
# A release holds all it needs: from its archive, with a source tree that cannot be
# written to, it builds, passes two tests, installs, and removes what it installed.
. "$(dirname "$0")/lib.sh"
quietly in_build "$source/configure"
make_all distcheck TESTS='tests/unit/test-link tests/unit/test-mvrun'
ls "$build"/monovisor-*.tar.xz
