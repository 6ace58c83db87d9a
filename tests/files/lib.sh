# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For tests that mount a home through the relay and the file service:
#
#	. "$(dirname "$0")/lib.sh"
#	mount_home [MVMOUNT-OPTION...]
#
# then $home is the directory, $mnt the same through the mount, $deputy the PID
# of the deputy. Mounts are made in a name space of the test's own.

if [ -z "${MV_OWN_MOUNTS-}" ] && [ "$(id -u)" = 0 ]; then
	MV_OWN_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"
fi

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

requires_root
[ -w /dev/fuse ] || skip "there is no /dev/fuse"

bin=$MV_BUILDDIR/tests/files
home=$tmp/home
mnt=$tmp/mnt
user=4321
mkdir "$home" "$mnt"
chmod 777 "$home"

# The end of mvmount closes /dev/fuse, which ends whoever still waits for an
# answer: SIGKILL alone would not.
unmount() {
	[ -n "${kit-}" ] || return 0
	trap - ERR
	kill "$kit" 2>/dev/null
	wait_gone "$kit"
	kill -9 "$kit" "${deputy-$kit}" 2>/dev/null
	umount -l "$mnt" 2>/dev/null
	wait "$kit" 2>/dev/null
	kit=
}

wait_gone() { # PID, at most 20 s
	local i
	for ((i = 0; i < 200; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
}

mount_home() {
	# Here, lest the last one's words be taken for this one's.
	: >"$tmp/mvmount.log"
	"$bin/mvmount" "$@" "$home" "$mnt" >"$tmp/mvmount.log" 2>&1 &
	kit=$!
	cleanup_fn unmount
	wait_until 10 grep -q ready "$tmp/mvmount.log"
	deputy=$(awk '/^deputy/ { print $2 }' "$tmp/mvmount.log")
}

# unmount, and the service must have ended well: a sanitizer may have complained.
end_home() {
	local pid=$kit status=0
	kill "$pid"
	wait_end "$pid" 20 || status=$?
	kit=
	[ $status = 0 ] && return
	cat "$tmp/mvmount.log"
	fail "mvmount ended with $status"
}

as_user() {
	setpriv --reuid $user --regid $user --clear-groups "$@"
}

# counter NAME: one of files_stats, now
counter() {
	local lines
	lines=$(grep -c ^requests "$tmp/mvmount.log" || true)
	kill -USR1 "$deputy"
	wait_until 10 new_counters "$lines"
	awk -v name="$1" '/^requests/ { for (i = 1; i < NF; i += 2) if ($i == name) n = $(i + 1) }
		END { print n }' "$tmp/mvmount.log"
}

new_counters() {
	[ "$(grep -c ^requests "$tmp/mvmount.log")" -gt "$1" ]
}
