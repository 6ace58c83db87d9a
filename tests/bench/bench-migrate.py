#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a move costs, beside virsh's of the same guest and CRIU's of the program.

usage: bench-migrate.py moves RESULT.json MOVING RELAYS HOME FROM TO JOB...
       bench-migrate.py criu RESULT.json MOVING JOB...
       bench-migrate.py show RESULT.json
       bench-migrate.py criu-once MOVING DIRECTORY JOB

Runs on node HOME of a lab (see bench-migrate.sh). Each JOB is KIND/MIB: a program
of that kind that holds so many MiB goes from node FROM to node TO and back, in turn
by mvctl, by `virsh migrate --live` and, where that is not safe, by virsh without.
RELAYS is a directory of sockets, one for each other node, that lead to its libvirt.
What is found is added to RESULT.json. Machines are noisy: the ratios mean something,
single figures little. Nothing here passes or fails.
"""

import datetime
import json
import os
import pty
import queue
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty

MOVES = int(os.environ.get("BENCH_MOVES", "4"))  # there and back, by each
BY_TCP = os.environ.get("BENCH_VIRSH", "relay") == "tcp"
LIMIT = int(os.environ.get("BENCH_LIMIT", "60"))  # seconds for one of virsh's
KEY_PAUSE = 0.01
ANSWER_LIMIT = 120
MIB = 1 << 20
TARGET_RATIO = 1.2
TARGET_STALL_MS = 50
TARGET_MIB = 40

EVENT = re.compile(r"^(\S+ \S+): event '([^']+)' for domain '[^']*': (.*)$")
# What CRIU asks for and a guest does not have of itself.
CRIU_MODULES = ("nfnetlink", "nf_tables", "tun", "veth", "unix_diag", "inet_diag",
                "tcp_diag", "udp_diag", "raw_diag", "netlink_diag")


def run(command, limit=ANSWER_LIMIT):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=limit)


# ---- the job, on a terminal of its own ----

class Terminal(threading.Thread):
    """Types a key, waits for it to come back, and so on, or asks for figures."""

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd = fd
        self.trips = []
        self.asked = threading.Event()
        self.figures = queue.Queue()
        self.buffer = b""
        self.ends = False

    def read_until(self, wanted):
        deadline = time.monotonic() + ANSWER_LIMIT
        while wanted not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise TimeoutError(f"the job does not answer: {self.buffer[-200:]}")
            self.buffer += os.read(self.fd, 4096)
        found, _, self.buffer = self.buffer.partition(wanted)
        return found

    def type_key(self):
        begin = time.monotonic()
        os.write(self.fd, b"k")
        self.read_until(b"k")
        self.trips.append((time.monotonic() - begin) * 1000)
        time.sleep(KEY_PAUSE)

    def ask(self):
        os.write(self.fd, b"\n")
        figures = json.loads(self.read_until(b"\n").strip())
        figures["key"] = {"turns": len(self.trips), "home_ms": max(self.trips),
                          "usual_ms": statistics.median(self.trips)}
        self.trips = []
        self.asked.clear()
        self.figures.put(figures)

    def run(self):
        try:
            while not self.ends:
                self.type_key()
                if self.asked.is_set():
                    self.ask()
        except (OSError, TimeoutError, ValueError) as error:
            self.figures.put(error)


class Job:
    def __init__(self, lab, name, place):
        self.lab = lab
        self.kind, mib = name.split("/")
        self.mib = int(mib)
        file = os.path.join(place, "file")
        open(file, "wb").close()
        command = ["mvrun"]
        if lab.start != lab.home:
            command += ["--on", lab.start]
        if self.mib > 600:  # more than a guest has by default
            command += ["--memory", str(self.mib + 384)]
        command += [lab.program, self.kind, mib, file]
        self.pid, fd = pty.fork()
        if self.pid == 0:
            tty.setraw(0)
            os.execvp(command[0], command)
        self.terminal = Terminal(fd)
        self.terminal.read_until(b"ready")
        self.terminal.start()
        self.where = lab.start
        self.uuid = self.listed()["uuid"]

    def listed(self):
        jobs = json.loads(run(["mvctl", "jobs", "--json"]).stdout)
        for job in jobs:
            if job["pid"] == self.pid:
                return job
        raise OSError("mvctl jobs does not list it")

    def figures(self):
        """Since the last time, the longest each loop had to wait."""
        self.terminal.asked.set()
        found = self.terminal.figures.get(timeout=2 * ANSWER_LIMIT)
        if isinstance(found, Exception):
            raise found
        return found

    def settle(self, wanted):
        """Until its home knows where it is: virsh does not say."""
        deadline = time.monotonic() + ANSWER_LIMIT
        while time.monotonic() < deadline:
            job = self.listed()
            if job["host"] == wanted and job["state"] == "running" and not job["stays"]:
                self.where = wanted
                time.sleep(1)
                return
            time.sleep(0.1)
        raise TimeoutError(f"the job has not arrived at {wanted}: {job}")

    def end(self):
        self.terminal.ends = True
        self.terminal.join(ANSWER_LIMIT)
        os.write(self.terminal.fd, b"q")
        os.waitpid(self.pid, 0)
        os.close(self.terminal.fd)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        time.sleep(3)


# ---- the nodes ----

class Events:
    """What a node's libvirt says, with its time."""

    def __init__(self, uri):
        self.found = []
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "virsh", "-c", uri, "event", "--loop", "--all",
             "--timestamp"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            match = EVENT.match(line)
            if match:
                at = datetime.datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S.%f%z")
                self.found.append((at.timestamp(), match[2], match[3]))

    def first(self, since, what):
        for at, kind, text in self.found:
            # Its times are cut off to milliseconds.
            if at >= since - 0.001 and kind == "lifecycle" and text == what:
                return at
        return None

    def end(self):
        self.process.terminate()
        self.process.wait(30)


