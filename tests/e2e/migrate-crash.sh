#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 12000
# The crash matrix: something dies, or is cut off, at some moment of a migration.
# Afterwards there is exactly one copy of the job, it has lost and doubled nothing,
# everybody knows where it is, and it can be moved; or, where its last copy is
# lost, everybody says so.
#
#	tests/e2e/migrate-crash.sh                       a selection
#	MV_TEST_HEAVY=1 tests/e2e/migrate-crash.sh       all
#	tests/e2e/migrate-crash.sh prepare:cut-home      this case
#
# A case is MOMENT:DAMAGE[@HOME]. The moments are the stages, each before it begins,
# and
#	midway  a part of the memory is sent, how much is random (MV_SEED)
#	switch  the target's copy runs, and the source's libvirt does not know
#	attach  home knows where the job is now, and mvrun has no link to there
# The HOME is "source" or "target"; without it home is a third node. MV_HOME
# says it for all (or "third"). In MV_CASES, a file, is written what became of each
# case; tests/crash-table makes a table of that.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
. "$MV_SRCDIR/tests/moving.sh"

moments=(reserve announce prepare transfer midway switch attach release)
damages=(mvd-source mvd-target mvd-home long-mvd-source long-mvd-target long-mvd-home
	libvirtd-source libvirtd-target cut-source cut-target cut-home long-cut-source
	long-cut-target long-cut-home no-memory full-disk qemu-source qemu-target ctrl-c
	interrupt mvrun node-source node-target)
selection=(midway:mvd-source midway:no-memory switch:libvirtd-target transfer:mvrun
	midway:node-source attach:mvd-source@source midway:cut-target release:mvd-target@target)
RANDOM=${MV_SEED:=$RANDOM}
export MVD_HOLD_DIR=$tmp/hold
mkdir "$MVD_HOLD_DIR"

# ---- which cases there are ----

# At some moments there is nothing that could be damaged.
applies() { # MOMENT DAMAGE PLACE-OF-HOME
	case $1:$2@$3 in
	*-home@source | *-home@target | *:mvrun@source | *:mvrun@target | *:node-*@source | *:node-*@target)
		return 1
		;;
	reserve:qemu-target* | announce:qemu-target* | prepare:qemu-target* | transfer:qemu-target*) return 1 ;;
	attach:qemu-source* | release:qemu-source*) return 1 ;;
	esac
}

all_cases() { # PLACE-OF-HOME...
	local place name moment
	for place; do
		for name in "${damages[@]}"; do
			for moment in "${moments[@]}"; do
				! applies "$moment" "$name" "$place" || echo "$moment:$name@$place"
			done
		done
	done
}

# ---- the damage, while it lasts, and its end ----

node_of() { # DAMAGE
	case $1 in
	*-source) echo "$source" ;;
	*-target | no-memory | full-disk) echo "$target" ;;
	*-home) echo "$home" ;;
	esac
}

restart() { # mvd|libvirtd NODE
	"$mvlab" "$1" "$2" kill
	sleep 0.$((RANDOM % 10))
	"$mvlab" "$1" "$2" start
}

kill_qemu() { # NODE
	lab_on "$1" pkill -KILL -x qemu-system-x86
}

# Everything that libvirt, QEMU or the agent could write to there is full.
fill_disk() { # NODE
	# shellcheck disable=SC2016
	lab_on "$1" sh -ec '
		for dir in /run /var/lib/libvirt /var/log/libvirt; do
			used=$(df -k --output=used $dir | tail -n 1)
			mount -o remount,size=$((used + 4))k $dir
			if head -c 1M /dev/zero >$dir/full 2>/dev/null; then exit 1; fi
		done'
}

empty_disk() { # NODE
	# shellcheck disable=SC2016
	lab_on "$1" sh -ec '
		for dir in /run /var/lib/libvirt /var/log/libvirt; do
			rm -f $dir/full
			mount -o remount,size=50% $dir
		done'
}

node_dies() { # NODE
	"$mvlab" kill "$1"
	dead=$1
}

