/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/splice.h"

#include "net/squeeze.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (256 * 1024)
#define DRAIN_S 10 /* for the second direction, after the first has ended */
#define WATCH_MS 2000
#define DEAD_MS 10000 /* without a sign of life from the other machine */

struct splice {
	GIOStream *tls;
	GSocketConnection *tcp;
	int fd;
	GBytes *first;
	GCancellable *cancel;
	struct squeeze *compress, *expand; /* both, or none */
	struct peer_meter *meter;
	GThread *in, *out; /* from the stream to the socket, and back */
	/* Wakes the main loop; all that threads use of it is its time. */
	GSource *source;
	gint ended; /* directions that have, atomic */
	gint64 drain_end;
	splice_done_fn done;
	void *ctx;
};

/* End both directions. */
static void cut(struct splice *splice)
{
	g_cancellable_cancel(splice->cancel);
	/* A thread may wait for the socket. */
	shutdown(splice->fd, SHUT_RDWR);
}

/* ---- the meter ---- */

struct peer_meter {
	gatomicrefcount refs;
	gsize sent; /* atomic */
};

struct peer_meter *peer_meter_new(void)
{
	struct peer_meter *meter = g_new0(struct peer_meter, 1);

	g_atomic_ref_count_init(&meter->refs);
	return meter;
}

struct peer_meter *peer_meter_ref(struct peer_meter *meter)
{
	g_atomic_ref_count_inc(&meter->refs);
	return meter;
}

void peer_meter_unref(struct peer_meter *meter)
{
	if (g_atomic_ref_count_dec(&meter->refs))
		g_free(meter);
}

uint64_t peer_meter_sent(struct peer_meter *meter)
{
	return (uint64_t)g_atomic_pointer_add(&meter->sent, 0);
}

/* ---- the threads ---- */

