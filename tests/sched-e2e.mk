# What mvd decides by itself: its settings, its measurements and its decisions in a world without a
# machine; and in labs of nodes of different size, where jobs go.
sched_agent_tests = tests/unit/test-mvd-settings tests/unit/test-mvd-load tests/unit/test-mvd-place \
	tests/unit/test-mvd-scheduler tests/unit/test-mvd-steer tests/unit/test-mvd-doctor
check_PROGRAMS += $(sched_agent_tests)
TESTS += $(sched_agent_tests)
tests_unit_test_mvd_settings_SOURCES = tests/unit/test-mvd-settings.c
tests_unit_test_mvd_settings_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_settings_LDADD = $(agent_test_ldadd)

agent_world = tests/unit/agent-world.c tests/unit/agent-world.h
tests_unit_test_mvd_load_SOURCES = tests/unit/test-mvd-load.c $(agent_world)
tests_unit_test_mvd_load_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_load_LDADD = $(agent_test_ldadd)
tests_unit_test_mvd_place_SOURCES = tests/unit/test-mvd-place.c $(agent_world)
tests_unit_test_mvd_place_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_place_LDADD = $(agent_test_ldadd)
tests_unit_test_mvd_scheduler_SOURCES = tests/unit/test-mvd-scheduler.c $(agent_world)
tests_unit_test_mvd_scheduler_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_scheduler_LDADD = $(agent_test_ldadd)
tests_unit_test_mvd_steer_SOURCES = tests/unit/test-mvd-steer.c $(agent_world)
tests_unit_test_mvd_steer_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_steer_LDADD = $(agent_test_ldadd)

# Includes the real source.
tests_unit_test_mvd_doctor_SOURCES = tests/unit/test-mvd-doctor.c
tests_unit_test_mvd_doctor_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_doctor_LDADD = $(agent_test_ldadd)

sched_e2e_tests = tests/e2e/sched-memory.sh tests/e2e/sched-orders.sh tests/e2e/sched-spread.sh \
	tests/e2e/sched-stress.sh tests/e2e/sched-weights.sh
dist_noinst_SCRIPTS += $(sched_e2e_tests) tests/sched.sh tests/stress-work

# Not part of make check: they need minutes, and have passed on busy machines only.
check-sched: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(sched_e2e_tests)"
.PHONY: check-sched
