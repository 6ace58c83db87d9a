/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-dirty.h"

#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-virt-tune.h"

#include <math.h>

#define FIRST_S 4.0  /* its program has begun, and does what it does */
#define AGAIN_S 60.0
#define SHORT 1U /* s */
#define LONG 8U
/* Until it has been measured: pages that a busy job changes, per CPU. */
#define USUAL (16 * 1048576.0)

struct call {
	struct mvd *mvd;
	unsigned seconds;
	char uuid[UUID_TEXT_SIZE];
};

static void on_measured(void *ctx, double rate, const char *error)
{
	struct call *call = ctx;
	struct scheduler *s = call->mvd->scheduler;
	struct load_job *seen = scheduler_find(call->mvd, call->uuid);

	if (s)
		load_dirty(s->load)->busy = false;
	/* A guest that stood still says nothing about itself. */
	if (seen && rate >= 0 && !seen->job->freeze.paused && !seen->job->migration) {
		if (call->seconds == SHORT)
			seen->dirty = rate;
		else
			seen->vector.hot = dirty_hot(seen->dirty, rate);
	}
	if (error)
		g_info("cannot measure how fast job %s changes its memory: %s", call->uuid,
		       error);
	g_free(call);
}

static bool is_due(const struct load_job *seen, double now)
{
	const struct job *job = seen->job;

	return seen->pid && job->stage == JOB_UP && job->facts.started &&
	       !job->migration && !job->freeze.paused && now - seen->came >= FIRST_S &&
	       (!seen->dirtied || now - seen->dirtied >= AGAIN_S);
}

void dirty_jobs(struct dirty *dirty, GHashTable *jobs, double now)
{
	struct load_job *seen, *oldest = NULL;
	GHashTableIter iter;
	struct call *call;

	if (dirty->busy)
		return;
	g_hash_table_iter_init(&iter, jobs);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&seen))
		if (is_due(seen, now) && (!oldest || seen->dirtied < oldest->dirtied))
			oldest = seen;
	if (!oldest)
		return;
	dirty->busy = true;
	oldest->dirtied = now;
	call = g_new0(struct call, 1);
	call->mvd = dirty->mvd;
	/* In turn; how fast comes first. */
	call->seconds = oldest->dirty < 0 || oldest->dirtied_long ? SHORT : LONG;
	oldest->dirtied_long = call->seconds == LONG;
	g_strlcpy(call->uuid, oldest->job->facts.uuid, sizeof(call->uuid));
	virt_dirty_rate(dirty->mvd->virt, call->uuid, call->seconds, on_measured, call);
}

double dirty_hot(double rate, double rate_long)
{
	/* Much less than if it changed others all the time: they are the same ones, again and again. */
	return rate_long < rate / 2 ? fmax(rate_long * LONG, rate * SHORT) : 0;
}

double dirty_rate(const struct load_job *seen)
{
	return seen->dirty >= 0 ? seen->dirty : USUAL * seen->vector.use;
}
