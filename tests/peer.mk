# Peers: certificates, the roster, and agents that talk over loopback.
peer_tests = tests/unit/test-pki tests/unit/test-roster tests/unit/test-cluster \
	tests/unit/test-peer tests/unit/test-peer-stream tests/unit/test-peer-hostile \
	tests/unit/test-squeeze
check_PROGRAMS += $(peer_tests) tests/fuzz/fuzz-roster tests/fuzz/fuzz-peer-line
TESTS += $(peer_tests) tests/fuzz/fuzz-roster tests/fuzz/fuzz-peer-line

peer_pair = tests/unit/peer-pair.c tests/unit/peer-pair.h
peer_test_cflags = $(peer_cflags) $(CMOCKA_CFLAGS)
peer_test_ldadd = $(peer_libs) $(CMOCKA_LIBS)

tests_unit_test_pki_SOURCES = tests/unit/test-pki.c
tests_unit_test_pki_CFLAGS = $(peer_test_cflags)
tests_unit_test_pki_LDADD = $(peer_test_ldadd)

tests_unit_test_roster_SOURCES = tests/unit/test-roster.c
tests_unit_test_roster_CFLAGS = $(peer_test_cflags)
tests_unit_test_roster_LDADD = $(peer_test_ldadd)

tests_unit_test_cluster_SOURCES = tests/unit/test-cluster.c
tests_unit_test_cluster_CFLAGS = $(peer_test_cflags)
tests_unit_test_cluster_LDADD = $(peer_test_ldadd)

tests_unit_test_squeeze_SOURCES = tests/unit/test-squeeze.c
tests_unit_test_squeeze_CFLAGS = $(peer_test_cflags)
tests_unit_test_squeeze_LDADD = $(peer_test_ldadd)

tests_unit_test_peer_SOURCES = tests/unit/test-peer.c $(peer_pair)
tests_unit_test_peer_CFLAGS = $(peer_test_cflags)
tests_unit_test_peer_LDADD = $(peer_test_ldadd)

tests_unit_test_peer_stream_SOURCES = tests/unit/test-peer-stream.c $(peer_pair)
tests_unit_test_peer_stream_CFLAGS = $(peer_test_cflags)
tests_unit_test_peer_stream_LDADD = $(peer_test_ldadd)

tests_unit_test_peer_hostile_SOURCES = tests/unit/test-peer-hostile.c $(peer_pair)
tests_unit_test_peer_hostile_CFLAGS = $(peer_test_cflags)
tests_unit_test_peer_hostile_LDADD = $(peer_test_ldadd)

# Each includes the real source of what it feeds.
tests_fuzz_fuzz_roster_SOURCES = tests/fuzz/fuzz-roster.c tests/fuzz/standalone.h
tests_fuzz_fuzz_roster_CFLAGS = $(peer_cflags)
tests_fuzz_fuzz_roster_LDADD = $(peer_libs)

tests_fuzz_fuzz_peer_line_SOURCES = tests/fuzz/fuzz-peer-line.c tests/fuzz/standalone.h
tests_fuzz_fuzz_peer_line_CFLAGS = $(peer_cflags)
tests_fuzz_fuzz_peer_line_LDADD = $(peer_libs)
