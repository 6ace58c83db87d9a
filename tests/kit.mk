# mvkit: units, and the program itself on the modules of an installed kernel.
check_PROGRAMS += tests/unit/test-mvkit
tests_unit_test_mvkit_SOURCES = tests/unit/test-mvkit.c
tests_unit_test_mvkit_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mvkit_LDADD = guest-kit/libmvkit.a net/libnet.a \
	$(KMOD_LIBS) $(CMOCKA_LIBS)

TESTS += tests/unit/test-mvkit
dist_check_SCRIPTS += tests/kit/mvkit.sh
TESTS += tests/kit/mvkit.sh
