#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# ./run finds the programs of the build tree from any directory, and stays there.
. "$(dirname "$0")/../lib.sh"
requires_built mvkit mvctl
node_up
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

# Under a tool: it gets its own options, and the program its own.
MV_RUN=strace MV_RUN_FLAGS="-o $tmp/trace -e trace=execve" "$run" mvkit --version >/dev/null
grep -q 'execve.*mvkit' "$tmp/trace"

cat >"$tmp/wrong.c" <<'END'
#include <stdlib.h>
int main(int argc, char **argv)
{
	char *bytes = malloc(1);

	(void)argv;
	bytes[argc - 1] = 3; /* beyond the end when there is an argument */
	return bytes[0] == 3 ? 3 : 4;
}
END
gcc -g -O0 -o "$tmp/wrong" "$tmp/wrong.c"
status 119 env MV_RUN=valgrind "$run" "$tmp/wrong" argument
says 'Invalid write of size 1'
says 'wrong\.c:7'
status 119 env MV_RUN=valgrind "$run" "$tmp/wrong"
says 'definitely lost'
status 3 env MV_RUN=valgrind MV_RUN_FLAGS=--leak-check=no "$run" "$tmp/wrong"

printf '%s\n' 'break main' run backtrace continue >"$tmp/commands"
status 0 env MV_RUN=gdb MV_RUN_FLAGS="-batch -nx -x $tmp/commands" "$run" mvctl --version
says '^#0  main \(argc=2,.*mvctl\.c:[0-9]+$'
says '^mvctl .*[0-9]+\.[0-9]'
says 'exited normally'
status 125 env MV_RUN=nonsense "$run" true
says 'MV_RUN is "nonsense"'

status 125 "$run"
says 'usage: ./run PROGRAM'
status 127 "$run" no-such-program
says 'no-such-program is neither built'
status 125 env MV_BUILDDIR="$tmp/absent" "$run" true

# A whole job under valgrind: from its start to its end mvrun makes no mistake with
# its memory, and it ends as the job does. (What begins with "--" is about system
# calls that valgrind does not know.)
export MV_RUN=valgrind MV_RUN_FLAGS=--log-file=$tmp/valgrind
status 5 on_node "$run" mvrun sh -c 'seq 3; ls /usr/share >/dev/null; cat >/dev/null; exit 5' </dev/null
equal "1 2 3" "$(paste -sd ' ' "$tmp/status.out")"
equal "" "$(cat "$tmp/status.err")"
equal "" "$(grep -a '^==' "$tmp/valgrind" || true)"
node_is_clean
