# make bench: a table on standard output, bench.json in the build directory.
check_PROGRAMS += tests/bench/mvbench
tests_bench_mvbench_SOURCES = tests/bench/mvbench.c
EXTRA_DIST += tests/bench/bench.py tests/bench/bench.sh
CLEANFILES += bench.json

bench: all tests/bench/mvbench
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/bench/bench.sh
.PHONY: bench
