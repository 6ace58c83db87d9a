# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For every test that is a script: begin it with
#
#	. "$(dirname "$0")/../lib.sh"
#
# A test exits 0 when it passed, 77 when this machine cannot run it, and
# anything else when it failed. It runs with `set -e`: a command that fails
# unexpectedly ends it. Every wait has a bound.

set -eEu -o pipefail
trap 'echo "failed at ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

MV_SRCDIR=${MV_SRCDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
MV_BUILDDIR=${MV_BUILDDIR:-$MV_SRCDIR/build}
PATH=$MV_BUILDDIR/vmm-agent:$MV_BUILDDIR/guest-kit:$PATH
export MV_SRCDIR MV_BUILDDIR PATH
export LC_ALL=C.UTF-8
unset MONOVISOR_SOCKET XDG_RUNTIME_DIR

. "$MV_SRCDIR/tests/same.sh"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/mv-test.XXXXXX")
chmod 755 "$tmp"
export MV_TEST_TMP=$tmp # tells the processes of this test, see stacks.py
cleanups=()

# ---- the end of a test ----

skip() {
	echo "skipped: $*"
	exit 77
}

fail() {
	echo "failed: $*" >&2
	exit 1
}

# Called at the end, whatever happened; the last one first.
cleanup_fn() {
	cleanups=("$(printf '%q ' "$@")" "${cleanups[@]}")
}

run_cleanups() {
	test_status=$?
	local command
	trap '' HUP INT TERM
	set +e
	for command in "${cleanups[@]}"; do
		eval "$command"
	done
	cd /
	rm -rf --one-file-system "$tmp"
	exit $test_status
}

trap run_cleanups EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- what it needs ----

requires() { # COMMAND...
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip "there is no $command"
	done
}

requires_root() {
	[ "$(id -u)" = 0 ] || skip "needs root, to make namespaces and start daemons"
}

requires_built() { # PROGRAM...
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null || fail "$program is not built in $MV_BUILDDIR"
	done
}

# ---- promises ----

# Where all processes of this test wait, and what its guests and daemons said last.
show_stacks() {
	timeout -k 5 200 "$MV_SRCDIR/tests/stacks.py" >&2 || true
}

# How much longer than usual to wait; the driver's limit is as much longer.
slower=$(printf '%.0f' "${MV_TEST_SLOWER:-1}")
[ "$slower" -ge 1 ] || slower=1

# Wait until a command succeeds, at most so many seconds.
wait_until() { # SECONDS COMMAND...
	local deadline=$((SECONDS + $1 * slower))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $deadline ]; then
			echo "still not so: $*; where the processes are:" >&2
			show_stacks
			fail "still not so: $*"
		fi
		sleep 0.1
	done
}

# Whether a process has ended, collected or not.
has_ended() { # PID
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
	case ${stat##*) } in
	[ZX]*) return 0 ;;
	esac
	return 1
}

# The shell's wait, which has no bound, with one: the status is the child's.
wait_end() { # PID [SECONDS]
	wait_until "${2:-150}" has_ended "$1"
	wait "$1"
}

# status N COMMAND...: it must exit with N; its output is in $tmp/status.out and $tmp/status.err.
status() {
	local wanted=$1 got=0
	shift
	"$@" >"$tmp/status.out" 2>"$tmp/status.err" || got=$?
	[ $got = "$wanted" ] && return
	cat "$tmp/status.out" "$tmp/status.err"
	fail "exit status $got instead of $wanted: $*"
}

# The last status command said this on standard error or output.
says() { # EXTENDED-REGEX
	grep -Eq -- "$1" "$tmp/status.err" "$tmp/status.out" && return
	cat "$tmp/status.out" "$tmp/status.err"
	fail "it does not say: $1"
}

equal() { # WANTED GOT
	[ "$1" = "$2" ] && return
	fail "got \"$2\" instead of \"$1\""
}

must_fail() {
	if "$@"; then
		fail "succeeded: $*"
	fi
}

. "$MV_SRCDIR/tests/node.sh"
