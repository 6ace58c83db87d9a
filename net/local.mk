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

# Peers: certificates, the roster, TLS by GIO. A library of its own, because the static kit
# links libnet.a and has no GLib.
peer_cflags = $(AM_CFLAGS) $(GIO_CFLAGS) $(GNUTLS_CFLAGS) $(JSON_C_CFLAGS) $(ZSTD_CFLAGS)
peer_libs = net/libpeer.a net/libnet.a $(GIO_LIBS) $(GNUTLS_LIBS) $(JSON_C_LIBS) $(ZSTD_LIBS)

noinst_LIBRARIES += net/libpeer.a
net_libpeer_a_SOURCES = \
	net/cluster.c net/cluster.h \
	net/cluster-file.c net/cluster-file.h \
	net/join.c net/join.h \
	net/json.c net/json.h \
	net/peer.c net/peer.h net/peer-private.h \
	net/peer-admit.c \
	net/peer-ask.c \
	net/peer-conn.c net/peer-conn.h \
	net/peer-dial.c \
	net/peer-greet.c \
	net/peer-listen.c \
	net/peer-serve.c \
	net/peer-stream.c \
	net/pki.c net/pki.h \
	net/roster.c net/roster.h \
	net/seal.c net/seal.h \
	net/seal-key.c net/seal-key.h \
	net/splice.c net/splice.h \
	net/squeeze.c net/squeeze.h
net_libpeer_a_CFLAGS = $(peer_cflags)
