# make check-builds: the whole tree built in other ways. Not part of make check.
build_tests = \
	tests/builds/clang.sh \
	tests/builds/distcheck.sh \
	tests/builds/sanitizers.sh

dist_noinst_SCRIPTS += $(build_tests)
EXTRA_DIST += tests/builds/lib.sh

check-builds: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(build_tests)"
.PHONY: check-builds
