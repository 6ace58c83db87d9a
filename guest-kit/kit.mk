# The kit is static and never built with sanitizers: it is PID 1 of a machine of its own.
pkglibexec_PROGRAMS += guest-kit/kit
guest_kit_kit_SOURCES = \
	guest-kit/kit.c guest-kit/kit.h guest-kit/kit-boot.c guest-kit/kit-init.c \
	guest-kit/kit-guard.c guest-kit/kit-link.c guest-kit/kit-stream.c guest-kit/kit-ttywatch.c \
	guest-kit/relay.c guest-kit/relay.h guest-kit/control.c guest-kit/control.h \
	$(net_sources)
guest_kit_kit_CFLAGS = $(KIT_CFLAGS) -Os -ffunction-sections -fdata-sections
guest_kit_kit_LDFLAGS = -static -Wl,--gc-sections -s
