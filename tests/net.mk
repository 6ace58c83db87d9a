# The link, its pump and its transports.
link_tests = tests/unit/test-link-frame tests/unit/test-link tests/unit/test-link-attach \
	tests/unit/test-link-hostile tests/unit/test-link-faults tests/unit/test-link-pump tests/unit/test-link-transport
check_PROGRAMS += $(link_tests) tests/fuzz/fuzz-link tests/bench/bench-link
TESTS += $(link_tests) tests/fuzz/fuzz-link

link_pair = tests/unit/link-pair.c tests/unit/link-pair.h
link_test_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
link_test_ldadd = net/libnet.a $(CMOCKA_LIBS)

tests_unit_test_link_frame_SOURCES = tests/unit/test-link-frame.c
tests_unit_test_link_frame_CFLAGS = $(link_test_cflags)
tests_unit_test_link_frame_LDADD = $(link_test_ldadd)

tests_unit_test_link_SOURCES = tests/unit/test-link.c $(link_pair)
tests_unit_test_link_CFLAGS = $(link_test_cflags)
tests_unit_test_link_LDADD = $(link_test_ldadd)

tests_unit_test_link_attach_SOURCES = tests/unit/test-link-attach.c $(link_pair)
tests_unit_test_link_attach_CFLAGS = $(link_test_cflags)
tests_unit_test_link_attach_LDADD = $(link_test_ldadd)

tests_unit_test_link_hostile_SOURCES = tests/unit/test-link-hostile.c
tests_unit_test_link_hostile_CFLAGS = $(link_test_cflags)
tests_unit_test_link_hostile_LDADD = $(link_test_ldadd)

tests_unit_test_link_faults_SOURCES = tests/unit/test-link-faults.c $(link_pair)
tests_unit_test_link_faults_CFLAGS = $(link_test_cflags)
tests_unit_test_link_faults_LDADD = $(link_test_ldadd)

tests_unit_test_link_pump_SOURCES = tests/unit/test-link-pump.c
tests_unit_test_link_pump_CFLAGS = $(link_test_cflags)
tests_unit_test_link_pump_LDADD = $(link_test_ldadd)

tests_unit_test_link_transport_SOURCES = tests/unit/test-link-transport.c
tests_unit_test_link_transport_CFLAGS = $(link_test_cflags)
tests_unit_test_link_transport_LDADD = $(link_test_ldadd)

# Includes the link's sources themselves; see CONTRIBUTING.md for libFuzzer.
tests_fuzz_fuzz_link_SOURCES = tests/fuzz/fuzz-link.c tests/fuzz/standalone.h
tests_fuzz_fuzz_link_LDADD = net/libnet.a

# Not a test: run it to see how fast the link is by itself.
tests_bench_bench_link_SOURCES = tests/bench/bench-link.c
tests_bench_bench_link_LDADD = net/libnet.a
