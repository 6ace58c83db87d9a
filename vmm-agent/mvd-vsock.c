/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A kit dials again whenever its connection ends, at the port on its kernel
 * command line. An agent that was restarted must therefore listen where its
 * predecessor did: each adopted job brings its port along, and new jobs get the
 * first one. Normally all are the same.
 */
#include "vmm-agent/mvd-vsock.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#define BACKLOG 64

struct listener {
	struct vsock *vsock;
	unsigned port;
	int fd;
	guint source;
};

struct vsock {
	vsock_dialled_fn dialled;
	void *ctx;
	GPtrArray *listeners;
};

static void listener_free(void *p)
{
	struct listener *listener = p;

	g_clear_handle_id(&listener->source, g_source_remove);
	cleanup_fd_(&listener->fd);
	g_free(listener);
}

struct vsock *vsock_new(vsock_dialled_fn dialled, void *ctx)
{
	struct vsock *vsock = g_new0(struct vsock, 1);

	vsock->dialled = dialled;
	vsock->ctx = ctx;
	vsock->listeners = g_ptr_array_new_with_free_func(listener_free);
	return vsock;
}

void vsock_free(struct vsock *vsock)
{
	g_ptr_array_unref(vsock->listeners);
	g_free(vsock);
}

bool vsock_available(void)
{
	cleanup_fd int fd = open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);

	return fd >= 0;
}

static gboolean on_dial(int fd, GIOCondition condition, void *p)
{
	struct listener *listener = p;
	struct sockaddr_vm peer = { 0 };
	socklen_t len = sizeof(peer);
	int guest = accept4(fd, (struct sockaddr *)&peer, &len,
			    SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)condition;
	if (guest >= 0)
		listener->vsock->dialled(listener->vsock->ctx, peer.svm_cid,
					 guest);
	return G_SOURCE_CONTINUE;
}

/* A socket that listens at the port; *port becomes the real one. */
static int listen_at(unsigned *port, struct err *err)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = *port ? *port : VMADDR_PORT_ANY,
	};
	socklen_t len = sizeof(address);
	cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC |
				   SOCK_NONBLOCK, 0);

	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return err_set(err, errno, "cannot listen on vsock port %u",
			       *port);
	*port = address.svm_port;
	return steal_fd(&fd);
}

unsigned vsock_listen(struct vsock *vsock, unsigned port, struct err *err)
{
	struct listener *listener;
	unsigned i;
	int fd;

	for (i = 0; i < vsock->listeners->len; i++) {
		listener = vsock->listeners->pdata[i];
		if (port == 0 || listener->port == port)
			return listener->port;
	}
	fd = listen_at(&port, err);
	if (fd < 0)
		return 0;
	listener = g_new0(struct listener, 1);
	listener->vsock = vsock;
	listener->port = port;
	listener->fd = fd;
	listener->source = g_unix_fd_add(fd, G_IO_IN, on_dial, listener);
	g_ptr_array_add(vsock->listeners, listener);
	return port;
}

unsigned vsock_port(const struct vsock *vsock)
{
	struct listener *first;

	if (vsock->listeners->len == 0)
		return 0;
	first = vsock->listeners->pdata[0];
	return first->port;
}
