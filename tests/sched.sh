# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Jobs that compute, for tests of what the cluster decides: source this after lab.sh.
#
#	loops_start NODE GROUP N [OPTION...]   start N of them there, in a group
#	loops_running NODE GROUP N             so many of NODE's run their program
#	loops_end                              all end; each has the native result
#	jobs_at HOST [GROUP]                   how many of node1's jobs are there

cat >"$tmp/loop" <<'END'
# loop STOP-FILE [ROUNDS]: what comes of so many rounds, or until there is the file
n=0 i=1
until [ "$n" = "${2-}" ]; do
	[ -n "${2-}" ] || [ ! -e "$1" ] || break
	j=0
	while [ $j -lt 3000 ]; do
		j=$((j + 1)) i=$(((i * 75 + j) % 65537))
	done
	n=$((n + 1))
done
echo "$n $i"
END
loop_waiters=()
loop_outs=()

loops_start() { # NODE GROUP N [OPTION-OF-MVRUN]...
	local node=$1 group=$2 n=$3 k out
	shift 3
	for k in $(seq "$n"); do
		out=$tmp/loop.$group.$k
		lab_exec "$node" mvrun -m 128 --name "$group$k" --group "$group" "$@" \
			sh "$tmp/loop" "$tmp/stop" </dev/null >"$out" 2>"$out.err" &
		loop_waiters+=($!)
		loop_outs+=("$out")
	done
}

# Lines "HOST STATE MOVES" of jobs.
loops_list() { # NODE GROUP
	lab_on "$1" mvctl jobs --json --group "$2" | python3 -c '
import json, sys
for job in json.load(sys.stdin):
    print(job["host"] or "-", job["state"], job["moves"])'
}

loops_running() { # NODE GROUP N
	[ "$(loops_list "$1" "$2" | grep -c ' \(running\|moving\) ')" = "$3" ]
}

jobs_at() { # HOST GROUP
	loops_list node1 "$2" | grep -c "^$1 " || true
}

loops_end() {
	local k rounds value
	touch "$tmp/stop"
	for k in "${!loop_waiters[@]}"; do
		wait_end "${loop_waiters[$k]}" 180 || fail "a loop ended with $?: $(cat "${loop_outs[$k]}.err")"
		read -r rounds value <"${loop_outs[$k]}"
		[ "$rounds" -gt 0 ] || fail "a loop made no round"
		equal "$rounds $value" "$(sh "$tmp/loop" - "$rounds")"
	done
	loop_waiters=() loop_outs=()
	rm "$tmp/stop"
}

setting() { # NAME VALUE [NODE]
	lab_on node1 mvctl set "$@" >/dev/null
}

nodes_field() { # NODE FIELD [WHOM-TO-ASK]: of its scheduler's figures
	lab_on "${3:-node1}" mvctl nodes --json | python3 -c '
import json, sys
print([n["scheduler"][sys.argv[2]] for n in json.load(sys.stdin) if n["name"] == sys.argv[1]][0])' "$@"
}
