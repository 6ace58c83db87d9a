/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvctl drain and its like, best, set and get. The agent only takes orders; whoever
 * wants to wait for a node to be empty, asks again: this does.
 */
#include "vmm-agent/mvctl.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_MS 500
#define STUCK_S 6 /* so long nothing moves, and nothing will */
#define MAX_ORDER_WORDS 3

static int print_settings(const struct mvctl_options *options,
			  struct json_object *answer, struct err *err);
static int print_best(const struct mvctl_options *options, struct json_object *answer,
		      struct err *err);
static int print_done(const struct mvctl_options *options, struct json_object *answer,
		      struct err *err);

/* What each takes, as fields of the request; and what is counted until it is 0. */
static const struct order {
	const char *name;
	const char *fields[MAX_ORDER_WORDS];
	unsigned least;
	const char *until;
	const char *empty; /* said then */
	int (*print)(const struct mvctl_options *options, struct json_object *answer,
		     struct err *err);
	const char *undo; /* the order that takes it back */
} orders[] = {
	{ "drain", { "node" }, 0, "jobs", "has no jobs", NULL, "undrain" },
	{ "expel", { "node" }, 0, "guests", "has no guests", NULL, "undrain" },
	{ "bring", { "node" }, 0, "away", "has all its jobs at home", NULL, "unstay" },
	{ "undrain", { "node" }, 0, NULL, NULL, print_done, NULL },
	{ "block", { "node" }, 0, NULL, NULL, print_done, NULL },
	{ "unblock", { "node" }, 0, NULL, NULL, print_done, NULL },
	{ "stay", { "node" }, 0, NULL, NULL, print_done, NULL },
	{ "unstay", { "node" }, 0, NULL, NULL, print_done, NULL },
	{ "best", { "value" }, 0, NULL, NULL, print_best, NULL },
	{ "set", { "name", "value", "node" }, 2, NULL, NULL, print_settings, NULL },
	{ "get", { "name", "node" }, 0, NULL, NULL, print_settings, NULL },
};

static struct json_object *request_of(const struct mvctl_options *options,
				      const struct order *order, const char *action)
{
	struct json_object *request = request_new("schedule");
	unsigned i;

	json_object_object_add(request, "action", json_object_new_string(action));
	for (i = 0; i < options->word_count; i++)
		json_object_object_add(request, order->fields[i],
				       json_object_new_string(options->words[i]));
	return request;
}

/* The inner answer, a reference of its own; or NULL. */
static struct json_object *ask_for(const struct mvctl_options *options,
				   const struct order *order, const char *action,
				   struct err *err)
{
	struct json_object *event = ask(request_of(options, order, action), err), *answer;

	if (!event)
		return NULL;
	if (!json_object_object_get_ex(event, "answer", &answer) ||
	    !json_object_is_type(answer, json_type_object)) {
		err_set(err, 0, "cannot understand the agent");
		answer = NULL;
	}
	json_object_get(answer);
	json_object_put(event);
	return answer;
}

static int print_settings(const struct mvctl_options *options,
			  struct json_object *answer, struct err *err)
{
	struct json_object *list, *value;
	char text[200];
	size_t i;

	if (!json_object_object_get_ex(answer, "settings", &list) ||
	    !json_object_is_type(list, json_type_array))
		return err_set(err, 0, "cannot understand the agent");
	if (options->json) {
		print_json(stdout, list);
		return 0;
	}
	for (i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		const char *shown = "";

		if (json_object_object_get_ex(entry, "value", &value))
			shown = json_object_is_type(value, json_type_boolean) ?
				json_object_get_boolean(value) ? "yes" : "no" :
				json_object_get_string(value);
		printf("%-15s = %-8s # ", print_clean(text, sizeof(text),
						agent_string(entry, "name")), shown);
		printf("%s", print_clean(text, sizeof(text), agent_string(entry, "unit")));
		printf("%s%s\n", *text ? " " : "",
		       print_clean(text, sizeof(text), agent_string(entry, "what")));
	}
	return 0;
}

static int print_best(const struct mvctl_options *options, struct json_object *answer,
		      struct err *err)
{
	char name[80];

	(void)err;
	print_clean(name, sizeof(name), agent_string(answer, "node"));
	if (options->json)
		print_json(stdout, answer);
	else
		puts(name);
	return 0;
}

