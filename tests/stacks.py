#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write down where processes wait, and what their logs and guests said last.

    tests/stacks.py [PID]...

The processes are those named, their descendants, and if MV_TEST_TMP is set, which
tests/lib.sh does, those of that test.

For a wait that took too long, before anything is killed: tests/driver does so at
a test's limit, and tests/lib.sh when a wait of its own times out. Of every thread
the state and the stack in the kernel, of our own programs the stacks in user
space too (gdb or eu-stack, if there is one), the end of the file that a daemon,
mvrun or QEMU has for its standard error, and the end of each guest's console.

A test's processes are those with the same MV_TEST_TMP in their environment, their
descendants, and whoever shares with one a mount namespace that is not also that of who
started the test: libvirt gives QEMU an environment of its own.
"""
import os
import re
import subprocess
import sys
import threading

DEBUGGED = {"mvrun", "mvd", "mvctl", "mvkit", "mvmount"}  # and every unit test
LOGGING = {"mvrun", "mvd", "libvirtd", "qemu-system-x86"}
LINES = 60  # of a log's or a console's end
DEBUGGER_LIMIT = 30  # seconds
MEMORY_LIMIT = 5


def raw(path):
    with open(path, "rb") as file:
        return file.read()


def text(data):
    """What a guest or a program wrote, made fit for a terminal."""
    return re.sub(r"[^\t\n -~]", "", data.decode(errors="replace"))


def read(path):
    try:
        return text(raw(path).replace(b"\0", b" ")).strip()
    except OSError as error:
        return f"({error.strerror})"


def read_memory(path):
    """The words in a file whose reader takes a lock of the process's memory, which
    another of its threads may hold for good."""
    answer = []

    def get():
        try:
            answer.extend(raw(path).split(b"\0"))
        except OSError:
            pass

    reader = threading.Thread(target=get, daemon=True)
    reader.start()
    reader.join(MEMORY_LIMIT)
    return list(answer)


def describe(pid):
    words = b" ".join(read_memory(f"/proc/{pid}/cmdline"))
    return f"{pid} {read(f'/proc/{pid}/comm')}: {text(words)[:200].strip()}"


# ---- which processes ----


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def parents():
    """The parent of every process, by pid; those that have ended are left out."""
    table = {}
    for pid in processes():
        try:
            fields = raw(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] != b"Z":
            table[pid] = int(fields[1])
    return table


def descendants(roots, table):
    found, generation = [], list(roots)
    while generation:
        generation = [pid for pid, parent in table.items()
                      if parent in generation and pid not in found]
        found += generation
    return found


def mounts(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return None


def of_test(directory, table):
    mark = b"MV_TEST_TMP=" + os.fsencode(directory)
    found = {pid for pid in table if mark in read_memory(f"/proc/{pid}/environ")}
    found |= set(descendants(found, table))
    outside = {mounts(table[pid]) for pid in found if table[pid] not in found}
    spaces = {mounts(pid) for pid in found} - outside - {None, mounts(1)}
    return found | {pid for pid in table if mounts(pid) in spaces}


def wanted(pids):
    table = parents()
    found = set(pids) | set(descendants(pids, table))
    if "MV_TEST_TMP" in os.environ:
        found |= of_test(os.environ["MV_TEST_TMP"], table)
    return sorted(found - {os.getpid(), os.getppid()})


# ---- what to say of each ----


def kernel_stacks(pid):
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        base = f"/proc/{pid}/task/{task}"
        state = re.search(r"^State:\s*(.*)$", read(base + "/status"), re.MULTILINE)
        print(f"  thread {task} {read(base + '/comm')}: {state and state.group(1)}, "
              f"in {read(base + '/wchan')}, call {read(base + '/syscall')}")
        print("    " + read(base + "/stack").replace("\n", "\n    "))


def user_stacks(pid):
    name = read(f"/proc/{pid}/comm")
    if name not in DEBUGGED and not name.startswith("test-"):
        return
    for command in (["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt"],
                    ["eu-stack", "-p", str(pid)]):
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=DEBUGGER_LIMIT, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            print(text(done.stdout), flush=True)
            return


def logs(pid):
    """Open files of a process worth reading: (path by descriptor, name)."""
    name = read(f"/proc/{pid}/comm")
    if name not in LOGGING:
        return
    for number in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
        path = f"/proc/{pid}/fd/{number}"
        target = os.readlink(path)
        if target.endswith(".console") or (number == "2" and target.startswith("/")
                                           and not target.startswith("/dev/")):
            yield path, f"{target} ({name} {pid})"


def show_end(path, name, shown):
    """Each file once, whoever has it open."""
    status = os.stat(path)
    if not status.st_size or (status.st_dev, status.st_ino) in shown:
        return
    shown.add((status.st_dev, status.st_ino))
    with open(path, "rb") as file:
        file.seek(max(0, status.st_size - 65536))
        lines = [line for line in text(file.read()).splitlines() if line]
    print(f"---- the end of {name}:")
    print("\n".join(lines[-LINES:]), flush=True)


def attempt(part, *arguments):
    try:
        return part(*arguments)
    except OSError as error:
        print(f"  ({error.strerror})")
        return None


def dump(pids):
    for pid in pids:
        print(describe(pid))
        attempt(kernel_stacks, pid)
        sys.stdout.flush()
    for pid in pids:
        attempt(user_stacks, pid)
    shown = set()
    for pid in pids:
        for path, name in attempt(lambda of: list(logs(of)), pid) or ():
            attempt(show_end, path, name, shown)


def main():
    if not all(word.isdigit() for word in sys.argv[1:]):
        sys.exit("usage: tests/stacks.py [PID]...")
    dump(wanted([int(word) for word in sys.argv[1:]]))


if __name__ == "__main__":
    main()
