# Jobs that move between the nodes of a lab. make check-migrate: longer, with the
# 5,000 files, fifty moves of each program and the whole crash matrix.
migrate_tests = \
	tests/e2e/migrate-bytes.sh \
	tests/e2e/migrate-crash.sh \
	tests/e2e/migrate-live.sh \
	tests/e2e/migrate-lost.sh \
	tests/e2e/migrate-many.sh \
	tests/e2e/migrate-programs.sh \
	tests/e2e/migrate-refused.sh \
	tests/e2e/migrate-suspended.sh \
	tests/e2e/migrate-tree.sh \
	tests/e2e/migrate-xz.sh \
	tests/e2e/tour-move.sh

dist_check_SCRIPTS += $(migrate_tests)
dist_noinst_SCRIPTS += tests/ask-peer tests/mover tests/move-relay tests/crash-table tests/tour-move tests/tree-work tests/moving.sh
TESTS += $(migrate_tests)

# What became of each case of the crash matrix, for docs/crash-matrix.md.
crash_cases = $(abs_builddir)/tests/crash-cases

check-migrate: all
	rm -f $(crash_cases)
	MV_TEST_HEAVY=1 MV_LOOPS=$${MV_LOOPS:-12} MV_STRESS_MOVES=$${MV_STRESS_MOVES:-9} MV_JOBS=$${MV_JOBS:-20} MV_RANDOM_MOVES=$${MV_RANDOM_MOVES:-200} \
	MV_MOVES=$${MV_MOVES:-50} MV_TREE_FILES=$${MV_TREE_FILES:-5000} \
	MV_TEST_SLOWER=$${MV_TEST_SLOWER:-6} MV_CASES=$(crash_cases) \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(migrate_tests) $(sched_e2e_tests)"
	MV_HOME=third MV_MOVES=20 MV_TREE_FILES=1000 $(MAKE) $(AM_MAKEFLAGS) check TESTS=tests/e2e/migrate-tree.sh
	$(srcdir)/tests/crash-table $(crash_cases) >tests/crash-matrix.md
CLEANFILES += tests/crash-cases tests/crash-matrix.md
.PHONY: check-migrate
