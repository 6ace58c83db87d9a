#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scheduler is worth: the published comparison, today's balancers, trouble.

Runs mvsim and writes scheduler.json and, where gnuplot is, plots into a directory. What mvsim
says is kept in --keep, and used again for the same command of the same program. With --check
it does a short form of it and fails when a promise is not kept.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True  # not into the source tree
from runs import key, run_all  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSIC = "mosix,rr,e-pvm,e-mosix,monovisor,mv-nowait"
MODERN = "mosix,best-fit,least-loaded,two-choices,proxmox,drs"
PARTS = ("mv-none,mv-place,mv-move,mv-weight,mv-place+move,mv-place+weight,mv-move+weight,"
         "monovisor")
MOSIX = "mosix,mosix-best,mosix-known,mosix+weight,mosix-best+weight,mosix-known+weight"
ABLATION = MOSIX + ",mv-none,mv-weight,mv-move,mv-best,mv-even,mv-nowait,mv-place+move,monovisor"
MOVING = "mosix,mv-even,mv-nowait,monovisor"
LIFETIMES = "mosix,mosix-best,mosix-best+weight,least-loaded,mv-place+move,monovisor"
TROUBLE = ("flash", "oscillate", "honest", "liar", "boaster", "hider", "visitor", "drained",
           "parted", "usher", "talkers")
BENCHMARKS = os.path.join(HERE, "..", "benchmarks.md")
KNOWN = (10, 100, 1000, 10000)
# Amir et al. 2000, table 3, simulation, by execution.
PUBLISHED = {"rr/mosix": 1.675155, "e-pvm/mosix": 1.144674, "rr/e-pvm": 1.463435}


def run_of(scenario, runs, methods, *more):
    return ["run", scenario, "--seed=1", f"--runs={runs}", f"--methods={methods}", *more]


def measured_move():
    """The parameters of a move, from what `make bench-migrate` measured. The guest stands still
    while its memory is sent, and the time depends on how much that is."""
    cells = {}
    with open(BENCHMARKS, encoding="utf-8") as file:
        for line in file:
            row = [cell.strip() for cell in line.split("|")[1:-1]]
            if row[:2] in (["idle/32", "node1"], ["idle/512", "node1"]):
                cells.setdefault(row[0], []).append(row)
    try:
        (total, _), (small, large) = zip(*cells.values())
        total, sizes = float(total[2]) / 1000, [float(row[7]) * 2**20 for row in (small, large)]
        stops = [float(row[2]) / 1000 for row in (small, large)]
    except (IndexError, ValueError):
        sys.exit(f"{BENCHMARKS}: no figures of a move of idle/32 and idle/512 from node1")
    bandwidth = (sizes[1] - sizes[0]) / (stops[1] - stops[0])
    return [f"--param=bandwidth={bandwidth:.3g}", f"--param=setup={total - stops[0]:.3f}",
            f"--param=resume={max(stops[0] - sizes[0] / bandwidth, 0):.3f}",
            "--param=stop=3600"]


def moving(listed):
    """What moves and messages that are worse than expected change."""
    trials = {
        "moves-exact": ["--param=move_noise=0"],
        "moves-usual": [],
        "moves-wild": ["--param=move_noise=1"],
        "moves-slow": ["--param=setup=5", "--param=resume=1", "--param=bandwidth=3e6"],
        "moves-measured": measured_move(),
        "messages-perfect": ["--param=delay=0", "--param=loss=0"],
        "messages-bad": ["--param=delay=0.5", "--param=loss=0.1"],
        "messages-awful": ["--param=delay=2", "--param=loss=0.5"],
    }
    for name, params in trials.items():
        listed[name] = run_of("published", 60, MOVING, *params)


