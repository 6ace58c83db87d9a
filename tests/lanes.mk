# Read by GNU make as it is, not by automake. With "make -j2 check" two tests go at a time: one of those
# that have jobs move in a lab of nodes, and one of all others. Either kind waits much, and two
# busy labs at once would be too much for two processors.
lab_logs = $(filter tests/e2e/migrate-%.log tests/e2e/tour-move.log tests/e2e/sched-%.log,$(TEST_LOGS))

# Each after the one before it, of those that are to be run at all.
one_by_one = $(foreach log,$(1),$(if $(log_before),$(eval $(log): | $(log_before)))$(eval log_before := $(log)))

log_before :=
$(call one_by_one,$(lab_logs))
log_before :=
$(call one_by_one,$(filter-out $(lab_logs),$(TEST_LOGS)))
