/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "vmm-agent/mvrun.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_MEMORY_MIB (64u << 20)
#define MAX_CPUS 4096
#define MAX_HOME_PATIENCE_S (366u * 24 * 3600)
#define DEFAULT_HOME_PATIENCE_S 60 /* of --on-home-lost=kill */

/* One table: the option parser, the usage text and its order come from it. */
static const struct {
	const char *name, *argument, *help;
	char letter;
} option_table[] = {
	{ "home", NULL, "run on the node where you type", 'H' },
	{ "on", "NODE", "run on this node, or the best of NODE,NODE...", 'o' },
	{ "not-on", "NODE", "do not run on this node (also several times)", 'N' },
	{ "best", NULL, "run where it is best now (the usual, see mvd.conf(5))", 'B' },
	{ "nowait", NULL, "fail when no node has room now, instead of waiting", 'W' },
	{ "near", "JOB", "run where another of your jobs runs", 'R' },
	{ "cpu-bound", NULL, "choose nodes by their processors, whatever it reads", 'C' },
	{ "io-bound", NULL, "it will mostly read and write files", 'I' },
	{ "group", "NAME", "put the job into a group, for mvctl", 'G' },
	{ "pin", NULL, "keep the job on the node where it starts", 'P' },
	{ "memory", "MIB", "its memory (1024, at most half of this node's)", 'm' },
	{ "cpus", "N", "its virtual CPUs (this node's, at most 4; 1 without KVM)", 'c' },
	{ "on-home-lost", "WHAT", "wait (default) or kill[:SECONDS (60)], out of reach of home", 'L' },
	{ "name", "NAME", "name of the job (default: the program's)", 'n' },
	{ "verbose", NULL, "say on standard error what happens when", 'v' },
	{ "version", NULL, "print the version and exit", 'V' },
	{ "help", NULL, "print this help and exit", 'h' },
};
#define OPTIONS (sizeof(option_table) / sizeof(*option_table))

static bool has_short_form(char letter)
{
	return !strchr("HoPLVNBRCIGW", letter);
}

static void usage(FILE *to)
{
	fputs("Usage: mvrun [OPTION]... PROGRAM [ARGUMENT]...\n"
	      "Run PROGRAM in a microVM of its own, with this node's files, identity,\n"
	      "terminal and signals, as if mvrun were not there.\n\n", to);
	for (size_t i = 0; i < OPTIONS; i++) {
		char text[64];

		snprintf(text, sizeof(text), "--%s%s%s", option_table[i].name,
			 option_table[i].argument ? " " : "",
			 option_table[i].argument ? option_table[i].argument : "");
		if (has_short_form(option_table[i].letter))
			fprintf(to, "  -%c, %-19s %s\n", option_table[i].letter, text,
				option_table[i].help);
		else
			fprintf(to, "      %-19s %s\n", text, option_table[i].help);
	}
	fputs("\nThe exit status is PROGRAM's; 125 if mvrun itself failed, 126 if PROGRAM\n"
	      "cannot be executed, 127 if it was not found. A PROGRAM that dies by a signal\n"
	      "makes mvrun die by it. See mvrun(1).\n", to);
}

__attribute__((format(printf, 1, 2)))
static int bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("mvrun: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\nTry 'mvrun --help'.\n", stderr);
	return EXIT_OWN_FAILURE;
}

static int parse_number(const char *text, unsigned max, unsigned *value)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || !number || number > max)
		return -1;
	*value = (unsigned)number;
	return 0;
}

static void fill_long_options(struct option *options)
{
	for (size_t i = 0; i < OPTIONS; i++)
		options[i] = (struct option){
			.name = option_table[i].name,
			.has_arg = option_table[i].argument != NULL,
			.val = option_table[i].letter,
		};
	options[OPTIONS] = (struct option){ 0 };
}

static int take_home_lost(struct mvrun_options *options, const char *what)
{
	options->home_patience = 0;
	if (!strcmp(what, "wait"))
		return -1;
	options->home_patience = DEFAULT_HOME_PATIENCE_S;
	if (!strcmp(what, "kill"))
		return -1;
	if (strncmp(what, "kill:", 5) ||
	    parse_number(what + 5, MAX_HOME_PATIENCE_S, &options->home_patience))
		return bad_usage("'%s' is neither wait nor kill[:SECONDS]", what);
	return -1;
}

