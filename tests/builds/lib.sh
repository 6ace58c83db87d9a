# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For tests that build the whole tree in another way:
#
#	. "$(dirname "$0")/lib.sh"
#
# then $source is a copy of what a release holds, and $build an empty directory.

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

requires_built mvrun mvd
source=$tmp/source
build=$tmp/build
mkdir "$build"

# The make that runs this test must not pass its TESTS or its job slots on.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES TESTS

# What a command says matters only when it fails.
quietly() { # COMMAND...
	"$@" >"$tmp/quiet.log" 2>&1 </dev/null && return
	tail -n 100 "$tmp/quiet.log"
	fail "$*"
}

in_build() { # COMMAND...
	(cd "$build" && "$@")
}

make_all() { # MAKE-ARGUMENT...
	quietly in_build make -j "$(nproc)" "$@"
}

quietly make -C "$MV_BUILDDIR" distdir distdir="$source"
