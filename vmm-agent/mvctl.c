/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"
#include "vmm-agent/mvctl.h"

#include "net/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

typedef int (*command_fn)(const struct mvctl_options *options, struct err *err);

static int do_jobs(const struct mvctl_options *options, struct err *err);
static int do_info(const struct mvctl_options *options, struct err *err);
static int do_suspend(const struct mvctl_options *options, struct err *err);
static int do_resume(const struct mvctl_options *options, struct err *err);
static int do_kill(const struct mvctl_options *options, struct err *err);
static int do_nodes(const struct mvctl_options *options, struct err *err);
static int do_doctor(const struct mvctl_options *options, struct err *err);

static const struct command {
	const char *name;
	command_fn run;
	bool takes_job, takes_signal, takes_all;
	const char *arguments, *help;
	bool takes_words; /* as they are */
	bool takes_group; /* --group NAME */
} commands[] = {
	{ "jobs", do_jobs, false, false, true, "[-a]",
	  "list your jobs, or with -a everybody's", false, true },
	{ "info", do_info, true, false, false, "JOB", "all about one job" },
	{ "suspend", do_suspend, true, false, false, "JOB",
	  "stop a job's microVM where it is" },
	{ "resume", do_resume, true, false, false, "JOB",
	  "let a suspended job go on" },
	{ "kill", do_kill, true, true, false, "[-SIG] JOB",
	  "send a job a signal (TERM)", false, true },
	{ "migrate", do_migrate, true, false, false, "JOB NODE|home [--post-copy]",
	  "move a job to another node, and wait for it", false, true },
	{ "why", do_why, true, false, false, "JOB",
	  "say why a job is and stays where it is" },
	{ "cluster", do_cluster, false, false, false, "COMMAND ...",
	  "make, change or look at the cluster", true },
	{ "best", do_schedule, false, false, false, "[MIB]",
	  "print the node where a job would start now", true },
	{ "drain", do_schedule, false, false, false, "[NODE]",
	  "send all jobs away and take none; wait for that", true },
	{ "undrain", do_schedule, false, false, false, "[NODE]",
	  "take jobs again, after drain, block or expel", true },
	{ "block", do_schedule, false, false, false, "[NODE]",
	  "take no jobs of other nodes", true },
	{ "unblock", do_schedule, false, false, false, "[NODE]",
	  "take them again", true },
	{ "expel", do_schedule, false, false, false, "[NODE]",
	  "block, and send other nodes' jobs away", true },
	{ "stay", do_schedule, false, false, false, "[NODE]",
	  "no job leaves by itself", true },
	{ "unstay", do_schedule, false, false, false, "[NODE]",
	  "jobs may leave again", true },
	{ "bring", do_schedule, false, false, false, "[NODE]",
	  "call a node's own jobs home, and let them stay", true },
	{ "get", do_schedule, false, false, false, "[NAME [NODE]]",
	  "print settings", true },
	{ "set", do_schedule, false, false, false, "NAME VALUE [NODE]",
	  "change a setting until mvd is restarted", true },
	{ "nodes", do_nodes, false, false, false, "", "list the nodes" },
	{ "doctor", do_doctor, false, false, false, "",
	  "check that jobs can run here, and say what to do if not" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

#define HELP_COLUMN 14 /* for a command's arguments; longer ones have a line */

static void command_usage(FILE *out, const struct command *command)
{
	bool wraps = strlen(command->arguments) > HELP_COLUMN;

	fprintf(out, "  mvctl %-8s %-*s", command->name, HELP_COLUMN,
		command->arguments);
	fprintf(out, wraps ? "\n%*s%s\n" : "%*s%s\n",
		wraps ? (int)strlen("  mvctl 12345678 ") + HELP_COLUMN + 1 : 1,
		"", command->help);
}

static void usage(FILE *out)
{
	size_t i;

	fputs("usage: mvctl [--json] COMMAND [ARGUMENT]\n\n", out);
	for (i = 0; i < COMMANDS; i++)
		command_usage(out, &commands[i]);
	fputc('\n', out);
	cluster_usage(out);
	fputs("\nJOB is the PID of a job's mvrun, or the job's name or UUID.\n"
	      "jobs, kill and migrate take --group NAME, for the jobs of that group.\n"
	      "With --json the answer is for programs. See mvctl(1).\n", out);
}

int signal_find(const char *name)
{
	const char *abbreviation;
	char *end;
	long number;
	int sig;

	number = strtol(name, &end, 10);
	if (*name && !*end)
		return number >= 0 && number < NSIG ? (int)number : -1;
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (sig = 1; sig < NSIG; sig++) {
		abbreviation = sigabbrev_np(sig);
		if (abbreviation && strcasecmp(abbreviation, name) == 0)
			return sig;
	}
	return -1;
}

/* Ask, and print the answer's field with the printer or as JSON. */
static int ask_and_print(const struct mvctl_options *options,
			 struct json_object *request, const char *field,
			 enum json_type type,
			 void (*print)(FILE *out, struct json_object *value),
			 struct err *err)
{
	struct json_object *answer = ask(request, err), *value;
	int rc = 0;

	if (!answer)
		return -1;
	if (!json_object_object_get_ex(answer, field, &value) ||
	    !json_object_is_type(value, type))
		rc = err_set(err, EPROTO, "cannot understand the agent");
	else if (options->json)
		print_json(stdout, value);
	else
		print(stdout, value);
	json_object_put(answer);
	return rc;
}

/* Ask for something to be done to the job. */
static int order(const struct mvctl_options *options, const char *op,
		 struct err *err)
{
	struct json_object *request = request_new(op), *answer;

	json_object_object_add(request, "job",
			       json_object_new_string(options->job));
	if (strcmp(op, "kill") == 0)
		json_object_object_add(request, "signal",
				       json_object_new_int(options->signal));
	answer = ask(request, err);
	if (!answer)
		return -1;
	json_object_put(answer);
	if (options->json) {
		answer = json_object_new_object();
		json_object_object_add(answer, "ok", json_object_new_boolean(true));
		print_json(stdout, answer);
		json_object_put(answer);
	}
	return 0;
}

/* The jobs of the answer that are in the group, if one is given: a new list. */
static struct json_object *jobs_of(const struct mvctl_options *options,
				   struct json_object *answer)
{
	struct json_object *all, *some;
	size_t i;

	if (!json_object_object_get_ex(answer, "jobs", &all) ||
	    !json_object_is_type(all, json_type_array))
		return NULL;
	some = json_object_new_array();
	for (i = 0; i < json_object_array_length(all); i++) {
		struct json_object *job = json_object_array_get_idx(all, i);

		if (!options->group ||
		    strcmp(agent_string(job, "group"), options->group) == 0)
			json_object_array_add(some, json_object_get(job));
	}
	return some;
}

/* The subcommands */

static int do_jobs(const struct mvctl_options *options, struct err *err)
{
	struct json_object *request = request_new("jobs"), *answer, *jobs;

	json_object_object_add(request, "all",
			       json_object_new_boolean(options->all));
	answer = ask(request, err);
	jobs = answer ? jobs_of(options, answer) : NULL;
	if (!jobs) {
		json_object_put(answer);
		return answer ? err_set(err, EPROTO, "cannot understand the agent") : -1;
	}
	if (options->json)
		print_json(stdout, jobs);
	else
		print_jobs(stdout, jobs);
	json_object_put(jobs);
	json_object_put(answer);
	return 0;
}

static int do_info(const struct mvctl_options *options, struct err *err)
{
	struct json_object *request = request_new("info");

	json_object_object_add(request, "job",
			       json_object_new_string(options->job));
	return ask_and_print(options, request, "job", json_type_object,
			     print_job, err);
}

static int do_suspend(const struct mvctl_options *options, struct err *err)
{
	return order(options, "suspend", err);
}

static int do_resume(const struct mvctl_options *options, struct err *err)
{
	return order(options, "resume", err);
}

static int do_kill(const struct mvctl_options *options, struct err *err)
{
	return order(options, "kill", err);
}

static int do_nodes(const struct mvctl_options *options, struct err *err)
{
	return ask_and_print(options, request_new("nodes"), "nodes",
			     json_type_array, print_nodes, err);
}

static int do_doctor(const struct mvctl_options *options, struct err *err)
{
	struct json_object *checks;
	struct agent *agent = NULL;
	bool ok;

	agent_connect(&agent, AGENT_OF_OTHERS, "mvctl", err);
	checks = doctor_checks(agent, err);
	agent_free(agent);
	if (options->json)
		print_json(stdout, checks);
	else
		print_checks(stdout, checks);
	ok = doctor_all_ok(checks);
	json_object_put(checks);
	if (ok)
		return 0;
	/* Everything is said already. */
	err->text[0] = '\0';
	return -1;
}

/* The command line */

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int bad_usage(struct err *err, const char *what, const char *argument)
{
	return err_set(err, 0, "%s%s%s%s (see mvctl --help)", what,
		       argument ? " \"" : "", argument ? argument : "",
		       argument ? "\"" : "");
}

/* Options that any place of the command line may have. True when it was one. */
static bool take_common(struct mvctl_options *options, const char *arg)
{
	if (strcmp(arg, "--json") == 0) {
		options->json = true;
		return true;
	}
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
		usage(stdout);
		exit(0);
	}
	if (strcmp(arg, "--version") == 0) {
		puts("mvctl (Monovisor) " PACKAGE_VERSION);
		exit(0);
	}
	return false;
}

static int take_argument(struct mvctl_options *options,
			 const struct command *command, const char *arg,
			 struct err *err)
{
	if (command->takes_words) {
		if (options->word_count == MVCTL_MAX_WORDS)
			return bad_usage(err, "unexpected argument", arg);
		options->words[options->word_count++] = arg;
		return 0;
	}
	if (command->takes_all &&
	    (strcmp(arg, "-a") == 0 || strcmp(arg, "--all") == 0)) {
		options->all = true;
		return 0;
	}
	if (command->takes_group && strcmp(arg, "--group") == 0) {
		options->group = "";
		return 0;
	}
	if (options->group && !*options->group) {
		if (!*arg || arg[0] == '-')
			return bad_usage(err, "no name of a group:", arg);
		options->group = arg;
		return 0;
	}
	if (command->takes_signal && arg[0] == '-' && arg[1] && !options->job) {
		options->signal = signal_find(arg + 1);
		if (options->signal < 0)
			return bad_usage(err, "unknown signal", arg + 1);
		return 0;
	}
	if (command->run == do_migrate && strcmp(arg, "--post-copy") == 0) {
		options->post_copy = true;
		return 0;
	}
	if (command->run == do_migrate && (options->job || options->group) &&
	    !options->node &&
	    arg[0] != '-') {
		options->node = arg;
		return 0;
	}
	if (!command->takes_job || options->job || options->group || arg[0] == '-')
		return bad_usage(err, "unexpected argument", arg);
	options->job = arg;
	return 0;
}

static int parse(const struct command **command, struct mvctl_options *options,
		 int argc, char **argv, struct err *err)
{
	int i;

	*command = NULL;
	for (i = 1; i < argc; i++) {
		if (take_common(options, argv[i]))
			continue;
		if (!*command) {
			if (strcmp(argv[i], "help") == 0) {
				usage(stdout);
				exit(0);
			}
			*command = find_command(argv[i]);
			if (!*command)
				return bad_usage(err, "unknown command",
						 argv[i]);
			options->command = argv[i];
		} else if (take_argument(options, *command, argv[i], err) < 0) {
			return -1;
		}
	}
	if (!*command)
		return bad_usage(err, "no command is given", NULL);
	if (options->group && !*options->group)
		return bad_usage(err, "--group takes a name", NULL);
	if ((*command)->takes_job && !options->job && !options->group)
		return bad_usage(err, "which job?", NULL);
	if ((*command)->run == do_migrate && !options->node)
		return bad_usage(err, "to which node?", NULL);
	return 0;
}

static void tell_failure(struct json_object *job, struct err *err)
{
	char name[80];

	fprintf(stderr, "mvctl: job %lld (%s): %s\n", agent_number(job, "pid"),
		print_clean(name, sizeof(name), agent_string(job, "name")), err->text);
	err->text[0] = '\0';
}

/* The command for each job of the group. All are tried, and each failure is told. */
static int run_for_group(const struct command *command, struct mvctl_options *options,
			 struct err *err)
{
	struct json_object *answer = ask(request_new("jobs"), err);
	struct json_object *jobs = answer ? jobs_of(options, answer) : NULL;
	size_t i, n = jobs ? json_object_array_length(jobs) : 0;
	int rc = 0;

	json_object_put(answer);
	if (!jobs)
		return -1;
	for (i = 0; i < n; i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i);

		options->job = agent_string(job, "uuid");
		if (command->run(options, err) < 0) {
			tell_failure(job, err);
			rc = -1;
		}
	}
	json_object_put(jobs);
	if (n == 0)
		return err_set(err, 0, "you have no job in the group \"%s\"",
			       options->group);
	return rc;
}

int main(int argc, char **argv)
{
	struct mvctl_options options = { .signal = SIGTERM };
	const struct command *command;
	struct err err = { 0 };
	int status = EXIT_SUCCESS, rc;

	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (parse(&command, &options, argc, argv, &err) < 0)
		status = EXIT_USAGE;
	else if ((rc = options.group && command->takes_job ?
		       run_for_group(command, &options, &err) :
		       command->run(&options, &err)) < 0)
		status = rc == MVCTL_MISUSED ? EXIT_USAGE : EXIT_FAILURE;
	else if (fflush(stdout) != 0 && err_set(&err, errno, "cannot write"))
		status = EXIT_FAILURE;
	if (status != EXIT_SUCCESS && err.text[0])
		fprintf(stderr, "mvctl: %s\n", err.text);
	return status;
}
