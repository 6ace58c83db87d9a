/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-weigh.h"

#include "scheduler/weight.h"
#include "vmm-agent/mvd-load-process.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-virt-tune.h"

#include <math.h>
#include <unistd.h>

#define SHARES_V1 1024 /* what the kernel gives a group that nobody has weighed */
#define SHARES_V2 100
#define SHARES_MIN_V1 2
#define STEP 1.25      /* as a step of niceness: less is not worth a call */
#define CALLS 8        /* in a second */
#define IDLE 0.1       /* CPUs */

/* By control groups */

static unsigned base(bool v2)
{
	return v2 ? SHARES_V2 : SHARES_V1;
}

unsigned weigh_shares(const struct mvd_settings *settings, double age, bool v2)
{
	unsigned shares = base(v2);

	if (settings->weights)
		shares = sched_weight_cgroup(&settings->policy, age, shares);
	return v2 ? shares : MAX(shares, SHARES_MIN_V1);
}

bool weigh_differs(unsigned had, unsigned shares, bool v2)
{
	double ratio;

	if (had == 0)
		return true;
	ratio = (double)MAX(had, shares) / MAX(MIN(had, shares), 1);
	return had != shares && (ratio >= STEP || shares == base(v2));
}

struct call {
	struct mvd *mvd;
	char uuid[UUID_TEXT_SIZE];
	unsigned shares;
};

static void on_weighed(void *ctx, const struct virt_weighed *result)
{
	struct call *call = ctx;
	struct load_job *seen = scheduler_find(call->mvd, call->uuid);
	struct weigh *weigh = seen ? load_weigh(call->mvd->scheduler->load) : NULL;

	if (seen) {
		seen->weighing = false;
		seen->shares = result->error ? seen->shares : call->shares;
		seen->no_group = result->no_group;
		/* Else it is tried again. */
		if (!result->error || result->no_group)
			weigh->means = !result->error ? WEIGH_CGROUP :
				       geteuid() == 0 ? WEIGH_NICE : WEIGH_NOT;
	}
	if (result->error)
		g_info("job %s has no CPU weight: %s", call->uuid, result->error);
	g_free(call);
}

static bool by_group(struct weigh *weigh, struct load_job *seen)
{
	const struct mvd_settings *settings = &weigh->mvd->config.settings;
	unsigned shares = weigh_shares(settings, seen->vector.age, weigh->v2);
	struct call *call;

	/* While it moves libvirt would let the call wait. */
	if (seen->no_group || seen->weighing || seen->job->migration ||
	    seen->job->stage != JOB_UP || !seen->job->facts.started ||
	    !weigh_differs(seen->shares, shares, weigh->v2))
		return false;
	call = g_new0(struct call, 1);
	call->mvd = weigh->mvd;
	call->shares = shares;
	g_strlcpy(call->uuid, seen->job->facts.uuid, sizeof(call->uuid));
	seen->weighing = true;
	virt_set_weight(weigh->mvd->virt, call->uuid, shares, on_weighed, call);
	return true;
}

/* By niceness */

static double heaviest(const struct sched_policy *policy, GHashTable *jobs)
{
	struct load_job *seen;
	GHashTableIter iter;
	double most = 0;

	g_hash_table_iter_init(&iter, jobs);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&seen))
		if (seen->pid && seen->no_group && seen->use > IDLE)
			most = fmax(most, sched_weight(policy, seen->vector.age));
	return most;
}

static void by_niceness(const struct weigh *weigh, GHashTable *jobs)
{
	const struct mvd_settings *settings = &weigh->mvd->config.settings;
	const struct sched_policy *policy = &settings->policy;
	double most = heaviest(policy, jobs);
	struct load_job *seen;
	GHashTableIter iter;

	if (most <= 0 || geteuid() != 0)
		return;
	g_hash_table_iter_init(&iter, jobs);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&seen))
		if (seen->pid && seen->no_group)
			load_process_weigh(seen, settings->weights ?
				fmin(sched_weight(policy, seen->vector.age) / most, 1) : 1);
}

void weigh_jobs(struct weigh *weigh, GHashTable *jobs)
{
	struct load_job *seen;
	GHashTableIter iter;
	unsigned calls = 0;

	g_hash_table_iter_init(&iter, jobs);
	while (calls < CALLS && g_hash_table_iter_next(&iter, NULL, (void **)&seen))
		calls += seen->pid && by_group(weigh, seen);
	by_niceness(weigh, jobs);
}

const char *weigh_text(const struct weigh *weigh)
{
	static const char *const texts[] = {
		[WEIGH_UNKNOWN] = "old jobs are to yield to young ones; how is known when "
				  "there has been a job",
		[WEIGH_CGROUP] = "old jobs yield to young ones, by the CPU weights of their "
				 "control groups",
		[WEIGH_NICE] = "old jobs yield to young ones, by their niceness: libvirt "
			       "has no control groups for them here",
		[WEIGH_NOT] = "all jobs weigh the same: libvirt has no control groups for "
			      "them here, and only root's agent can take niceness back",
	};

	if (!weigh->mvd->config.settings.weights)
		return "switched off (mvctl set weights yes)";
	return texts[weigh->means];
}
