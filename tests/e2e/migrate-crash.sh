#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 9000
# The crash matrix: something dies, or is cut off, at some moment of a migration.
# Afterwards there is exactly one copy of the job, it has lost and doubled nothing,
# everybody knows where it is, and it can be moved; or, where its last copy is
# lost, everybody says so.
#
#	tests/e2e/migrate-crash.sh                       a selection
#	MV_TEST_HEAVY=1 tests/e2e/migrate-crash.sh       all; MV_TABLE=FILE: and a table
#	tests/e2e/migrate-crash.sh prepare:cut-home      this case
#
# A case is MOMENT:DAMAGE. The moments are the stages, each before it begins, and
# "midway": somewhere in the transfer, at random (MV_SEED).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$MV_SRCDIR/tests/moving.sh"

moments=(reserve announce prepare transfer midway release)
damages=(mvd-source mvd-target mvd-home libvirtd-source libvirtd-target cut-source cut-target
	cut-home long-cut-source long-cut-target long-cut-home no-memory full-disk ctrl-c
	mvrun qemu-source node-target node-source)
selection=(reserve:mvd-target announce:cut-home prepare:mvd-source transfer:libvirtd-target
	midway:mvd-target midway:libvirtd-source midway:cut-target midway:no-memory release:mvd-home
	release:mvd-source transfer:mvrun release:node-source midway:node-source)
home=node3
RANDOM=${MV_SEED:=$RANDOM}
export MVD_HOLD_DIR=$tmp/hold
mkdir "$MVD_HOLD_DIR"

# ---- the damage, and its end ----

cut_for() { # NODE SECONDS
	"$mvlab" cut "$1"
	sleep "$2"
	"$mvlab" heal "$1"
}

restart() { # mvd|libvirtd NODE
	"$mvlab" "$1" "$2" kill
	sleep 0.$((RANDOM % 10))
	"$mvlab" "$1" "$2" start
}

kill_qemu() { # NODE
	lab_on "$1" pkill -KILL -x qemu-system-x86 || true
}

# Everything that the agent or QEMU could write to there is full.
fill_disk() { # NODE
	lab_on "$1" sh -c '
		mount -o remount,size=$(($(df -k --output=used /run | tail -n 1) + 4))k /run &&
		! head -c 1M /dev/zero >/run/full 2>/dev/null'
}

empty_disk() { # NODE
	lab_on "$1" sh -c 'rm -f /run/full; mount -o remount,size=50% /run'
}

node_dies() { # NODE
	"$mvlab" kill "$1"
	dead=$1
}

damage() { # NAME
	case $1 in
	mvd-source) restart mvd $source ;;
	mvd-target) restart mvd $target ;;
	mvd-home) restart mvd $home ;;
	libvirtd-source) restart libvirtd $source ;;
	libvirtd-target) restart libvirtd $target ;;
	cut-source) cut_for $source 3 ;;
	cut-target) cut_for $target 3 ;;
	cut-home) cut_for $home 3 ;;
	long-cut-source) cut_for $source 25 ;;
	long-cut-target) cut_for $target 25 ;;
	long-cut-home) cut_for $home 25 ;;
	no-memory) kill_qemu $target ;; # as the kernel does then
	qemu-source) kill_qemu $source ;;
	full-disk) fill_disk $target ;;
	ctrl-c) lab_on $home pkill -INT -x mvctl ;;
	mvrun) lab_on $home kill -KILL "$job_pid" ;;
	node-source) node_dies $source ;;
	node-target) node_dies $target ;;
	*) fail "there is no damage \"$1\"" ;;
	esac
}

repair() { # NAME
	[ "$1" != full-disk ] || empty_disk $target
}

# ---- the moment ----

is_held() { # STAGE
	[ -s "$MVD_HOLD_DIR/$1" ]
}

has_arrived() {
	lab_virsh $target list --all --uuid | grep -q "$count_uuid"
}

# It changes its memory so quickly that the transfer lasts.
dirty() { # yes|no
	local lines
	[ "$1" = yes ] && touch "$count_file.dirty" || rm "$count_file.dirty"
	lines=$(count_lines)
	wait_until 60 count_has_passed $((lines + 20))
}

move_begin() { # MOMENT
	if [ "$1" = midway ]; then
		dirty yes
	else
		: >"$MVD_HOLD_DIR/$1"
	fi
	lab_exec $home timeout -k 5 200 mvctl migrate "$job_pid" $target >"$tmp/move.out" 2>&1 </dev/null &
	mover=$!
	if [ "$1" = midway ]; then
		wait_until 60 has_arrived
		sleep $((RANDOM % 3)).$((RANDOM % 10))
	else
		wait_until 60 is_held "$1"
	fi
}

