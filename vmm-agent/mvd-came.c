/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-came.h"

#include "vmm-agent/mvd-jobs.h"

#include <string.h>

static const char *host_of(const struct job *job)
{
	return job->host ? job->host : job->mvd->node;
}

void came_clear(struct came *came)
{
	g_clear_pointer(&came->text, g_free);
	g_clear_pointer(&came->to, g_free);
	g_clear_pointer(&came->next, g_free);
}

void came_start(struct job *job, const char *why)
{
	came_clear(&job->came);
	job->came.text = g_strdup_printf("started at %s: %s", host_of(job), why);
}

/* Whether a move succeeds is seen in several ways; that it has, by where the job is. */
static void arrive(struct job *job)
{
	struct came *came = &job->came;

	if (!came->to || job->absent || g_ascii_strcasecmp(came->to, host_of(job)) != 0)
		return;
	g_free(came->text);
	came->text = g_steal_pointer(&came->next);
	g_clear_pointer(&came->to, g_free);
}

/* That it moves, and to where, is said already. */
static const char *without_move(const char *why)
{
	const char *colon = g_str_has_prefix(why, "moves to ") ? strstr(why, ": ") : NULL;

	return colon ? colon + 2 : why;
}

void came_leave(struct job *job, const char *to, const char *why)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *at = g_date_time_format(now, "%F %H:%M");
	struct came *came = &job->came;

	arrive(job);
	g_free(came->to);
	g_free(came->next);
	came->to = g_strdup(to);
	came->next = g_strdup_printf("moved from %s to %s at %s: %s", host_of(job), to, at,
				     *why ? without_move(why) : "its host has not said why");
}

const char *came_text(struct job *job)
{
	arrive(job);
	return job->came.text ? job->came.text : "";
}
