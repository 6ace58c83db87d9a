/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/relay.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct relay {
	int fd;
	unsigned channel;
	struct link *link;
	size_t reply_used; /* bytes of an incomplete reply */
	uint8_t request[RELAY_MAX_MESSAGE];
	uint8_t reply[RELAY_MAX_MESSAGE];
};

struct relay *relay_new(int fuse_fd, struct link *link, unsigned channel,
			struct err *err)
{
	struct relay *relay = malloc(sizeof(*relay));

	if (!relay) {
		close(fuse_fd);
		err_set(err, ENOMEM, "file relay");
		return NULL;
	}
	relay->fd = fuse_fd;
	relay->channel = channel;
	relay->link = link;
	relay->reply_used = 0;
	return relay;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	close(relay->fd);
	free(relay);
}

int relay_fd(const struct relay *relay)
{
	return relay->fd;
}

static bool has_room(const struct relay *relay)
{
	return link_room(relay->link, relay->channel) >= RELAY_MAX_MESSAGE;
}

short relay_events(const struct relay *relay)
{
	return has_room(relay) ? POLLIN : 0;
}

int relay_run(struct relay *relay, struct err *err)
{
	while (has_room(relay)) {
		ssize_t n = read(relay->fd, relay->request, RELAY_MAX_MESSAGE);

		if (n > 0) {
			if (link_send(relay->link, relay->channel,
				      relay->request, (size_t)n))
				return err_set(err, ENOMEM, "file relay");
			continue;
		}
		if (n < 0 && errno == ENODEV)
			return 1;
		if (n < 0 && errno == EAGAIN)
			return 0;
		/* ENOENT: the request was interrupted while being read. */
		if (n < 0 && (errno == EINTR || errno == ENOENT))
			continue;
		return err_set(err, n < 0 ? errno : EIO, "cannot read /dev/fuse");
	}
	return 0;
}

static bool is_notification(const uint8_t *reply)
{
	struct fuse_out_header header;

	memcpy(&header, reply, sizeof(header));
	return header.unique == 0;
}

static int write_reply(const struct relay *relay, const uint8_t *reply,
		       size_t len, struct err *err)
{
	ssize_t n;

	do
		n = write(relay->fd, reply, len);
	while (n < 0 && errno == EINTR);
	/*
	 * ENOENT: nobody waits for it any more; ENODEV: unmounted. A notification
	 * fails when the kernel does not have what it is about: no matter.
	 */
	if (n < 0 && errno != ENOENT && errno != ENODEV &&
	    !is_notification(reply))
		return err_set(err, errno, "the kernel refused a file reply");
	return 0;
}

/* Length of the reply that begins at `bytes`, 0 when unknown yet, -1: absurd. */
static ssize_t reply_length(const uint8_t *bytes, size_t len, struct err *err)
{
	struct fuse_out_header header;

	if (len < sizeof(header))
		return 0;
	memcpy(&header, bytes, sizeof(header));
	if (header.len < sizeof(header) || header.len > RELAY_MAX_MESSAGE)
		return err_set(err, 0, "a file reply of %u bytes", header.len);
	return (ssize_t)header.len;
}

/* Take bytes into the incomplete reply; returns how many, -1 on error. */
static ssize_t assemble(struct relay *relay, const uint8_t *bytes, size_t len,
			struct err *err)
{
	size_t want = sizeof(struct fuse_out_header), take;
	ssize_t whole = reply_length(relay->reply, relay->reply_used, err);

	if (whole < 0)
		return -1;
	if (whole)
		want = (size_t)whole;
	take = want - relay->reply_used < len ? want - relay->reply_used : len;
	memcpy(relay->reply + relay->reply_used, bytes, take);
	relay->reply_used += take;
	whole = reply_length(relay->reply, relay->reply_used, err);
	if (whole < 0)
		return -1;
	if (whole && relay->reply_used == (size_t)whole) {
		relay->reply_used = 0;
		if (write_reply(relay, relay->reply, (size_t)whole, err))
			return -1;
	}
	return (ssize_t)take;
}

int relay_receive(struct relay *relay, const void *data, size_t len,
		  struct err *err)
{
	const uint8_t *at = data;

	link_consume(relay->link, relay->channel, len);
	while (len) {
		ssize_t whole = relay->reply_used ? 0 : reply_length(at, len, err);

		if (whole > 0 && (size_t)whole <= len) {
			if (write_reply(relay, at, (size_t)whole, err))
				return -1;
		} else {
			whole = whole < 0 ? -1 : assemble(relay, at, len, err);
		}
		if (whole < 0)
			return -1;
		at += whole;
		len -= (size_t)whole;
	}
	return 0;
}
