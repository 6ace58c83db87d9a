/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transports: where a link's bytes travel. Each opens to one non-blocking,
 * close-on-exec descriptor; after that all transports are read, written and
 * polled alike (struct pump). What differs is only what is in this table.
 *
 * The kind says what the descriptor is at this end. What is a virtio-serial
 * port in the guest is a unix socket at home.
 */
#ifndef MV_NET_TRANSPORT_H
#define MV_NET_TRANSPORT_H

#include "net/err.h"

#include <stdbool.h>
#include <stddef.h>

enum transport_kind {
	TRANSPORT_UNIX,   /* a unix stream socket: path */
	TRANSPORT_SERIAL, /* a virtio-serial port in the guest: port name */
	TRANSPORT_VSOCK,  /* AF_VSOCK stream: "CID:PORT" */
	TRANSPORT_KINDS,
};

#define TRANSPORT_MAX_WRITE 65536

struct transport {
	enum transport_kind kind;
	const char *name;     /* "unix", "virtio-serial", "vsock" */
	/* Largest write worth making at once, bytes; <= TRANSPORT_MAX_WRITE. */
	size_t write_size;
	/* End of file means only that nobody is at the other end now: the same
	 * descriptor works again when somebody is (virtio-serial). */
	bool eof_is_pause;
	/* Returns an open descriptor, owned by the caller, or -1. May take two
	 * seconds (vsock: the device's limit on a connection attempt). */
	int (*open)(const char *address, struct err *err);
};

const struct transport *transport_get(enum transport_kind kind);
/* By its name; NULL when there is none such. */
const struct transport *transport_find(const char *name);

/*
 * The device of the virtio-serial port called `name`, like "vport0p1", found in
 * `ports_dir`, which is /sys/class/virtio-ports except in tests. Returns an
 * allocated string, or NULL.
 */
char *transport_port_device(const char *ports_dir, const char *name,
			    struct err *err);

#endif
