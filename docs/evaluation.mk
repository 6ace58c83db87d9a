# make evaluation: docs/evaluation/ anew. What mvsim says is kept in evaluation/ of the build tree.
EXTRA_DIST += docs/scheduler.md docs/evaluation/README.in docs/evaluation/README.md docs/evaluation/large.json docs/evaluation/runs.py \
	docs/evaluation/scheduler.json docs/evaluation/published.svg docs/evaluation/parts.svg docs/evaluation/deciding.svg

evaluation: scheduler/mvsim
	$(srcdir)/docs/evaluation/scheduler.py --keep=evaluation scheduler/mvsim $(srcdir)/docs/evaluation
	$(srcdir)/docs/evaluation/gossip.py --keep=evaluation scheduler/mvsim $(srcdir)/docs/evaluation
	$(srcdir)/docs/evaluation/readme.py $(srcdir)/docs/evaluation >evaluation/README.md
	cp evaluation/README.md $(srcdir)/docs/evaluation/README.md
.PHONY: evaluation
