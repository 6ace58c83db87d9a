/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mvsim: see docs/man/mvsim.1. */
#include "config.h"
#include "net/seal.h"
#include "scheduler/gossip-wire.h"
#include "scheduler/mvsim-builtin.h"
#include "scheduler/mvsim-compare.h"
#include "scheduler/mvsim-decide.h"
#include "scheduler/mvsim-gossip.h"
#include "scheduler/mvsim-scenario.h"
#include "scheduler/mvsim-swim.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define MISUSED (-2) /* of commands: the command line makes no sense, and the text says why */
#define ENTRIES ((SEAL_PAYLOAD_MAX - GOSSIP_HEADER) / GOSSIP_ENTRY) /* in a datagram */

struct options {
	const char *methods, *against;
	const char *set[64], *param[64];
	unsigned set_count, param_count;
	uint64_t seed;
	double runs, nodes, window, observers, steps, loss, deaths, slow, stall, latency;
	bool json, classic, free_moves, adapt;
	uint64_t given; /* bits, by the place in long_options */
};

/* ---- run ---- */

static int add_method(struct sim_comparison *comparison, const char *name,
		      struct err *err)
{
	const struct sim_method *method = sim_method_find(name);

	if (!method)
		return err_set(err, 0, "there is no method \"%s\" (see \"mvsim list\")",
			       name);
	if (comparison->count == SIM_MAX_METHODS)
		return err_set(err, 0, "more than %d methods", SIM_MAX_METHODS);
	comparison->methods[comparison->count++] = method;
	return 0;
}

