include docs/man.mk
include docs/evaluation.mk
EXTRA_DIST += docs/agent-protocol.md docs/architecture.md docs/benchmarks.md docs/crash-matrix.md docs/peer-protocol.md docs/wire-format.md

# An example: what is commented out is the default. The Debian package has it in /etc.
dist_doc_DATA = docs/mvd.conf
