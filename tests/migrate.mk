# Jobs that move between the nodes of a lab. make check-migrate: longer, with the
# 5,000 files and fifty moves of each program.
migrate_tests = \
	tests/e2e/migrate-many.sh \
	tests/e2e/migrate-programs.sh \
	tests/e2e/migrate-refused.sh \
	tests/e2e/migrate-suspended.sh \
	tests/e2e/migrate-tree.sh \
	tests/e2e/migrate-xz.sh

dist_check_SCRIPTS += $(migrate_tests)
# Those that kill and cut everything are run by check-migrate only.
dist_noinst_SCRIPTS += tests/mover tests/tour-move tests/tree-work tests/moving.sh \
	tests/e2e/migrate-crash.sh tests/e2e/migrate-lost.sh
TESTS += $(migrate_tests)

check-migrate: all
	MV_MOVES=$${MV_MOVES:-50} MV_TREE_FILES=$${MV_TREE_FILES:-5000} \
	MV_TEST_SLOWER=$${MV_TEST_SLOWER:-6} \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(migrate_tests) tests/e2e/migrate-crash.sh tests/e2e/migrate-lost.sh"
.PHONY: check-migrate
