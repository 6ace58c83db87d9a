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
write 'no JSON'
refused 1 'bad.json: not a JSON object' run "$tmp/bad.json"
refused 1 'cannot open' run "$tmp/there-is-none.json"
refused 1 'there is no scenario "there-is-none"' run there-is-none
refused 1 'there is no method "magic"' run published --methods=magic
refused 1 'is not among the methods' run published --against=rr
refused 1 'margin must be between' run published --set=margin=-1
refused 1 'is not NAME=NUMBER' run published --set=margin
refused 2 'is not a seed' run published --seed=x
refused 2 'is not a number' run published --runs=0
refused 2 'needs one scenario' run
refused 2 'Usage' dance
refused 2 'Usage'
if "$mvsim" list >/dev/full 2>"$tmp/full"; then
	fail "a full disk was not noticed"
fi
grep -q 'cannot write' "$tmp/full"
