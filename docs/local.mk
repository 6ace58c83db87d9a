include docs/man.mk
include docs/evaluation.mk
EXTRA_DIST += docs/agent-protocol.md docs/architecture.md docs/benchmarks.md docs/peer-protocol.md docs/wire-format.md
