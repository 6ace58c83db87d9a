#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# mvctl shows jobs and acts on them; a user may touch what he could kill.
. "$(dirname "$0")/../lib.sh"
node_up

json() { # PYTHON-EXPRESSION: about x, the JSON in $tmp/status.out
	python3 -c 'import json, sys; x = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' \
		"$tmp/status.out" "$1"
}

status 0 on_node mvctl jobs --json
equal "[]" "$(json x)"
status 125 on_node mvrun --near nobody true
says 'nobody'

began=$(date +%s)
# shellcheck disable=SC2016
job_start --name counter sh -c \
	'echo ready; while :; do echo tick; date +%s.%N >"$0"; sleep 0.1; done' "$tmp/clock" arg
status 0 on_node mvctl jobs
says "$job_pid .*counter.*running"
status 0 on_node mvctl jobs --json
equal "$job_pid counter root running 0" \
	"$(json '" ".join(str(x[0][k]) for k in ("pid", "name", "user", "state", "moves"))')"
equal "$(on_node hostname) $(on_node hostname)" "$(json 'x[0]["home"] + " " + x[0]["host"]')"
json 'x[0]["command"]' | grep -q 'sh -c .* arg$'
[ "$(json 'x[0]["since"]')" -ge "$began" ]

for name in "$job_pid" counter; do
	status 0 on_node mvctl info "$name" --json
	equal "$job_pid" "$(json 'x["pid"]')"
done
status 0 on_node mvctl info "$job_pid"
says counter

# suspend, resume
lines() {
	wc -l <"$tmp/job.out"
}
grows() {
	[ "$(lines)" -gt "$one" ]
}
# What the job's clock said when it wrote the file, against home's, which stamped it.
clock_is_right() {
	python3 - "$tmp/clock" "$since" <<-'END'
	import os, sys
	with open(sys.argv[1]) as file:
	    said = float(file.read())
	    stamped = os.fstat(file.fileno()).st_mtime
	sys.exit(not (stamped > float(sys.argv[2]) and abs(said - stamped) < 1))
	END
}
since=$(date +%s.%N)
wait_until 10 clock_is_right
# Just behind one of the corrections that every job gets each ten seconds.
past() { # SECONDS, since the job began
	[ $(($(date +%s) - began)) -ge "$1" ]
}
wait_until 20 past 11
status 0 on_node mvctl --json suspend "$job_pid"
equal "{'ok': True}" "$(json x)"
sleep 1
one=$(lines)
sleep 2
equal "$one" "$(lines)"
status 0 on_node mvctl jobs --json
equal suspended "$(json 'x[0]["state"]')"
since=$(date +%s.%N)
status 0 on_node mvctl resume counter --json
equal "{'ok': True}" "$(json x)"
wait_until 10 grows
# Its clock stood still, and is put right at once.
wait_until 4 clock_is_right

# Another user sees his own jobs, and may not touch this one.
for verb in info suspend resume kill; do
	status 1 on_node "${as_user[@]}" mvctl $verb "$job_pid"
	says "^mvctl: .*($job_pid|counter|job)"
done
status 0 on_node "${as_user[@]}" mvctl jobs --json
equal "[]" "$(json x)"

# kill: TERM by default, or the signal given.
status 0 on_node mvctl kill "$job_pid"
job_end 143
# shellcheck disable=SC2016
job_start sh -c 'trap "echo usr1; exit 6" USR1; echo ready; while :; do sleep 0.1; done'
status 0 on_node mvctl kill --json -USR1 "$job_pid"
equal "{'ok': True}" "$(json x)"
job_end 6

# What is not there.
status 1 on_node mvctl info 1
says '^mvctl: .*1'
status 1 on_node mvctl kill none
says '^mvctl: .*none'
status 2 on_node mvctl kill -NONSENSE 1
says NONSENSE
must_fail on_node mvctl nonsense 2>"$tmp/usage"
grep -q nonsense "$tmp/usage"
status 0 on_node mvctl --help
for verb in jobs info suspend resume kill nodes doctor; do
	says "^ *(mvctl )?$verb"
done

status 0 on_node mvctl nodes --json
equal "1 up" "$(json 'str(len(x)) + " " + x[0]["state"]')"
status 0 on_node mvctl nodes
says "$(on_node hostname)"
on_node mvctl doctor --json >"$tmp/status.out" || true
equal True "$(json 'all(set(("check", "ok", "text", "hint")) <= set(c) for c in x) and len(x) > 3')"
on_node mvctl doctor >"$tmp/doctor" || true
grep -qi libvirt "$tmp/doctor"
node_is_clean
