# The node image and its launcher.
node_tests = \
	tests/node/build.sh \
	tests/node/run.sh \
	tests/node/seed.sh

TESTS += $(node_tests)
dist_check_SCRIPTS += $(node_tests)

# make check-nodes: the image itself, and two machines of it. Not part of make check.
dist_noinst_SCRIPTS += tests/node/nodes.sh
EXTRA_DIST += tests/node/vm.sh

check-nodes: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="tests/node/nodes.sh"
.PHONY: check-nodes