move_end() { # MOMENT: sets $moved to the status of mvctl
	moved=0
	wait_end $mover 220 || moved=$?
	[ "$moved" != 124 ] || fail "mvctl migrate does not end"
	# Whatever it is, it says what.
	[ "$moved" = 130 ] || [ -s "$tmp/move.out" ] || fail "mvctl migrate ends with $moved and says nothing"
}

# ---- what must be so afterwards ----

job_is_over() {
	[ -z "$(copies)" ]
}

is_lost() {
	[ "$(job_field $home state)" = HOST-LOST ]
}

is_lost_or_there() {
	is_one_copy || { is_lost && job_is_over; }
}

# The node that died has taken the last copy with it, or the other node has one.
after_a_death() {
	wait_until 90 is_lost_or_there
	if is_one_copy; then
		count_goes_on
		"$mvlab" boot $dead
		return
	fi
	[ "$(job_field $home lost_since)" -gt 0 ]
	kill -0 $job_waiter
	"$mvlab" boot $dead
	job_ends_with 125 'no node has its microVM any more'
	outcome="lost: mvctl jobs shows HOST-LOST, mvrun says so when the node is back"
}

job_ends_with() { # STATUS REGEX
	lab_job_end "$1"
	grep -Eq "$2" "$tmp/$lab_job.err" || fail "mvrun says instead of \"$2\": $(cat "$tmp/$lab_job.err")"
	count_is_exact
	wait_until 60 job_is_over
	job_pid=
}

afterwards() { # DAMAGE
	case $1 in
	mvrun)
		lab_job_end 137
		count_is_exact
		wait_until 60 job_is_over
		job_pid=
		outcome="ends with its mvrun, everywhere"
		return
		;;
	node-*)
		after_a_death
		[ -n "$job_pid" ] || return 0
		;;
	esac
	if [[ $1 = qemu-source || $1 = no-memory ]] && has_crashed; then
		job_ends_with 125 'its QEMU ended unexpectedly'
		outcome="lost: mvrun says that its QEMU ended"
		return
	fi
	one_copy
	told_where $home
	count_goes_on
	is_one_copy
	count_is_exact
	equal "" "$(cat "$tmp/$lab_job.err")"
	[ $copy_at = $source ] && outcome=stays || outcome=moves
	[ "$moved" != 0 ] || equal moves "$outcome"
}

# With QEMU killed, its job may have been the only copy.
has_crashed() {
	wait_until 60 is_one_or_none
	! is_one_copy
}

is_one_or_none() {
	is_one_copy || { job_is_over && has_ended $job_waiter; }
}

moves_again() {
	lab_on $home timeout 200 mvctl migrate "$job_pid" "$target"
}

# ---- a case ----

one_case() { # MOMENT DAMAGE
	local from=$SECONDS
	outcome= dead=
	if [ -z "$job_pid" ]; then
		count_start $home --on node1
		source=node1 target=node2
	fi
	move_begin "$1"
	damage "$2"
	rm -f "$MVD_HOLD_DIR"/*
	move_end
	repair "$2"
	afterwards "$2"
	[ ! -e "$count_file.dirty" ] || [ -z "$job_pid" ] || dirty no
	if [ -n "$job_pid" ]; then
		target=$(other "$copy_at")
		wait_until 60 moves_again
		source=$target
		target=$(other "$source")
		is_one_copy
		equal "$source" "$copy_at"
		count_goes_on
	fi
	printf '%-9s %-16s %3d s  %s: %s\n' "$1" "$2" $((SECONDS - from)) "$outcome" \
		"$(tail -n 1 "$tmp/move.out" | sed 's/^mvctl: //')"
	table["$1:$2"]=$outcome
}

other() { # NODE: the job goes to and fro between these two
	[ "$1" = node1 ] && echo node2 || echo node1
}

print_table() {
	local moment name row
	echo "| what dies, or is cut off | $(printf '%s | ' "${moments[@]}")"
	echo "| --- |$(printf ' --- |%.0s' "${moments[@]}")"
	for name in "${damages[@]}"; do
		row="| $name |"
		for moment in "${moments[@]}"; do
			row+=" ${table[$moment:$name]:--} |"
		done
		echo "$row"
	done
}

if [ $# = 0 ] && [ -n "${MV_TEST_HEAVY:-}" ]; then
	for name in "${damages[@]}"; do
		for moment in "${moments[@]}"; do
			set -- "$@" "$moment:$name"
		done
	done
fi
[ $# != 0 ] || set -- "${selection[@]}"

declare -A table=()
job_pid=
echo "MV_SEED=$MV_SEED"
lab_up 3
for each; do
	one_case "${each%:*}" "${each#*:}"
done
[ -z "$job_pid" ] || count_end
lab_is_clean
[ -z "${MV_TABLE:-}" ] || print_table >"$MV_TABLE"
