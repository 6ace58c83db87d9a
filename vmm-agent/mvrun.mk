# mvrun, the deputy.
bin_PROGRAMS += vmm-agent/mvrun
vmm_agent_mvrun_SOURCES = \
	vmm-agent/mvrun.c vmm-agent/mvrun.h \
	vmm-agent/mvrun-order.c vmm-agent/mvrun-say.c vmm-agent/mvrun-stdio.c vmm-agent/mvrun-tty.c \
	vmm-agent/mvrun-deputy.c vmm-agent/mvrun-deputy.h vmm-agent/mvrun-deputy-agent.c \
	vmm-agent/mvrun-deputy-control.c vmm-agent/mvrun-deputy-signal.c \
	vmm-agent/mvrun-silence.c vmm-agent/mvrun-silence.h
vmm_agent_mvrun_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS) $(FUSE3_CFLAGS)
vmm_agent_mvrun_LDADD = vmm-agent/libfiles.a vmm-agent/libagent-client.a guest-kit/libcontrol.a \
	net/libnet.a $(JSON_C_LIBS) $(FUSE3_LIBS)
