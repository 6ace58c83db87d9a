/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Worker threads. A request that finds no idle worker starts one, up to the
 * bound, so a file system that hangs at home holds up only those who use it.
 * A worker that was idle for a while ends, except the last.
 */
#include "vmm-agent/files-internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define STACK_SIZE (256 * 1024)
#define IDLE_SECONDS 3
#define BACKLOG_LIMIT (1024 * 1024)

static __thread struct request *current;
static __thread bool must_not_wait, later;
/* Room for a header, then the payload of an answer. */
static __thread uint8_t *buffer;
static __thread size_t buffer_size;

#define HEADROOM sizeof(struct fuse_out_header)

struct request *work_current(void)
{
	return current;
}

void *work_payload(size_t size)
{
	uint8_t *bigger;

	if (size > buffer_size) {
		bigger = malloc(HEADROOM + size);
		if (!bigger)
			return NULL;
		free(buffer);
		buffer = bigger;
		buffer_size = size;
	}
	return buffer + HEADROOM;
}

void *work_payload_header(const void *payload)
{
	return buffer && payload == buffer + HEADROOM ? buffer : NULL;
}

bool work_must_not_wait(void)
{
	return must_not_wait;
}

bool work_later(fuse_req_t req, ssize_t r)
{
	if (r != -FILES_LATER)
		return false;
	fuse_reply_none(req);
	later = true;
	return true;
}

bool work_at_once(struct files *f, struct request *rq)
{
	struct operation *op = files_operation(f, rq->header.opcode);

	current = rq;
	must_not_wait = true;
	later = false;
	op->run(f, rq, op->ctx);
	must_not_wait = false;
	current = NULL;
	return !later;
}

static bool over_limit(const struct work *w)
{
	return w->backlog > BACKLOG_LIMIT;
}

static void run(struct request *rq)
{
	struct files *f = rq->files;
	struct operation *op = files_operation(f, rq->header.opcode);

	current = rq;
	op->run(f, rq, op->ctx);
	current = NULL;
	locks_unregister(f, rq);
	free(rq);
}

/* Returns with the mutex held, and the next request or NULL to end. */
static struct request *next_request(struct work *w)
{
	struct request *rq;
	struct timespec until;
	int r = 0;

	while (!w->first && !w->stopping) {
		w->idle++;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += IDLE_SECONDS;
		r = w->threads > 1 ?
			    pthread_cond_timedwait(&w->wake, &w->mutex, &until) :
			    pthread_cond_wait(&w->wake, &w->mutex);
		w->idle--;
		if (r == ETIMEDOUT && !w->first && w->threads > 1)
			return NULL;
	}
	if (w->stopping)
		return NULL;
	rq = w->first;
	w->first = rq->next;
	if (!w->first)
		w->last = &w->first;
	w->backlog -= sizeof(*rq) + rq->len;
	return rq;
}

static bool take_drained(struct work *w)
{
	if (!w->want_drained || over_limit(w))
		return false;
	w->want_drained = false;
	return true;
}

static void *worker(void *arg)
{
	struct files *f = arg;
	struct work *w = &f->work;
	struct request *rq;
	bool drained;

	prctl(PR_SET_NAME, "mv-files");
	cred_thread_start(f);
	pthread_mutex_lock(&w->mutex);
	while ((rq = next_request(w))) {
		drained = take_drained(w);
		pthread_mutex_unlock(&w->mutex);
		if (drained)
			w->drained(w->drained_ctx);
		run(rq);
		pthread_mutex_lock(&w->mutex);
	}
	free(buffer);
	w->threads--;
	pthread_cond_signal(&w->gone);
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

/* No signal meant for the process is handled, or ends a call, in a worker. */
static int start_thread(struct files *f)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, worker, f);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

int work_init(struct files *f, unsigned max_threads)
{
	struct work *w = &f->work;
	pthread_condattr_t attr;

	pthread_mutex_init(&w->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_cond_init(&w->gone, &attr);
	pthread_condattr_destroy(&attr);
	w->last = &w->first;
	w->max_threads = max_threads;
	return 0;
}

static unsigned queued_for_idle(const struct work *w)
{
	unsigned n = 0;
	const struct request *rq;

	for (rq = w->first; rq && n <= w->idle; rq = rq->next)
		n++;
	return n;
}

int work_add(struct files *f, struct request *rq, struct err *err)
{
	struct work *w = &f->work;
	bool enough;
	int r = 0;

	rq->next = NULL;
	pthread_mutex_lock(&w->mutex);
	*w->last = rq;
	w->last = &rq->next;
	w->backlog += sizeof(*rq) + rq->len;
	enough = queued_for_idle(w) <= w->idle || w->threads == w->max_threads;
	if (!enough) {
		r = start_thread(f);
		if (r == 0)
			w->threads++;
	}
	/* Without a new thread the old ones have to do. */
	if (w->threads)
		r = 0;
	pthread_mutex_unlock(&w->mutex);
	/* Not sooner: who wakes up would wait for the mutex at once. */
	if (enough)
		pthread_cond_signal(&w->wake);
	return r ? err_set(err, r, "cannot start a thread for files") : 0;
}

void work_stop(struct files *f)
{
	struct work *w = &f->work;
	struct request *rq;

	pthread_mutex_lock(&w->mutex);
	w->stopping = true;
	pthread_cond_broadcast(&w->wake);
	while (w->threads)
		pthread_cond_wait(&w->gone, &w->mutex);
	pthread_mutex_unlock(&w->mutex);
	while ((rq = w->first)) {
		w->first = rq->next;
		free(rq);
	}
	free(buffer); /* that of the caller, from work_at_once() */
	buffer = NULL;
	buffer_size = 0;
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->gone);
	pthread_mutex_destroy(&w->mutex);
}

bool files_backlogged(struct files *f)
{
	struct work *w = &f->work;
	bool over;

	pthread_mutex_lock(&w->mutex);
	over = over_limit(w);
	w->want_drained = over && w->drained;
	pthread_mutex_unlock(&w->mutex);
	return over;
}

void files_on_drained(struct files *f, void (*drained)(void *ctx), void *ctx)
{
	f->work.drained = drained;
	f->work.drained_ctx = ctx;
}
