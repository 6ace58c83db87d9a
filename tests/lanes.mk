# Read by GNU make as it is, not by automake. With "make -j2 check" two tests go at a time: one of those
# that start microVMs, and one of all others. The former wait much; two of them at once
# would be too much for two processors.
e2e_logs = $(filter tests/e2e/%.log,$(TEST_LOGS))

# Each after the one before it, of those that are to be run at all.
one_by_one = $(foreach log,$(1),$(if $(log_before),$(eval $(log): | $(log_before)))$(eval log_before := $(log)))

log_before :=
$(call one_by_one,$(e2e_logs))
log_before :=
$(call one_by_one,$(filter-out $(e2e_logs),$(TEST_LOGS)))
