/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/reason.h"

#include <assert.h>
#include <stdio.h>

static const char *const names[] = {
	[SCHED_WHY_NONE] = "none",
	[SCHED_WHY_CLOSED] = "closed",
	[SCHED_WHY_OWNER] = "owner",
	[SCHED_WHY_OLD] = "old",
	[SCHED_WHY_UNLIKE] = "unlike",
	[SCHED_WHY_NOT_WANTED] = "not-wanted",
	[SCHED_WHY_SLOTS] = "slots",
	[SCHED_WHY_MEMORY] = "memory",
	[SCHED_WHY_TAKING] = "taking",
	[SCHED_WHY_CHANGED] = "changed",
	[SCHED_WHY_HOME] = "home",
	[SCHED_WHY_BEST] = "best",
	[SCHED_WHY_WAITS] = "waits",
	[SCHED_WHY_BALANCE] = "balance",
	[SCHED_WHY_USHER] = "usher",
	[SCHED_WHY_ROOM] = "room",
	[SCHED_WHY_DRAIN] = "drain",
	[SCHED_WHY_PINNED] = "pinned",
	[SCHED_WHY_STAY] = "stay",
	[SCHED_WHY_NEW] = "new",
	[SCHED_WHY_RETRY] = "retry",
	[SCHED_WHY_SENDING] = "sending",
	[SCHED_WHY_ALONE] = "alone",
	[SCHED_WHY_NOWHERE] = "nowhere",
	[SCHED_WHY_BETTER] = "better-here",
	[SCHED_WHY_MARGIN] = "margin",
	[SCHED_WHY_PRICE] = "price",
	[SCHED_WHY_NEXT] = "next",
};
static_assert(sizeof(names) / sizeof(names[0]) == SCHED_WHYS, "a name for each");

const char *sched_why_name(enum sched_why why)
{
	return (unsigned)why < SCHED_WHYS ? names[why] : "unknown";
}

/* The words of a node's objection or of a wait; %N is the node, %h here, %t there,
 * %g gain, %c cost in s, %n need and %v have, in bytes, %s and %u the same in s or slowdowns;
 * %o the words of the objection. */
static const char *const words[] = {
	[SCHED_WHY_NONE] = "nothing is in the way",
	[SCHED_WHY_CLOSED] = "%N takes no jobs: it is blocked, being drained or gone",
	[SCHED_WHY_OWNER] = "%N is in use by its owner",
	[SCHED_WHY_OLD] = "what is known of %N is too old",
	[SCHED_WHY_UNLIKE] = "%N has another QEMU or processor",
	[SCHED_WHY_NOT_WANTED] = "the job's placement options exclude %N",
	[SCHED_WHY_SLOTS] = "%N hosts as many jobs as it may",
	[SCHED_WHY_MEMORY] = "%N has %v of memory free, the job needs %n",
	[SCHED_WHY_TAKING] = "another job is on its way to %N",
	[SCHED_WHY_CHANGED] = "%N is busier than was thought (%h, not %t)",
	[SCHED_WHY_HOME] = "home is best (%h; the best other node %t)",
	[SCHED_WHY_BEST] = "%N is best (%t; home %h)",
	[SCHED_WHY_WAITS] = "no node can take it: it needs %n of memory, the most that is "
			    "free on one node is %v",
	[SCHED_WHY_BALANCE] = "moves to %N: that gains %g s and costs %c s "
			      "(%h here, %t there)",
	[SCHED_WHY_USHER] = "moves to %N: memory is short where it is, %n must become free",
	[SCHED_WHY_ROOM] = "moves to %N: it makes room for a job that fits nowhere, %n must become "
			   "free",
	[SCHED_WHY_DRAIN] = "moves to %N: its node is being emptied",
	[SCHED_WHY_PINNED] = "stays: it is pinned",
	[SCHED_WHY_STAY] = "stays: its node keeps its jobs",
	[SCHED_WHY_NEW] = "stays: it came %u s ago, and jobs stay for %s s",
	[SCHED_WHY_RETRY] = "stays: to move it was tried %u s ago, and is again after %s s",
	[SCHED_WHY_SENDING] = "stays for now: jobs leave one at a time, and one does",
	[SCHED_WHY_ALONE] = "stays: no other node is known",
	[SCHED_WHY_NOWHERE] = "stays: no other node can take it (%o)",
	[SCHED_WHY_BETTER] = "stays: here is best (%h; %N %t)",
	[SCHED_WHY_MARGIN] = "stays: %N is hardly better (%t; here %h; it would have to be "
			     "better by %s)",
	[SCHED_WHY_PRICE] = "stays: to move to %N costs %c s and gains %g s",
	[SCHED_WHY_NEXT] = "stays for now: another job gains more by moving",
};
static_assert(sizeof(words) / sizeof(words[0]) == SCHED_WHYS, "words for each");