/* False when nobody reads at the other end of the socket any more. */
static bool write_socket(void *ctx, const void *data, size_t len)
{
	int fd = ((struct splice *)ctx)->fd;
	const char *bytes = data;

	while (len > 0) {
		ssize_t n = TEMP_FAILURE_RETRY(send(fd, bytes, len,
						    MSG_NOSIGNAL));

		if (n < 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static bool write_stream(void *ctx, const void *data, size_t len)
{
	struct splice *splice = ctx;
	GOutputStream *to = g_io_stream_get_output_stream(splice->tls);

	if (splice->meter)
		g_atomic_pointer_add(&splice->meter->sent, (gssize)len);
	return g_output_stream_write_all(to, data, len, NULL, splice->cancel,
					 NULL);
}

/* As it is, or through the compressor. */
static bool pass(struct squeeze *squeeze, squeeze_write_fn write,
		 struct splice *splice, const void *data, size_t len)
{
	return squeeze ? squeeze_put(squeeze, data, len) :
			 write(splice, data, len);
}

/* One of the two directions has ended; the stream itself works or not. */
static void direction_ended(struct splice *splice, bool works)
{
	if (!works)
		cut(splice);
	g_atomic_int_inc(&splice->ended);
	g_source_set_ready_time(splice->source, 0);
}

/*
 * A blocking read would do, but GIO's TLS does not send the end of the other
 * direction while one is under way.
 */
static gssize read_stream(struct splice *splice, char *buffer)
{
	GInputStream *from = g_io_stream_get_input_stream(splice->tls);
	GSocket *socket = g_socket_connection_get_socket(splice->tcp);

	for (;;) {
		g_autoptr(GError) error = NULL;
		gssize n = g_pollable_input_stream_read_nonblocking(
			G_POLLABLE_INPUT_STREAM(from), buffer, BUFFER,
			splice->cancel, &error);

		if (!g_error_matches(error, G_IO_ERROR,
				     G_IO_ERROR_WOULD_BLOCK))
			return n;
		if (!g_socket_condition_wait(socket, G_IO_IN, splice->cancel,
					     NULL))
			return -1;
	}
}

static void *run_in(void *p)
{
	struct splice *splice = p;
	g_autofree char *buffer = g_malloc(BUFFER);
	bool delivers = true;
	gsize len = 0;
	gssize n;

	if (splice->first) {
		const void *bytes = g_bytes_get_data(splice->first, &len);

		delivers = pass(splice->expand, write_socket, splice, bytes,
				len);
	}
	do {
		n = read_stream(splice, buffer);
		if (n > 0 && delivers)
			delivers = pass(splice->expand, write_socket, splice,
					buffer, (size_t)n);
		if (!delivers)
			shutdown(splice->fd, SHUT_WR);
	} while (n > 0);
	shutdown(splice->fd, n == 0 ? SHUT_RDWR : SHUT_WR);
	direction_ended(splice, n == 0);
	return NULL;
}

static void *run_out(void *p)
{
	struct splice *splice = p;
	GOutputStream *to = g_io_stream_get_output_stream(splice->tls);
	g_autofree char *buffer = g_malloc(BUFFER);
	gboolean ok = TRUE;
	ssize_t n;

	do {
		n = TEMP_FAILURE_RETRY(recv(splice->fd, buffer, BUFFER, 0));
		if (n > 0)
			ok = pass(splice->compress, write_stream, splice,
				  buffer, (size_t)n);
	} while (n > 0 && ok);
	/* A socket that was reset has said all it had to say. */
	if (ok)
		ok = g_output_stream_close(to, splice->cancel, NULL);
	direction_ended(splice, ok);
	return NULL;
}

/* ---- the main loop ---- */

/*
 * TCP_USER_TIMEOUT would do this, but it also ends a connection whose reader
 * takes a rest of that length, as the reader of a frozen job does. An idle
 * connection is watched by keep-alive.
 */
static bool looks_dead(const struct splice *splice)
{
	int fd = g_socket_get_fd(g_socket_connection_get_socket(splice->tcp));
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_unacked > 0 && info.tcpi_last_ack_recv > DEAD_MS &&
	       info.tcpi_last_data_sent > WATCH_MS;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer p)
{
	gint64 now = g_get_monotonic_time();
	struct splice *splice = p;
	int ended;

	(void)callback;
	/* First, so that no thread's wake-up is lost. */
	g_source_set_ready_time(source, now + WATCH_MS * 1000);
	ended = g_atomic_int_get(&splice->ended);
	if (ended == 2) {
		splice->done(splice->ctx, splice);
		return G_SOURCE_CONTINUE;
	}
	if (ended == 1 && splice->drain_end == 0)
		splice->drain_end = now + DRAIN_S * G_USEC_PER_SEC;
	if ((splice->drain_end && now >= splice->drain_end) ||
	    looks_dead(splice))
		cut(splice);
	return G_SOURCE_CONTINUE;
}

static void do_nothing(gpointer p)
{
	(void)p;
}

static GSourceFuncs source_funcs = { .dispatch = dispatch };

static int start(struct splice *splice, struct err *err)
{
	g_autoptr(GError) error = NULL;

	splice->in = g_thread_try_new("splice-in", run_in, splice, &error);
	if (splice->in)
		splice->out = g_thread_try_new("splice-out", run_out, splice,
					       &error);
	if (splice->out)
		return 0;
	return err_set(err, 0, "cannot start a thread: %s", error->message);
}

static int start_squeezing(struct splice *splice, struct err *err)
{
	splice->compress = squeeze_new(true, write_stream, splice);
	splice->expand = squeeze_new(false, write_socket, splice);
	if (splice->compress && splice->expand)
		return 0;
	return err_set(err, ENOMEM, "cannot compress");
}

struct splice *splice_new(const struct splice_config *config,
			  splice_done_fn done, void *ctx, struct err *err)
{
	struct splice *splice = g_new0(struct splice, 1);
	GSocket *socket = g_socket_connection_get_socket(config->tcp);
	int flags = fcntl(config->fd, F_GETFL);

	splice->tls = g_object_ref(config->tls);
	splice->tcp = g_object_ref(config->tcp);
	splice->fd = config->fd;
	splice->first = config->first ? g_bytes_ref(config->first) : NULL;
	splice->meter = config->meter ? peer_meter_ref(config->meter) : NULL;
	splice->cancel = g_cancellable_new();
	splice->done = done;
	splice->ctx = ctx;
	splice->source = g_source_new(&source_funcs, sizeof(GSource));
	/* A source without a callback is not dispatched with our pointer. */
	g_source_set_callback(splice->source, G_SOURCE_FUNC(do_nothing), splice,
			      NULL);
	g_source_set_ready_time(splice->source, g_get_monotonic_time());
	g_source_attach(splice->source, NULL);
	g_socket_set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, 0, NULL);
	if (flags < 0 || fcntl(splice->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		err_set(err, errno, "cannot use the socket");
	else if (config->compress && start_squeezing(splice, err) < 0)
		g_debug("%s", err->text);
	else if (start(splice, err) == 0)
		return splice;
	splice_free(splice);
	return NULL;
}

void splice_free(struct splice *splice)
{
	cut(splice);
	g_source_destroy(splice->source);
	if (splice->in)
		g_thread_join(splice->in);
	if (splice->out)
		g_thread_join(splice->out);
	g_source_unref(splice->source);
	/* Bytes that nobody will read any more. */
	g_socket_shutdown(g_socket_connection_get_socket(splice->tcp), TRUE,
			  TRUE, NULL);
	close(splice->fd);
	if (splice->first)
		g_bytes_unref(splice->first);
	if (splice->meter)
		peer_meter_unref(splice->meter);
	squeeze_free(splice->compress);
	squeeze_free(splice->expand);
	g_object_unref(splice->cancel);
	g_object_unref(splice->tls);
	g_object_unref(splice->tcp);
	g_free(splice);
}
