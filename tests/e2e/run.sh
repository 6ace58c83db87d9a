#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# ./run finds the programs of the build tree from any directory, and stays there.
. "$(dirname "$0")/../lib.sh"
requires_built mvkit mvctl
run=$MV_SRCDIR/run
export MV_BUILDDIR
PATH=/usr/sbin:/usr/bin:/sbin:/bin

mkdir "$tmp/some where"
cd "$tmp/some where"
equal "$PWD" "$("$run" pwd)"
"$run" mvkit --version | grep -q '^mvkit'
ln -s "$run" "$tmp/link"
"$tmp/link" mvkit --version | grep -q '^mvkit'
equal "a  b|c" "$("$run" printf '%s|%s' 'a  b' c)"
status 3 "$run" sh -c 'exit 3'

# Programs find each other.
equal "$MV_BUILDDIR/vmm-agent/mvctl" "$("$run" sh -c 'command -v mvctl')"

# Under a tool.
if command -v strace >/dev/null; then
	MV_RUN=strace MV_RUN_FLAGS="-o $tmp/trace -e trace=execve" "$run" mvkit --version >/dev/null
	grep -q 'execve.*mvkit' "$tmp/trace"
fi
status 125 env MV_RUN=nonsense "$run" true
says 'MV_RUN is "nonsense"'

status 125 "$run"
says 'usage: ./run PROGRAM'
status 127 "$run" no-such-program
says 'no-such-program is neither built'
status 125 env MV_BUILDDIR="$tmp/absent" "$run" true
