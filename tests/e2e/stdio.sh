#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A job's standard descriptors are mvrun's own.
. "$(dirname "$0")/../lib.sh"
node_up
same_begin "$tmp/same"

# In a pipeline, with more than any buffer holds.
head -c 20000000 /dev/urandom >"$tmp/big"
sum=$(sha256sum <"$tmp/big")
equal "$sum" "$(cat "$tmp/big" | job cat | sha256sum)"
equal "$sum" "$(job sha256sum <"$tmp/big")"
equal "$sum" "$(job sh -c 'gzip -1 | gzip -d' <"$tmp/big" | job cat | cat | sha256sum)"

# Standard output and error stay apart, and are not terminals.
same sh -c 'echo out; echo err >&2; test -t 0; echo $?; test -t 1; echo $?; test -t 2; echo $?'

# A file as standard input: the offset is shared, as it is with any child.
seq 1000 >"$tmp/numbers"
{ read -r one; job head -c 10 >"$tmp/head"; read -r next; } <"$tmp/numbers"
equal 1 "$one"
equal "$(seq 2 1000 | head -c 10)" "$(cat "$tmp/head")"
equal "$(seq 2 1000 | tail -c +11 | head -n 1)" "$next"
# The same with a file that has no name any more, which a job cannot open: all of
# it in a pipe at once, more than that, and left by the job before its end.
left() { # LINES COMMAND...: what is left after the job read from a file so long
	seq "$1" >"$tmp/nameless"
	shift
	on_node bash -c 'exec <"$0"; rm "$0"; read -r one; mvrun "$@"; IFS= read -r next; echo "$one|$next"' \
		"$tmp/nameless" "$@"
}
equal "23456 1|7" "$(left 1000 sh -c 'head -c 10 | tr -d "\n"; echo -n " "')"
equal "23456 1|7" "$(left 300000 sh -c 'head -c 10 | tr -d "\n"; echo -n " "')"
equal "2 1|3" "$(left 10 sh -c 'read -r x; exec <&-; echo -n "$x "; sleep 1')"
equal "2 1|3" "$(left 300000 sh -c 'read -r x; exec <&-; echo -n "$x "; sleep 1')"
equal "9 1|" "$(left 10 sh -c 'wc -l | tr "\n" " "')"
same_stdin=$tmp/numbers
same sh -c 'read a; read b; echo $a $b; wc -l'
same_stdin=/dev/null

# Files as output: truncated, and appended to.
echo first >"$tmp/log"
job sh -c 'echo second; echo third' >>"$tmp/log"
equal "first second third" "$(paste -sd ' ' "$tmp/log")"

# Nobody reads any more: the writer gets SIGPIPE.
rc=0
on_node bash -c 'mvrun yes | head -n 1; exit ${PIPESTATUS[0]}' >"$tmp/yes" || rc=$?
equal 141 $rc
equal y "$(cat "$tmp/yes")"

# The input ends when it ends at home, while the job runs on.
equal "a end" "$( (echo a; sleep 1) | job sh -c 'cat; echo end' | paste -sd ' ')"

# Closed descriptors are closed, full devices are full.
on_node sh -c 'mvrun sh -c "cat; echo \$? >&2" <&-' >"$tmp/o" 2>"$tmp/e" || true
on_node sh -c 'sh -c "cat; echo \$? >&2" <&-' >"$tmp/o2" 2>"$tmp/e2" || true
cmp "$tmp/o" "$tmp/o2"
cmp "$tmp/e" "$tmp/e2"
equal "$(on_node sh -c 'sh -c "echo x; echo \$? >&2" >&-' 2>&1 | tail -n 1)" \
	"$(on_node sh -c 'mvrun sh -c "echo x; echo \$? >&2" >&-' 2>&1 | tail -n 1)"

# Two jobs at once keep theirs apart.
job sh -c 'for i in $(seq 50); do echo one; done' >"$tmp/one" &
first=$!
job sh -c 'for i in $(seq 50); do echo two; done' >"$tmp/two"
wait_end $first
equal "50 one" "$(uniq -c "$tmp/one" | xargs)"
equal "50 two" "$(uniq -c "$tmp/two" | xargs)"
node_is_clean