class Lab:
    def __init__(self, program, relays, home, start, to):
        self.program, self.relays = program, relays
        self.home, self.start, self.to = home, start, to
        self.events = {node: Events(self.uri(node)) for node in (start, to)}
        time.sleep(1)

    def uri(self, node):
        if node == self.home:
            return "qemu:///system"
        return f"qemu+unix:///system?socket={self.relays}/{node}"

    def other(self, node):
        return self.to if node == self.start else self.start

    def wire(self):
        """Bytes through the network of home, if one end of the move is home."""
        if self.home not in (self.start, self.to):
            return None
        place = "/sys/class/net/eth0/statistics/"
        return sum(int(open(place + name, encoding="ascii").read())
                   for name in ("tx_bytes", "rx_bytes"))

    def end(self):
        for events in self.events.values():
            events.end()


# ---- one move ----

def phases(lab, source, target, begin, end):
    """Where the time went, as both libvirts tell it, in ms."""
    at = [begin, lab.events[target].first(begin, "Started Migrated"),
          lab.events[source].first(begin, "Suspended Migrated"),
          lab.events[target].first(begin, "Resumed Migrated"), end]
    names = ("prepare", "memory", "stop", "end")
    if None in at:
        return {}
    return {name: (at[i + 1] - at[i]) * 1000 for i, name in enumerate(names)}


def move_by_mvctl(job, target):
    begin = time.monotonic()
    done = run(["mvctl", "migrate", "--json", str(job.pid),
                "home" if target == job.lab.home else target], 20 * LIMIT)
    clock = (time.monotonic() - begin) * 1000
    if done.returncode:
        return {"error": done.stderr.strip()}
    said = json.loads(done.stdout)
    return {"clock_ms": clock, "said_ms": said["total_ms"],
            "downtime_ms": said["downtime_ms"], "bytes": said["bytes"],
            "rounds": said["rounds"]}


