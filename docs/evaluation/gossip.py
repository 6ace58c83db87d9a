#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How old is what nodes know of each other, and how soon they notice a death.

Runs mvsim and writes gossip.json and, where gnuplot is, gossip.svg and swim.svg into a
directory; or, with --check, does a short form of it and fails when a promise is not kept:
measured ages within a tenth of the published formulas, as many bytes per node with any
number of nodes, every death noticed, nobody wrongly declared dead at 1 % loss, and where nodes
are short of CPU no more with Lifeguard than without.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True  # not into the source tree
import runs  # noqa: E402

WINDOW = 16
KEEP = None  # directory of what mvsim says


def run_all(mvsim, list_of_arguments):
    return runs.run_all(mvsim, KEEP, list_of_arguments)


def mean(results, field):
    return sum(run[field] for run in results) / len(results)


def gossip_arguments(nodes, seed, *more, adapt=False):
    window = "--adapt" if adapt else f"--window={WINDOW}"
    return ["gossip", f"--nodes={nodes}", window, f"--seed={seed}", *more]


def measure_ages(mvsim, sizes, seeds, *more, adapt=False):
    """To the end, where ages no longer change."""
    rows = []
    for nodes in sizes:
        done = run_all(mvsim, [gossip_arguments(nodes, seed, *more, adapt=adapt) for seed in seeds])
        row = {"nodes": nodes, "window": done[0]["window"], "seeds": len(seeds),
               "command": done[0]["command"], "runs": done, "bytes": mean(done, "bytes")}
        for what in "average", "maximum":
            row[what] = mean(done, what)
            row[what + "_formula"] = done[0][what + "_formula"]
        rows.append(row)
    return rows


def measure_large(mvsim, sizes, seed, steps=100):
    """The first steps only: how many entries are at most so old."""
    rows = []
    for run in run_all(
        mvsim, [gossip_arguments(n, seed, f"--steps={steps}", "--observers=16") for n in sizes]
    ):
        row = {"nodes": run["nodes"], "window": WINDOW, "bytes": run["bytes"],
               "up_to": run["up_to"], "runs": [run], "command": run["command"],
               "average_formula": run["average_formula"],
               "maximum_formula": run["maximum_formula"]}
        for age, got, want in run["up_to"][2:]:
            row[f"up_to_{age:.0f}"] = got
            row[f"up_to_{age:.0f}_formula"] = want
        rows.append(row)
    return rows


def measure_detector(mvsim, nodes, losses, slows, seeds, deaths):
    rows = []
    for slow in slows:
        for loss in losses:
            for lifeguard in False, True:
                arguments = [
                    "swim", f"--nodes={nodes}", f"--deaths={deaths}", f"--loss={loss}",
                    f"--slow={slow}", "--stall=5", *([] if lifeguard else ["--no-lifeguard"]),
                ]
                done = run_all(mvsim, [arguments + [f"--seed={seed}"] for seed in seeds])
                fields = ("first_suspect", "first_dead", "all_dead", "wrong_per_hour",
                          "suspicions", "messages", "bytes")
                rows.append({
                    "nodes": nodes, "loss": loss, "slow": slow, "lifeguard": lifeguard,
                    "deaths": deaths * len(seeds), "runs": done,
                    "detected": sum(run["detected"] for run in done),
                    **{field: mean(done, field) for field in fields},
                })
    return rows


# ---- for people ----

def print_ages(rows):
    print("nodes  average age (formula)  maximum age (formula)  bytes per node and step")
    for row in rows:
        print(f"{row['nodes']:6}  {row['average']:7.2f} ({row['average_formula']:7.2f})"
              f"  {row['maximum']:10.1f} ({row['maximum_formula']:7.1f})  {row['bytes']:9.0f}")


def print_large(rows):
    for row in rows:
        known = ", ".join(f"{age:.0f}: {got:.0f} ({want:.0f})" for age, got, want in row["up_to"])
        print(f"{row['nodes']} nodes, {row['bytes']:.0f} bytes per node and step, "
              f"entries at most so old (formula): {known}")


def print_detector(rows):
    print("loss  slow  lifeguard  suspected  dead for one  for all  noticed  "
          "wrong per hour  messages  bytes")
    for row in rows:
        print(f"{row['loss']:4.2f}  {row['slow']:4.2f}  {'yes' if row['lifeguard'] else 'no':9}"
              f"  {row['first_suspect']:7.2f} s  {row['first_dead']:10.2f} s"
              f"  {row['all_dead']:5.2f} s  {row['detected']:3}/{row['deaths']:3}"
              f"  {row['wrong_per_hour']:14.2f}  {row['messages']:8.2f}  {row['bytes']:5.0f}")


# ---- plots ----

def gnuplot(script, data):
    subprocess.run(["gnuplot"], input=data + script, text=True, check=True)


def plot_ages(path, rows):
    data = "$ages << EOD\n" + "".join(
        f"{r['nodes']} {r['average']} {r['average_formula']} {r['maximum']}"
        f" {r['maximum_formula']}\n" for r in rows) + "EOD\n"
    gnuplot(f"""
set terminal svg size 640,420 font 'sans,12'
set output '{path}'
set title 'Age of what a node knows of others (window {WINDOW})'
set logscale xy 2
set xlabel 'nodes'
set ylabel 'age, steps of one second'
set key left top
plot $ages using 1:3 with lines title 'average, formula', \\
     '' using 1:2 with points pointtype 7 title 'average, measured', \\
     '' using 1:5 with lines title 'maximum, formula', \\
     '' using 1:4 with points pointtype 5 title 'maximum, measured'
""", data)


