# What mvd decides by itself: its settings and measurements; and in a lab of nodes of
# different size, where jobs go.
sched_agent_tests = tests/unit/test-mvd-settings
check_PROGRAMS += $(sched_agent_tests)
TESTS += $(sched_agent_tests)
tests_unit_test_mvd_settings_SOURCES = tests/unit/test-mvd-settings.c
tests_unit_test_mvd_settings_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_settings_LDADD = $(agent_test_ldadd)

sched_e2e_tests = tests/e2e/sched-memory.sh tests/e2e/sched-spread.sh tests/e2e/sched-stress.sh
dist_noinst_SCRIPTS += $(sched_e2e_tests) tests/sched.sh tests/stress-work

# Not part of make check: they need minutes, and have passed on busy machines only.
check-sched: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(sched_e2e_tests)"
.PHONY: check-sched
