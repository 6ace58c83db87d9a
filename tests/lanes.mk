# Read by GNU make as it is, not by automake. With "make -j2 check" two tests go at a time: one of those
# that make a lab of nodes, and one of all others. Either kind waits much, and two
# labs at once would be too much for two processors.
lab_logs = $(filter tests/e2e/cluster.log tests/e2e/lab.log tests/e2e/migrate-%.log tests/e2e/tour-move.log \
	tests/e2e/gossip.log tests/e2e/many-peers.log tests/e2e/doctor-cluster.log tests/e2e/discover.log tests/e2e/sched-%.log,$(TEST_LOGS))

# Each after the one before it, of those that are to be run at all.
one_by_one = $(foreach log,$(1),$(if $(log_before),$(eval $(log): | $(log_before)))$(eval log_before := $(log)))

log_before :=
$(call one_by_one,$(lab_logs))
log_before :=
$(call one_by_one,$(filter-out $(lab_logs),$(TEST_LOGS)))
