#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make install puts there what works from there, with a unit that fits, and make uninstall takes it away.
. "$(dirname "$0")/../lib.sh"
requires_built mvrun mvctl mvd

# The make that runs this test must not pass its TESTS or its job slots on.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES TESTS
dest=$tmp/dest

make_there() { # TARGET
	make -C "$MV_BUILDDIR" "$1" DESTDIR="$dest" >"$tmp/make.log" 2>&1 </dev/null || fail "make $1: $(tail -n 30 "$tmp/make.log")"
}

make_there install
prefix=$dest$(sed -n 's/^prefix = //p' "$MV_BUILDDIR/Makefile")
for program in bin/mvrun bin/mvctl bin/mvsim sbin/mvkit sbin/mvd; do
	status 0 "$prefix/$program" --version
	grep -q "^${program#*/} (Monovisor) [0-9]" "$tmp/status.out"
done
# It finds its other files.
status 0 "$prefix/bin/mvnode" run --dry-run --accel tcg
status 0 "$prefix/bin/mvnode" --help
for page in man1/mvrun.1 man1/mvctl.1 man1/mvnode.1 man1/mvsim.1 man5/mvd.conf.5 man8/mvd.8 man8/mvkit.8; do
	[ -s "$prefix/share/man/$page" ] || fail "no $page"
done
[ -s "$prefix/share/doc/monovisor/mvd.conf" ]
kit=$(find "$prefix/libexec/monovisor" -type f | head -n 1)
file_is_static() {
	! readelf -l "$1" | grep -q INTERP
}
file_is_static "$kit"

unit=$prefix/lib/systemd/system/mvd.service
! grep -n '@[a-z]*@' "$unit" || fail "something was not filled in"
value() { # NAME: of the unit, the first word
	sed -n "s/^$1=-\?\([^ ]*\).*/\1/p" "$unit" | head -n 1
}
[ -x "$dest$(value ExecStart)" ]
# All that the agent keeps is there, and the unit lets it write.
[ -d "$dest$(value ReadWritePaths)" ]
status 0 strings "$prefix/sbin/mvd"
grep -qxF "$(value ReadWritePaths)" "$tmp/status.out" || fail "mvd keeps its state elsewhere than in $(value ReadWritePaths)"

make_there uninstall
[ -z "$(find "$dest" ! -type d)" ] || fail "left: $(find "$dest" ! -type d)"
