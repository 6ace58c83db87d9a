# make bench, make bench-migrate, make bench-agent: tables on standard output, bench.json,
# bench-migrate.json and bench-agent.json in the build directory.
check_PROGRAMS += tests/bench/mvbench tests/bench/moving tests/bench/crowd
tests_bench_mvbench_SOURCES = tests/bench/mvbench.c
tests_bench_moving_SOURCES = tests/bench/moving.c
tests_bench_crowd_SOURCES = tests/bench/crowd.c
tests_bench_crowd_CFLAGS = $(peer_cflags)
tests_bench_crowd_LDADD = $(peer_libs) $(sched_libs)
EXTRA_DIST += tests/bench/bench.py tests/bench/bench.sh tests/bench/bench-migrate.py \
	tests/bench/bench-migrate.sh tests/bench/bench-agent.py tests/bench/bench-agent.sh
CLEANFILES += bench.json bench-migrate.json bench-agent.json

bench: all tests/bench/mvbench
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/bench/bench.sh
bench-migrate: all tests/bench/moving
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/bench/bench-migrate.sh
bench-agent: all tests/bench/crowd
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/bench/bench-agent.sh
.PHONY: bench bench-migrate bench-agent
