#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scheduler is worth: the published comparison, today's balancers, trouble.

Runs mvsim and writes scheduler.json and, where gnuplot is, plots into a directory. What mvsim
says is kept in --keep, and used again while it is newer than mvsim. With --check it does a
short form of it and fails when a promise is not kept.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PARALLEL = 2
CLASSIC = "mosix,rr,e-pvm,e-mosix,monovisor,mv-nowait"
MODERN = "mosix,best-fit,least-loaded,two-choices,proxmox,drs"
PARTS = ("mv-none,mv-place,mv-move,mv-weight,mv-place+move,mv-place+weight,mv-move+weight,"
         "monovisor")
TROUBLE = ("flash", "oscillate", "liar", "honest", "visitor", "drained", "usher", "talkers")
KNOWN = (10, 100, 1000, 10000)
# Amir et al. 2000, table 3, simulation, by execution.
PUBLISHED = {"rr/mosix": 1.675155, "e-pvm/mosix": 1.144674, "rr/e-pvm": 1.463435}


def run_of(scenario, runs, methods, *more):
    return ["run", scenario, "--seed=1", f"--runs={runs}", f"--methods={methods}", *more]


def commands(short):
    """Name of each experiment, and mvsim's arguments."""
    runs = 60 if short else 3000
    listed = {"published": run_of("published", runs, CLASSIC)}
    if not short:
        listed["modern"] = run_of("published", runs, MODERN)
        listed["free"] = run_of("published", 500, "mosix,rr,e-pvm,e-mosix", "--free-moves")
        listed["parts"] = run_of("mixed", 8, PARTS)
    for name in ("oscillate", "liar", "honest", "drained", "usher") if short else TROUBLE:
        listed["stable-" + name] = run_of(name, 1 if short else 10, "mosix,monovisor")
    if not short:
        listed["large"] = run_of("./large.json", 1, "monovisor")
    for known in () if short else KNOWN:
        listed[f"decide-{known}"] = ["decide", f"--nodes={known}", "--seed=1"]
    return listed


# ---- running ----

def run(mvsim, arguments):
    """What it says, and the memory that it took."""
    with subprocess.Popen([mvsim, *arguments, "--json"], stdout=subprocess.PIPE, text=True,
                          cwd=HERE) as process:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"mvsim {' '.join(arguments)} failed")
    return json.dumps({**json.loads(text), "rss_mib": round(usage.ru_maxrss / 1024)})


def kept(mvsim, keep, name, arguments):
    path = keep and os.path.join(keep, name + ".json")
    if path and os.path.exists(path) and os.path.getmtime(path) > os.path.getmtime(mvsim):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    else:
        text = run(mvsim, arguments)
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    return {"command": " ".join(["mvsim", *arguments]), **json.loads(text)}


def run_all(mvsim, keep, listed):
    if keep:
        os.makedirs(keep, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        jobs = {name: pool.submit(kept, mvsim, keep, name, arguments)
                for name, arguments in listed.items()}
        return {name: job.result() for name, job in jobs.items()}


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
    """Inclusive instructions per call of the two decisions, from callgrind's calls."""
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
            (("place", "sched_place"), ("balance", "sched_balance")) if name in totals}


def count_instructions(mvsim, keep, known):
    path = os.path.join(keep, f"callgrind-{known}.out")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(mvsim):
        subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}", mvsim,
                        "decide", f"--nodes={known}", "--seed=1"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return instructions(path)


# ---- plots ----

def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def plot_ratios(path, results):
    rows = [row for name in ("published", "modern") for row in results[name]["methods"]
            if row["method"] != "mosix"]
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


def plot_parts(path, result):
    data = "".join(f"\"{row['method'].removeprefix('mv-')}\" {row['by_execution']}\n"
                   for row in result["methods"])
    gnuplot(f"""$parts << EOD
{data}EOD
set terminal svg size 720,400 font 'sans,12'
set output '{path}'
set title 'What the parts bring ("mixed")'
set style data histograms
set style fill solid 0.7
set logscale y
set ylabel 'mean slowdown'
set xtics rotate by -30
unset key
plot $parts using 2:xtic(1)
""")


def plot_deciding(path, rows):
    data = "".join(f"{row['nodes']} {row['place']} {row['balance']}\n" for row in rows)
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
     '' using 1:3 with linespoints title 'whether one of 32 moves'
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


def check_stability(name, result):
    ours, mosix = row_of(result, "monovisor"), row_of(result, "mosix")
    promise(ours["over_memory"] == 0 and ours["worst_memory"] <= 1,
            f"{name}: a node was above its memory")
    promise(ours["unfinished"] == 0, f"{name}: not all jobs ended")
    promise(ours["most_moves"] <= 40, f"{name}: one job moved {ours['most_moves']} times")
    promise(name == "stable-liar" or ours["moves"] <= mosix["moves"],
            f"{name}: {ours['moves']:.2f} moves per job, MOSIX {mosix['moves']:.2f}")


def check(results, short):
    check_published(results["published"], 0.2 if short else 0.1)
    for name, result in results.items():
        if name.startswith("stable-"):
            check_stability(name, result)
    liar, honest = (row_of(results["stable-" + name], "monovisor")["by_execution"]
                    for name in ("liar", "honest"))
    promise(liar < 3 * honest, f"a liar makes all jobs {liar / honest:.2f} times as slow")


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
    with open(os.path.join(options.directory, "scheduler.json"), "w", encoding="utf-8") as out:
        json.dump(results, out, indent=1)
        out.write("\n")
    if shutil.which("gnuplot"):
        plot_ratios(os.path.join(options.directory, "published.svg"), results)
        plot_parts(os.path.join(options.directory, "parts.svg"), results["parts"])
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
    results = run_all(options.mvsim, options.keep, commands(options.check))
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