def commands(short):
    """Name of each experiment, and mvsim's arguments."""
    runs = 60 if short else 3000
    listed = {"published": run_of("published", runs, CLASSIC)}
    if not short:
        listed["modern"] = run_of("published", runs, MODERN)
        listed["free"] = run_of("published", 500, "mosix,rr,e-pvm,e-mosix", "--free-moves")
        listed["ablation"] = run_of("published", 200, ABLATION)
        listed["parts"] = run_of("mixed", 3, PARTS)
        listed["mixed-mosix"] = run_of("mixed", 3, MOSIX + ",mv-place+move,monovisor")
        moving(listed)
    for name in ("oscillate", "honest", "liar", "boaster", "drained", "usher") if short else TROUBLE:
        listed["stable-" + name] = run_of(name, 1 if short else 10, "mosix,monovisor")
    if not short:
        listed["stable-usher-exact"] = run_of("usher", 10, "mosix,monovisor",
                                              "--param=move_noise=0")
        listed["stable-usher-wild"] = run_of("usher", 10, "mosix,monovisor",
                                             "--param=move_noise=1")
        listed["lublin"] = run_of("lublin", 3, LIFETIMES)
        listed["pareto"] = run_of("pareto", 3, LIFETIMES)
        listed["large"] = run_of("./large.json", 1, "monovisor")
    for known in () if short else KNOWN:
        listed[f"decide-{known}"] = ["decide", f"--nodes={known}", "--seed=1"]
    return listed


# ---- what mvsim does not work out itself ----

def quantiles(values):
    values = sorted(values)
    return [values[round(i * (len(values) - 1) / 100)] for i in range(101)]


def condense(result):
    """Instead of the mean of each run, how the ratio to the reference is distributed."""
    means = {row["method"]: row.pop("means") for row in result["methods"]}
    reference = means[result["reference"]]
    for row in result["methods"]:
        row["scenario"] = result["scenario"]
        row["params"] = " ".join(word.removeprefix("--param=") for word in
                                 result["command"].split() if word.startswith("--param="))
        ratios = [a / b for a, b in zip(means[row["method"]], reference) if b > 0]
        del row["bytes"]  # of gossip, which gossip.json is about
        row["ratio_quantiles"] = [round(ratio, 4) for ratio in quantiles(ratios)]
    return means


def row_of(result, method):
    return next(row for row in result["methods"] if row["method"] == method)


def ratios_of(result):
    mean = {row["method"]: row["by_execution"] for row in result["methods"]}
    return {name: mean[name.split("/")[0]] / mean[name.split("/")[1]] for name in PUBLISHED}


# ---- instructions, by callgrind ----

def instructions(path):
    """Inclusive instructions per call of each decision, from callgrind's calls."""
    names, totals, callee = {}, {}, None
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = re.match(r"cfn=\((\d+)\)(?: (\S+))?", line)
            if found:
                names.setdefault(found[1], found[2])
                callee = names[found[1]]
            elif found := re.match(r"fn=\((\d+)\)(?: (\S+))?", line):
                names.setdefault(found[1], found[2])
            elif line.startswith("calls="):
                count = int(line[6:].split()[0])
                cost = int(next(file).split()[1])
                calls, total = totals.get(callee, (0, 0))
                totals[callee] = calls + count, total + cost
    return {short: totals[name][1] / totals[name][0] for short, name in
            (("place", "sched_place"), ("balance", "sched_balance"), ("usher", "sched_usher")) if name in totals}


def count_instructions(mvsim, keep, known):
    arguments = ["decide", f"--nodes={known}", "--seed=1"]
    path = os.path.join(keep, f"callgrind-{known}-{key(mvsim, arguments)}.out")
    if not os.path.exists(path):
        subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}.new",
                        mvsim, *arguments], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.replace(path + ".new", path)
    return instructions(path)


# ---- plots ----

def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def plot_ratios(path, results):
    rows = {row["method"]: row for name in ("modern", "published")
            for row in results[name]["methods"] if row["method"] != "mosix"}.values()
    data = "".join(f"${i} << EOD\n".replace("$", "$m") +
                   "".join(f"{q} {ratio}\n" for q, ratio in enumerate(row["ratio_quantiles"])) +
                   "EOD\n" for i, row in enumerate(rows))
    lines = ", ".join(f"$m{i} using 2:1 with lines linewidth 2 dashtype {1 + i // 5} "
                      f"title '{row['method']}'" for i, row in enumerate(rows))
    gnuplot(f"""{data}
set terminal svg size 800,460 font 'sans,12'
set output '{path}'
set title "Mean slowdown of an execution, in terms of MOSIX's on the same jobs"
set logscale x 2
set xrange [0.2:8]
set xlabel 'ratio (smaller is better)'
set ylabel 'share of the executions, %'
set key outside
set arrow from 1,0 to 1,100 nohead dashtype 2
plot {lines}
""")


