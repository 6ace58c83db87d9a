#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A job has a terminal exactly where mvrun has one, and it works.
. "$(dirname "$0")/../lib.sh"
node_up

pty() {
	on_node "$MV_SRCDIR/tests/pty" "$@"
}

# The same bytes natively and as a job: settings, size, name, colours, line ends.
cat >"$tmp/ask" <<'END'
for fd in 0 1 2; do test -t $fd; echo $fd $?; done
stty size
stty -a | grep -v speed
tty >/dev/null && echo named
ls --color=auto -d /tmp
END
pty -- sh "$tmp/ask" >"$tmp/native"
pty -- mvrun sh "$tmp/ask" >"$tmp/job"
diff -a "$tmp/native" "$tmp/job"

# Only some of the three.
pty -- sh -c 'mvrun sh -c "for fd in 0 1 2; do test -t \$fd; echo \$fd \$?; done" </dev/null 2>/dev/null' \
	>"$tmp/some"
equal "0 1 1 0 2 1" "$(tr -d '\r' <"$tmp/some" | paste -sd ' ')"

# A shell with job control: typing, Ctrl-C, Ctrl-Z, fg, the window's size.
rc=0
pty 'expect:[#$] ' 'send:echo $((6*7))\r' 'expect:42\r' \
	'expect:[#$] ' 'send:sleep 100\r' 'sleep:1' 'send:\x03' \
	'expect:[#$] ' 'send:echo after $?\r' 'expect:after 130' \
	'expect:[#$] ' 'send:sleep 100\r' 'sleep:1' 'send:\x1a' 'expect:Stopped' \
	'expect:[#$] ' 'send:jobs\r' 'expect:Stopped +sleep 100' \
	'expect:[#$] ' 'send:fg\r' 'sleep:1' 'send:\x03' \
	'expect:[#$] ' 'size:33x99' 'sleep:1' 'send:stty size\r' 'expect:33 99' \
	'expect:[#$] ' 'send:exit 7\r' \
	-- mvrun bash --norc --noprofile -i >"$tmp/shell" || rc=$?
equal 7 $rc

# Ctrl-C, Ctrl-\ and a kill end a job that does not care, and the shell outside
# sees by which signal; the terminal's settings are as before (pty checks that).
for key in '\x03 130' '\x1c 131'; do
	pty 'expect:go' 'sleep:0.5' "send:${key% *}" 'expect:status '"${key#* }" \
		-- bash -c 'trap : INT QUIT; mvrun sh -c "ulimit -c 0; echo go; exec sleep 100"; echo status $?' \
		>"$tmp/key"
done

# However a job ends whose mvrun has made the terminal raw, it is restored.
ends() { # STATUS STEP
	local rc=0
	pty 'expect:go' raw: "$2" -- mvrun sh -c 'stty raw -echo; echo go; read x' >"$tmp/raw" || rc=$?
	equal "$1" $rc
}
# shellcheck disable=SC2016
ends 143 'run:kill -TERM $PID'
# shellcheck disable=SC2016
ends 137 'run:kill -KILL $PID'
# shellcheck disable=SC2016
ends 125 'run:virsh -q -c qemu:///system destroy mv-root-sh-$PID'

# Ctrl-Z stops mvrun for the shell that started it; fg goes on with the job.
pty 'expect:[#$] ' "send:mvrun sh -c 'echo go; read x; echo got \$x'\\r" 'expect:go\r' \
	'sleep:0.5' 'send:\x1a' 'expect:Stopped' \
	'expect:[#$] ' 'send:fg\r' 'sleep:1' 'send:word\r' 'expect:got word' \
	'expect:[#$] ' 'send:exit\r' \
	-- bash --norc --noprofile -i >"$tmp/suspend"
node_is_clean