static int choose_methods(struct sim_comparison *comparison,
			  const struct options *options, struct err *err)
{
	char names[1024], *save = NULL, *name;

	if (strlen(options->methods) >= sizeof(names))
		return err_set(err, 0, "the list of methods is too long");
	strcpy(names, options->methods);
	for (name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (add_method(comparison, name, err) < 0)
			return -1;
	if (comparison->count == 0)
		return err_set(err, 0, "no method is named");
	while (options->against && strcmp(options->against,
	       comparison->methods[comparison->reference]->name) != 0)
		if (++comparison->reference == comparison->count)
			return err_set(err, 0, "\"%s\" is not among the methods",
				       options->against);
	return 0;
}

static int number_of(const char *text, double *number)
{
	char *end;

	errno = 0;
	*number = strtod(text, &end);
	return end == text || *end || errno || !isfinite(*number) ? -1 : 0;
}

/* NAME=NUMBER; the name into `name`. */
static int assignment(const char *text, char *name, size_t size, double *value, struct err *err)
{
	const char *equals = strchr(text, '=');

	if (!equals || (size_t)(equals - text) >= size || number_of(equals + 1, value) < 0)
		return err_set(err, 0, "\"%s\" is not NAME=NUMBER", text);
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = '\0';
	return 0;
}

static int set_numbers(struct sim_plan *plan, const struct options *options, struct err *err)
{
	char name[64];
	double value;
	unsigned i;

	for (i = 0; i < options->set_count; i++)
		if (assignment(options->set[i], name, sizeof(name), &value, err) < 0 ||
		    sched_policy_set(&plan->policy, name, value, err) < 0)
			return -1;
	for (i = 0; i < options->param_count; i++)
		if (assignment(options->param[i], name, sizeof(name), &value, err) < 0 ||
		    sim_plan_param(plan, name, value, err) < 0)
			return -1;
	return 0;
}

static int load(const char *name, struct sim_plan *plan, struct err *err)
{
	const struct sim_builtin *builtin = sim_builtin_find(name);

	if (builtin)
		return sim_plan_parse(builtin->text, strlen(builtin->text), plan, err);
	if (!strchr(name, '/') && !strchr(name, '.'))
		return err_set(err, 0, "there is no scenario \"%s\" (see \"mvsim list\"; a "
			       "file's name has a dot or a slash)", name);
	return sim_plan_load(name, plan, err);
}

static int compare(struct sim_plan *plan, const struct options *options, struct err *err)
{
	struct sim_comparison comparison = { .plan = plan, .seed = options->seed,
					     .runs = (unsigned)options->runs };
	int result = MISUSED;

	if (set_numbers(plan, options, err) == 0 &&
	    choose_methods(&comparison, options, err) == 0)
		result = sim_compare(&comparison, err);
	if (result == 0 && options->json)
		sim_print_json(&comparison, stdout);
	else if (result == 0)
		sim_print_table(&comparison, stdout);
	sim_comparison_free(&comparison);
	return result;
}

static int run(int argc, char **argv, const struct options *options, struct err *err)
{
	struct sim_plan plan;
	int result;

	if (argc != 1) {
		err_set(err, 0, "run needs one scenario");
		return MISUSED;
	}
	if (load(argv[0], &plan, err) < 0)
		return -1;
	plan.scenario.params.free_moves |= options->free_moves;
	result = compare(&plan, options, err);
	sim_plan_free(&plan);
	return result;
}

/* ---- gossip ---- */

static void print_gossip(const struct sim_gossip_config *config,
			 const struct sim_gossip_result *r, bool json)
{
	unsigned i;

	printf(json ? "{\"nodes\": %u, \"window\": %u, \"steps\": %u, \"seed\": %llu, "
		      "\"loss\": %g,\n" :
		      "%u nodes, window %u, %u steps, seed %llu, loss %g\n",
	       config->nodes, config->window, config->steps,
	       (unsigned long long)config->seed, config->loss);
	printf(json ? " \"average\": %.6g, \"average_formula\": %.6g, \"maximum\": %.6g, "
		      "\"maximum_formula\": %.6g,\n \"known\": %.6g, \"bytes\": %.6g,\n "
		      "\"up_to\": [" :
		      "average age %.2f steps (formula %.2f), maximum %.1f (%.1f), "
		      "known %.3f, %.0f bytes per node and step\n",
	       r->average, r->average_formula, r->maximum, r->maximum_formula, r->known,
	       r->bytes);
	for (i = 0; i < SIM_GOSSIP_POINTS; i++)
		printf(json ? "%s[%.6g, %.6g, %.6g]" :
			      "%sentries of age up to %.0f: %.1f (%.1f)\n",
		       json && i ? ", " : "", r->age[i], r->up_to[i],
		       r->up_to_formula[i]);
	if (json)
		puts("]}");
}

static int gossip(int argc, char **argv, const struct options *options, struct err *err)
{
	struct sim_gossip_config config = {
		.nodes = (unsigned)options->nodes, .window = (unsigned)options->window,
		.observers = (unsigned)options->observers,
		.steps = (unsigned)options->steps, .loss = options->loss,
		.seed = options->seed,
	};
	struct sim_gossip_result result;

	(void)argc;
	(void)argv;
	if (options->adapt)
		config.window = gossip_window(config.nodes, ENTRIES);
	if (config.observers == 0)
		config.observers = config.nodes < 64 ? config.nodes : 64;
	if (config.steps == 0 && config.window >= 2 && config.window < config.nodes)
		config.steps = sim_gossip_steps(config.nodes, config.window);
	if (sim_gossip(&config, &result, err) < 0)
		return MISUSED;
	print_gossip(&config, &result, options->json);
	return 0;
}

/* ---- swim ---- */

static void print_swim(const struct sim_swim_config *config,
		       const struct sim_swim_result *r, bool json)
{
	printf(json ? "{\"nodes\": %u, \"deaths\": %u, \"loss\": %g, \"slow\": %g, "
		      "\"stall\": %g, \"lifeguard\": %s, \"seed\": %llu,\n" :
		      "%u nodes, %u deaths, loss %g, slow %g stalling %g s, lifeguard %s, "
		      "seed %llu\n",
	       config->nodes, config->deaths, config->loss, config->slow, config->stall,
	       config->lifeguard ? "true" : "false", (unsigned long long)config->seed);
	printf(json ? " \"first_suspect\": %.6g, \"first_dead\": %.6g, \"all_dead\": %.6g, "
		      "\"all_dead_max\": %.6g, \"detected\": %u,\n" :
		      "suspected after %.2f s, dead for the first after %.2f s, for all after "
		      "%.2f s (at most %.2f s), %u detected\n",
	       r->first_suspect, r->first_dead, r->all_dead, r->all_dead_max, r->detected);
	printf(json ? " \"suspicions\": %llu, \"wrong\": %llu, \"wrong_per_hour\": %.6g, "
		      "\"messages\": %.6g, \"bytes\": %.6g}\n" :
		      "%llu suspicions of the living, %llu wrongly declared dead (%.2f per "
		      "hour), %.2f messages and %.0f bytes per node and second\n",
	       (unsigned long long)r->suspicions, (unsigned long long)r->wrong,
	       r->wrong_per_hour, r->messages, r->bytes);
}

static int swim(int argc, char **argv, const struct options *options, struct err *err)
{
	struct sim_swim_config config = {
		.nodes = (unsigned)options->nodes, .deaths = (unsigned)options->deaths,
		.loss = options->loss, .latency = options->latency, .quiet = 100,
		.interval = 30, .slow = options->slow, .stall = options->stall,
		.lifeguard = !options->classic, .seed = options->seed,
	};
	struct sim_swim_result result;

	(void)argc;
	(void)argv;
	if (sim_swim(&config, &result, err) < 0)
		return MISUSED;
	print_swim(&config, &result, options->json);
	return 0;
}

/* ---- the rest ---- */

static int decide(int argc, char **argv, const struct options *options, struct err *err)
{
	struct sim_decide_result r;

	(void)argc;
	(void)argv;
	if (options->nodes < 1 || options->nodes > SIM_MAX_NODES) {
		err_set(err, 0, "decide takes 1 to %u nodes (--nodes)", SIM_MAX_NODES);
		return MISUSED;
	}
	sim_decide((unsigned)options->nodes, options->seed, &r);
	printf(options->json ?
	       "{\"nodes\": %u, \"jobs\": %u, \"place\": %.0f, \"balance\": %.0f, "
	       "\"usher\": %.0f, \"gossip_write\": %.0f, \"gossip_read\": %.0f}\n" :
	       "%u known nodes, %u jobs: place %.0f ns, balance %.0f ns, usher %.0f ns, gossip "
	       "written in %.0f ns, read in %.0f ns\n",
	       (unsigned)options->nodes, r.jobs, r.place, r.balance, r.usher,
	       r.gossip_write, r.gossip_read);
	return 0;
}

static int list(int argc, char **argv, const struct options *options, struct err *err)
{
	const struct sched_policy_entry *entry;
	const struct sim_method *method = NULL;
	const struct sim_builtin *builtin;

	(void)argc;
	(void)argv;
	(void)options;
	(void)err;
	puts("Methods:");
	while ((method = sim_method_next(method)))
		printf("  %-16s %s\n", method->name, method->what);
	puts("Scenarios:");
	for (builtin = sim_builtins; builtin->name; builtin++)
		printf("  %-16s %s\n", builtin->name, builtin->what);
	puts("Policy (--set NAME=NUMBER):");
	for (entry = sched_policy_entries; entry->name; entry++)
		printf("  %-16s %g%s%s (%g to %g): %s\n", entry->name, entry->standard,
		       *entry->unit ? " " : "", entry->unit, entry->min, entry->max,
		       entry->what);
	return 0;
}

static int show(int argc, char **argv, const struct options *options, struct err *err)
{
	const struct sim_builtin *builtin = argc == 1 ? sim_builtin_find(argv[0]) : NULL;

	(void)options;
	if (!builtin) {
		err_set(err, 0, argc == 1 ? "there is no built-in scenario \"%s\" (see \"mvsim "
			"list\")" : "show needs one built-in scenario", argv[0]);
		return MISUSED;
	}
	fputs(builtin->text, stdout);
	return 0;
}

static const struct command {
	const char *name;
	int (*call)(int argc, char **argv, const struct options *options,
		    struct err *err);
	const char *help;
	bool takes_scenario;
	const char *options[12]; /* that mean something to it */
} commands[] = {
	{ "run", run, "SCENARIO   simulate, a table of methods", true,
	  { "seed", "runs", "methods", "against", "set", "param", "free-moves", "json" } },
	{ "gossip", gossip, "           ages of what nodes know of each other", false,
	  { "seed", "nodes", "window", "adapt", "steps", "observers", "loss", "json" } },
	{ "swim", swim, "           time until a death is known, false alarms", false,
	  { "seed", "nodes", "loss", "deaths", "slow", "stall", "latency", "no-lifeguard",
	    "json" } },
	{ "decide", decide, "           what a decision costs", false,
	  { "seed", "nodes", "json" } },
	{ "list", list, "           methods, scenarios, policy", false, { NULL } },
	{ "show", show, "SCENARIO   the text of a built-in scenario", true, { NULL } },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	unsigned i;

	fputs("Usage: mvsim COMMAND [OPTION]... [SCENARIO]\n\n", to);
	for (i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-7s %s\n", commands[i].name, commands[i].help);
	fputs("\n  -s, --seed=N          (1)\n"
	      "  -n, --runs=N          runs, each with the next seed (1)\n"
	      "  -m, --methods=A,B     which (mosix,monovisor)\n"
	      "  -a, --against=A       that others are compared with (the first)\n"
	      "      --set=NAME=NUMBER policy; may be repeated\n"
	      "      --param=NAME=NUMBER parameter of the scenario; may be repeated\n"
	      "      --free-moves      moves take no time and cost nothing\n"
	      "  -N, --nodes=N         of gossip, swim, decide (64)\n"
	      "  -w, --window=N        of gossip (16)\n"
	      "      --adapt           of gossip: the window that mvd chooses\n"
	      "      --steps=N, --observers=N   of gossip\n"
	      "      --loss=SHARE      of messages, for gossip and swim (0)\n"
	      "      --deaths=N, --slow=SHARE, --stall=SECONDS, --latency=SECONDS of swim\n"
	      "      --no-lifeguard    of swim: without Lifeguard's refinements\n"
	      "  -j, --json            JSON instead of text\n"
	      "      --help, --version\n", to);
}

enum { OPT_SET = 256, OPT_PARAM, OPT_STEPS, OPT_OBSERVERS, OPT_LOSS, OPT_DEATHS, OPT_SLOW, OPT_STALL,
       OPT_LATENCY, OPT_CLASSIC, OPT_FREE, OPT_ADAPT, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
	{ "seed", required_argument, NULL, 's' },
	{ "runs", required_argument, NULL, 'n' },
	{ "methods", required_argument, NULL, 'm' },
	{ "against", required_argument, NULL, 'a' },
	{ "set", required_argument, NULL, OPT_SET },
	{ "param", required_argument, NULL, OPT_PARAM },
	{ "nodes", required_argument, NULL, 'N' },
	{ "window", required_argument, NULL, 'w' },
	{ "adapt", no_argument, NULL, OPT_ADAPT },
	{ "steps", required_argument, NULL, OPT_STEPS },
	{ "observers", required_argument, NULL, OPT_OBSERVERS },
	{ "loss", required_argument, NULL, OPT_LOSS },
	{ "deaths", required_argument, NULL, OPT_DEATHS },
	{ "slow", required_argument, NULL, OPT_SLOW },
	{ "stall", required_argument, NULL, OPT_STALL },
	{ "latency", required_argument, NULL, OPT_LATENCY },
	{ "free-moves", no_argument, NULL, OPT_FREE },
	{ "no-lifeguard", no_argument, NULL, OPT_CLASSIC },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

/* Numbers that are options, and their ranges. */
static int set_number(struct options *options, int option, const char *text,
		      struct err *err)
{
	const struct { int option; double *to; double min, max; } numbers[] = {
		{ 'n', &options->runs, 1, 1e6 },
		{ 'N', &options->nodes, 1, 1e6 },
		{ 'w', &options->window, 2, GOSSIP_WINDOW_MAX },
		{ OPT_STEPS, &options->steps, 1, 1e7 },
		{ OPT_OBSERVERS, &options->observers, 1, 1e6 },
		{ OPT_LOSS, &options->loss, 0, 0.99 },
		{ OPT_DEATHS, &options->deaths, 0, 5000 },
		{ OPT_SLOW, &options->slow, 0, 1 },
		{ OPT_STALL, &options->stall, 0, 3600 },
		{ OPT_LATENCY, &options->latency, 1e-6, 100 },
	};
	unsigned i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		double value;

		if (numbers[i].option != option)
			continue;
		if (number_of(text, &value) < 0 || value < numbers[i].min ||
		    value > numbers[i].max)
			return err_set(err, 0, "\"%s\" is not a number from %g to %g",
				       text, numbers[i].min, numbers[i].max);
		*numbers[i].to = value;
		return 0;
	}
	return err_set(err, 0, "an option that is not known");
}

static int set_seed(struct options *options, const char *text, struct err *err)
{
	char *end;

	errno = 0;
	options->seed = strtoull(text, &end, 0);
	if (end == text || *end || errno || *text == '-')
		return err_set(err, 0, "\"%s\" is not a seed", text);
	return 0;
}

static void remember_given(struct options *options, int option)
{
	unsigned i;

	for (i = 0; long_options[i].name; i++)
		if (long_options[i].val == option)
			options->given |= 1ull << i;
}

static int set_option(struct options *options, int option, struct err *err)
{
	remember_given(options, option);
	switch (option) {
	case 's':
		return set_seed(options, optarg, err);
	case 'm':
		options->methods = optarg;
		return 0;
	case 'a':
		options->against = optarg;
		return 0;
	case 'j':
		options->json = true;
		return 0;
	case OPT_CLASSIC:
		options->classic = true;
		return 0;
	case OPT_ADAPT:
		options->adapt = true;
		return 0;
	case OPT_FREE:
		options->free_moves = true;
		return 0;
	case OPT_SET:
		if (options->set_count == sizeof(options->set) / sizeof(options->set[0]))
			return err_set(err, 0, "too many --set");
		options->set[options->set_count++] = optarg;
		return 0;
	case OPT_PARAM:
		if (options->param_count == sizeof(options->param) / sizeof(options->param[0]))
			return err_set(err, 0, "too many --param");
		options->param[options->param_count++] = optarg;
		return 0;
	default:
		return set_number(options, option, optarg, err);
	}
}

static int read_options(int argc, char **argv, struct options *options, struct err *err)
{
	int option;

	while ((option = getopt_long(argc, argv, "s:n:m:a:N:w:j", long_options,
				     NULL)) != -1) {
		if (option == OPT_HELP)
			usage(stdout);
		if (option == OPT_VERSION)
			puts("mvsim (Monovisor) " PACKAGE_VERSION);
		if (option == OPT_HELP || option == OPT_VERSION)
			exit(0);
		if (option == '?')
			return -1; /* getopt has said why */
		if (set_option(options, option, err) < 0)
			return -1;
	}
	return 0;
}

static bool takes_option(const struct command *command, const char *name)
{
	unsigned i;

	for (i = 0; command->options[i]; i++)
		if (strcmp(command->options[i], name) == 0)
			return true;
	return false;
}

static int check_use(const struct command *command, int argc, char **argv,
		     const struct options *options, struct err *err)
{
	unsigned i;

	for (i = 0; long_options[i].name; i++)
		if (options->given >> i & 1 && !takes_option(command, long_options[i].name)) {
			err_set(err, 0, "%s has no option --%s", command->name,
				long_options[i].name);
			return MISUSED;
		}
	if (argc && !command->takes_scenario) {
		err_set(err, 0, "%s takes no \"%s\"", command->name, argv[0]);
		return MISUSED;
	}
	return 0;
}

static const struct command *find_command(const char *name)
{
	unsigned i;

	for (i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

/* 0, -1, or MISUSED; with an empty text when what is wrong has been said. */
static int obey(int argc, char **argv, struct options *options, struct err *err)
{
	const struct command *command;
	int result;

	if (read_options(argc, argv, options, err) < 0)
		return MISUSED;
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		usage(stderr);
		return MISUSED;
	}
	command = find_command(argv[0]);
	if (!command) {
		err_set(err, 0, "there is no command \"%s\"", argv[0]);
		return MISUSED;
	}
	result = check_use(command, argc - 1, argv + 1, options, err);
	return result < 0 ? result : command->call(argc - 1, argv + 1, options, err);
}

int main(int argc, char **argv)
{
	struct options options = { .methods = "mosix,monovisor", .seed = 1, .runs = 1,
				   .nodes = 64, .window = 16, .latency = 0.001,
				   .deaths = 8 };
	struct err err = { 0 };
	int result = obey(argc, argv, &options, &err);

	if (result < 0 && err.text[0])
		fprintf(stderr, "mvsim: %s\n", err.text);
	if (result == MISUSED) {
		fputs("Try \"mvsim --help\".\n", stderr);
		return EXIT_USAGE;
	}
	if (result < 0)
		return EXIT_FAILURE;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("mvsim: cannot write the result");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
