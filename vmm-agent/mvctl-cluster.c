/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvctl cluster: a subcommand with subcommands of its own.
 */
#include "vmm-agent/mvctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 3

typedef void (*print_fn)(FILE *out, struct json_object *answer);

static void print_init(FILE *out, struct json_object *answer);
static void print_invite(FILE *out, struct json_object *answer);
static void print_join(FILE *out, struct json_object *answer);
static void print_remove(FILE *out, struct json_object *answer);
static void print_found(FILE *out, struct json_object *answer);

/* What each takes: words, which are fields of the request, and options. */
static const struct action {
	const char *name;
	print_fn print;
	bool places; /* takes --address and --port */
	unsigned least;
	const char *words[MAX_WORDS]; /* fields, the first `least` needed */
	const char *arguments, *help;
} actions[] = {
	{ "init", print_init, true, 0, { "name" },
	  "[NAME] [--address ADDRESS] [--port PORT]",
	  "make a cluster of this node" },
	{ "invite", print_invite, false, 0, { NULL }, "",
	  "print a token that admits one node, once, within an hour" },
	{ "join", print_join, true, 2, { "host", "token", "name" },
	  "[HOST[:PORT]] TOKEN [NAME] [--address ADDRESS] [--port PORT]",
	  "let this node join the cluster of HOST, or the token's" },
	{ "discover", print_found, false, 0, { NULL }, "",
	  "list the clusters on this network, as they announce themselves" },
	{ "remove", print_remove, false, 1, { "node" }, "NODE [--force]",
	  "revoke a node's certificate" },
	{ "status", print_cluster, false, 0, { NULL }, "",
	  "list the members, and who answers" },
};
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

void cluster_usage(FILE *out)
{
	size_t i;

	for (i = 0; i < ACTIONS; i++)
		fprintf(out, "  mvctl cluster %s%s%s\n%24s%s\n",
			actions[i].name, *actions[i].arguments ? " " : "",
			actions[i].arguments, "", actions[i].help);
}

/* ---- answers, for people ---- */

static void put(FILE *out, struct json_object *answer, const char *field)
{
	char text[300];

	fputs(print_clean(text, sizeof(text), agent_string(answer, field)),
	      out);
}

static void print_init(FILE *out, struct json_object *answer)
{
	fputs("made a cluster; this node is ", out);
	put(out, answer, "node");
	fputs(", at ", out);
	put(out, answer, "address");
	fprintf(out, " port %lld\n", agent_number(answer, "port"));
	fputs("Let others in with \"mvctl cluster invite\".\n", out);
}

static void print_invite(FILE *out, struct json_object *answer)
{
	long long port = agent_number(answer, "port");
	const char *address = agent_string(answer, "address");

	put(out, answer, "token");
	fprintf(out, "\n");
	/* The token alone on standard output: it may go into a variable. */
	fprintf(stderr, "Within %lld minutes, on the node that is to join: "
		"mvctl cluster join ", agent_number(answer, "valid") / 60);
	if (strchr(address, ':'))
		fputc('[', stderr);
	put(stderr, answer, "address");
	if (strchr(address, ':'))
		fputc(']', stderr);
	fprintf(stderr, ":%lld TOKEN\n", port);
}

static void print_join(FILE *out, struct json_object *answer)
{
	fputs("joined as ", out);
	put(out, answer, "node");
	fprintf(out, "; the cluster has %lld nodes\n",
		agent_number(answer, "nodes"));
}

static void print_remove(FILE *out, struct json_object *answer)
{
	struct json_object *untold;
	char text[80];
	size_t i, n = 0;

	fputs("removed\n", out);
	if (json_object_object_get_ex(answer, "untold", &untold) &&
	    json_object_is_type(untold, json_type_array))
		n = json_object_array_length(untold);
	for (i = 0; i < n; i++)
		fprintf(out, "%s could not be told now: it goes on trusting the "
			"node until it hears from another member\n",
			print_clean(text, sizeof(text), json_object_get_string(
				json_object_array_get_idx(untold, i))));
}

static void print_found(FILE *out, struct json_object *answer)
{
	struct json_object *nodes = NULL, *seeds = NULL;
	const char *trouble = agent_string(answer, "trouble");
	char text[300];
	size_t i;

	json_object_object_get_ex(answer, "nodes", &nodes);
	json_object_object_get_ex(answer, "seeds", &seeds);
	if (json_object_is_type(nodes, json_type_array) &&
	    json_object_array_length(nodes) > 0)
		print_discovered(out, nodes);
	else
		fprintf(out, "no node announces itself on this network%s%s\n",
			*trouble ? ": " : "", print_clean(text, sizeof(text), trouble));
	for (i = 0; json_object_is_type(seeds, json_type_array) &&
	     i < json_object_array_length(seeds); i++)
		fprintf(out, "seed %s\n", print_clean(text, sizeof(text),
			json_object_get_string(json_object_array_get_idx(seeds, i))));
}

/* ---- the command line ---- */