damage_begins() { # NAME
	local node
	node=$(node_of "$1")
	case $1 in
	mvd-* | libvirtd-*) restart "${1%-*}" "$node" ;;
	long-mvd-*) "$mvlab" mvd "$node" kill ;;
	cut-* | long-cut-*) "$mvlab" cut "$node" ;;
	no-memory) take_memory "$node" ;;
	qemu-*) kill_qemu "$node" ;;
	full-disk) fill_disk "$node" ;;
	ctrl-c) lab_on $home pkill -INT -x mvctl ;;
	interrupt)
		interrupts=$(count_interrupts)
		lab_on $home kill -INT "$job_pid"
		;;
	mvrun) lab_on $home kill -KILL "$job_pid" ;;
	node-*) node_dies "$node" ;;
	*) fail "there is no damage \"$1\"" ;;
	esac
}

# Long enough, or too long, for those who wait for an answer.
damage_lasts() { # MOMENT NAME
	case $2 in
	cut-*) sleep 3 ;;
	long-*)
		sleep 20
		is_felt "$1" "${2##*-}"
		;;
	esac
}

damage_ends() { # NAME
	local node
	node=$(node_of "$1")
	case $1 in
	long-mvd-*) "$mvlab" mvd "$node" start ;;
	cut-* | long-cut-*) "$mvlab" heal "$node" ;;
	no-memory) give_memory "$node" ;;
	full-disk) empty_disk "$node" ;;
	esac
}

# Somebody has noticed.
is_felt() { # MOMENT source|target|home
	[ $home = node3 ] || return 0
	case $1:$2 in
	*:home) wait_until 60 host_misses_home ;;
	reserve:source | announce:source | prepare:source | transfer:source | midway:source | \
		attach:target | release:target) wait_until 60 is_lost ;;
	esac
}

host_misses_home() {
	[ "$(job_field $source state)" = HOME-LOST ] || [ "$(job_field $target state)" = HOME-LOST ]
}

# ---- no memory: the kernel kills the largest of the node's processes ----

memory_file() { # NODE V1-NAME V2-NAME
	local dir
	while read -r dir; do
		[ ! -e "$dir/$2" ] || echo "$dir/$2"
		[ ! -e "$dir/$3" ] || echo "$dir/$3"
	done <"$MVLAB_DIR/$1/cgroups"
}

memory_kills() { # NODE
	awk '$1 == "oom_kill" { print $2 }' "$(memory_file "$1" memory.oom_control memory.events)"
}

set_memory() { # NODE MIB-TO-SPARE
	local used=
	used=$(cat "$(memory_file "$1" memory.usage_in_bytes memory.current)")
	echo $((used + ($2 << 20))) 2>/dev/null >"$(memory_file "$1" memory.limit_in_bytes memory.max)"
}

# Uses up what is left, until the guest that is there already is killed for it.
hog='
import subprocess, sys
for pid in sys.argv[1:]:
    with open(f"/proc/{pid}/oom_score_adj", "w") as file:
        file.write("1000")
blocks = []
while subprocess.run(["pgrep", "-x", "qemu-system-x86"], stdout=subprocess.DEVNULL).returncode == 0:
    blocks.append(b"x" * (8 << 20))'

take_memory() { # NODE
	local guests
	kills=$(memory_kills "$1")
	# The kernel gives up what files it has in memory, and this fails for the rest.
	echo "${memory_limit}M" 2>/dev/null >"$(memory_file "$1" memory.force_empty memory.reclaim)" || true
	wait_until 20 set_memory "$1" 24
	guests=$(lab_on "$1" pgrep -x qemu-system-x86) || return 0
	# shellcheck disable=SC2086 # pids are words
	lab_on "$1" timeout 60 python3 -c "$hog" $guests
}

give_memory() { # NODE
	local name
	must_fail lab_on "$1" pgrep -lx qemu-system-x86
	grep -q 'it has no room' "$tmp/move.out" || [ "$(memory_kills "$1")" -gt "$kills" ] ||
		fail "there was enough memory at $1"
	wait_until 20 set_memory "$1" $memory_limit
	for name in libvirtd mvd; do
		lab_on "$1" pgrep -P 1 -x $name >/dev/null || "$mvlab" $name "$1" start
	done
}

