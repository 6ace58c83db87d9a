# mvd and mvctl: their parsers, their XML, their tables and their rules.
agent_tests = tests/unit/test-mvd-protocol tests/unit/test-mvd-domain tests/unit/test-mvd-jobs \
	tests/unit/test-mvd-home tests/unit/test-mvd-adopt \
	tests/unit/test-mvd-server tests/unit/test-agent-client tests/unit/test-mvctl
check_PROGRAMS += $(agent_tests) tests/fuzz/fuzz-mvd-protocol tests/fuzz/fuzz-mvd-facts
TESTS += $(agent_tests) tests/fuzz/fuzz-mvd-protocol tests/fuzz/fuzz-mvd-facts

agent_test_cflags = $(mvd_cflags) $(CMOCKA_CFLAGS)
agent_test_ldadd = $(mvd_libs) $(CMOCKA_LIBS)

tests_unit_test_mvd_protocol_SOURCES = tests/unit/test-mvd-protocol.c
tests_unit_test_mvd_protocol_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_protocol_LDADD = $(agent_test_ldadd)

tests_unit_test_mvd_domain_SOURCES = tests/unit/test-mvd-domain.c
tests_unit_test_mvd_domain_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_domain_LDADD = $(agent_test_ldadd)

tests_unit_test_mvd_jobs_SOURCES = tests/unit/test-mvd-jobs.c
tests_unit_test_mvd_jobs_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_jobs_LDADD = $(agent_test_ldadd)

tests_unit_test_mvd_adopt_SOURCES = tests/unit/test-mvd-adopt.c
tests_unit_test_mvd_adopt_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_adopt_LDADD = $(agent_test_ldadd)

fake_agent = tests/unit/fake-agent.c tests/unit/fake-agent.h
tests_unit_test_mvd_home_SOURCES = tests/unit/test-mvd-home.c $(fake_agent)
tests_unit_test_mvd_home_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_home_LDADD = $(agent_test_ldadd)

tests_unit_test_mvd_server_SOURCES = tests/unit/test-mvd-server.c
tests_unit_test_mvd_server_CFLAGS = $(agent_test_cflags)
tests_unit_test_mvd_server_LDADD = $(agent_test_ldadd)

tests_unit_test_agent_client_SOURCES = tests/unit/test-agent-client.c
tests_unit_test_agent_client_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_agent_client_LDADD = vmm-agent/libagent-client.a net/libnet.a \
	$(JSON_C_LIBS) $(CMOCKA_LIBS)

tests_unit_test_mvctl_SOURCES = tests/unit/test-mvctl.c vmm-agent/mvctl-print.c
tests_unit_test_mvctl_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mvctl_LDADD = vmm-agent/libagent-client.a net/libnet.a \
	$(JSON_C_LIBS) $(CMOCKA_LIBS)

# Each includes the real source of what it feeds.
tests_fuzz_fuzz_mvd_protocol_SOURCES = tests/fuzz/fuzz-mvd-protocol.c tests/fuzz/standalone.h
tests_fuzz_fuzz_mvd_protocol_CFLAGS = $(mvd_cflags)
tests_fuzz_fuzz_mvd_protocol_LDADD = net/libnet.a $(JSON_C_LIBS)

tests_fuzz_fuzz_mvd_facts_SOURCES = tests/fuzz/fuzz-mvd-facts.c tests/fuzz/standalone.h
tests_fuzz_fuzz_mvd_facts_CFLAGS = $(mvd_cflags)
tests_fuzz_fuzz_mvd_facts_LDADD = $(mvd_libs)