def plot_parts(path, results):
    """The ablation: how much is due to which part, without and with weights."""
    pairs = (("MOSIX", "mosix", "mosix+weight"),
             ("MOSIX, starts at the best", "mosix-best", "mosix-best+weight"),
             ("MOSIX, all known", "mosix-known", "mosix-known+weight"),
             ("ours", "mv-even", "mv-nowait"),
             ("ours, jobs wait for memory", "mv-place+move", "monovisor"))
    data = "".join(f"\"{label}\" {row_of(results['ablation'], plain)['by_execution']} "
                   f"{row_of(results['ablation'], weighted)['by_execution']}\n"
                   for label, plain, weighted in pairs)
    gnuplot(f"""$parts << EOD
{data}EOD
set terminal svg size 760,440 font 'sans,12'
set output '{path}'
set title 'What the parts bring ("published")'
set style data histograms
set style fill solid 0.7
set yrange [0:*]
set ylabel 'mean slowdown by execution'
set xtics rotate by -25
set key outside top center horizontal
plot $parts using 2:xtic(1) title 'all weights equal', '' using 3 title 'weights by attained service'
""")


def plot_deciding(path, rows):
    data = "".join(f"{row['nodes']} {row['place']} {row['balance']} {row['usher']}\n" for row in rows)
    gnuplot(f"""$deciding << EOD
{data}EOD
set terminal svg size 640,400 font 'sans,12'
set output '{path}'
set title 'Time of a decision'
set logscale xy
set xlabel 'known nodes'
set ylabel 'ns'
set key left top
plot $deciding using 1:2 with linespoints title 'where a job starts', \\
     '' using 1:3 with linespoints title 'whether one of 32 moves', \\
     '' using 1:4 with linespoints title 'which of 32 leaves when memory is short'
""")


# ---- the promises ----

failures = []


def promise(kept_it, what):
    if not kept_it:
        failures.append(what)


def check_published(result, share):
    """`share`: how far from the published ratios; a short form has few executions."""
    for name, ratio in ratios_of(result).items():
        promise(abs(ratio / PUBLISHED[name] - 1) <= share,
                f"{name} is {ratio:.3f}, published {PUBLISHED[name]:.3f}")
    for method in "monovisor", "mv-nowait":
        row = row_of(result, method)
        promise(row["ratio"] < 1 - 0.27, f"{method}'s slowdown is {row['ratio']:.3f} of MOSIX's")
        promise(row["wins"] >= 0.9, f"{method} wins {100 * row['wins']:.1f} %")
        promise(row["move_seconds"] > 0, f"{method}'s moves cost nothing")
    promise(row_of(result, "monovisor")["over_memory"] == 0, "memory was over-committed")


def check_stability(name, result, short):
    ours, mosix = row_of(result, "monovisor"), row_of(result, "mosix")
    # Its jobs grow about as fast as the network carries them away: a move that takes several
    # times as long as it was forecast to comes too late, which the page says.
    late = name == "stable-usher-wild" and ours["over_memory"] < 200
    promise(late or (ours["over_memory"] == 0 and ours["worst_memory"] <= 1),
            f"{name}: a node was above its memory")
    promise(ours["unfinished"] == 0, f"{name}: not all jobs ended")
    promise(ours["most_moves"] <= 40, f"{name}: one job moved {ours['most_moves']} times")
    promise(ours["moves"] <= mosix["moves"],
            f"{name}: {ours['moves']:.2f} moves per job, MOSIX {mosix['moves']:.2f}")
    promise(short or late or ours["by_execution"] < mosix["by_execution"],
            f"{name}: mean slowdown {ours['by_execution']:.3f}, MOSIX {mosix['by_execution']:.3f}")


