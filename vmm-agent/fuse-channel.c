/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads: the loop's thread owns the link and everything here but `shared`,
 * into which workers put replies. A worker that finds more than QUEUE_LIMIT
 * bytes waiting for the link waits too; so a guest that does not read its
 * replies stops its own requests. Credit for requests is granted while the
 * service's backlog is small, so a guest that floods it stops likewise.
 */
#include "vmm-agent/fuse-channel.h"

#include "guest-kit/relay.h"
#include "vmm-agent/files-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_LIMIT ((size_t)8 * 1024 * 1024)

static_assert(RELAY_MAX_MESSAGE == FILES_MAX_MESSAGE,
	      "both ends agree on the largest message");

struct reply {
	struct reply *next;
	size_t len;
	uint8_t bytes[];
};

struct queue {
	struct reply *first, **last;
};

struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t room;
	struct queue queue;
	size_t bytes; /* here and in fuse_channel.sending */
	bool signalled, closing, lost;
};

struct fuse_channel {
	struct link *link;
	unsigned channel;
	struct files *files;
	int event_fd;
	struct shared shared;
	struct queue sending;
	size_t owed; /* credit not granted yet */
	/* A request of which only the beginning has come. */
	uint8_t *partial;
	size_t partial_len, partial_size;
};

/* This thread is the loop's and is in fuse_channel_receive(). */
static __thread bool in_receive;

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void queue_push(struct queue *q, struct reply *reply)
{
	reply->next = NULL;
	*q->last = reply;
	q->last = &reply->next;
}

static struct reply *queue_pop(struct queue *q)
{
	struct reply *reply = q->first;

	q->first = reply->next;
	if (!q->first)
		q->last = &q->first;
	return reply;
}

static void queue_append(struct queue *to, struct queue *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	queue_init(from);
}

static void queue_free(struct queue *q)
{
	while (q->first)
		free(queue_pop(q));
}

/* --- worker threads -------------------------------------------------------- */

/* Takes shared.mutex over; wakes the loop unless it is to wake up already. */
static void unlock_and_signal(struct fuse_channel *fc)
{
	bool signalled = fc->shared.signalled;
	const uint64_t one = 1;

	fc->shared.signalled = true;
	pthread_mutex_unlock(&fc->shared.mutex);
	/* It fails only when the eventfd is readable as can be. */
	if (!signalled && write(fc->event_fd, &one, sizeof(one)) < 0)
		return;
}

static struct reply *copy_reply(const void *message, size_t len)
{
	struct reply *reply = malloc(sizeof(*reply) + len);

	if (!reply)
		return NULL;
	reply->len = len;
	memcpy(reply->bytes, message, len);
	return reply;
}

static void take_reply(void *ctx, const void *message, size_t len)
{
	struct reply *reply = copy_reply(message, len);
	struct fuse_channel *fc = ctx;
	struct shared *s = &fc->shared;

	pthread_mutex_lock(&s->mutex);
	/* The loop must not wait for itself. */
	while (s->bytes > QUEUE_LIMIT && !s->closing && !in_receive)
		pthread_cond_wait(&s->room, &s->mutex);
	if (reply) {
		s->bytes += len;
		queue_push(&s->queue, reply);
	} else {
		s->lost = true;
	}
	if (in_receive)
		pthread_mutex_unlock(&s->mutex); /* it sends when it is done */
	else
		unlock_and_signal(fc);
}

static void drained(void *ctx)
{
	struct fuse_channel *fc = ctx;

	pthread_mutex_lock(&fc->shared.mutex);
	unlock_and_signal(fc);
}

/* --- the loop's thread -------------------------------------------------------- */

static void grant_credit(struct fuse_channel *fc)
{
	if (!fc->owed || files_backlogged(fc->files))
		return;
	link_consume(fc->link, fc->channel, fc->owed);
	fc->owed = 0;
}

static void collect(struct fuse_channel *fc)
{
	struct shared *s = &fc->shared;
	uint64_t count;

	bool signalled;

	pthread_mutex_lock(&s->mutex);
	signalled = s->signalled;
	s->signalled = false;
	queue_append(&fc->sending, &s->queue);
	pthread_mutex_unlock(&s->mutex);
	/* If its write is yet to come, the loop wakes once more for nothing. */
	if (signalled && read(fc->event_fd, &count, sizeof(count)) < 0)
		return;
}

static void sent(struct fuse_channel *fc, size_t bytes)
{
	bool full;

	pthread_mutex_lock(&fc->shared.mutex);
	full = fc->shared.bytes > QUEUE_LIMIT;
	fc->shared.bytes -= bytes;
	pthread_mutex_unlock(&fc->shared.mutex);
	if (full)
		pthread_cond_broadcast(&fc->shared.room);
}

void fuse_channel_flush(struct fuse_channel *fc)
{
	size_t total = 0;
	struct reply *reply;

	collect(fc);
	while ((reply = fc->sending.first)) {
		if (link_send(fc->link, fc->channel, reply->bytes, reply->len))
			break;
		total += reply->len;
		free(queue_pop(&fc->sending));
	}
	if (total)
		sent(fc, total);
	grant_credit(fc);
}

/* Length of the message that begins at `bytes`; 0: not known yet; -1: absurd. */
static ssize_t message_length(const uint8_t *bytes, size_t len, struct err *err)
{
	uint32_t length;

	if (len < sizeof(length))
		return 0;
	memcpy(&length, bytes, sizeof(length));
	if (length < sizeof(struct fuse_in_header) || length > FILES_MAX_MESSAGE)
		return err_set(err, 0, "a FUSE request of %u bytes", length);
	return length;
}

