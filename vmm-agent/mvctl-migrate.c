/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvctl migrate: what it was asked for either happens or is refused in words; it
 * waits for that, and shows how far it is.
 */
#include "vmm-agent/mvctl.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define MIB (1024.0 * 1024.0)

struct bar {
	bool shown, on_terminal;
};

/* The agent gives the move up when nobody waits for it. */
static void on_interrupt(int sig)
{
	static const char text[] = "\r\033[Kmvctl: interrupted: the move is given up, "
				   "unless it is almost done (mvctl jobs shows where "
				   "the job is)\n";
	static const size_t bar_end = sizeof("\r\033[K") - 1;
	size_t from = isatty(STDERR_FILENO) ? 0 : bar_end;

	if (write(STDERR_FILENO, text + from, sizeof(text) - 1 - from) < 0)
		_exit(128 + sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void draw(double done, double sent)
{
	char cells[BAR_WIDTH + 1];
	int full = (int)(done * BAR_WIDTH);

	memset(cells, ' ', BAR_WIDTH);
	memset(cells, '=', (size_t)(full < BAR_WIDTH ? full : BAR_WIDTH));
	cells[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r[%s] %3.0f %%, %.0f MiB sent\033[K", cells, done * 100,
		sent / MIB);
	fflush(stderr);
}

static void on_progress(void *ctx, struct json_object *event)
{
	struct json_object *progress;
	struct bar *bar = ctx;
	double all, left;

	if (!bar->on_terminal ||
	    !json_object_object_get_ex(event, "progress", &progress))
		return;
	all = (double)agent_number(progress, "memory");
	left = (double)agent_number(progress, "left");
	if (all <= 0 || left > all)
		return;
	bar->shown = true;
	draw(1 - left / all, (double)agent_number(progress, "bytes"));
}

static void print_result(FILE *out, struct json_object *result)
{
	char from[80], to[80];
	long long rounds = agent_number(result, "rounds");
	long long linked_ms = agent_number(result, "linked_ms");

	fprintf(out, "moved from %s to %s in %.2f s, stopped for %lld ms; "
		"%.1f MiB sent in %lld round%s\n",
		print_clean(from, sizeof(from), agent_string(result, "from")),
		print_clean(to, sizeof(to), agent_string(result, "to")),
		(double)(linked_ms ? linked_ms :
			 agent_number(result, "total_ms")) / 1000,
		agent_number(result, "downtime_ms"),
		(double)agent_number(result, "bytes") / MIB, rounds,
		rounds == 1 ? "" : "s");
}

int do_migrate(const struct mvctl_options *options, struct err *err)
{
	struct json_object *request = request_new("migrate"), *answer, *result;
	struct bar bar = {
		.on_terminal = isatty(STDERR_FILENO) && !options->json,
	};

	json_object_object_add(request, "job",
			       json_object_new_string(options->job));
	json_object_object_add(request, "to",
			       json_object_new_string(options->node));
	json_object_object_add(request, "postcopy",
			       json_object_new_boolean(options->post_copy));
	signal(SIGINT, on_interrupt);
	answer = ask_on_the_way(request, on_progress, &bar, err);
	signal(SIGINT, SIG_DFL);
	if (bar.shown)
		fputs("\r\033[K", stderr);
	if (!answer)
		return -1;
	if (!json_object_object_get_ex(answer, "result", &result))
		result = NULL;
	if (options->json)
		print_json(stdout, result);
	else
		print_result(stdout, result);
	json_object_put(answer);
	return 0;
}

static void print_why(FILE *out, struct json_object *why)
{
	char host[80], text[600];

	print_clean(host, sizeof(host), agent_string(why, "host"));
	print_clean(text, sizeof(text), agent_string(why, "text"));
	fprintf(out, "job %lld is at %s: %s\n", agent_number(why, "pid"),
		*host ? host : "no node", text);
	if (*agent_string(why, "came"))
		fprintf(out, "it %s\n", print_clean(text, sizeof(text),
						    agent_string(why, "came")));
}

int do_why(const struct mvctl_options *options, struct err *err)
{
	struct json_object *request = request_new("why"), *answer, *why;

	json_object_object_add(request, "job",
			       json_object_new_string(options->job));
	answer = ask(request, err);
	if (!answer)
		return -1;
	if (!json_object_object_get_ex(answer, "why", &why))
		why = NULL;
	if (options->json)
		print_json(stdout, why);
	else
		print_why(stdout, why);
	json_object_put(answer);
	return 0;
}
