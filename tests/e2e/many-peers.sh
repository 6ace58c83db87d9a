#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An agent comes to know 199 others, who are in a hurry, and its clients hear of all of them. The
# long form, which measures, is "make bench-agent".
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
members=200
crowd=$MV_BUILDDIR/tests/bench/crowd
requires python3
[ -x "$crowd" ] || fail "$crowd is not built"

# No job runs, so none has to be tried.
export MV_TEST_ACCEL=${MV_TEST_ACCEL:-tcg}
lab_up --no-cluster 1
"$mvlab" mvd node1 stop
rm -rf "$MVLAB_DIR/node1/lib/cluster"
"$crowd" make "$MVLAB_DIR/node1/lib/cluster" $members
mkfifo "$tmp/end"
lab_exec node1 "$crowd" play /run/mvnode/lib/cluster 5 <"$tmp/end" >"$tmp/stats" &
crowd_pid=$!
exec {end}>"$tmp/end"
# The agent must not hold the other end of what ends the crowd.
"$mvlab" mvd node1 start {end}>&-

status_of() {
	lab_on node1 mvctl cluster status --json </dev/null
}

# All alive, and the load of each known.
knows_all() {
	status_of | python3 -c 'import json, sys
members = json.load(sys.stdin)["members"]
sys.exit(len(members) != int(sys.argv[1]) or
         not all(m["liveness"] == "alive" and "load_age_ms" in m for m in members))' $members
}

wait_until 120 knows_all

# Nobody but node1 serves questions; each is listed, by name and in JSON.
lab_on node1 mvctl nodes </dev/null >"$tmp/nodes"
equal $members "$(grep -c '^ *node[0-9]' "$tmp/nodes")"
equal $members "$(lab_on node1 mvctl nodes --json </dev/null |
	python3 -c 'import json, sys; print(len({n["name"] for n in json.load(sys.stdin)}))')"

# Nothing that came was refused, at either end.
echo stats >&"$end"
wait_until 10 grep -q refused "$tmp/stats"
grep -q '"refused":0,' "$tmp/stats" || fail "the members refused some: $(cat "$tmp/stats")"
status_of | python3 -c 'import json, sys
seen = json.load(sys.stdin)["datagrams"]
bad = {k: seen[k] for k in ("malformed", "stranger", "forged", "nonsense", "unbelievable")
       if seen[k]}
sys.exit(f"the agent refused some: {bad}" if bad else 0)'

exec {end}>&-
wait_end $crowd_pid
