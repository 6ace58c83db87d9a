# Peers: certificates, the roster, and agents that talk over loopback.
peer_tests = tests/unit/test-peer
check_PROGRAMS += $(peer_tests)
TESTS += $(peer_tests)

peer_pair = tests/unit/peer-pair.c tests/unit/peer-pair.h
peer_test_cflags = $(peer_cflags) $(CMOCKA_CFLAGS)
peer_test_ldadd = $(peer_libs) $(CMOCKA_LIBS)

tests_unit_test_peer_SOURCES = tests/unit/test-peer.c $(peer_pair)
tests_unit_test_peer_CFLAGS = $(peer_test_cflags)
tests_unit_test_peer_LDADD = $(peer_test_ldadd)
