include docs/man.mk
include docs/evaluation.mk
EXTRA_DIST += docs/agent-protocol.md docs/architecture.md docs/benchmarks.md docs/crash-matrix.md docs/mvd.conf docs/peer-protocol.md docs/wire-format.md
