# tests/: unit tests (cmocka), the file service mounted natively, fuzzing, end to end, benchmarks.
include tests/net.mk
include tests/peer.mk
include tests/files.mk
include tests/kit.mk
include tests/control.mk
include tests/mvrun.mk
include tests/agent.mk
include tests/e2e.mk
include tests/migrate.mk
include tests/gossip.mk
include tests/sched.mk
include tests/bench.mk
include tests/builds.mk
include tests/sched-e2e.mk
include tests/node.mk

EXTRA_DIST += tests/lanes.mk
-include $(top_srcdir)/tests/lanes.mk
