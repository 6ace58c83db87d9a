#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""README.in with the numbers filled in, as README.md on standard output.

	@{FILE:PATH:FORMAT}                            one number, or text
	@{FILE:PATH / PATH:FORMAT}                     a ratio
	@table FILE PATH[,PATH...] | TITLE:FIELD:FORMAT | ...    a row for each element

FILE is a JSON file of this directory. A PATH is of names and indices, separated by dots; a row's
PATH leads to an object, to a list of them, or to what mvsim says of several methods. A field
may be divided by a number, as in bytes/1e6; +NAME sums it over a list. Fails when anything is
missing.
"""

import functools
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(sys.argv[0])) if len(sys.argv) < 2 else sys.argv[1]


@functools.lru_cache
def load(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return json.load(file)


def find(value, path):
    for part in path.split("."):
        if isinstance(value, dict) and part not in value and "methods" in value:
            value = next(row for row in value["methods"] if row["method"] == part)
        elif isinstance(value, list) and part.startswith("+"):
            value = sum(row[part[1:]] for row in value)
        else:
            value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def text_of(value, form):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, form)


def field(row, name):
    name, _, divisor = name.partition("/")
    value = find(row, name)
    return value / float(divisor) if divisor else value


def rows_of(name, paths):
    rows = []
    for path in paths.split(","):
        value = find(load(name), path)
        if isinstance(value, dict):
            value = value.get("methods", [value])
        rows += value
    return rows


def table(line):
    what, *columns = (part.strip() for part in line.split("|"))
    _, name, paths = what.split()
    columns = [column.split(":") for column in columns]
    lines = ["| " + " | ".join(title for title, _, _ in columns) + " |",
             "|" + " --- |" * len(columns)]
    for row in rows_of(name, paths):
        lines.append("| " + " | ".join(text_of(field(row, what), form)
                                       for _, what, form in columns) + " |")
    return "\n".join(lines)


def inline(found):
    name, path, form = found[1].split(":")
    value, *divisors = (find(load(name), part) for part in path.split(" / "))
    for divisor in divisors:
        value /= divisor
    return text_of(value, form)


def main():
    with open(os.path.join(HERE, "README.in"), encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if line.startswith("@table "):
                print(table(line))
            else:
                print(re.sub(r"@\{([^}]*)\}", inline, line))


if __name__ == "__main__":
    main()
