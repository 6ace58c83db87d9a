/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvrun's standard descriptors are shared with other processes, so they are
 * never made non-blocking: poll() says when a read or a small write will not
 * wait. A pipe that polls writable takes a page.
 */
#include "vmm-agent/mvrun.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 32768

int sink_open(struct sink *sink, int fd, unsigned channel)
{
	*sink = (struct sink){ .fd = fd, .channel = channel };
	sink->buffer = malloc(job_channels[channel].window);
	return sink->buffer ? 0 : -1;
}

/* Remove each CR right before a LF; returns the new length. */
static size_t drop_crs(uint8_t *bytes, size_t len)
{
	size_t to = 0;

	for (size_t i = 0; i < len; i++)
		if (bytes[i] != '\r' || i + 1 == len || bytes[i + 1] != '\n')
			bytes[to++] = bytes[i];
	return to;
}

void sink_receive(struct sink *sink, const void *data, size_t len,
		  struct link *link)
{
	size_t window = job_channels[sink->channel].window;

	if (!sink->buffer || sink->broken || sink->used + len > window) {
		link_consume(link, sink->channel, len);
		return;
	}
	if (sink->start + sink->used + len > window) {
		memmove(sink->buffer, sink->buffer + sink->start, sink->used);
		sink->start = 0;
	}
	memcpy(sink->buffer + sink->start + sink->used, data, len);
	if (sink->drop_cr) {
		size_t kept = drop_crs(sink->buffer + sink->start + sink->used, len);

		link_consume(link, sink->channel, len - kept);
		len = kept;
	}
	sink->used += len;
}

bool sink_wants_write(const struct sink *sink)
{
	return sink->fd >= 0 && sink->used && !sink->broken;
}

bool sink_done(const struct sink *sink)
{
	return sink->fd < 0 || (sink->fin && !sink->used);
}

/* How much may be written at once: a regular file never waits for a reader. */
static size_t write_unit(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) ? SIZE_MAX : PIPE_BUF;
}

static bool writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1;
}

static int sink_break(struct sink *sink, struct link *link, int num)
{
	sink->broken = true;
	link_consume(link, sink->channel, sink->used);
	sink->used = 0;
	return num;
}

int sink_run(struct sink *sink, struct link *link)
{
	size_t unit = sink_wants_write(sink) ? write_unit(sink->fd) : 0;

	while (sink_wants_write(sink) && writable(sink->fd)) {
		size_t len = sink->used < unit ? sink->used : unit;
		ssize_t n = write(sink->fd, sink->buffer + sink->start, len);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return sink_break(sink, link, errno);
		link_consume(link, sink->channel, (size_t)n);
		sink->start += (size_t)n;
		sink->used -= (size_t)n;
		if (!sink->used)
			sink->start = 0;
	}
	return 0;
}

ssize_t source_run(int fd, unsigned channel, struct link *link)
{
	size_t room = link_room(link, channel);
	uint8_t bytes[READ_CHUNK];
	ssize_t n;

	if (!room)
		return -1;
	n = read(fd, bytes, room < READ_CHUNK ? room : READ_CHUNK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (n <= 0) {
		link_send_fin(link, channel);
		return 0;
	}
	if (link_send(link, channel, bytes, (size_t)n))
		return -1;
	return n;
}
