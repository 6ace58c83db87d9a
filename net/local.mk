# net/: frames, link, transports. Depends on nothing of ours.
net_sources = \
	net/bytes.h net/cleanup.h \
	net/err.c net/err.h \
	net/link.c net/link.h net/link-private.h \
	net/link-frame.c net/link-frame.h \
	net/link-rx.c net/link-tx.c \
	net/pump.c net/pump.h \
	net/transport.c net/transport.h \
	net/xxh64.c net/xxh64.h

noinst_LIBRARIES += net/libnet.a
net_libnet_a_SOURCES = $(net_sources)
