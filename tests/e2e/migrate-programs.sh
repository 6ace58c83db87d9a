#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 1500
# Programs of many kinds, each moved ten times while it runs: threads and shared
# memory, a just-in-time compiler, a database, a pipeline, a shell on a terminal.
# What they print and leave behind is what they print and leave without a move.
#
#	MV_MOVES=50 tests/e2e/migrate-programs.sh python
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires node python3 sqlite3
moves=${MV_MOVES:-10}

# ---- a program that works in steps, a step for each line of input: "1", "2" ... ----
#
# First it runs natively and has all its lines at once. As a job it gets a line
# when a move has ended, and does that step while the next move goes on.

stepwise() { # NAME COMMAND...
	same_begin "$tmp/$1"
	shift
	stepwise_fresh
	seq "$moves" | lab_on node1 "$@" >"$same_dir/native.out" 2>"$same_dir/native.err"
	same_snapshot >"$same_dir/native.files"
	stepwise_fresh
	stepwise_job "$@"
	same_snapshot >"$same_dir/job.files"
	same_compare out "standard output"
	same_compare err "standard error"
	same_compare files "what it left behind"
	grep -q "^$moves\b" "$same_dir/job.out"
}

stepwise_fresh() {
	rm -rf "$same_dir/work"
	mkdir "$same_dir/work"
	cd "$same_dir/work"
}

stepwise_job() { # COMMAND...
	local waiter ended=0
	mkfifo "$same_dir/steps"
	# shellcheck disable=SC2016
	lab_exec node1 sh -c 'echo $$ >../pid && exec mvrun "$@"' sh "$@" \
		<"$same_dir/steps" >"$same_dir/job.out" 2>"$same_dir/job.err" &
	waiter=$!
	exec 4>"$same_dir/steps"
	wait_until 90 grep -q ready "$same_dir/job.out"
	lab_on node1 "$MV_SRCDIR/tests/mover" "$(cat "$same_dir/pid")" "$moves" node2 home >&4 || ended=mover
	exec 4>&-
	[ $ended != 0 ] || wait $waiter || ended=$?
	[ $ended = 0 ] || { tail -n 20 "$same_dir"/job.* && fail "the job ended with $ended"; }
}

