#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent of an idle node takes of its machine, with so many members in its cluster.

usage: bench-agent.py CROWD OUTPUT.json SECONDS SETTLE MEMBERS...

Runs with a lab of one node, whose agent is stopped (see bench-agent.sh). For each number of
members the real mvd is node1, and the program CROWD (tests/bench/crowd.c) is all others.
Nothing here passes or fails, but an agent that does not come to know all members is an error.
"""

import json
import os
import shutil
import subprocess
import sys
import time

LAB = os.environ["MVLAB_DIR"]
MVLAB = os.path.join(os.environ["MV_SRCDIR"], "tests", "mvlab")
CLUSTER = os.path.join(LAB, "node1", "lib", "cluster")
TICK = os.sysconf("SC_CLK_TCK")
KNOWS_LIMIT = 1800
LOOK = 2  # s between two looks at what it knows
SAMPLES = 10  # looks at the ages of loads


def on_node(*command):
    return [MVLAB, "exec", "node1", "--", *command]


def text_of(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


class Agent:
    """The real one, in the lab's node."""

    def __init__(self):
        self.begin = time.monotonic()
        # As mvlab starts it, but without waiting for it.
        self.process = subprocess.Popen(
            on_node("mvd", "--state-dir", "/run/mvnode/lib", "--accel",
                    text_of(os.path.join(LAB, "accel"))),
            stdin=subprocess.DEVNULL,
            stderr=open(os.path.join(LAB, "node1", "mvd.log"), "ab"))
        self.pid = None

    def find(self):
        """Its number outside of the node."""
        network = os.readlink(f"/proc/{text_of(os.path.join(LAB, 'node1', 'pid')).split()[0]}"
                              "/ns/net")
        while not self.pid:
            if time.monotonic() > self.begin + 30:
                sys.exit("bench-agent: mvd does not start")
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if (text_of(f"/proc/{pid}/comm") == "mvd" and
                            os.readlink(f"/proc/{pid}/ns/net") == network):
                        self.pid = int(pid)
                except OSError:
                    pass
            time.sleep(0.01)

    def cpu(self):
        words = text_of(f"/proc/{self.pid}/stat").rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / TICK

    def memory(self):
        """RSS, PSS and what is its own, KiB."""
        found = {}
        for line in text_of(f"/proc/{self.pid}/smaps_rollup").splitlines()[1:]:
            name, value = line.split()[:2]
            found[name.rstrip(":")] = int(value)
        return {"rss_kib": found["Rss"], "pss_kib": found["Pss"],
                "anonymous_kib": found["Anonymous"]}

    def knows(self):
        """What it believes of the members, or None while it does not answer."""
        done = subprocess.run(on_node("mvctl", "cluster", "status", "--json"), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=120, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


class Crowd:
    """All other members."""

    def __init__(self, program):
        self.process = subprocess.Popen(on_node(program, "play", "/run/mvnode/lib/cluster"),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stats(self):
        self.process.stdin.write("stats\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def wait_until_known(agent, members):
    """Seconds from its start until all are alive for it, and until it knows the load of each."""
    alive = known = None
    while not (alive and known):
        now = time.monotonic() - agent.begin
        if now > KNOWS_LIMIT:
            sys.exit(f"bench-agent: after {KNOWS_LIMIT} s it does not know all members")
        status = agent.knows()
        believed = status["members"] if status else []
        if len(believed) == members:
            if os.environ.get("BENCH_TRACE"):
                print(f"{now:.0f} s:", sum(m["liveness"] == "alive" for m in believed), "alive,",
                      sum("load_age_ms" in m for m in believed), "known", file=sys.stderr)
            if all(m["liveness"] == "alive" for m in believed):
                alive = alive or now
            if all("load_age_ms" in m for m in believed):
                known = known or now
        time.sleep(LOOK)
    return alive, known


def rates(before, after, seconds):
    found = {}
    for way in ("in", "out"):
        for unit in ("datagrams", "bytes"):
            found[f"{way}_{unit}"] = sum(after[way][kind][unit] - before[way][kind][unit]
                                         for kind in after[way]) / seconds
    return found


def measure(program, members, seconds, settle):
    shutil.rmtree(CLUSTER, ignore_errors=True)
    subprocess.run([program, "make", CLUSTER, str(members)], check=True)
    crowd, agent = Crowd(program), Agent()
    agent.find()
    alive, known = wait_until_known(agent, members)
    print(f"{members} members: all alive after {alive:.0f} s, all known after {known:.0f} s",
          file=sys.stderr)
    time.sleep(settle)
    before, cpu, begin = crowd.stats(), agent.cpu(), time.monotonic()
    time.sleep(seconds)
    after, spent, taken = crowd.stats(), agent.cpu() - cpu, time.monotonic() - begin
    memory = agent.memory()
    ages = []
    for _ in range(SAMPLES):
        time.sleep(LOOK)
        status = agent.knows()
        others = [m for m in status["members"] if not m["self"]]
        ages += [m["load_age_ms"] / 1000 for m in others if "load_age_ms" in m]
    result = {
        "members": members, "seconds": taken, "cpu_percent": 100 * spent / taken,
        **memory, **rates(before, after, taken),
        "alive": sum(m["liveness"] == "alive" for m in others) + 1,
        "known": len(ages) / SAMPLES + 1,
        "age_mean": sum(ages) / len(ages), "age_most": max(ages),
        "age_expected": after.get("average_age"), "window": after["window"],
        "all_alive_after": alive, "all_known_after": known,
        "refused": after["refused"], "datagrams": status["datagrams"],
    }
    agent.stop()
    crowd.stop()
    return result


ROWS = (
    ("CPU, % of one", "{cpu_percent:.2f}"),
    ("RSS, MiB", "{rss_mib:.1f}"),
    ("of which anonymous", "{anonymous_mib:.1f}"),
    ("PSS, MiB", "{pss_mib:.1f}"),
    ("datagrams/s in", "{in_datagrams:.1f}"),
    ("datagrams/s out", "{out_datagrams:.1f}"),
    ("KiB/s in", "{in_kib:.1f}"),
    ("KiB/s out", "{out_kib:.1f}"),
    ("believed alive", "{alive}"),
    ("loads known", "{known:.1f}"),
    ("their age, s: mean", "{age_mean:.1f}"),
    ("expected", "{expected}"),
    ("highest", "{age_most:.1f}"),
    ("from start until all are alive, s", "{all_alive_after:.0f}"),
    ("until all loads are known, s", "{all_known_after:.0f}"),
)


def table(results):
    print("| members |" + "".join(f" {r['members']} |" for r in results))
    print("| --- |" + " ---: |" * len(results))
    for name, form in ROWS:
        cells = (form.format(rss_mib=r["rss_kib"] / 1024, pss_mib=r["pss_kib"] / 1024,
                             expected=("" if r["age_expected"] is None else
                                       f"{r['age_expected']:.1f}"),
                             anonymous_mib=r["anonymous_kib"] / 1024,
                             in_kib=r["in_bytes"] / 1024, out_kib=r["out_bytes"] / 1024, **r)
                 for r in results)
        print(f"| {name} |" + "".join(f" {cell} |" for cell in cells))


def main():
    program, output, seconds, settle = sys.argv[1:5]
    results = [measure(program, int(members), float(seconds), float(settle))
               for members in sys.argv[5:]]
    with open(output, "w", encoding="ascii") as file:
        json.dump(results, file, indent=1)
    table(results)


main()
