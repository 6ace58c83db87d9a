#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# What cannot move does not, says why, and the job runs on where it was.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab.sh"
requires gcc

# A stage of a migration waits while its file is there; see mvd-migrate.c.
export MVD_HOLD_DIR=$tmp/hold
mkdir "$MVD_HOLD_DIR"

lab_up 2
lab_job_start node1 --name counter sh -c 'echo ready; while :; do echo on; sleep 0.2; done'

refused() { # REGEX COMMAND...: mvctl migrate, on node1
	local regex=$1
	shift
	status 1 lab_on node1 "$@"
	equal "" "$(cat "$tmp/status.out")"
	says "^mvctl: .*$regex"
	job_is_at node1
	goes_on
}

job_is_at() { # NODE
	equal "$1" "$(lab_on node1 mvctl jobs --json |
		python3 -c 'import json, sys; print([j["host"] for j in json.load(sys.stdin) if j["name"] == "counter"][0])')"
}

goes_on() {
	local lines
	lines=$(wc -l <"$tmp/job.out")
	counts() {
		[ "$(wc -l <"$tmp/job.out")" -gt "$lines" ]
	}
	wait_until 30 counts
}

# ---- the wrong job, node or user ----

refused 'no node node9 in the cluster' mvctl migrate "$job_pid" node9
refused 'it is at node1 already' mvctl migrate "$job_pid" node1
refused 'it is at node1 already' mvctl migrate counter home
refused 'no job' mvctl migrate 1 node2
refused "you have no job \"$job_pid\" on this node" "${as_user[@]}" mvctl migrate "$job_pid" node2
status 1 lab_on node1 "${as_user[@]}" mvctl why "$job_pid"
says "you have no job"
refused 'post-copy is not safe in emulation|post-copy needs' mvctl migrate --post-copy "$job_pid" node2
status 0 lab_on node1 mvctl why "$job_pid"
says "job $job_pid is at node1: "
refused 'empty' mvctl migrate "$job_pid" ''
refused 'no node' mvctl migrate "$job_pid" $'node2\nnode1'
status 2 lab_on node1 mvctl migrate "$job_pid"
status 2 lab_on node1 mvctl migrate "$job_pid" node2 node1
status 2 lab_on node1 mvctl migrate --no-such-option "$job_pid" node2

no_start() { # REGEX OPTION...: of mvrun, which says why it does not
	status 125 lab_on node1 mvrun "${@:2}" true
	says "^mvrun: .*$1"
}
no_start 'no such node' --on node9
no_start 'cannot start it at node2: .*no room: 9999999 MiB' --on node2 --memory 9999999
no_start 'cannot start it at node2: .*999 processors' --on node2 --cpus 999
for wrong in never kill:x kill:-1 ''; do
	no_start 'is neither wait nor kill' "--on-home-lost=$wrong"
done
status 0 lab_on node1 mvrun --on-home-lost=kill true

counter=($job_pid $job_waiter)
lab_job=pinned lab_job_start node1 --pin sh -c 'echo ready; exec sleep 1000'
refused 'pinned' mvctl migrate "$(cat "$tmp/pinned.pid")" node2
status 0 lab_on node1 mvctl why "$(cat "$tmp/pinned.pid")"
says 'is at node1: .*pinned'
status 0 lab_on node1 mvctl jobs
says 'pinned.*--pin'
lab_on node1 kill "$(cat "$tmp/pinned.pid")"
lab_job=pinned lab_job_end 143
job_pid=${counter[0]} job_waiter=${counter[1]}

# ---- the wrong target: full, another QEMU, another clock, no place for sockets ----

restart_mvd() { # NODE OPTION...
	local node=$1
	shift
	"$mvlab" mvd "$node" stop
	"$mvlab" mvd "$node" start "$@"
}

# Agents that were restarted find each other again by themselves.
meet() {
	peers_answer() {
		[ "$(lab_on node1 mvctl cluster status | grep -c 'yes$')" = 1 ]
	}
	wait_until 60 peers_answer
}

