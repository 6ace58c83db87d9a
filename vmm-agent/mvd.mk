# What mvrun and mvctl share: their connection to the agent. No GLib.
noinst_LIBRARIES += vmm-agent/libagent-client.a
vmm_agent_libagent_client_a_SOURCES = \
	vmm-agent/agent-client.c vmm-agent/agent-client.h \
	vmm-agent/agent-paths.c vmm-agent/agent-paths.h \
	vmm-agent/agent-spawn.c vmm-agent/agent-spawn.h
vmm_agent_libagent_client_a_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS)

# mvd without its main(), so that unit tests can reach its parts.
mvd_cflags = $(AM_CFLAGS) $(LIBVIRT_GLIB_CFLAGS) $(LIBVIRT_CFLAGS) $(GIO_CFLAGS) \
	$(GNUTLS_CFLAGS) $(LIBXML_CFLAGS) $(JSON_C_CFLAGS)
mvd_libs = vmm-agent/libmvd.a vmm-agent/libagent-client.a net/libpeer.a $(sched_libs) \
	$(LIBVIRT_GLIB_LIBS) $(LIBVIRT_LIBS) $(GIO_LIBS) $(GNUTLS_LIBS) $(ZSTD_LIBS) \
	$(LIBXML_LIBS) $(JSON_C_LIBS)

noinst_LIBRARIES += vmm-agent/libmvd.a
vmm_agent_libmvd_a_SOURCES = \
	vmm-agent/mvd-adopt.c \
	vmm-agent/mvd-arrive.c vmm-agent/mvd-arrive.h \
	vmm-agent/mvd-attach.c \
	vmm-agent/mvd-avahi.c vmm-agent/mvd-avahi.h \
	vmm-agent/mvd-boot.c vmm-agent/mvd-boot.h \
	vmm-agent/mvd-call.c \
	vmm-agent/mvd-came.c vmm-agent/mvd-came.h \
	vmm-agent/mvd-cluster.c vmm-agent/mvd-cluster.h \
	vmm-agent/mvd-config.c vmm-agent/mvd-config.h \
	vmm-agent/mvd-console.c vmm-agent/mvd-console.h \
	vmm-agent/mvd-dial.c vmm-agent/mvd-dial.h \
	vmm-agent/mvd-dirty.c vmm-agent/mvd-dirty.h \
	vmm-agent/mvd-discover.c vmm-agent/mvd-discover.h \
	vmm-agent/mvd-doctor.c vmm-agent/mvd-doctor-cluster.c \
	vmm-agent/mvd-domain.c vmm-agent/mvd-domain.h vmm-agent/mvd-domain-move.c \
	vmm-agent/mvd-facts.c \
	vmm-agent/mvd-freeze.c vmm-agent/mvd-freeze.h \
	vmm-agent/mvd-gossip.c vmm-agent/mvd-gossip.h vmm-agent/mvd-gossip-private.h \
	vmm-agent/mvd-gossip-key.c vmm-agent/mvd-gossip-lives.c vmm-agent/mvd-gossip-net.c \
	vmm-agent/mvd-hold.c \
	vmm-agent/mvd-home.c \
	vmm-agent/mvd-host.c \
	vmm-agent/mvd-jobs.c vmm-agent/mvd-jobs.h \
	vmm-agent/mvd-kit.c vmm-agent/mvd-kit.h \
	vmm-agent/mvd-libvirt.c vmm-agent/mvd-libvirt.h vmm-agent/mvd-libvirt-handle.h \
	vmm-agent/mvd-libvirt-look.c \
	vmm-agent/mvd-life.c \
	vmm-agent/mvd-limits.c vmm-agent/mvd-limits.h \
	vmm-agent/mvd-links.c vmm-agent/mvd-links.h \
	vmm-agent/mvd-load.c vmm-agent/mvd-load.h \
	vmm-agent/mvd-load-process.c vmm-agent/mvd-load-process.h \
	vmm-agent/mvd-measure.c vmm-agent/mvd-measure.h \
	vmm-agent/mvd-info.c vmm-agent/mvd-info.h \
	vmm-agent/mvd-migrate.c vmm-agent/mvd-migrate.h \
	vmm-agent/mvd-mover.c vmm-agent/mvd-mover.h \
	vmm-agent/mvd-node.c vmm-agent/mvd-node.h \
	vmm-agent/mvd-nodes.c vmm-agent/mvd-nodes.h \
	vmm-agent/mvd-owner.c vmm-agent/mvd-owner.h \
	vmm-agent/mvd-place.c \
	vmm-agent/mvd-probe.c vmm-agent/mvd-probe.h \
	vmm-agent/mvd-process.c vmm-agent/mvd-process.h \
	vmm-agent/mvd-protocol.c vmm-agent/mvd-protocol.h \
	vmm-agent/mvd-questions.c vmm-agent/mvd-questions.h \
	vmm-agent/mvd-refusals.c vmm-agent/mvd-refusals.h \
	vmm-agent/mvd-requests.c vmm-agent/mvd-requests.h \
	vmm-agent/mvd-room.c vmm-agent/mvd-room.h \
	vmm-agent/mvd-scheduler.c vmm-agent/mvd-scheduler.h \
	vmm-agent/mvd-server.c vmm-agent/mvd-server.h \
	vmm-agent/mvd-settings.c vmm-agent/mvd-settings.h \
	vmm-agent/mvd-steer.c \
	vmm-agent/mvd-tell.c vmm-agent/mvd-tell.h \
	vmm-agent/mvd-tsc.c vmm-agent/mvd-tsc.h \
	vmm-agent/mvd-vector.c vmm-agent/mvd-vector.h \
	vmm-agent/mvd-virt-move.c vmm-agent/mvd-virt-move.h \
	vmm-agent/mvd-virt-tune.c vmm-agent/mvd-virt-tune.h \
	vmm-agent/mvd-weigh.c vmm-agent/mvd-weigh.h \
	vmm-agent/mvd-vsock.c vmm-agent/mvd-vsock.h
vmm_agent_libmvd_a_CFLAGS = $(mvd_cflags)

sbin_PROGRAMS += vmm-agent/mvd
vmm_agent_mvd_SOURCES = vmm-agent/mvd.c vmm-agent/mvd.h
vmm_agent_mvd_CFLAGS = $(mvd_cflags)
vmm_agent_mvd_LDADD = $(mvd_libs)

bin_PROGRAMS += vmm-agent/mvctl
vmm_agent_mvctl_SOURCES = vmm-agent/mvctl.c vmm-agent/mvctl.h \
	vmm-agent/mvctl-ask.c vmm-agent/mvctl-cluster.c vmm-agent/mvctl-doctor.c vmm-agent/mvctl-migrate.c \
	vmm-agent/mvctl-print.c vmm-agent/mvctl-schedule.c
vmm_agent_mvctl_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS)
vmm_agent_mvctl_LDADD = vmm-agent/libagent-client.a net/libnet.a $(JSON_C_LIBS)
