#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 400
# The short form of the evaluation of the scheduler keeps its promises, and mvsim
# refuses what makes no sense, with a message.
. "$(dirname "$0")/../lib.sh"
requires python3
mvsim=$MV_BUILDDIR/scheduler/mvsim
[ -x "$mvsim" ] || fail "mvsim is not built in $MV_BUILDDIR"

"$MV_SRCDIR/docs/evaluation/scheduler.py" --check "$mvsim"

# What it lists can be shown and run.
"$mvsim" list >"$tmp/list"
grep -q '^  monovisor ' "$tmp/list"
grep -q '^  margin ' "$tmp/list"
"$mvsim" show published >"$tmp/published.json"
equal "$("$mvsim" run "$tmp/published.json" --seed=5 --json)" "$("$mvsim" run published --seed=5 --json)"
# Another seed is another run.
if [ "$("$mvsim" run published --seed=6 --json | tail -n 3)" = \
	"$("$mvsim" run published --seed=5 --json | tail -n 3)" ]; then
	fail "two seeds, one result"
fi

# A trace: comments, a job of three processors, one that was cancelled, one of little CPU time.
cat >"$tmp/tiny.swf" <<-'EOF'
	; Version: 2.2
	; Computer: made up

	1 100 5 40 1 30 2048 1 60 -1 1 3 1 -1 1 -1 -1 -1
	2 130 0 20 3 -1 1024 3 60 -1 1 4 1 -1 1 -1 -1 -1
	3 140 0 -1 -1 -1 -1 2 60 -1 5 4 1 -1 1 -1 -1 -1
	4 150 0 9 1 6 -1 1 60 4096 1 -1 1 -1 1 -1 2 10
EOF
echo '{"name": "tiny", "nodes": [{"name": "n", "count": 4}], "trace": "tiny.swf"}' >"$tmp/tiny.json"
"$mvsim" run "$tmp/tiny.json" --methods=rr,monovisor >"$tmp/traced"
grep -q '^tiny: 5 jobs' "$tmp/traced" || fail "the trace: $(cat "$tmp/traced")"

refused() { # STATUS WORDS ARGUMENT...
	local expected=$1 words=$2
	shift 2
	status "$expected" "$mvsim" "$@"
	says "$words"
}

write() { # TEXT
	printf '%s' "$1" >"$tmp/bad.json"
}

nodes='"name": "t", "nodes": [{"name": "a"}]'
write "{$nodes, \"jobs\": [{\"after\": 1}, {\"after\": 0}]}"
refused 1 'waits, by "after", for itself' run "$tmp/bad.json"
write "{$nodes, \"jobs\": [{\"cpu\": NaN}]}"
refused 1 'cpu' run "$tmp/bad.json"
write "{$nodes, \"jobs\": [{\"cpu\": 1e300}]}"
refused 1 'must be between' run "$tmp/bad.json"
write '{"name": "t", "nodes": [{"name": "a", "count": 100001}]}'
refused 1 'count' run "$tmp/bad.json"
write "{$nodes, \"trace\": \"there-is-none.swf\"}"
refused 1 'cannot open .*/there-is-none.swf' run "$tmp/bad.json"
write "{$nodes, \"trace\": \"bad.json\"}"
refused 1 'line 1: there must be' run "$tmp/bad.json"
write "{$nodes, \"trace\": \"tiny.swf\", \"jobs\": [{}]}"
refused 1 'has no other jobs' run "$tmp/bad.json"
write 'no JSON'
refused 1 'bad.json: not a JSON object' run "$tmp/bad.json"
refused 1 'cannot open' run "$tmp/there-is-none.json"
refused 1 'there is no scenario "there-is-none"' run there-is-none
refused 2 'there is no method "magic"' run published --methods=magic
refused 2 'is not among the methods' run published --against=rr
refused 2 'margin must be between' run published --set=margin=-1
refused 2 'is not NAME=NUMBER' run published --set=margin
refused 2 'is not NAME=NUMBER' run published --param=delay=
refused 2 'no number of a scenario' run published --param=magic=1
refused 2 'no number of a scenario' run published --param=free_moves=1
refused 2 'must be between' run published --param=delay=1e9
refused 2 'not a whole number' run published --param=window=2.5
refused 2 'is not a seed' run published --seed=x
refused 2 'is not a number' run published --runs=0
refused 2 'needs one scenario' run
refused 2 'there is no command "dance"' dance
refused 2 'run has no option --nodes' run published --nodes=5
refused 2 'gossip has no option --runs' gossip -n 5
refused 2 'swim takes no "published"' swim published
refused 2 'there is no built-in scenario "nosuch"' show nosuch
refused 2 'show needs one' show
write '{"nodes": [{"name": "a"}]}'
refused 1 'the scenario needs a "name"' run "$tmp/bad.json"
write '{"name": "t", "nodes": [{"name": "a", "memory": "4Q"}]}'
refused 1 'nor a text like "64M"' run "$tmp/bad.json"
refused 2 'Usage'
if "$mvsim" list >/dev/full 2>"$tmp/full"; then
	fail "a full disk was not noticed"
fi
grep -q 'cannot write' "$tmp/full"