restart_mvd node2 --memory 100
meet
refused 'node2 cannot take it: it has no room: 1024 MiB are needed' mvctl migrate "$job_pid" node2
no_start 'cannot start it at node2: it has no room' --on node2

# libvirt believes what its cache says of a QEMU that has not changed.
"$mvlab" libvirtd node2 stop
cp -a "$MV_BUILDDIR/tests/node-cache" "$tmp/cache"
sed -i 's#<version>[0-9]*</version>#<version>1002003</version>#' "$tmp"/cache/qemu/capabilities/*.xml
lab_on node2 mount --bind "$tmp/cache" /var/cache/libvirt
"$mvlab" libvirtd node2 start
restart_mvd node2
meet
refused 'node2 cannot take it: it has another QEMU \(1\.2\.3 there' mvctl migrate "$job_pid" node2
"$mvlab" libvirtd node2 stop
refused 'node2 cannot take it: .*libvirt' mvctl migrate "$job_pid" node2
lab_on node2 umount /var/cache/libvirt
"$mvlab" libvirtd node2 start

lab_on node2 sh -c 'mkdir -p /run/monovisor/migrate && mount -t tmpfs -o ro none /run/monovisor/migrate'
restart_mvd node2
meet
refused 'node2 cannot take it: cannot make the directory .*: Read-only file system' mvctl migrate "$job_pid" node2
lab_on node2 umount /run/monovisor/migrate

cat >"$tmp/ahead.c" <<'END'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at)
{
	int rc = (int)syscall(SYS_clock_gettime, id, at);

	if (rc == 0 && id == CLOCK_REALTIME)
		at->tv_sec += 3600;
	return rc;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	at->tv_sec = now.tv_sec;
	at->tv_usec = now.tv_nsec / 1000;
	return 0;
}
time_t time(time_t *at)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return at ? (*at = now.tv_sec) : now.tv_sec;
}
END
mkdir "$tmp/ahead"
gcc -shared -fPIC -O1 -o "$tmp/ahead/ahead.so" "$tmp/ahead.c"
printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@"\n' "$tmp/ahead/ahead.so" "$(command -v mvd)" >"$tmp/ahead/mvd"
chmod 755 "$tmp/ahead/mvd"
PATH=$tmp/ahead:$PATH restart_mvd node2
meet
refused 'node2 cannot take it: its clock is 3[56][0-9][0-9] s ahead of that of the node where the job is' mvctl migrate "$job_pid" node2
restart_mvd node2
meet

"$mvlab" cut node2
refused 'node2 does not answer' mvctl migrate "$job_pid" node2
no_start 'cannot start it at node2: ' --on node2
"$mvlab" heal node2
meet

# ---- what a target says of a job that it cannot run: asked with the certificate of a node ----

qemu=$(lab_virsh node1 version | sed -n 's/^Running hypervisor: QEMU //p' | awk -F. '{ print $1 * 1000000 + $2 * 1000 + $3 }')
uuid=$(lab_virsh node1 list --uuid | head -n 1)

target_says() { # REGEX ASKING-NODE ASKED-ADDRESS [FIELD:VALUE]...: of `reserve`
	local wish="\"op\":\"reserve\",\"incarnation\":2,\"cpus\":1,\"home\":\"node1\",\"qemu\":$qemu" field
	local -A fields=([uuid]=\"00000000-0000-4000-8000-000000000001\" [memory]=64 [accel]=\"tcg\" [cpu]=\"\" [time]=$(date +%s000))
	for field in "${@:4}"; do
		fields[${field%%:*}]=${field#*:}
	done
	for field in "${!fields[@]}"; do
		wish+=",\"$field\":${fields[$field]}"
	done
	status 0 lab_on "$2" timeout 60 "$MV_SRCDIR/tests/ask-peer" "$3" /run/mvnode/lib/cluster "{$wish}"
	says "\"refused\": \".*$1"
}

target_says 'the job runs there already' node2 10.77.0.1 "uuid:\"$uuid\""
target_says '(under KVM, which does not work there|its processor is not of the model Nonesuch)' node1 10.77.0.2 'accel:"kvm"' 'cpu:"Nonesuch"'
[ -e /dev/vhost-vsock ] || target_says 'speaks by vsock, and it has no' node1 10.77.0.2 vsock_port:5000
target_says 'its clock is [0-9]+ s ahead of' node1 10.77.0.2 time:1000
for wrong in time:-1 memory:-5 memory:1e99 'uuid:"../../etc"' 'accel:7'; do
	target_says 'not understood' node1 10.77.0.2 "$wrong"
done

# ---- twice at once, and one that ends meanwhile ----

hold() { # STAGE: $holder is the mvctl that waits there
	: >"$MVD_HOLD_DIR/$1"
	lab_exec node1 mvctl migrate "$job_pid" node2 >"$tmp/first.out" 2>"$tmp/first.err" &
	holder=$!
	wait_until 60 grep -q held "$MVD_HOLD_DIR/$1"
}

hold transfer
refused 'it is just moving already' mvctl migrate "$job_pid" node2
rm "$MVD_HOLD_DIR/transfer"
wait $holder
grep -Eq '^moved from node1 to node2 in [0-9.]+ s, stopped for [0-9]+ ms; [0-9.]+ MiB sent in [0-9]+ rounds?$' \
	"$tmp/first.out"
job_is_at node2
goes_on

# The other way home asks the host; mvctl ends when mvrun is linked to where the job is.
for stage in transfer attach; do
	: >"$MVD_HOLD_DIR/$stage"
done
lab_exec node1 mvctl migrate --json "$job_pid" home >"$tmp/first.out" 2>"$tmp/first.err" &
holder=$!
wait_until 60 grep -q held "$MVD_HOLD_DIR/transfer"
status 1 lab_on node1 mvctl migrate "$job_pid" home
says 'just moving already'
rm "$MVD_HOLD_DIR/transfer"
wait_until 60 grep -q held "$MVD_HOLD_DIR/attach"
sleep 1
! has_ended $holder || fail "mvctl does not wait for the link: $(cat "$tmp/first.out" "$tmp/first.err")"
rm "$MVD_HOLD_DIR/attach"
wait $holder
python3 - "$tmp/first.out" <<-'END'
	import json, sys
	said = json.load(open(sys.argv[1]))
	assert 0 < said["downtime_ms"] <= said["total_ms"] <= said["linked_ms"], said
	assert 0 < said["bytes"] < said["uncompressed"] <= said["memory"] + (64 << 20), said
	assert (said["from"], said["to"]) == ("node2", "node1"), said
END
job_is_at node1

# ---- Ctrl-C: nobody waits for the move, and it is given up ----

hold prepare
kill -INT $(pgrep -P $holder -x mvctl || echo $holder)
interrupted=0
wait $holder || interrupted=$?
equal 130 $interrupted
grep -q '^mvctl: interrupted: the move is given up' "$tmp/first.err"
is_given_up() {
	grep -q "job $job_pid does not move to node2: it was given up" "$MVLAB_DIR/node1/mvd.log"
}
# The agent looks twice a second whether anybody waits still.
sleep 5
rm "$MVD_HOLD_DIR/prepare"
wait_until 30 is_given_up
job_is_at node1
goes_on

# The job must have ended before the stage goes on: a signal that comes while the guest stands still is for after the move.
hold transfer
lab_on node1 kill "$job_pid"
lab_job_end 143
ended=0
rm "$MVD_HOLD_DIR/transfer"
wait $holder || ended=$?
equal 1 $ended
grep -Eq '^mvctl: .*: (the job has ended|it has ended)' "$tmp/first.err"
lab_is_clean