def move_by_virsh(job, target, *options):
    lab, begin = job.lab, time.monotonic()
    process = subprocess.Popen(
        ["virsh", "-q", "-c", lab.uri(job.where), "migrate", *options, job.uuid,
         lab.uri(target), f"tcp://{target}" if BY_TCP else f"unix:///run/bench/{target}"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, stderr = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # gives the migration up
        try:
            process.communicate(timeout=ANSWER_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise TimeoutError("virsh could not give its migration up") from None
        if process.returncode:
            return {"error": f"not done in {LIMIT} s, given up"}
    clock = (time.monotonic() - begin) * 1000
    if process.returncode:
        return {"error": stderr.strip()}
    stats = {}
    for line in run(["virsh", "-q", "-c", lab.uri(target), "domjobinfo", "--completed",
                     "--rawstats", job.uuid]).stdout.splitlines():
        name, _, value = line.partition(":")
        stats[name.strip()] = value.strip()
    if "downtime" not in stats:  # ended by the signal, and libvirt keeps no figures
        raise TimeoutError(f"virsh was not done in {LIMIT} s")
    return {"clock_ms": clock, "downtime_ms": int(stats["downtime"]),
            "bytes": int(stats["memory_processed"]),
            "rounds": int(stats["memory_iteration"])}


def move_by_virsh_live(job, target):
    return move_by_virsh(job, target, "--live")


MOVERS = {"mvctl": move_by_mvctl, "live": move_by_virsh_live, "still": move_by_virsh}


def movers(accel):
    """QEMU before 9 forgets writes of an emulated guest that it sends live, so mvctl
    lets it stand still: then virsh's moves of that kind are the fair comparison."""
    old = re.search(r"QEMU ([0-8])\.", run(["virsh", "-c", "qemu:///system",
                                            "version"]).stdout)
    return ["mvctl", "still", "live"] if accel == "tcg" and old else ["mvctl", "live"]


def move(job, mover):
    lab, source = job.lab, job.where
    target = lab.other(source)
    job.figures()
    wire, begin = lab.wire(), time.time()
    found = mover(job, target)
    if "error" in found:
        time.sleep(1)
        return found
    if wire is not None:
        found["wire_bytes"] = lab.wire() - wire
    job.settle(target)
    found["phases_ms"] = phases(lab, source, target, begin,
                                begin + found["clock_ms"] / 1000)
    found["job"] = job.figures()
    found["to"] = target
    return found


def bench_job(lab, name, ways):
    place = tempfile.mkdtemp(prefix="mv-bench.")
    found = {way: [] for way in ways}
    job = Job(lab, name, place)
    try:
        for _ in range(MOVES // 2):
            for way in ways:
                for _ in ("there", "back"):
                    found[way].append(move(job, MOVERS[way]))
        job.end()
    except (OSError, TimeoutError, queue.Empty) as error:
        found[way].append({"error": f"the job was lost: {error}"})
        job.kill()
    finally:
        shutil.rmtree(place)
    return found


# ---- CRIU ----

def criu_wait_full(pid, mib):
    deadline = time.monotonic() + ANSWER_LIMIT
    while time.monotonic() < deadline:
        status = open(f"/proc/{pid}/status", encoding="ascii").read()
        if int(re.search(r"VmRSS:\s+(\d+)", status)[1]) >= mib << 10:
            time.sleep(0.5)
            return
        time.sleep(0.05)
    raise TimeoutError("the program has not filled its memory")


def criu_step(command, place):
    begin = time.monotonic()
    done = run(["criu"] + command + ["-D", place, "-o", "log", "-v2"])
    if done.returncode:
        log = open(os.path.join(place, "log"), encoding="ascii", errors="replace").read()
        errors = [line for line in log.splitlines() if "Error" in line]
        raise RuntimeError((errors or [f"criu {command[0]} failed"])[0])
    return (time.monotonic() - begin) * 1000


def criu_measure(program, place, kind, mib):
    process = subprocess.Popen([program, kind, str(mib)], start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    pid = process.pid
    criu_wait_full(pid, mib)
    dump = criu_step(["dump", "-t", str(pid)], place)
    process.wait(30)
    size = sum(entry.stat().st_size for entry in os.scandir(place))
    restore = criu_step(["restore", "-d"], place)
    os.kill(pid, signal.SIGKILL)
    return {"dump_ms": dump, "restore_ms": restore, "bytes": size}


def criu_once(program, place, name):
    kind, mib = name.split("/")
    for module in CRIU_MODULES:
        if os.getpid() != 1 and "mv.id=" in open("/proc/cmdline", encoding="ascii").read():
            run(["modprobe", "-q", module])
    check = run(["criu", "check"])
    if check.returncode:
        print(json.dumps({"error": check.stderr.strip().splitlines()[0]}))
        return
    os.mkdir(place)
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        print(json.dumps(criu_measure(program, place, kind, int(mib))))
    except (RuntimeError, TimeoutError) as error:
        print(json.dumps({"error": str(error)}))
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        os.rmdir(place)


def criu_run(prefix, program, name):
    with tempfile.TemporaryDirectory(prefix="mv-bench.") as top:
        done = run(prefix + [sys.executable, os.path.abspath(__file__), "criu-once", program,
                             os.path.join(top, "images"), name], 600)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]}


def bench_criu(program, names):
    if not shutil.which("criu"):
        return {"natively": {"error": "there is no criu"}, "jobs": []}
    natively = criu_run(["unshare", "--mount"], program, names[0])
    found = {"natively": natively, "jobs": []}
    for name in names:
        prefix, where = ["unshare", "--mount"], "natively"
        if "error" in natively:
            memory = 2 * int(name.split("/")[1]) + 400
            prefix, where = ["mvrun", "--memory", str(memory)], "in a guest"
        found["jobs"].append({"job": name, "where": where,
                              **criu_run(prefix, program, name)})
    return found


# ---- the tables ----

def median(moves, *path):
    values = []
    for one in moves:
        for name in path:
            one = one.get(name) if isinstance(one, dict) else None
        if one is not None:
            values.append(one)
    return statistics.median(values) if values else None


def text(value, form="{:.0f}", unit=1):
    return "-" if value is None else form.format(value / unit)


def ratio(ours, theirs):
    return "-" if not ours or not theirs else f"{ours / theirs:.2f}"


def heading(row):
    return f"{row['job']:13} {row['home']:6}"


def lines(rows):
    for row in rows:
        for way, moves in row["moves"].items():
            yield f"{heading(row)} {way:6}", moves


def show_time(rows):
    print(f"\nTotal time, ms; target: at most {TARGET_RATIO} of virsh's (live)")
    print(f"{'job':13} {'home':6} {'mvctl says':>10} {'by clock':>9} {'live':>8} {'ratio':>6}"
          f" {'still':>8} {'ratio':>6}   rounds, and virsh's")
    for row in rows:
        ours, live = row["moves"]["mvctl"], row["moves"]["live"]
        still = row["moves"].get("still", [])
        clock, others = median(ours, "clock_ms"), [median(live, "clock_ms"),
                                                   median(still, "clock_ms")]
        cells = [f"{text(other):>8} {ratio(clock, other):>6}" for other in others]
        print(f"{heading(row)} {text(median(ours, 'said_ms')):>10} {text(clock):>9} "
              f"{' '.join(cells)} {text(median(ours, 'rounds')):>8} "
              f"{text(median(live, 'rounds')):>4}")


def show_phases(rows):
    print("\nWhere it went, ms: until the target's QEMU waits; memory; the guest is"
          " stopped;\nuntil the call returns (the guest runs already, libvirt ends the"
          " source's QEMU)")
    print(f"{'job':13} {'home':6} {'':6} {'prepare':>8} {'memory':>8} {'stop':>6} {'end':>6}")
    for head, moves in lines(rows):
        cells = [text(median(moves, "phases_ms", name))
                 for name in ("prepare", "memory", "stop", "end")]
        print(f"{head} {cells[0]:>8} {cells[1]:>8} {cells[2]:>6} {cells[3]:>6}")


def show_stalls(rows):
    print("\nLongest stall, ms, by home's clock: of a file call (target: downtime + "
          f"{TARGET_STALL_MS}),\nof the program's own work (by its clock, which home sets"
          " right after a move,\nand by its monotonic one), and of a keystroke's way there"
          " and back (and usual)")
    print(f"{'job':13} {'home':6} {'':6} {'downtime':>8} {'stat()':>7} {'target':>7} "
          f"{'work':>6} {'monot.':>7} {'key':>6} {'usual':>6}")
    for head, moves in lines(rows):
        down = median(moves, "downtime_ms")
        cells = [text(median(moves, "job", *path)) for path in (
            ("stat", "home_ms"), ("work", "realtime_ms"), ("work", "monotonic_ms"),
            ("key", "home_ms"))]
        usual = text(median(moves, "job", "key", "usual_ms"), "{:.1f}")
        target = text(None if down is None else down + TARGET_STALL_MS)
        print(f"{head} {text(down):>8} {cells[0]:>7} {target:>7} "
              f"{cells[1]:>6} {cells[2]:>7} {cells[3]:>6} {usual:>6}")


def show_bytes(rows):
    print(f"\nSent, MiB; target: at most the job's resident memory + {TARGET_MIB}. \"On the"
          " wire\" is all\nthat went through the network meanwhile, both ways")
    print(f"{'job':13} {'home':6} {'resident':>8} {'target':>7} {'mvctl':>7} {'live':>7} "
          f"{'ratio':>6}   on the wire, and virsh's")
    for row in rows:
        ours, live = row["moves"]["mvctl"], row["moves"]["live"]
        sent, others = median(ours, "bytes"), median(live, "bytes")
        resident = median(ours, "job", "resident_kib")
        resident = None if resident is None else resident * 1024
        target = None if resident is None else resident + TARGET_MIB * MIB
        wires = [text(median(moves, "wire_bytes"), "{:.1f}", MIB)
                 for moves in (ours, live)]
        print(f"{heading(row)} {text(resident, '{:.1f}', MIB):>8} "
              f"{text(target, '{:.1f}', MIB):>7} {text(sent, '{:.1f}', MIB):>7} "
              f"{text(others, '{:.1f}', MIB):>7} {ratio(sent, others):>6} "
              f"{wires[0]:>13} {wires[1]:>7}")


def show_criu(criu):
    print("\nCRIU's dump and restore of the same program, files in memory: it is stopped"
          " for both")
    if "error" in criu["natively"]:
        print(f"   natively: {criu['natively']['error']}")
    for one in criu["jobs"]:
        if "error" in one:
            print(f"{one['job']:13} {one['where']}: {one['error']}")
        else:
            print(f"{one['job']:13} {one['where']}: dump {one['dump_ms']:.0f} ms, restore "
                  f"{one['restore_ms']:.0f} ms, {one['bytes'] / MIB:.1f} MiB")


def show_errors(rows):
    for head, moves in lines(rows):
        errors = [one["error"] for one in moves if "error" in one]
        for error in sorted(set(errors)):
            print(f"\n{head}: {errors.count(error)} of {len(moves)} moves: {error}")


def show(path):
    with open(path, encoding="ascii") as file:
        result = json.load(file)
    rows = result["jobs"]
    loads = [load for row in rows for load in row["load"]]
    virsh = "from QEMU to QEMU" if BY_TCP else "through relays"
    print(f"\nMedians of {MOVES} moves each, virsh's {virsh}; {os.cpu_count()} processors, "
          f"load {min(loads):.1f} to {max(loads):.1f}, guests: {rows[0]['accel']}")
    show_time(rows)
    show_phases(rows)
    show_stalls(rows)
    show_bytes(rows)
    show_criu(result["criu"])
    show_errors(rows)


# ---- all ----

def load_result(path):
    try:
        with open(path, encoding="ascii") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"jobs": [], "criu": {"natively": {"error": "not tried"}, "jobs": []}}


def save_result(path, result):
    with open(path, "w", encoding="ascii") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


def do_moves(output, program, relays, home, start, to, *names):
    result = load_result(output)
    accel = json.loads(run(["mvctl", "nodes", "--json"]).stdout)[0]["accel"]
    lab = Lab(program, relays, home, start, to)
    for name in names:
        load = os.getloadavg()[0]
        moves = bench_job(lab, name, movers(accel))
        result["jobs"].append({"job": name, "home": home, "accel": accel, "moves": moves,
                               "load": [load, os.getloadavg()[0]]})
        save_result(output, result)
        print(f"{name}, home {home}: done", flush=True)
    lab.end()


def do_criu(output, program, *names):
    result = load_result(output)
    result["criu"] = bench_criu(program, names)
    save_result(output, result)


def main():
    commands = {"moves": do_moves, "criu": do_criu, "show": show, "criu-once": criu_once}
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
