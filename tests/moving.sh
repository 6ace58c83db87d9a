# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A job that counts, and what must be true of it wherever it is: source this after
# lab.sh. Its numbers go to standard output and are appended to a file at home.
#
#	count_start NODE [OPTION...]  start it on its home NODE, with options of mvrun
#	count_goes_on                 it makes progress
#	count_is_exact                no number is missing or doubled, in either place, and its
#	                              clocks never ran backwards
#	count_clock_is_right          wait: its clock is within a second of home's
#	count_end                     end it in good order and look once more
#	one_copy                      wait: exactly one copy, it runs; where is in $copy_at
#	told_where HOME               wait: mvctl jobs at home says so
#	job_field HOME FIELD          of the job, from mvctl jobs --json
#	count_was_interrupted N       it has had this many SIGINTs, which it survives
#	silence_apart FILE            what mvrun said, but for a job that was out of reach for a while
#
# $count_at is the job's home, $count_file the file. While there is $count_file.dirty
# it changes so much memory that moving it takes some seconds.

count_program='
import itertools, os, signal, sys, time
path = sys.argv[1]
def interrupted(*_):
    with open(path + ".int", "a") as file:
        file.write("SIGINT\n")
signal.signal(signal.SIGINT, interrupted)
log, block, page = open(path, "a"), None, 0
clocks = time.monotonic(), time.time()
print("ready", flush=True)
for n in itertools.count(1):
    print(n, flush=True)
    before, clocks = clocks, (time.monotonic(), time.time())
    if clocks[0] < before[0] or clocks[1] < before[1]:
        print("a clock ran backwards:", before, clocks, flush=True)
    log.write(f"{n}\n")
    log.flush()
    if n % 8 == 0:
        if os.path.exists(path + ".stop"):
            break
        if os.path.exists(path + ".clock"):
            open(path + ".clock", "w").write(str(time.time()))
        if os.path.exists(path + ".dirty") != bool(block):
            block = None if block else bytearray(120 << 20)
            for i in range(0, len(block or ""), 1 << 20):
                block[i:i + (1 << 20)] = os.urandom(1 << 20)
    for i in range(256 if block else 0):
        page = (page + 4096) % len(block)
        block[page] = n & 255
    time.sleep(0.02)'

silence_apart() { # FILE
	sed '/^mvrun: the job at .* has not answered for 20 s/d; /^mvrun: the job at .* answers again$/d' "$1"
}

count_start() { # NODE [OPTION-OF-MVRUN]...
	count_at=$1
	count_file=$tmp/$lab_job.log
	shift
	rm -f "$count_file"*
	: >"$count_file"
	lab_job_start "$count_at" --memory 320 "$@" python3 -c "$count_program" "$count_file"
	count_uuid=$(job_field "$count_at" uuid)
	[ -n "$count_shows" ] || cleanup_fn count_show
	count_shows=yes
}

# What each node thinks, when the test has failed.
count_shows=
count_show() {
	local node
	[ "$test_status" != 0 ] || return 0
	for node in $(lab_nodes); do
		echo "---- $node:"
		lab_on "$node" timeout 10 mvctl jobs -a
		lab_virsh "$node" list --all
	done
	echo "---- the job: $(count_lines) lines, process $job_pid, mvrun said:"
	cat "$tmp/$lab_job.err"
}

# The last complete line of the output.
count_now() {
	tail -c 100 "$tmp/$lab_job.out" | sed -n '$!d; p' | grep -x '[0-9]*' || echo 0
}

count_lines() {
	wc -l <"$tmp/$lab_job.out"
}

count_has_passed() { # LINES
	[ "$(count_lines)" -gt "$1" ]
}

count_goes_on() {
	wait_until 60 count_has_passed $(($(count_lines) + 10))
}

count_is_exact() {
	python3 - "$tmp/$lab_job.out" "$count_file" <<-'END'
		import sys
		for path in sys.argv[1:]:
		    lines = open(path).read().split("\n")[:-1]
		    if lines[:1] == ["ready"]:
		        lines = lines[1:]
		    for i, line in enumerate(lines, 1):
		        if line != str(i):
		            sys.exit(f"{path}: {line!r} instead of {i}")
	END
}

clock_is_right() {
	python3 -c 'import sys, time; sys.exit(abs(time.time() - float(open(sys.argv[1]).read() or 0)) >= 1)' "$count_file.clock"
}

count_clock_is_right() {
	echo 0 >"$count_file.clock"
	wait_until 60 clock_is_right
	rm "$count_file.clock"
}

count_interrupts() {
	[ ! -e "$count_file.int" ] && echo 0 || wc -l <"$count_file.int"
}

count_was_interrupted() { # TIMES
	[ "$(count_interrupts)" = "$1" ]
}

count_end() {
	touch "$count_file.stop"
	lab_job_end 0
	count_is_exact
	[ "$(wc -l <"$count_file")" = $(($(count_lines) - 1)) ] || fail "the file has other numbers than the output"
}

job_field() { # HOME FIELD
	lab_on "$1" timeout 60 mvctl jobs -a --json | python3 -c '
import json, sys
pid, field = sys.argv[1:]
print(*(job.get(field, "") for job in json.load(sys.stdin) if str(job["pid"]) == pid))' "$job_pid" "$2"
}

# Each copy with its state, a line each, of all nodes that live.
copies() {
	local node
	for node in $(lab_nodes); do
		lab_virsh "$node" list --all --uuid --name 2>/dev/null | grep -q "$count_uuid" &&
			echo "$node $(lab_virsh "$node" domstate "$count_uuid" 2>/dev/null)"
	done || true
}

is_one_copy() {
	[[ $(copies) =~ ^(node[0-9]+)\ running$ ]] && copy_at=${BASH_REMATCH[1]}
}

# Nor is it about to move.
is_settled() {
	is_one_copy && [ "$(job_field "$copy_at" state)" = running ] && is_one_copy
}

one_copy() {
	wait_until 90 is_settled
}

is_told_where() { # HOME
	[ "$copy_at running" = "$(job_field "$1" host) $(job_field "$1" state)" ]
}

told_where() { # HOME
	wait_until 60 is_told_where "$1"
}
