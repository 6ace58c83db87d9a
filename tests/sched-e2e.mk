# What the cluster decides by itself, in a lab of nodes of different size.
sched_e2e_tests = tests/e2e/sched-spread.sh
dist_check_SCRIPTS += $(sched_e2e_tests)
dist_noinst_SCRIPTS += tests/sched.sh
TESTS += $(sched_e2e_tests)