def plot_detector(path, rows):
    slow = [row for row in rows if row["slow"] > 0]
    losses = sorted({row["loss"] for row in slow})

    def pick(loss, lifeguard):
        return next(r for r in slow if r["loss"] == loss and r["lifeguard"] == lifeguard)

    data = "$swim << EOD\n" + "".join(
        f"\"{loss:.0%}\" " + " ".join(
            f"{pick(loss, guard)['wrong_per_hour']} {pick(loss, guard)['all_dead']}"
            for guard in (False, True)) + "\n"
        for loss in losses) + "EOD\n"
    gnuplot(f"""
set terminal svg size 640,420 font 'sans,12'
set output '{path}'
set multiplot layout 1,2 title '{slow[0]['nodes']} nodes, every tenth short of CPU'
set style data histograms
set style fill solid 0.7
set xlabel 'messages lost'
set yrange [0:*]
set key outside top center horizontal
set ylabel 'living nodes declared dead, per hour'
plot $swim using 2:xtic(1) title 'SWIM', '' using 4 title 'with Lifeguard'
set ylabel 'seconds until all know of a death'
plot $swim using 3:xtic(1) title 'SWIM', '' using 5 title 'with Lifeguard'
""", data)


# ---- the promises ----

failures = []


def promise(kept, what):
    if not kept:
        failures.append(what)


def check_ages(rows):
    for row in rows:
        for what in "average", "maximum":
            ratio = row[what] / row[what + "_formula"]
            promise(0.9 <= ratio <= 1.1, f"with {row['nodes']} nodes the {what} age is "
                    f"{ratio:.3f} times the formula's")


def check_bytes(rows):
    sizes = [row["bytes"] for row in rows]
    promise(max(sizes) < 1.1 * min(sizes), f"bytes per node are not constant: {sizes}")


def check_large(rows):
    for row in rows:
        # The first points are of a few steps, which the formula takes for a continuum.
        for age, got, want in row["up_to"][2:]:
            promise(0.9 <= got / want <= 1.1, f"with {row['nodes']} nodes {got:.0f} entries "
                    f"are at most {age:.0f} steps old, and not {want:.0f}")


def check_detector(rows):
    for row in rows:
        promise(row["detected"] == row["deaths"], f"not all deaths were noticed: {row['detected']} "
                f"of {row['deaths']} at loss {row['loss']}")
        promise(not row["lifeguard"] or row["slow"] or row["loss"] > 0.01 or
                row["wrong_per_hour"] == 0, f"nodes were wrongly declared dead at loss {row['loss']}")
    # What Lifeguard is for: of single losses there are too few deaths to compare.
    wrong = {guard: sum(row["wrong_per_hour"] for row in rows
                        if row["slow"] and row["lifeguard"] == guard) for guard in (True, False)}
    promise(wrong[True] <= wrong[False], f"with slow nodes {wrong[True]:.1f} an hour were wrongly "
            f"declared dead with Lifeguard, and {wrong[False]:.1f} without")


def main():
    global KEEP
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mvsim", help="the program")
    parser.add_argument("directory", nargs="?", help="where the results go")
    parser.add_argument("--check", action="store_true", help="the short form; writes nothing")
    parser.add_argument("--keep", help="directory of what mvsim says")
    options = parser.parse_args()
    options.mvsim = os.path.abspath(options.mvsim)
    KEEP = options.keep
    if options.check == bool(options.directory):
        parser.error("give a directory, or --check")
    if options.check:
        ages = measure_ages(options.mvsim, (64, 256), (1, 2))
        large = measure_large(options.mvsim, (5000,), 1)
        adaptive = measure_ages(options.mvsim, (128,), (1, 2), adapt=True)
        detector = measure_detector(options.mvsim, 64, (0.01, 0.1), (0,), (1, 2), 4)
        detector += measure_detector(options.mvsim, 64, (0.1,), (0.1,), (1, 2), 4)
    else:
        ages = measure_ages(options.mvsim, (64, 128, 256, 512, 1024), (1, 2, 3))
        ages += measure_ages(options.mvsim, (2048,), (1,))
        # Half as long again as the oldest entry's expected age; all nodes as observers would need too much memory.
        ages += measure_ages(options.mvsim, (10000,), (1,), "--steps=9000", "--observers=16")
        adaptive = measure_ages(options.mvsim, (16, 32, 64, 128, 256, 512), (1, 2, 3), adapt=True)
        large = measure_large(options.mvsim, (10000, 100000), 1)
        detector = measure_detector(options.mvsim, 256, (0, 0.01, 0.1), (0, 0.1),
                                    (1, 2, 3, 4, 5), 8)
    print_ages(ages + adaptive)
    print_large(large)
    print_detector(detector)
    if options.directory:
        with open(os.path.join(options.directory, "gossip.json"), "w") as out:
            everything = [run for part in (ages, adaptive, large, detector)
                          for row in part for run in row["runs"]]
            json.dump({"ages": ages, "adaptive": adaptive, "large": large, "detector": detector,
                       "cpu_minutes": sum(run["cpu_seconds"] for run in everything) / 60},
                      out, indent=1)
            out.write("\n")
        if shutil.which("gnuplot"):
            plot_ages(os.path.join(options.directory, "gossip.svg"), ages)
            plot_detector(os.path.join(options.directory, "swim.svg"), detector)
    check_ages(ages)
    check_bytes(ages + large)
    check_large(large)
    for row in adaptive:
        promise(row["average"] < 8.5, f"with {row['nodes']} nodes and the window that mvd chooses "
                f"what is known is {row['average']:.1f} steps old")
    check_detector(detector)
    for failure in failures:
        print("not so:", failure, file=sys.stderr)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