/*
 * What is answered at once is queued without waiting: only while there is room.
 * Otherwise a guest could have more read than it takes.
 */
static int request(struct fuse_channel *fc, const uint8_t *message, size_t len,
		   struct err *err)
{
	bool room;

	pthread_mutex_lock(&fc->shared.mutex);
	room = fc->shared.bytes <= QUEUE_LIMIT;
	pthread_mutex_unlock(&fc->shared.mutex);
	files_allow_at_once(fc->files, room);
	return files_request(fc->files, message, len, err);
}

/* Memory grows with what is received, not with what is announced. */
static int make_room(struct fuse_channel *fc, size_t more, struct err *err)
{
	size_t need = fc->partial_len + more;
	size_t size = fc->partial_size ? fc->partial_size : 4096;
	uint8_t *bigger;

	while (size < need)
		size *= 2;
	if (size == fc->partial_size)
		return 0;
	bigger = realloc(fc->partial, size);
	if (!bigger)
		return err_set(err, ENOMEM, "cannot take a FUSE request");
	fc->partial = bigger;
	fc->partial_size = size;
	return 0;
}

/* Takes some of the bytes into the incomplete request; how many, or -1. */
static ssize_t assemble(struct fuse_channel *fc, const uint8_t *bytes,
			size_t len, struct err *err)
{
	size_t want = sizeof(struct fuse_in_header), take;
	ssize_t whole = message_length(fc->partial, fc->partial_len, err);

	if (whole < 0)
		return -1;
	if (whole)
		want = (size_t)whole;
	take = want - fc->partial_len;
	if (take > len)
		take = len;
	if (make_room(fc, take, err) < 0)
		return -1;
	memcpy(fc->partial + fc->partial_len, bytes, take);
	fc->partial_len += take;
	whole = message_length(fc->partial, fc->partial_len, err);
	if (whole < 0)
		return -1;
	if (whole && fc->partial_len == (size_t)whole) {
		fc->partial_len = 0;
		if (request(fc, fc->partial, (size_t)whole, err) < 0)
			return -1;
	}
	return (ssize_t)take;
}

/* One message, or a part of one; returns the bytes used, or -1. */
static ssize_t receive_some(struct fuse_channel *fc, const uint8_t *bytes,
			    size_t len, struct err *err)
{
	ssize_t whole;

	if (fc->partial_len)
		return assemble(fc, bytes, len, err);
	whole = message_length(bytes, len, err);
	if (whole < 0)
		return -1;
	if (whole == 0 || (size_t)whole > len)
		return assemble(fc, bytes, len, err);
	return request(fc, bytes, (size_t)whole, err) < 0 ? -1 : whole;
}

static bool lost_reply(struct fuse_channel *fc)
{
	bool lost;

	pthread_mutex_lock(&fc->shared.mutex);
	lost = fc->shared.lost;
	pthread_mutex_unlock(&fc->shared.mutex);
	return lost;
}

static int receive_all(struct fuse_channel *fc, const uint8_t *at, size_t len,
		       struct err *err)
{
	ssize_t used;

	while (len) {
		used = receive_some(fc, at, len, err);
		if (used < 0)
			return -1;
		at += used;
		len -= (size_t)used;
	}
	return 0;
}

int fuse_channel_receive(struct fuse_channel *fc, const void *data, size_t len,
			 struct err *err)
{
	int r;

	if (lost_reply(fc))
		return err_set(err, ENOMEM, "cannot answer a FUSE request");
	fc->owed += len;
	in_receive = true;
	r = receive_all(fc, data, len, err);
	in_receive = false;
	fuse_channel_flush(fc);
	return r;
}

int fuse_channel_fd(const struct fuse_channel *fc)
{
	return fc->event_fd;
}

struct files *fuse_channel_files(struct fuse_channel *fc)
{
	return fc->files;
}

/* --- beginning and end --------------------------------------------------------- */

struct fuse_channel *fuse_channel_new(struct link *link, unsigned channel,
				      const struct files_config *config,
				      struct err *err)
{
	struct fuse_channel *fc = calloc(1, sizeof(*fc));

	if (!fc) {
		err_set(err, ENOMEM, "cannot start the file service");
		return NULL;
	}
	fc->link = link;
	fc->channel = channel;
	queue_init(&fc->sending);
	queue_init(&fc->shared.queue);
	pthread_mutex_init(&fc->shared.mutex, NULL);
	pthread_cond_init(&fc->shared.room, NULL);
	fc->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fc->event_fd < 0)
		err_set(err, errno, "cannot make an eventfd");
	else
		fc->files = files_new(config, take_reply, fc, err);
	if (!fc->files) {
		fuse_channel_free(fc);
		return NULL;
	}
	files_on_drained(fc->files, drained, fc);
	return fc;
}

void fuse_channel_free(struct fuse_channel *fc)
{
	if (!fc)
		return;
	pthread_mutex_lock(&fc->shared.mutex);
	fc->shared.closing = true;
	pthread_cond_broadcast(&fc->shared.room);
	pthread_mutex_unlock(&fc->shared.mutex);
	files_free(fc->files);
	queue_free(&fc->sending);
	queue_free(&fc->shared.queue);
	pthread_mutex_destroy(&fc->shared.mutex);
	pthread_cond_destroy(&fc->shared.room);
	if (fc->event_fd >= 0)
		close(fc->event_fd);
	free(fc->partial);
	free(fc);
}
