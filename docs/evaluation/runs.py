# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of mvsim, a few at a time; results are kept for the same command of the same program."""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PARALLEL = 2


def run(mvsim, arguments):
    """What it says, and the memory and the time that it took."""
    with subprocess.Popen([mvsim, *arguments, "--json"], stdout=subprocess.PIPE, text=True,
                          cwd=HERE) as process:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"mvsim {' '.join(arguments)} failed")
    return json.dumps({**json.loads(text), "rss_mib": round(usage.ru_maxrss / 1024),
                       "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1)})


def key(mvsim, arguments):
    """The same for the same command of the same program, and for nothing else."""
    digest = hashlib.sha256(json.dumps(arguments).encode())
    files = [mvsim] + [os.path.join(HERE, word) for word in arguments if word.startswith("./")]
    for path in files:
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:16]


def kept(mvsim, keep, arguments):
    path = keep and os.path.join(keep, f"{arguments[0]}-{key(mvsim, arguments)}.json")
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    else:
        text = run(mvsim, arguments)
        if path:
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(path + ".new", path)
    return {"command": " ".join(["mvsim", *arguments]), **json.loads(text)}


def run_all(mvsim, keep, commands):
    """The results, in the order of the commands; `keep` is a directory, or None."""
    if keep:
        os.makedirs(keep, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda arguments: kept(mvsim, keep, arguments), commands))
