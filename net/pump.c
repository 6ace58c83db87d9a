/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/pump.h"

#include "net/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define READ_SIZE (128 * 1024)
/* Reads and writes in one pump_run(), so that the owner's other descriptors
 * get their turn. */
#define MAX_TURNS 16
#define PAUSE_MS 50

struct pump {
	struct link *link;
	const struct transport *transport;
	int fd;
	int timer; /* runs while the other end is absent */
	bool paused;
	uint8_t *in, *out;
	size_t out_at, out_len; /* the unwritten rest */
};

struct pump *pump_new(struct link *link)
{
	struct pump *pump = calloc(1, sizeof(*pump));

	if (!pump)
		return NULL;
	pump->link = link;
	pump->fd = -1;
	pump->timer = timerfd_create(CLOCK_MONOTONIC,
				     TFD_CLOEXEC | TFD_NONBLOCK);
	pump->in = malloc(READ_SIZE);
	pump->out = malloc(TRANSPORT_MAX_WRITE);
	if (pump->timer < 0 || !pump->in || !pump->out) {
		pump_free(pump);
		return NULL;
	}
	return pump;
}

void pump_free(struct pump *pump)
{
	if (!pump)
		return;
	pump_detach(pump, "closed");
	if (pump->timer >= 0)
		close(pump->timer);
	free(pump->in);
	free(pump->out);
	free(pump);
}

static void set_timer(struct pump *pump, long ms)
{
	struct itimerspec when = { .it_value.tv_nsec = ms * 1000000 };

	timerfd_settime(pump->timer, 0, &when, NULL);
}

void pump_attach(struct pump *pump, const struct transport *transport, int fd,
		 int64_t now_ms)
{
	pump_detach(pump, "replaced by a new transport");
	pump->transport = transport;
	pump->fd = fd;
	link_attach(pump->link, now_ms);
}

void pump_detach(struct pump *pump, const char *why)
{
	link_detach(pump->link, why);
	if (pump->fd < 0)
		return;
	close(steal_fd(&pump->fd));
	pump->transport = NULL;
	pump->paused = false;
	set_timer(pump, 0);
	pump->out_at = pump->out_len = 0;
}

int pump_fd(const struct pump *pump)
{
	return pump->paused ? pump->timer : pump->fd;
}

const struct transport *pump_transport(const struct pump *pump)
{
	return pump->transport;
}

short pump_events(const struct pump *pump, int64_t now_ms)
{
	if (pump->fd < 0)
		return 0;
	if (!pump->paused && (pump->out_at < pump->out_len ||
			      link_wants_transmit(pump->link, now_ms)))
		return POLLIN | POLLOUT;
	return POLLIN;
}

static int give_up(struct pump *pump, const char *what, int num)
{
	char why[160];

	if (num)
		snprintf(why, sizeof(why), "%s %s: %s", what,
			 pump->transport->name, strerror(num));
	else
		snprintf(why, sizeof(why), "%s", what);
	pump_detach(pump, why);
	return -1;
}

/* The link has ended the attachment, and its reason stands. */
static int link_ended(struct pump *pump, int64_t now_ms)
{
	if (!pump->transport->eof_is_pause) {
		pump_detach(pump, link_reason(pump->link));
		return -1;
	}
	pump->out_at = pump->out_len = 0;
	link_attach(pump->link, now_ms);
	return 0;
}

static void pause_reading(struct pump *pump)
{
	pump->paused = true;
	set_timer(pump, PAUSE_MS);
}

/* Returns 1 when there may be more to read at once, 0 when not, or -1. */
static int read_once(struct pump *pump, int64_t now_ms)
{
	ssize_t n = read(pump->fd, pump->in, READ_SIZE);

	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return give_up(pump, "reading from", errno);
	if (!n && pump->transport->eof_is_pause) {
		pause_reading(pump);
		return 0;
	}
	if (!n)
		return give_up(pump, "the peer closed the connection", 0);
	if (link_receive(pump->link, pump->in, (size_t)n, now_ms) &&
	    link_ended(pump, now_ms))
		return -1;
	/* A socket gives all it has; a serial port a page at a time. */
	return pump->transport->kind == TRANSPORT_SERIAL || n == READ_SIZE;
}

static int pump_read(struct pump *pump, int64_t now_ms)
{
	int more = 1;

	if (pump->paused) {
		pump->paused = false;
		set_timer(pump, 0);
	}
	for (int turn = 0; more > 0 && turn < MAX_TURNS; turn++)
		more = read_once(pump, now_ms);
	return more < 0 ? -1 : 0;
}

static ssize_t write_some(const struct pump *pump)
{
	const uint8_t *bytes = pump->out + pump->out_at;
	size_t len = pump->out_len - pump->out_at;

	if (pump->transport->kind == TRANSPORT_SERIAL)
		return write(pump->fd, bytes, len);
	return send(pump->fd, bytes, len, MSG_NOSIGNAL);
}

/* Returns 1 when there may be more to write at once, 0 when not, or -1. */
static int write_once(struct pump *pump, int64_t now_ms)
{
	ssize_t n;

	if (pump->out_at == pump->out_len) {
		pump->out_at = 0;
		pump->out_len = link_transmit(pump->link, pump->out,
					      pump->transport->write_size,
					      now_ms);
	}
	if (!pump->out_len)
		return 0;
	n = write_some(pump);
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return give_up(pump, "writing to", errno);
	pump->out_at += (size_t)n;
	return 1;
}

static int pump_write(struct pump *pump, int64_t now_ms)
{
	int more = !pump->paused;

	for (int turn = 0; more > 0 && turn < MAX_TURNS; turn++)
		more = write_once(pump, now_ms);
	return more < 0 ? -1 : 0;
}

int pump_run(struct pump *pump, short revents, int64_t now_ms)
{
	if (pump->fd < 0)
		return -1;
	if ((revents & (POLLIN | POLLHUP | POLLERR)) &&
	    pump_read(pump, now_ms))
		return -1;
	if (link_tick(pump->link, now_ms) && link_ended(pump, now_ms))
		return -1;
	return pump_write(pump, now_ms);
}
