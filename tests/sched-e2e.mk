# What mvd decides by itself: its settings and measurements; and in a lab of nodes of
# different size, where jobs go.
sched_agent_tests = tests/unit/test-mvd-settings
check_PROGRAMS += $(sched_agent_tests)
TESTS += $(sched_agent_tests)
tests_unit_test_mvd_settings_SOURCES = tests/unit/test-mvd-settings.c
tests_unit_test_mvd_settings_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_settings_LDADD = $(agent_test_ldadd)

sched_e2e_tests = tests/e2e/sched-memory.sh tests/e2e/sched-spread.sh tests/e2e/sched-stress.sh
dist_check_SCRIPTS += $(sched_e2e_tests)
dist_noinst_SCRIPTS += tests/sched.sh tests/stress-work
TESTS += $(sched_e2e_tests)
