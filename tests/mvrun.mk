# The parts of mvrun that need no agent.
check_PROGRAMS += tests/unit/test-mvrun
tests_unit_test_mvrun_SOURCES = tests/unit/test-mvrun.c vmm-agent/mvrun-order.c \
	vmm-agent/mvrun-say.c vmm-agent/mvrun-silence.c vmm-agent/mvrun-stdio.c vmm-agent/mvrun-tty.c
tests_unit_test_mvrun_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JSON_C_CFLAGS)
tests_unit_test_mvrun_LDADD = guest-kit/libcontrol.a net/libnet.a $(CMOCKA_LIBS)

TESTS += tests/unit/test-mvrun
