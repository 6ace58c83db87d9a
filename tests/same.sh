# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The promise of mvrun, as a function: a command run as a job does what the same
# command does natively, byte for byte. Used by the tour and by the tests.
#
#	same COMMAND...
#
# runs COMMAND twice, natively and under mvrun, each time in a fresh directory
# at the same path, and compares standard output, standard error, how it ended
# (exit status or signal) and every file that is left there: names, types,
# modes, owners, link counts, sizes, targets and contents.
#
#	same_prepare   a function: fills the fresh directory first
#	same_stdin     a file for standard input; default /dev/null
#	same_as        words before both commands (setpriv ...): another user
#	same_options   options of mvrun
#	same_filter    a function: drops from output what must differ
#
# Differences go to standard output; the status is 1 then. A command that is not
# done in time is killed; in a test, where its processes were is told first.

same_dir=
same_stdin=/dev/null
same_as=()
same_options=()
same_limit=${same_limit:-120}

same_prepare() {
	:
}

same_filter() {
	cat
}

# Where to run: tests with a node of their own replace this.
on_node() {
	"$@"
}

same_begin() { # DIRECTORY
	same_dir=$1
	mkdir -p "$same_dir"
}

# Runs a command and writes "exit 3" or "signal 15" to FILE: the shell's $? cannot
# tell 143 from a signal. At the limit the stacks go to FILE.stacks first.
#
#	python3 -c "$same_ended" FILE COMMAND...
same_ended=$(
	cat <<-END
	import os, subprocess, sys
	limit = $same_limit * float(os.environ.get("MV_TEST_SLOWER", "1"))
	stacks = "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/stacks.py"
	with subprocess.Popen(sys.argv[2:]) as child:
	    try:
	        status = child.wait(limit)
	    except subprocess.TimeoutExpired:
	        with open(sys.argv[1] + ".stacks", "w") as out:
	            subprocess.run(["timeout", "-k", "5", "200", stacks, str(child.pid)],
	                           stdout=out, stderr=out)
	        child.kill()
	        sys.exit(1)
	with open(sys.argv[1], "w") as out:
	    print("signal %d" % -status if status < 0 else "exit %d" % status, file=out)
	END
)

same_snapshot() {
	(
		cd "$same_dir/work" || exit
		find . -mindepth 1 -type d -printf '%P %y %m %U:%G\n' \
			-o -mindepth 1 -printf '%P %y %m %U:%G links %n size %s %l\n' | LC_ALL=C sort
		find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum
	)
}

same_run() { # native|job COMMAND...
	local side=$1
	shift
	rm -rf "$same_dir/work"
	mkdir "$same_dir/work"
	chmod 1777 "$same_dir/work"
	(
		cd "$same_dir/work" || exit
		same_prepare >/dev/null
		on_node python3 -c "$same_ended" "$same_dir/$side.end" "${same_as[@]}" "$@" \
			<"$same_stdin" >"$same_dir/$side.out" 2>"$same_dir/$side.err"
	)
	same_snapshot >"$same_dir/$side.files"
}

same_compare() { # PART NAME
	local part=$1 native=$same_dir/native.$1 job=$same_dir/job.$1
	cmp -s "$native" "$job" && return
	echo "$2 differs:"
	diff -a --label native --label mvrun -u "$native" "$job" | head -n 30
	return 1
}

same_late() { # native|job
	echo "did not end in time" >"$same_dir/$1.end"
	echo "not done in time ($1): MV_TEST_SLOWER=3 gives it three times the $same_limit s"
	# For whoever looks into a test that failed; nobody else understands it.
	[ -n "${MV_TEST_TMP:-}" ] && [ -s "$same_dir/$1.end.stacks" ] || return 0
	echo "where the processes were:"
	cat "$same_dir/$1.end.stacks"
}

same() {
	local part rc=0
	rm -f "$same_dir"/{native,job}.*
	same_run native "$@"
	same_run job mvrun "${same_options[@]}" -- "$@"
	for part in native job; do
		for file in out err; do
			same_filter <"$same_dir/$part.$file" >"$same_dir/filtered"
			mv "$same_dir/filtered" "$same_dir/$part.$file"
		done
		[ -s "$same_dir/$part.end" ] || same_late "$part"
	done
	same_compare end "how it ended" || rc=1
	same_compare out "standard output" || rc=1
	same_compare err "standard error" || rc=1
	same_compare files "what it left behind" || rc=1
	[ $rc = 0 ] || echo "the command was: $*"
	return $rc
}
