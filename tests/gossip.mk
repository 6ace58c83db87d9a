# Gossip, failure detection and their datagrams.
gossip_tests = tests/unit/test-seal tests/unit/test-gossip tests/unit/test-swim tests/unit/test-swim-hostile \
	tests/unit/test-mvd-avahi tests/unit/test-mvd-gossip
gossip_fuzzers = tests/fuzz/fuzz-gossip tests/fuzz/fuzz-swim tests/fuzz/fuzz-seal
check_PROGRAMS += $(gossip_tests) $(gossip_fuzzers)
TESTS += $(gossip_tests) $(gossip_fuzzers)

tests_unit_test_seal_SOURCES = tests/unit/test-seal.c
tests_unit_test_seal_CFLAGS = $(peer_test_cflags)
tests_unit_test_seal_LDADD = $(peer_test_ldadd)

tests_unit_test_gossip_SOURCES = tests/unit/test-gossip.c
tests_unit_test_gossip_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_gossip_LDADD = $(sched_libs) $(CMOCKA_LIBS)

swim_world = tests/unit/swim-world.c tests/unit/swim-world.h
tests_unit_test_swim_SOURCES = tests/unit/test-swim.c $(swim_world)
tests_unit_test_swim_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_swim_LDADD = $(sched_libs) $(CMOCKA_LIBS)

tests_unit_test_swim_hostile_SOURCES = tests/unit/test-swim-hostile.c $(swim_world)
tests_unit_test_swim_hostile_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_swim_hostile_LDADD = $(sched_libs) $(CMOCKA_LIBS)

# It has the real mvd-gossip.c, and parts of its own in place of the socket and the roster.
tests_unit_test_mvd_gossip_SOURCES = tests/unit/test-mvd-gossip.c vmm-agent/mvd-gossip-lives.c
tests_unit_test_mvd_gossip_CFLAGS = $(mvd_cflags) $(CMOCKA_CFLAGS)
tests_unit_test_mvd_gossip_LDADD = net/libpeer.a $(sched_libs) $(GIO_LIBS) $(GNUTLS_LIBS) $(JSON_C_LIBS) $(CMOCKA_LIBS)

tests_unit_test_mvd_avahi_SOURCES = tests/unit/test-mvd-avahi.c
tests_unit_test_mvd_avahi_CFLAGS = $(mvd_cflags) $(CMOCKA_CFLAGS)
tests_unit_test_mvd_avahi_LDADD = $(mvd_libs) $(CMOCKA_LIBS)

# Each includes the real source of what it feeds.
tests_fuzz_fuzz_gossip_SOURCES = tests/fuzz/fuzz-gossip.c tests/fuzz/standalone.h
tests_fuzz_fuzz_gossip_LDADD = $(sched_libs)

tests_fuzz_fuzz_swim_SOURCES = tests/fuzz/fuzz-swim.c tests/fuzz/standalone.h
tests_fuzz_fuzz_swim_LDADD = $(sched_libs)

tests_fuzz_fuzz_seal_SOURCES = tests/fuzz/fuzz-seal.c tests/fuzz/standalone.h
tests_fuzz_fuzz_seal_CFLAGS = $(peer_cflags)
tests_fuzz_fuzz_seal_LDADD = $(peer_libs) $(sched_libs)

# discover.sh is with the real Avahi, which quickstart installs on nobody's machine.
gossip_scripts = tests/e2e/discover.sh tests/e2e/doctor-cluster.sh tests/e2e/gossip.sh tests/e2e/mvsim-gossip.sh \
	tests/e2e/many-peers.sh
dist_check_SCRIPTS += $(gossip_scripts)
TESTS += $(gossip_scripts)
dist_noinst_SCRIPTS += docs/evaluation/gossip.py
EXTRA_DIST += docs/evaluation/gossip.json docs/evaluation/gossip.svg docs/evaluation/swim.svg
