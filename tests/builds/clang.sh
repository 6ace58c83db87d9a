#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# clang takes every program, library and test without a warning.
. "$(dirname "$0")/lib.sh"
quietly in_build "$source/configure" CC=clang --enable-werror
make_all check TESTS=
grep -q '^CC = clang$' "$build/Makefile"
