#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 1800
# Under the address and undefined behaviour sanitizers the unit tests and the
# short runs of the fuzz targets find nothing.
. "$(dirname "$0")/lib.sh"
# Less optimization halves the time of the build; the warnings are of other builds.
quietly in_build "$source/configure" CC=gcc CFLAGS='-g -O1' --enable-sanitizers
make_all check TESTS=
nm "$build/tests/unit/test-link" >"$tmp/symbols"
grep -q __asan_init "$tmp/symbols"
grep -q __ubsan_ "$tmp/symbols"

tests=$(in_build find tests/unit tests/fuzz -type f -perm -u+x | sort | paste -sd ' ')
# Each source of a test became one.
equal "$(find "$source/tests/unit" "$source/tests/fuzz" -name "test-*.c" -o -name "fuzz-*.c" | wc -l)" \
	"$(wc -w <<<"$tests")"
# They are slower so.
export MV_TEST_SLOWER=4
make_all check TESTS="$tests" VERBOSE=yes
# None was skipped.
equal "$(wc -w <<<"$tests")" \
	"$(find "$build/tests" -name '*.trs' -exec grep -l '^:test-result: PASS' {} + | wc -l)"