static int print_done(const struct mvctl_options *options, struct json_object *answer,
		      struct err *err)
{
	(void)err;
	if (options->json)
		print_json(stdout, answer);
	return 0;
}

/* Waiting */

static struct json_object *left_of(struct json_object *answer)
{
	struct json_object *left;

	if (!json_object_object_get_ex(answer, "left", &left) ||
	    !json_object_is_type(left, json_type_array))
		return NULL;
	return left;
}

/* Will any of those that are left go soon? */
static bool any_soon(struct json_object *answer)
{
	struct json_object *left = left_of(answer);
	size_t i, n = left ? json_object_array_length(left) : 0;

	for (i = 0; i < n; i++)
		if (agent_number(json_object_array_get_idx(left, i), "soon"))
			return true;
	return false;
}

static int report_left(const struct mvctl_options *options, const struct order *order,
		       struct json_object *answer, struct err *err)
{
	struct json_object *left = left_of(answer);
	size_t i, n = left ? json_object_array_length(left) : 0;
	char name[80], text[400];

	for (i = 0; i < n && !options->json; i++) {
		struct json_object *job = json_object_array_get_idx(left, i);

		fprintf(stderr, "job %lld (%s", agent_number(job, "pid"),
			print_clean(name, sizeof(name), agent_string(job, "name")));
		fprintf(stderr, ", of %s): %s\n",
			print_clean(name, sizeof(name), agent_string(job, "home")),
			print_clean(text, sizeof(text), agent_string(job, "text")));
	}
	print_clean(name, sizeof(name), agent_string(answer, "node"));
	if (n == 0)
		return err_set(err, 0, "the order for %s has been taken back", name);
	return err_set(err, 0, "%zu job%s of %s cannot go now; the order stands (mvctl "
		       "%s %s takes it back)", n, n == 1 ? "" : "s", name, order->undo,
		       name);
}

static int wait_for(const struct mvctl_options *options, const struct order *order,
		    struct json_object *answer, struct err *err)
{
	const struct timespec pause = { 0, AGAIN_MS * 1000000l };
	unsigned stuck = 0;
	char name[80];
	int rc;

	while (answer && agent_number(answer, order->until) > 0) {
		stuck = any_soon(answer) ? 0 : stuck + 1;
		if (stuck > STUCK_S * 1000 / AGAIN_MS) {
			rc = report_left(options, order, answer, err);
			if (options->json)
				print_json(stdout, answer);
			json_object_put(answer);
			return rc;
		}
		json_object_put(answer);
		nanosleep(&pause, NULL);
		answer = ask_for(options, order, "status", err);
	}
	if (!answer)
		return -1;
	if (options->json)
		print_json(stdout, answer);
	else
		printf("%s %s\n", print_clean(name, sizeof(name),
					      agent_string(answer, "node")),
		       order->empty);
	json_object_put(answer);
	return 0;
}

/* The command line */

static const struct order *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (strcmp(orders[i].name, name) == 0)
			return &orders[i];
	return NULL;
}

static unsigned words_of(const struct order *order)
{
	unsigned n = 0;

	while (n < MAX_ORDER_WORDS && order->fields[n])
		n++;
	return n;
}

/* A negative number is a value, if a wrong one. */
static bool is_option(const char *word)
{
	return word[0] == '-' && !(word[1] >= '0' && word[1] <= '9');
}

int do_schedule(const struct mvctl_options *options, struct err *err)
{
	const struct order *order = find(options->command);
	struct json_object *answer;
	unsigned i;
	int rc;

	for (i = 0; i < options->word_count; i++)
		if (is_option(options->words[i]) || i >= words_of(order)) {
			err_set(err, 0, "unexpected argument \"%s\" (see mvctl --help)",
				options->words[i]);
			return MVCTL_MISUSED;
		}
	if (options->word_count < order->least) {
		err_set(err, 0, "what is missing is the %s (see mvctl --help)",
			order->fields[options->word_count]);
		return MVCTL_MISUSED;
	}
	answer = ask_for(options, order, order->name, err);
	if (!answer)
		return -1;
	if (order->until)
		return wait_for(options, order, answer, err);
	rc = order->print(options, answer, err);
	json_object_put(answer);
	return rc;
}
