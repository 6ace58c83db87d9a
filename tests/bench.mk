# make bench, make bench-migrate: tables on standard output, bench.json and
# bench-migrate.json in the build directory.
check_PROGRAMS += tests/bench/mvbench tests/bench/moving
tests_bench_mvbench_SOURCES = tests/bench/mvbench.c
tests_bench_moving_SOURCES = tests/bench/moving.c
EXTRA_DIST += tests/bench/bench.py tests/bench/bench.sh tests/bench/bench-migrate.py \
	tests/bench/bench-migrate.sh
CLEANFILES += bench.json bench-migrate.json

bench: all tests/bench/mvbench
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/bench/bench.sh
bench-migrate: all tests/bench/moving
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/bench/bench-migrate.sh
.PHONY: bench bench-migrate
