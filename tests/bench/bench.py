#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a job costs beside the same thing done natively, in one run.

usage: bench.py MVBENCH OUTPUT.json [SECONDS-PER-KIND [STARTS]]

Runs where an agent answers (see bench.sh). Machines are noisy: the ratios
mean something, single figures little. Nothing here passes or fails.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

PHASE = re.compile(r"^mvrun: ([0-9.]+) s: (.*)$")
MILESTONES = (
    ("admitted", "agent admits the job"),
    ("transport:", "microVM runs, transport open"),
    ("link up", "kit answers"),
    ("the program runs", "mvrun hears that the program runs"),
    ("the program has ended", "program has ended"),
)


def seconds(command, **more):
    begin = time.monotonic()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=300, **more)
    return time.monotonic() - begin


def phases_of(stderr):
    found = {}
    for line in stderr.splitlines():
        match = PHASE.match(line)
        for start, name in MILESTONES:
            if match and match[2].startswith(start):
                found.setdefault(name, float(match[1]))
    return found


def bench_first(prefix, program, starts):
    """From Enter to the first lines of a program, by its own clock."""
    times = []
    for _ in range(starts):
        begin = time.time()
        done = subprocess.run(prefix + [program, "0", "clock"], check=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=300)
        times.append(float(done.stdout) - begin)
    return statistics.median(times)


def bench_start(program, starts):
    """From Enter to a program's beginning, and to the exit of `true`."""
    native = [seconds(["/bin/true"]) for _ in range(20)]
    whole, phases = [], []
    for _ in range(starts):
        begin = time.monotonic()
        done = subprocess.run(["mvrun", "-v", "true"], check=True, text=True,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=300)
        whole.append(time.monotonic() - begin)
        phases.append(phases_of(done.stderr))
    names = [name for _, name in MILESTONES]
    return {
        "native_s": statistics.median(native),
        "job_s": statistics.median(whole),
        "ratio": statistics.median(whole) / statistics.median(native),
        "native_first_s": bench_first([], program, 20),
        "job_first_s": bench_first(["mvrun"], program, starts),
        "phases_s": {n: statistics.median([p[n] for p in phases if n in p])
                     for n in names if any(n in p for p in phases)},
        "starts": starts,
    }


def rates(prefix, program, per_kind):
    with tempfile.TemporaryDirectory(prefix="mv-bench.") as place:
        subprocess.run([program, "0", "prepare"], cwd=place, check=True, timeout=120)
        done = subprocess.run(prefix + [program, str(per_kind)], cwd=place,
                              check=True, text=True, stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=900)
    found = {}
    for line in done.stdout.splitlines():
        kind, rate, unit = line.split(" ", 2)
        found[kind] = (float(rate), unit)
    return found


def bench_rates(program, per_kind):
    native = rates([], program, per_kind)
    job = rates(["mvrun"], program, per_kind)
    return {kind: {"native": native[kind][0], "job": job[kind][0],
                   "ratio": job[kind][0] / native[kind][0], "unit": native[kind][1]}
            for kind in native}


def memory_of(pid):
    status = dict(line.split(":", 1) for line in
                  open(f"/proc/{pid}/status", encoding="ascii").read().splitlines())
    own = sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup",
              encoding="ascii") if line.startswith(("Private_Clean:", "Private_Dirty:")))
    return {"rss_kib": int(status["VmRSS"].split()[0]), "private_kib": own,
            "threads": int(status["Threads"])}


def bench_idle():
    """What is held while a job does nothing."""
    native = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    job = subprocess.Popen(["mvrun", "sh", "-c", "echo ready; exec sleep 600"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        job.stdout.readline()
        time.sleep(3)
        agent = int(json.loads(subprocess.run(
            ["mvctl", "nodes", "--json"], check=True, stdout=subprocess.PIPE,
            timeout=30).stdout)[0]["pid"])
        found = {"mvd": memory_of(agent), "idle mvrun": memory_of(job.pid),
                 "native sleep": memory_of(native.pid)}
    finally:
        job.terminate()
        native.terminate()
        job.wait(30)
        native.wait(30)
    for one in found.values():
        one["ratio"] = one["rss_kib"] / found["native sleep"]["rss_kib"]
    return found


def show(result):
    start = result["start"]
    print(f"\nStart of `true`, median of {start['starts']}: native "
          f"{start['native_s'] * 1000:.1f} ms, job {start['job_s'] * 1000:.0f} ms, "
          f"ratio {start['ratio']:.0f}")
    print(f"A program's first line runs after: native {start['native_first_s'] * 1000:.1f} ms, "
          f"job {start['job_first_s'] * 1000:.0f} ms")
    for name, at in start["phases_s"].items():
        print(f"   {at * 1000:8.0f} ms  {name}")
    print(f"\n{'kind':16} {'native':>12} {'job':>12}  {'unit':12} job/native")
    for kind, one in result["rates"].items():
        print(f"{kind:16} {one['native']:12.1f} {one['job']:12.1f}  "
              f"{one['unit']:12} {one['ratio']:8.4f}")
    print(f"\n{'held while idle':16} {'RSS KiB':>9} {'own KiB':>9} {'threads':>8} "
          f"{'RSS/sleep':>10}")
    for name, one in result["idle"].items():
        print(f"{name:16} {one['rss_kib']:9} {one['private_kib']:9} "
              f"{one['threads']:8} {one['ratio']:10.1f}")


def main():
    program, output = os.path.abspath(sys.argv[1]), sys.argv[2]
    per_kind = float(sys.argv[3]) if len(sys.argv) > 3 else 1
    starts = int(sys.argv[4]) if len(sys.argv) > 4 else 7
    seconds(["mvrun", "true"])  # the first one warms caches
    result = {"start": bench_start(program, starts), "rates": bench_rates(program, per_kind),
              "idle": bench_idle()}
    with open(output, "w", encoding="ascii") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    show(result)
    print(f"\nwritten: {output}")


if __name__ == "__main__":
    main()
