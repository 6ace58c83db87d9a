# The deputy's file service.
noinst_LIBRARIES += vmm-agent/libfiles.a
vmm_agent_libfiles_a_SOURCES = \
	vmm-agent/files.c vmm-agent/files.h vmm-agent/files-internal.h \
	vmm-agent/files-attr.c \
	vmm-agent/files-base.c \
	vmm-agent/files-check.c vmm-agent/files-check.h \
	vmm-agent/files-cred.c \
	vmm-agent/files-dir.c \
	vmm-agent/files-handle.c \
	vmm-agent/files-inode.c \
	vmm-agent/files-io.c \
	vmm-agent/files-lock.c \
	vmm-agent/files-name.c \
	vmm-agent/files-stat.c \
	vmm-agent/files-work.c \
	vmm-agent/fuse-channel.c vmm-agent/fuse-channel.h
vmm_agent_libfiles_a_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE3_CFLAGS)