def check(results, short):
    check_published(results["published"], 0.2 if short else 0.1)
    for name, result in results.items():
        if name.startswith("stable-"):
            check_stability(name, result, short)
    honest = row_of(results["stable-honest"], "monovisor")["by_execution"]
    for name in "liar", "boaster", "hider":
        if "stable-" + name in results:
            liar = row_of(results["stable-" + name], "monovisor")["by_execution"]
            promise(liar < 1.5 * honest, f"a {name} makes all jobs {liar / honest:.2f} times as slow")
    if "modern" in results:
        best = min(row["ratio"] for row in results["modern"]["methods"] if row["method"] != "mosix")
        for method in "mv-even", "mv-nowait", "monovisor":
            ours = row_of(results["ablation"], method)["ratio"]
            promise(ours < best, f"{method} has {ours:.3f} of MOSIX's slowdown, a balancer of today {best:.3f}")
    for name in "lublin", "pareto":
        if name in results:
            row = row_of(results[name], "monovisor")
            promise(row["ratio"] < 0.9 and row["over_memory"] == 0,
                    f"{name}: the slowdown is {row['ratio']:.3f} of MOSIX's, "
                    f"{row['over_memory']:.0f} s over memory")
    for name, result in results.items():
        if name.startswith(("moves-", "messages-")):
            row = row_of(result, "monovisor")
            promise(row["geometric"] < 0.73 and row["wins"] >= 0.9,
                    f"{name}: the slowdown is {row['geometric']:.3f} of MOSIX's, "
                    f"{100 * row['wins']:.0f} % of the executions are won")
            promise((row["time_off"] == 0) == (name == "moves-exact"), f"{name}: forecasts are off by "
                    f"{row['time_off']:.3f}")


def print_results(results):
    for name, result in results.items():
        print(f"{name}: {result['command']}")
        for row in result.get("methods", ()):
            print(f"  {row['method']:16} by execution {row['by_execution']:8.3f}, ratio "
                  f"{row['ratio']:.3f}, wins {100 * row['wins']:5.1f} %, moves "
                  f"{row['moves']:.3f}, over memory {row['over_memory']:.0f} s")
    for name, ratio in ratios_of(results["published"]).items():
        print(f"{name} {ratio:.3f}, published {PUBLISHED[name]:.3f}")


def write(options, results):
    if shutil.which("valgrind"):
        for known in KNOWN:
            results[f"decide-{known}"]["instructions"] = \
                count_instructions(options.mvsim, options.keep, known)
    results["ratios"] = {name.replace("/", " to "): {"measured": ratio,
                                                     "published": PUBLISHED[name]}
                         for name, ratio in ratios_of(results["published"]).items()}
    results["cpu_minutes"] = sum(result.get("cpu_seconds", 0) for result in results.values()) / 60
    with open(os.path.join(options.directory, "scheduler.json"), "w", encoding="utf-8") as out:
        json.dump(results, out, indent=1)
        out.write("\n")
    if shutil.which("gnuplot"):
        plot_ratios(os.path.join(options.directory, "published.svg"), results)
        plot_parts(os.path.join(options.directory, "parts.svg"), results)
        plot_deciding(os.path.join(options.directory, "deciding.svg"),
                      [results[f"decide-{known}"] for known in KNOWN])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mvsim", help="the program")
    parser.add_argument("directory", nargs="?", help="where the results go")
    parser.add_argument("--keep", help="directory of what mvsim says")
    parser.add_argument("--check", action="store_true", help="the short form; writes nothing")
    options = parser.parse_args()
    if options.check == bool(options.directory):
        parser.error("give a directory, or --check")
    if options.directory and not options.keep:
        options.keep = os.path.join(options.directory, "raw")
    options.mvsim = os.path.abspath(options.mvsim)
    listed = commands(options.check)
    results = dict(zip(listed, run_all(options.mvsim, options.keep, listed.values())))
    for result in results.values():
        if "methods" in result:
            condense(result)
    print_results(results)
    check(results, options.check)
    if options.directory:
        write(options, results)
    for failure in failures:
        print("not so:", failure, file=sys.stderr)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
