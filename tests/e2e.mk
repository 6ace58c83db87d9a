# The harness of all tests, and the tests that run jobs on a node of their own.
TEST_DRIVER = $(top_srcdir)/tests/driver
LOG_COMPILER = $(TEST_DRIVER)
SH_LOG_COMPILER = $(TEST_DRIVER)

e2e_tests = \
	tests/e2e/agent.sh \
	tests/e2e/agent-start.sh \
	tests/e2e/cluster.sh \
	tests/e2e/everyday.sh \
	tests/e2e/files.sh \
	tests/e2e/home.sh \
	tests/e2e/identity.sh \
	tests/e2e/install.sh \
	tests/e2e/killed.sh \
	tests/e2e/lab.sh \
	tests/e2e/libvirtd.sh \
	tests/e2e/limits.sh \
	tests/e2e/locks.sh \
	tests/e2e/mapped.sh \
	tests/e2e/mvctl.sh \
	tests/e2e/nokernel.sh \
	tests/e2e/probe.sh \
	tests/e2e/run.sh \
	tests/e2e/session.sh \
	tests/e2e/signals.sh \
	tests/e2e/status.sh \
	tests/e2e/stacks.sh \
	tests/e2e/stdio.sh \
	tests/e2e/terminal.sh \
	tests/e2e/virsh.sh

dist_check_SCRIPTS += $(e2e_tests)
TESTS += $(e2e_tests)

dist_noinst_SCRIPTS += run quickstart tests/driver tests/mvlab tests/mvlab-exec \
	tests/pty tests/stacks.py tests/tour .ci/run
EXTRA_DIST += tests/lab.sh tests/lib.sh tests/mvlab-node.sh tests/node-setup.sh \
	tests/node.sh tests/same.sh \
	README.md README CONTRIBUTING.md SECURITY.md

clean-local:
	rm -rf tests/node-cache
