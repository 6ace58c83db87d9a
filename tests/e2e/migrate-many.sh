#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 1500
# Several jobs on four nodes, random moves, and agents that are killed or restarted
# at random: no job is lost and nothing is left over.
#
#	MV_JOBS=20 MV_RANDOM_MOVES=200 MV_SEED=1 tests/e2e/migrate-many.sh
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires perl
nodes=4
jobs=${MV_JOBS:-5}
wanted=${MV_RANDOM_MOVES:-20}
seed=${MV_SEED:-$((SRANDOM % 32768))}
RANDOM=$seed

# Each number goes to standard output and into a file at home.
counter='
use IO::Handle;
STDOUT->autoflush(1);
open my $file, ">>", $ARGV[0] or die;
$file->autoflush(1);
print "ready\n";
for (my $n = 1; !-e $ARGV[1]; $n++) {
	print "$n\n";
	print $file "$n\n";
	select undef, undef, undef, 0.3;
}
exit 7;'

declare -a pids waiters homes at
start_jobs() {
	local i
	for i in $(seq "$jobs"); do
		lab_job=job$i
		homes[i]=node$(((i - 1) % nodes + 1))
		lab_job_start "${homes[i]}" -m 256 perl -e "$counter" "$tmp/job$i.file" "$tmp/stop"
		pids[i]=$job_pid waiters[i]=$job_waiter at[i]=${homes[i]}
	done
}

# $to is a node where the job is not, as far as is known. (A subshell would have random numbers
# of its own.)
elsewhere() { # NODE
	to=$1
	while [ "$to" = "$1" ]; do
		to=node$((RANDOM % nodes + 1))
	done
}

# A move that meets an agent which just ended may fail, but says why.
moved=0 failed=0
move() { # JOB-NUMBER NODE
	local answer rc=0
	answer=$(lab_on "${homes[$1]}" timeout 200 mvctl migrate "${pids[$1]}" "$2" 2>&1) || rc=$?
	case $rc in
	0)
		moved=$((moved + 1))
		at[$1]=$2
		;;
	1)
		failed=$((failed + 1))
		[[ $answer = mvctl:* ]] || fail "mvctl migrate does not say why: $answer"
		[ -n "$worker" ] || fail "no agent was restarted, and a move fails: $answer"
		at[$1]=
		sleep 0.5 # it comes back
		;;
	*) fail "mvctl migrate ended with $rc: $answer" ;;
	esac
	kill -0 "${waiters[$1]}" || fail "job$1, ${pids[$1]} of ${homes[$1]}, is lost: $(cat "$tmp/job$1.err")"
}

# Now or while a move goes on.
trouble() { # NODE
	local how=kill
	[ $((RANDOM % 2)) = 0 ] || how=stop
	sleep "$((RANDOM % 3)).$((RANDOM % 10))"
	"$mvlab" mvd "$1" $how
	sleep "0.$((RANDOM % 10))"
	"$mvlab" mvd "$1" start
}

has_counted() { # FILE TO
	[ "$(wc -l <"$1")" -ge "$2" ]
}

check() { # JOB-NUMBER
	local name=$tmp/job$1 ended=0
	wait "${waiters[$1]}" || ended=$?
	equal "job$1: 7" "job$1: $ended"
	equal "" "$(cat "$name.err")"
	[ "$(wc -l <"$name.file")" -gt 0 ]
	cmp <(echo ready; cat "$name.file") "$name.out"
	cmp "$name.file" <(seq "$(wc -l <"$name.file")")
}

lab_up $nodes
start_jobs
restarts=0 worker=
for try in $(seq $((wanted * 3))); do
	[ $moved -lt "$wanted" ] || break
	if [ $((try % 5)) = 0 ]; then
		[ -z "$worker" ] || wait "$worker"
		trouble "node$((RANDOM % nodes + 1))" &
		worker=$!
		restarts=$((restarts + 1))
	fi
	number=$((RANDOM % jobs + 1))
	elsewhere "${at[number]}"
	move $number "$to"
done
[ -z "$worker" ] || wait "$worker"
echo "$moved moves of $jobs jobs, $failed refused or failed, $restarts agents restarted (seed $seed)"
[ $moved = "$wanted" ]
# An agent that is away for a second or two may spoil the move that is under way, and the next few.
[ $failed -le $((restarts * 5)) ]

# Each goes on, wherever it is, and ends as it should.
for i in $(seq "$jobs"); do
	wait_until 120 has_counted "$tmp/job$i.file" $(($(wc -l <"$tmp/job$i.file") + 3))
done
touch "$tmp/stop"
for i in $(seq "$jobs"); do
	check "$i"
done
lab_is_clean
