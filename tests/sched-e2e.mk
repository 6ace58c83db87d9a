# What mvd decides by itself: its settings, its measurements and its decisions in a world without a
# machine; and in labs of nodes of different size, where jobs go.
sched_agent_tests = tests/unit/test-mvd-settings tests/unit/test-mvd-owner tests/unit/test-mvd-load tests/unit/test-mvd-place tests/unit/test-mvd-room \
	tests/unit/test-mvd-scheduler tests/unit/test-mvd-steer tests/unit/test-mvd-doctor \
	tests/unit/test-mvd-arrive
check_PROGRAMS += $(sched_agent_tests)
TESTS += $(sched_agent_tests)
tests_unit_test_mvd_settings_SOURCES = tests/unit/test-mvd-settings.c
tests_unit_test_mvd_settings_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_settings_LDADD = $(agent_test_ldadd)

tests_unit_test_mvd_owner_SOURCES = tests/unit/test-mvd-owner.c
tests_unit_test_mvd_owner_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_owner_LDADD = $(agent_test_ldadd)

agent_world = tests/unit/agent-world.c tests/unit/agent-world-machine.c tests/unit/agent-world.h $(fake_agent)
tests_unit_test_mvd_load_SOURCES = tests/unit/test-mvd-load.c $(agent_world)
tests_unit_test_mvd_load_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_load_LDADD = $(agent_test_ldadd)
tests_unit_test_mvd_place_SOURCES = tests/unit/test-mvd-place.c $(agent_world)
tests_unit_test_mvd_place_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_place_LDADD = $(agent_test_ldadd)
tests_unit_test_mvd_room_SOURCES = tests/unit/test-mvd-room.c $(agent_world)
tests_unit_test_mvd_room_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_room_LDADD = $(agent_test_ldadd)
tests_unit_test_mvd_scheduler_SOURCES = tests/unit/test-mvd-scheduler.c $(agent_world)
tests_unit_test_mvd_scheduler_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_scheduler_LDADD = $(agent_test_ldadd)
tests_unit_test_mvd_steer_SOURCES = tests/unit/test-mvd-steer.c $(agent_world)
tests_unit_test_mvd_steer_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_steer_LDADD = $(agent_test_ldadd)

# These include the real source.
tests_unit_test_mvd_arrive_SOURCES = tests/unit/test-mvd-arrive.c $(agent_world)
tests_unit_test_mvd_arrive_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_arrive_LDADD = $(agent_test_ldadd)

tests_unit_test_mvd_doctor_SOURCES = tests/unit/test-mvd-doctor.c
tests_unit_test_mvd_doctor_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_doctor_LDADD = $(agent_test_ldadd)

# Part of make check in a short form; make check-sched: the long one, with more nodes, jobs and moves.
sched_e2e_tests = tests/e2e/sched-memory.sh tests/e2e/sched-orders.sh tests/e2e/sched-room.sh tests/e2e/sched-spread.sh \
	tests/e2e/sched-stress.sh tests/e2e/sched-weights.sh
dist_check_SCRIPTS += $(sched_e2e_tests)
dist_noinst_SCRIPTS += tests/sched.sh tests/stress-work
TESTS += $(sched_e2e_tests)

check-sched: all
	MV_TEST_HEAVY=1 MV_LOOPS=$${MV_LOOPS:-12} MV_STRESS_MOVES=$${MV_STRESS_MOVES:-9} MV_TEST_SLOWER=$${MV_TEST_SLOWER:-2} \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(sched_e2e_tests)"
.PHONY: check-sched
