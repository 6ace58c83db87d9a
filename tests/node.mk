# The node image and its launcher.
node_tests = \
	tests/node/build.sh \
	tests/node/run.sh \
	tests/node/seed.sh

TESTS += $(node_tests)
dist_check_SCRIPTS += $(node_tests)