static int take_not_on(struct mvrun_options *options, const char *names)
{
	size_t used = strlen(options->not_on);

	if (!*names || used + strlen(names) + 2 > sizeof(options->not_on))
		return bad_usage("--not-on takes names of nodes, and not that many");
	snprintf(options->not_on + used, sizeof(options->not_on) - used, "%s%s",
		 used ? "," : "", names);
	return -1;
}

static int take_kind(struct mvrun_options *options, const char *kind)
{
	if (options->kind && strcmp(options->kind, kind))
		return bad_usage("--cpu-bound and --io-bound exclude each other");
	options->kind = kind;
	return -1;
}

/* Returns -1 to go on, else the exit status. */
static int take_option(struct mvrun_options *options, int letter)
{
	switch (letter) {
	case 'H':
		options->home = true;
		return -1;
	case 'P':
		options->pin = true;
		return -1;
	case 'o':
		options->on = optarg;
		return *optarg ? -1 : bad_usage("the node's name must not be empty");
	case 'N':
		return take_not_on(options, optarg);
	case 'B':
		options->best = true;
		return -1;
	case 'W':
		options->nowait = true;
		return -1;
	case 'R':
		options->near = optarg;
		return *optarg ? -1 : bad_usage("the other job must be named");
	case 'C':
		return take_kind(options, "cpu-bound");
	case 'I':
		return take_kind(options, "io-bound");
	case 'G':
		options->group = optarg;
		return *optarg ? -1 : bad_usage("the group's name must not be empty");
	case 'L':
		return take_home_lost(options, optarg);
	case 'v':
		options->verbose = true;
		return -1;
	case 'n':
		options->name = optarg;
		return *optarg ? -1 : bad_usage("the name must not be empty");
	case 'm':
		return parse_number(optarg, MAX_MEMORY_MIB, &options->memory) ?
			bad_usage("'%s' is not a number of MiB", optarg) : -1;
	case 'c':
		return parse_number(optarg, MAX_CPUS, &options->cpus) ?
			bad_usage("'%s' is not a number of CPUs", optarg) : -1;
	case 'V':
		puts("mvrun (Monovisor) " PACKAGE_VERSION);
		return 0;
	case 'h':
		usage(stdout);
		return 0;
	default:
		fputs("Try 'mvrun --help'.\n", stderr);
		return EXIT_OWN_FAILURE;
	}
}

static int parse_options(struct mvrun_options *options, int argc, char **argv)
{
	struct option longs[OPTIONS + 1];
	int letter, status;

	fill_long_options(longs);
	/* '+': what follows the program belongs to the program. */
	while ((letter = getopt_long(argc, argv, "+m:c:n:vh", longs, NULL)) != -1) {
		status = take_option(options, letter);
		if (status >= 0)
			return status;
	}
	options->argv = argv + optind;
	if (options->on && options->home)
		return bad_usage("--on and --home exclude each other");
	if (options->home && (options->best || options->near || *options->not_on))
		return bad_usage("--home excludes --best, --near and --not-on");
	return *options->argv ? -1 : bad_usage("no program given");
}

/* Descriptors opened later must not become the job's stdin, out or err. */
static void occupy_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < 3);
	if (fd > 2)
		close(fd);
}

static int end_by_signal(int sig)
{
	struct rlimit none = { 0, 0 };
	sigset_t one;

	setrlimit(RLIMIT_CORE, &none); /* the core is the job's, not ours */
	signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	return 128 + sig;
}

int main(int argc, char **argv)
{
	static struct mvrun_start start;
	struct mvrun_options options = { 0 };
	struct err err = { 0 };
	int status = parse_options(&options, argc, argv);

	if (status >= 0)
		return status;
	say_init(options.verbose);
	status = order_find_program(options.argv[0], &start.program, &err);
	if (status) {
		say("%s", err.text);
		return status;
	}
	if (order_gather(&start, options.argv, &err)) {
		say("%s", err.text);
		return EXIT_OWN_FAILURE;
	}
	occupy_stdio();
	status = deputy_run(&options, &start);
	order_free(&start);
	return status < 0 ? end_by_signal(-status) : status;
}