# ---- the moment ----

is_held() { # POINT
	[ -s "$MVD_HOLD_DIR/$1" ]
}

hold() { # POINT
	: >"$MVD_HOLD_DIR/$1"
}

is_there() { # NODE
	lab_virsh "$1" list --all --uuid | grep -q "$count_uuid"
}

# Put a relay into a stream of the move, see tests/move-relay.
relay_begin() { # memory|libvirt HOLD [BYTES]
	local dir=/run/monovisor/migrate/$count_uuid
	hold transfer
	wait_until 60 is_held transfer
	lab_exec $source "$MV_SRCDIR/tests/move-relay" "$1" "$dir/$1" "/run/real-$1" "$MVD_HOLD_DIR/$2" "${3:-}" \
		>"$tmp/relay.out" 2>&1 </dev/null &
	relay=$!
	wait_until 60 lab_on $source test -S "$dir/$1" -a -S "/run/real-$1"
	hold "$2"
	rm "$MVD_HOLD_DIR/transfer"
}

relay_end() {
	[ -n "$relay" ] || return 0
	kill $relay 2>/dev/null || true
	wait $relay 2>/dev/null || true
	relay=
	[ -n "$dead" ] || lab_on $source rm -f /run/real-memory /run/real-libvirt
}

move_begin() { # MOMENT
	relay=
	case $1 in
	midway | switch) hold transfer ;;
	*) hold "$1" ;;
	esac
	lab_exec $home timeout -k 5 200 mvctl migrate "$job_pid" $target >"$tmp/move.out" 2>&1 </dev/null &
	mover=$!
	case $1 in
	midway) relay_begin memory midway $((RANDOM * 600)) ;;
	switch) relay_begin libvirt switch ;;
	esac
	wait_until 60 is_held "$1"
	! has_ended $mover || fail "the move was over before the damage: $(cat "$tmp/move.out")"
}

move_end() { # MOMENT: sets $moved to the status of mvctl
	moved=0
	wait_end $mover 220 || moved=$?
	[ "$moved" != 124 ] || fail "mvctl migrate does not end"
	# Whatever it is, it says what.
	[ -s "$tmp/move.out" ] || fail "mvctl migrate ends with $moved and says nothing"
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
	outcome=lost # HOST-LOST in mvctl jobs, until the node is back and mvrun says so
}

job_ends_with() { # STATUS REGEX
	lab_job_end "$1"
	grep -Eq "$2" "$tmp/$lab_job.err" || fail "mvrun says instead of \"$2\": $(cat "$tmp/$lab_job.err")"
	job_has_ended
}

job_has_ended() {
	count_is_exact
	wait_until 60 job_is_over
	job_pid=
}

afterwards() { # MOMENT DAMAGE
	case $2 in
	mvrun)
		lab_job_end 137
		job_has_ended
		outcome=ends # with its mvrun, everywhere
		return
		;;
	node-*)
		after_a_death
		[ -n "$job_pid" ] || return 0
		;;
	esac
	if [[ $2 = qemu-* || $2 = no-memory ]] && has_crashed; then
		job_ends_with 125 'its QEMU ended unexpectedly|no node has its microVM any more'
		outcome=lost # and mvrun says that its QEMU ended
		return
	fi
	one_copy
	told_where $home
	count_goes_on
	is_one_copy
	count_is_exact
	mvrun_said_nothing "$2"
	[ $copy_at = $source ] && outcome=stays || outcome=moves
	what_was_said "$1" "$2"
}

# But of a signal that had to wait, it may say so; and of a job that did not answer for a while.
mvrun_said_nothing() { # DAMAGE
	[ "$1" != interrupt ] || sed -i '/^mvrun: the job cannot be reached now; the signal waits/d' "$tmp/$lab_job.err"
	equal "" "$(silence_apart "$tmp/$lab_job.err")"
}