/* Text with an end; more than fits is cut. */
struct sink {
	char *text;
	size_t size, len;
};

static void put(struct sink *sink, char c)
{
	if (sink->len + 1 < sink->size)
		sink->text[sink->len++] = c;
}

static void put_text(struct sink *sink, const char *text)
{
	while (*text)
		put(sink, *text++);
}

static void put_number(struct sink *sink, double number)
{
	char text[32];

	snprintf(text, sizeof(text), number < 100 ? "%.2g" : "%.0f", number);
	put_text(sink, text);
}

static void put_bytes(struct sink *sink, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned unit = 0;
	char text[48];

	while (bytes >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, sizeof(text), bytes < 10 ? "%.1f %s" : "%.0f %s", bytes,
		 units[unit]);
	put_text(sink, text);
}

struct names {
	const char *(*name)(uint64_t node, void *data);
	void *data;
};

static void put_node(struct sink *sink, uint64_t node, const struct names *who)
{
	const char *name = node && who->name ? who->name(node, who->data) : NULL;
	char number[32];

	if (!name && node) {
		snprintf(number, sizeof(number), "node %016llx",
			 (unsigned long long)node);
		name = number;
	}
	put_text(sink, name ? name : "the node");
}

static void put_words(struct sink *sink, enum sched_why why, const struct sched_reason *reason,
		      const struct names *who);

static void put_value(struct sink *sink, char what, const struct sched_reason *reason,
		      const struct names *who)
{
	switch (what) {
	case 'o':
		/* None of these has another one in its words. */
		put_words(sink, reason->objection < SCHED_WHY_HOME ? reason->objection :
								     SCHED_WHY_NONE,
			  reason, who);
		break;
	case 'N': put_node(sink, reason->node, who); break;
	case 'h': put_number(sink, reason->here); break;
	case 't': put_number(sink, reason->there); break;
	case 'g': put_number(sink, reason->gain); break;
	case 'c': put_number(sink, reason->cost); break;
	case 'n': put_bytes(sink, reason->need); break;
	case 'v': put_bytes(sink, reason->have); break;
	case 's': put_number(sink, reason->need); break;
	case 'u': put_number(sink, reason->have); break;
	}
}

static void put_words(struct sink *sink, enum sched_why why, const struct sched_reason *reason,
		      const struct names *who)
{
	const char *at = (unsigned)why < SCHED_WHYS ? words[why] : "for no known reason";

	for (; *at; at++)
		if (*at == '%' && at[1])
			put_value(sink, *++at, reason, who);
		else
			put(sink, *at);
}

const char *sched_reason_text(const struct sched_reason *reason,
			      const char *(*name)(uint64_t node, void *data),
			      void *data, char *text, size_t size)
{
	const struct names who = { name, data };
	struct sink sink = { text, size, 0 };

	put_words(&sink, reason->why, reason, &who);
	if (size)
		text[sink.len] = '\0';
	return text;
}
