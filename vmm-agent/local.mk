# vmm-agent/: the agent mvd, the deputy mvrun, and mvctl.
include vmm-agent/files.mk
include vmm-agent/mvrun.mk
include vmm-agent/mvd.mk