# mvctl does not lie, and the signal has come where it was meant for.
what_was_said() { # MOMENT DAMAGE
	[ "$moved" != 0 ] || equal moves "$outcome"
	! grep -q 'does not move to' "$tmp/move.out" || grep -q 'not known yet' "$tmp/move.out" ||
		equal stays "$outcome"
	case $2 in
	ctrl-c)
		equal 130 "$moved"
		grep -q 'interrupted: the move is given up' "$tmp/move.out"
		[ "$1" != midway ] || equal stays "$outcome"
		;;
	interrupt) wait_until 60 count_was_interrupted $((interrupts + 1)) ;;
	esac
}

# With QEMU killed, its job may have been the only copy.
has_crashed() {
	wait_until 60 is_one_or_none
	! is_one_copy
}

is_one_or_none() {
	is_one_copy || { job_is_over && has_ended $job_waiter; }
}

job_moves() { # TO
	wait_until 60 mvctl_moves "$1"
	is_one_copy
	equal "$1" "$copy_at"
}

mvctl_moves() { # TO
	lab_on $home timeout 200 mvctl migrate "$job_pid" "$1"
}

# ---- a case ----

# A job with its home in that place, at $source, to go to $target.
job_is_ready() { # third|source|target
	local wanted=node1
	[ "$1" != third ] || wanted=node3
	if [ -n "$job_pid" ] && [ $home != $wanted ]; then
		count_end
		job_pid=
	fi
	home=$wanted
	case $1 in
	third) source=${copy_at:-node1} ;;
	source) source=node1 ;;
	target) source=node2 ;;
	esac
	target=$(other $source)
	if [ -z "$job_pid" ]; then
		count_start $home --on $source
	elif [ "$copy_at" != $source ]; then
		job_moves $source
	fi
}

one_case() { # MOMENT DAMAGE PLACE-OF-HOME
	local from=$SECONDS
	applies "$@" || fail "there is nothing like $1:$2@$3"
	outcome= dead=
	job_is_ready "$3"
	# What stands there if the test ends here.
	note_outcome "$@" FAILED
	move_begin "$1"
	damage_begins "$2"
	[ "$2" != ctrl-c ] || [ "$1" != midway ] || wait_until 60 is_given_up
	rm -f "$MVD_HOLD_DIR"/*
	damage_lasts "$1" "$2"
	case $2 in
	no-memory | full-disk) # as long as the move
		move_end
		damage_ends "$2"
		;;
	*)
		damage_ends "$2"
		move_end
		;;
	esac
	afterwards "$1" "$2"
	relay_end
	if [ -n "$job_pid" ]; then
		wait_until 90 lab_has_no_file "$(other "$copy_at")"
		job_moves "$(other "$copy_at")"
		count_goes_on
	else
		copy_at=
	fi
	printf '%-9s %-16s %-6s %3d s  %s: %s\n' "$@" $((SECONDS - from)) "$outcome" \
		"$(tail -n 1 "$tmp/move.out" | sed 's/^mvctl: //')"
	note_outcome "$@" "$outcome"
}

note_outcome() { # MOMENT DAMAGE PLACE-OF-HOME OUTCOME
	[ -z "${MV_CASES:-}" ] || echo "$3 $1 $2 $4" >>"$MV_CASES"
}

# The source's libvirt has ended the transfer, which would wait for ever.
is_given_up() {
	lab_virsh $source domjobinfo "$count_uuid" | grep -q 'Job type: *None'
}

other() { # NODE: the job goes to and fro between these two
	[ "$1" = node1 ] && echo node2 || echo node1
}

if [ $# = 0 ] && [ -n "${MV_TEST_HEAVY:-}" ]; then
	# shellcheck disable=SC2046,SC2086 # words
	set -- $(all_cases ${MV_HOME:-third source target})
fi
[ $# != 0 ] || set -- "${selection[@]}"

memory_limit=8192
job_pid= copy_at= home=
echo "MV_SEED=$MV_SEED"
lab_up 3 --memory $memory_limit
for each; do
	[[ $each = *@* ]] || each+=@${MV_HOME:-third}
	damaged=${each#*:}
	one_case "${each%%:*}" "${damaged%@*}" "${each#*@}"
done
[ -z "$job_pid" ] || count_end
lab_is_clean
