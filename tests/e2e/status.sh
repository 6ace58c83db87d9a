#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# mvrun ends as the job does, and says what kept it from starting one.
. "$(dirname "$0")/../lib.sh"
node_up
same_begin "$tmp/same"

for number in 0 1 77 125 126 127 255; do
	same sh -c "exit $number"
done

# shellcheck disable=SC2016
for name in TERM KILL INT HUP QUIT SEGV ABRT PIPE USR1; do
	same sh -c "ulimit -c 0; kill -$name \$\$; sleep 5"
done

# The group's last word counts, not a child's: the tree ends with its first process.
same sh -c '(sleep 0.1; echo late) & echo early; exit 4'
same sh -c 'sh -c "exit 3"; echo $?; sh -c "kill -TERM \$\$"; echo $?'

# What cannot be run: env(1)'s exit codes, a message with object and cause.
status 127 job no-such-program-anywhere
says '^mvrun: .*no-such-program-anywhere.*(not found|No such file)'
status 127 job "$tmp/absent"
says "^mvrun: .*$tmp/absent.*(not found|No such file)"
echo text >"$tmp/text"
status 126 job "$tmp/text"
says "^mvrun: .*$tmp/text.*Permission denied"
status 126 job "$tmp"
says "^mvrun: .*$tmp.*(Permission denied|Is a directory)"
printf '#!%s/no-interpreter\n' "$tmp" >"$tmp/script"
chmod +x "$tmp/script"
status 127 job "$tmp/script"
says "^mvrun: .*$tmp/script"

# A file of commands without an interpreter's name is a shell's, as for env(1).
echo 'echo "from sh: $1"; exit 6' >"$tmp/plain"
chmod +x "$tmp/plain"
status 6 job "$tmp/plain" word
says '^from sh: word$'

# Its own options.
status 125 job
says '^mvrun: no program given'
status 125 job --no-such-option
says "help"
status 125 job -m none true
says "'none' is not a number of MiB"
status 125 job -c 0 true
says "'0' is not a number of CPUs"
status 0 job --help
says '^Usage: mvrun'
status 0 job --version
says '^mvrun .*[0-9]+\.[0-9]'
status 3 job -- sh -c 'exit 3'
node_is_clean
