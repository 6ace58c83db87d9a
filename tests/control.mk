# Control messages, and the parts of the kit that run anywhere.
check_PROGRAMS += tests/unit/test-control tests/unit/test-kit tests/fuzz/fuzz-control
tests_unit_test_control_SOURCES = tests/unit/test-control.c
tests_unit_test_control_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_control_LDADD = guest-kit/libcontrol.a net/libnet.a $(CMOCKA_LIBS)

tests_unit_test_kit_SOURCES = tests/unit/test-kit.c guest-kit/kit-boot.c guest-kit/kit-guard.c \
	guest-kit/kit-stream.c guest-kit/kit-ttywatch.c
tests_unit_test_kit_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_kit_LDADD = guest-kit/libcontrol.a net/libnet.a $(CMOCKA_LIBS)

# Includes guest-kit/control.c itself; see CONTRIBUTING.md for libFuzzer.
tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz-control.c tests/fuzz/standalone.h
tests_fuzz_fuzz_control_LDADD = net/libnet.a

TESTS += tests/unit/test-control tests/unit/test-kit tests/fuzz/fuzz-control