static int misused(const struct action *action, struct err *err,
		   const char *what, const char *argument)
{
	err_set(err, 0, "%s \"%s\" (usage: mvctl cluster %s %s)", what, argument,
		action->name, action->arguments);
	return MVCTL_MISUSED;
}

static int take_port(struct json_object *request, const struct action *action,
		     const char *value, struct err *err)
{
	char *end;
	long port = strtol(value, &end, 10);

	if (!*value || *end || port < 1 || port > 65535)
		return misused(action, err, "no port:", value);
	json_object_object_add(request, "port", json_object_new_int((int)port));
	return 0;
}

/* Jobs of a node that is removed are lost, and so are those that it has elsewhere. It
 * may say what it likes, and need not answer: there is --force, too. */
static int refuse_busy(const char *node, struct err *err)
{
	struct json_object *answer = ask(request_new("nodes"), err), *nodes;
	size_t i, n = 0;
	int rc = 0;

	if (!answer)
		return -1;
	if (json_object_object_get_ex(answer, "nodes", &nodes) &&
	    json_object_is_type(nodes, json_type_array))
		n = json_object_array_length(nodes);
	for (i = 0; i < n && rc == 0; i++) {
		struct json_object *one = json_object_array_get_idx(nodes, i);
		long long jobs = agent_number(one, "jobs") + agent_number(one, "away");

		if (jobs > 0 && strcmp(agent_string(one, "name"), node) == 0)
			rc = err_set(err, 0, "%s has %lld job%s, its own or of "
				     "others, which would be lost: let them end, or "
				     "move them (or --force it)", node, jobs,
				     jobs == 1 ? "" : "s");
	}
	json_object_put(answer);
	return rc;
}

static bool is_forced(struct json_object *request)
{
	bool forced = json_object_object_get_ex(request, "force", NULL);

	json_object_object_del(request, "force");
	return forced;
}

static int check_remove(const struct action *action,
			struct json_object *request, struct err *err)
{
	if (action->print != print_remove || is_forced(request))
		return 0;
	return refuse_busy(agent_string(request, "node"), err);
}

/* An option and its value; or a word, which is the next field. */
static int take_word(struct json_object *request, const struct action *action,
		     const char *const *words, unsigned *used, struct err *err)
{
	bool address = action->places && strcmp(words[0], "--address") == 0;
	bool port = action->places && strcmp(words[0], "--port") == 0;

	if ((address || port) && !words[1])
		return misused(action, err, "no value for", words[0]);
	if (address)
		json_object_object_add(request, "address",
				       json_object_new_string(words[1]));
	if (port && take_port(request, action, words[1], err) < 0)
		return MVCTL_MISUSED;
	if (address || port)
		return 2;
	if (action->print == print_remove && strcmp(words[0], "--force") == 0) {
		json_object_object_add(request, "force",
				       json_object_new_boolean(true));
		return 1;
	}
	if (words[0][0] == '-' || *used == MAX_WORDS || !action->words[*used])
		return misused(action, err, "unexpected argument", words[0]);
	json_object_object_add(request, action->words[(*used)++],
			       json_object_new_string(words[0]));
	return 1;
}

static int take_words(struct json_object *request, const struct action *action,
		      const char *const *words, struct err *err)
{
	unsigned used = 0;
	int rc;

	/* The token says which cluster; the agent looks for it. */
	if (strcmp(action->name, "join") == 0 && *words &&
	    strncmp(*words, "mv1-", 4) == 0)
		used = 1;
	for (; *words; words += rc) {
		rc = take_word(request, action, words, &used, err);
		if (rc < 0)
			return rc;
	}
	if (used < action->least)
		return misused(action, err, "what is missing is the",
			       action->words[used]);
	return 0;
}

static const struct action *find_action(const char *name)
{
	size_t i;

	for (i = 0; name && i < ACTIONS; i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

static int act(const struct mvctl_options *options,
	       const struct action *action, struct json_object *request,
	       struct err *err)
{
	struct json_object *answer = ask(request, err);

	if (!answer)
		return -1;
	json_object_object_del(answer, "event");
	if (options->json)
		print_json(stdout, answer);
	else
		action->print(stdout, answer);
	json_object_put(answer);
	return 0;
}

int do_cluster(const struct mvctl_options *options, struct err *err)
{
	const struct action *action = find_action(options->words[0]);
	struct json_object *request;
	int rc;

	if (!action) {
		err_set(err, 0, options->words[0] ? "unknown command \"cluster "
			"%s\" (see mvctl --help)" : "which of the cluster's "
			"commands?%s (see mvctl --help)",
			options->words[0] ? options->words[0] : "");
		return MVCTL_MISUSED;
	}
	request = request_new("cluster");
	json_object_object_add(request, "action",
			       json_object_new_string(action->name));
	rc = take_words(request, action, options->words + 1, err);
	if (rc == 0)
		rc = check_remove(action, request, err);
	if (rc == 0)
		return act(options, action, request, err);
	json_object_put(request);
	return rc;
}