program_python() {
	stepwise python python3 -c '
import hashlib, multiprocessing, subprocess, sys, threading
from multiprocessing.shared_memory import SharedMemory

block = SharedMemory(create=True, size=4 * 32)
lock, total = threading.Lock(), 0

def chain(n, part):
    global total
    digest = b"%d" % n + bytes(block.buf[32 * part:32 * part + 32])
    for i in range(5000):
        digest = hashlib.sha256(digest).digest()
        with lock:
            total += digest[0]
    block.buf[32 * part:32 * part + 32] = digest

def reverse(name):
    other = SharedMemory(name)
    other.buf[:128] = bytes(other.buf[:128])[::-1]
    other.close()

print("ready", flush=True)
for line in sys.stdin:
    threads = [threading.Thread(target=chain, args=(int(line), part)) for part in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    child = multiprocessing.Process(target=reverse, args=(block.name,))
    child.start()
    child.join()
    done = subprocess.run(["sha256sum"], input=bytes(block.buf[:128]), capture_output=True)
    print(line.strip(), child.exitcode, total, done.stdout.decode().split()[0], flush=True)
block.close()
block.unlink()'
}

program_node() {
	stepwise node node -e '
const { Worker } = require("worker_threads"), fs = require("fs");
const { execFileSync } = require("child_process");
const work = `const { parentPort, workerData } = require("worker_threads");
	let x = workerData; for (let i = 0; i < 3e6; i++) x = (x * 1103515245 + 12345) % 2147483648;
	parentPort.postMessage(x);`;
function chain(seed) {
	return new Promise((done) => new Worker(work, { eval: true, workerData: seed }).on("message", done));
}
async function main() {
	console.log("ready");
	for await (const line of require("readline").createInterface({ input: process.stdin })) {
		const found = await Promise.all([1, 2].map((n) => chain(n * 1000 + Number(line))));
		fs.appendFileSync("log", line + " " + found + "\n");
		console.log(line, found.join(), execFileSync("sha256sum", ["log"]).toString().slice(0, 16));
	}
}
main();'
}

# Another connection looks while the first is open: they share the log's index.
program_sqlite() {
	cat >"$tmp/sqlite.sh" <<-'END'
	{
		echo "PRAGMA journal_mode = WAL;"
		echo "CREATE TABLE t (step INTEGER, n INTEGER, s TEXT); CREATE INDEX i ON t (s);"
		echo ".system echo ready"
		while read -r step; do
			echo "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500)"
			echo "INSERT INTO t SELECT $step, n, hex(n * 7919 * $step) FROM c;"
			echo "BEGIN; UPDATE t SET s = s || '!' WHERE n % 7 = $step % 7;"
			echo "DELETE FROM t WHERE n % 50 = $step; COMMIT;"
			echo ".system sqlite3 db 'SELECT $step, count(*), sum(length(s)) FROM t'"
		done
	} | sqlite3 db
	sqlite3 db "PRAGMA integrity_check; SELECT sum(length(s)) FROM t" >&2
	END
	stepwise sqlite sh "$tmp/sqlite.sh"
	grep -q ok "$same_dir/job.err"
}

# a | mvrun b | c, where a writes a block after each move.
program_pipeline() {
	local waiter
	same_begin "$tmp/pipeline"
	cat >"$tmp/pipeline.sh" <<-'END'
	while read -r step; do
		seq $((step * 3000)) $((step * 3000 + 20000))
	done |
		"$@" sh -c 'echo $$ >pid; exec awk "$0"' '
			BEGIN { print "ready"; fflush() }
			{ s = (s * 31 + $1) % 1000003; print s, $1 }' |
		tee lines | sha256sum >sum
	END
	stepwise_fresh
	seq "$moves" | sh "$tmp/pipeline.sh" env
	mv sum "$same_dir/native"
	stepwise_fresh
	mkfifo steps
	lab_exec node1 sh "$tmp/pipeline.sh" mvrun <steps &
	waiter=$!
	exec 4>steps
	wait_until 90 grep -qs ready lines
	lab_on node1 "$MV_SRCDIR/tests/mover" "$(cat pid)" "$moves" node2 home >&4
	exec 4>&-
	wait $waiter
	diff "$same_dir/native" sum
}

# Between two lines that the user types, the shell is on another node.
program_shell() {
	local steps=('expect:[#$] ' 'send:n=0; PS1=done:\r' 'expect:done:') i
	for i in $(seq "$moves"); do
		# It is typed while the job moves.
		steps+=("run:(timeout 300 mvctl migrate \$PID $([ $((i % 2)) = 1 ] && echo node2 || echo home) >$tmp/moved.$i 2>&1; echo \$? >>$tmp/moved.$i) &"
			'send:n=$((n + 1)); (echo s$n | tr s t); hostname\r' "expect:t$i\\r" 'expect:node1' 'expect:done:'
			"run:until grep -qx '[0-9]*' $tmp/moved.$i; do sleep 0.1; done; cat $tmp/moved.$i; grep -qx 0 $tmp/moved.$i")
	done
	MV_PTY_LIMIT=300 status 3 lab_on node1 "$MV_SRCDIR/tests/pty" "${steps[@]}" 'size:30x100' 'send:stty size\r' \
		'expect:30 100' 'send:sleep 1000\r' 'sleep:1' 'send:\x03' 'expect:done:' 'send:exit 3\r' \
		-- mvrun bash --norc --noprofile -i
}

lab_up 2
for program in ${*:-python node sqlite pipeline shell}; do
	from=$SECONDS
	(program_"$program")
	echo "$program: $moves moves, $((SECONDS - from)) s"
done
cd /
lab_is_clean
