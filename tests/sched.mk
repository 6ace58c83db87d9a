# Decisions: what must hold of all of them, over random nodes and jobs.
sched_world = tests/unit/sched-world.c tests/unit/sched-world.h
sched_test_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
sched_test_ldadd = $(sched_libs) $(CMOCKA_LIBS)

sched_tests = tests/unit/test-sched-place tests/unit/test-sched-balance tests/unit/test-sched-moves \
	tests/unit/test-sched-rules tests/unit/test-sched-usher tests/unit/test-sched-vectors
check_PROGRAMS += $(sched_tests)
TESTS += $(sched_tests)

tests_unit_test_sched_place_SOURCES = tests/unit/test-sched-place.c $(sched_world)
tests_unit_test_sched_place_CFLAGS = $(sched_test_cflags)
tests_unit_test_sched_place_LDADD = $(sched_test_ldadd)

tests_unit_test_sched_balance_SOURCES = tests/unit/test-sched-balance.c $(sched_world)
tests_unit_test_sched_balance_CFLAGS = $(sched_test_cflags)
tests_unit_test_sched_balance_LDADD = $(sched_test_ldadd)

tests_unit_test_sched_moves_SOURCES = tests/unit/test-sched-moves.c $(sched_world)
tests_unit_test_sched_moves_CFLAGS = $(sched_test_cflags)
tests_unit_test_sched_moves_LDADD = $(sched_test_ldadd)

tests_unit_test_sched_rules_SOURCES = tests/unit/test-sched-rules.c $(sched_world)
tests_unit_test_sched_rules_CFLAGS = $(sched_test_cflags)
tests_unit_test_sched_rules_LDADD = $(sched_test_ldadd)

tests_unit_test_sched_usher_SOURCES = tests/unit/test-sched-usher.c $(sched_world)
tests_unit_test_sched_usher_CFLAGS = $(sched_test_cflags)
tests_unit_test_sched_usher_LDADD = $(sched_test_ldadd)

tests_unit_test_sched_vectors_SOURCES = tests/unit/test-sched-vectors.c $(sched_world)
tests_unit_test_sched_vectors_CFLAGS = $(sched_test_cflags)
tests_unit_test_sched_vectors_LDADD = $(sched_test_ldadd)

# They are pure.
dist_check_SCRIPTS += tests/unit/pure.sh
TESTS += tests/unit/pure.sh

# The simulator.
check_PROGRAMS += tests/unit/test-sched-sim tests/fuzz/fuzz-scenario
TESTS += tests/unit/test-sched-sim tests/fuzz/fuzz-scenario

tests_unit_test_sched_sim_SOURCES = tests/unit/test-sched-sim.c $(sched_world)
tests_unit_test_sched_sim_CFLAGS = $(sched_test_cflags) $(JSON_C_CFLAGS)
tests_unit_test_sched_sim_LDADD = $(mvsim_libs) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test-sched-trace tests/fuzz/fuzz-trace
TESTS += tests/unit/test-sched-trace tests/fuzz/fuzz-trace

tests_unit_test_sched_trace_SOURCES = tests/unit/test-sched-trace.c
tests_unit_test_sched_trace_CFLAGS = $(sched_test_cflags) $(JSON_C_CFLAGS)
tests_unit_test_sched_trace_LDADD = $(mvsim_libs) $(CMOCKA_LIBS)

tests_fuzz_fuzz_trace_SOURCES = tests/fuzz/fuzz-trace.c tests/fuzz/standalone.h
tests_fuzz_fuzz_trace_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS)
tests_fuzz_fuzz_trace_LDADD = $(mvsim_libs)

# Includes the scenario's reader itself; see CONTRIBUTING.md for libFuzzer.
tests_fuzz_fuzz_scenario_SOURCES = tests/fuzz/fuzz-scenario.c tests/fuzz/standalone.h
tests_fuzz_fuzz_scenario_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS)
tests_fuzz_fuzz_scenario_LDADD = $(mvsim_libs)

dist_check_SCRIPTS += tests/e2e/mvsim.sh
TESTS += tests/e2e/mvsim.sh
dist_noinst_SCRIPTS += docs/evaluation/scheduler.py docs/evaluation/readme.py
