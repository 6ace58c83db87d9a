/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvkit makes the initramfs of a guest from an installed kernel, its modules
 * and the kit. mvd runs it before it starts guests; see mvkit(8).
 */
#include "config.h"

#include "guest-kit/mvkit-image.h"
#include "guest-kit/mvkit-kernel.h"
#include "guest-kit/mvkit-modules.h"
#include "net/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_USAGE 2
#define BUILD_DIR_NAME "guest-kit" /* where mvkit and the kit lie before installation */

struct options {
	const char *kernel, *kit, *modules, *output;
	bool verbose;
};

/* What is to be made of what; the strings are the plan's. */
struct plan {
	struct kernel kernel;
	char *modules_dir, *kit, *path;
};

static const char usage_text[] =
	"Usage: mvkit [OPTION]... --output DIR\n"
	"Make the initramfs of Monovisor's guests from an installed kernel.\n"
	"\n"
	"  -o, --output DIR       write DIR/kit-RELEASE.cpio\n"
	"  -k, --kernel KERNEL    path of a kernel, or its release; default: the newest\n"
	"                         Debian cloud kernel in /boot, else the running one\n"
	"      --modules DIR      its modules; default: /lib/modules/RELEASE\n"
	"      --kit PROGRAM      the kit; default: the one installed with mvkit\n"
	"  -v, --verbose          say what is done and what is missing\n"
	"      --version          print the version and exit\n"
	"      --help             print this text and exit\n";

enum { OPTION_KIT = 256, OPTION_MODULES, OPTION_VERSION, OPTION_HELP };

static const struct option long_options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "kernel", required_argument, NULL, 'k' },
	{ "modules", required_argument, NULL, OPTION_MODULES },
	{ "kit", required_argument, NULL, OPTION_KIT },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

static void usage_error(const char *text)
{
	if (text)
		fprintf(stderr, "mvkit: %s\n", text);
	fprintf(stderr, "Try \"mvkit --help\".\n");
	exit(EXIT_USAGE);
}

static void parse_options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "o:k:v", long_options, NULL)) != -1) {
		switch (c) {
		case 'o':
			o->output = optarg;
			break;
		case 'k':
			o->kernel = optarg;
			break;
		case OPTION_MODULES:
			o->modules = optarg;
			break;
		case OPTION_KIT:
			o->kit = optarg;
			break;
		case 'v':
			o->verbose = true;
			break;
		case OPTION_VERSION:
			puts("mvkit (Monovisor) " PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		case OPTION_HELP:
			fputs(usage_text, stdout);
			exit(EXIT_SUCCESS);
		default:
			usage_error(NULL);
		}
	}
	if (optind < argc)
		usage_error("it takes no argument besides options");
	if (!o->output || !*o->output)
		usage_error("--output DIR is needed");
}

/* The kit that belongs to this mvkit: beside it in a build tree, else installed. */
static char *find_kit(void)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *dir, *path;

	if (len < 0)
		return strdup(MV_LIBEXECDIR "/kit");
	self[len] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return strdup(MV_LIBEXECDIR "/kit");
	*slash = 0;
	dir = strrchr(self, '/');
	if (!dir || strcmp(dir + 1, BUILD_DIR_NAME))
		return strdup(MV_LIBEXECDIR "/kit");
	return asprintf(&path, "%s/kit", self) < 0 ? NULL : path;
}

static int make_strings(struct plan *plan, const struct options *o, struct err *err)
{
	const char *release = plan->kernel.release;

	plan->kit = o->kit ? strdup(o->kit) : find_kit();
	if (o->modules)
		plan->modules_dir = strdup(o->modules);
	else if (asprintf(&plan->modules_dir, "/lib/modules/%s", release) < 0)
		plan->modules_dir = NULL;
	if (asprintf(&plan->path, "%s/kit-%s.cpio", o->output, release) < 0)
		plan->path = NULL;
	if (!plan->kit || !plan->modules_dir || !plan->path)
		return err_set(err, ENOMEM, "cannot make the initramfs");
	return 0;
}

static int check_kit(const char *kit, struct err *err)
{
	if (access(kit, R_OK) < 0)
		return err_set(err, 0, "cannot read the kit %s: %s (install Monovisor, or "
			       "name the kit with --kit)", kit, strerror(errno));
	return 0;
}

static int make_plan(struct plan *plan, const struct options *o, struct err *err)
{
	static const struct kernel_dirs dirs = { "/boot", "/lib/modules" };

	if (kernel_find(&plan->kernel, o->kernel, &dirs, err) < 0 ||
	    make_strings(plan, o, err) < 0)
		return -1;
	return check_kit(plan->kit, err);
}

static void free_plan(struct plan *plan)
{
	kernel_free(&plan->kernel);
	free(plan->modules_dir);
	free(plan->kit);
	free(plan->path);
}

#define cleanup_plan __attribute__((cleanup(free_plan)))
#define cleanup_modules __attribute__((cleanup(modules_free)))
#define cleanup_image __attribute__((cleanup(image_free)))

static void tell(const struct plan *plan, const struct modules *modules)
{
	fprintf(stderr, "mvkit: kernel %s, kit %s, %zu modules from %s\n",
		plan->kernel.release, plan->kit, modules->count, plan->modules_dir);
	for (size_t i = 0; i < MODULES_WANTED; i++) {
		if (modules->state[i] == MODULE_BUILTIN)
			fprintf(stderr, "mvkit: %s is part of the kernel\n",
				modules_name(i));
		if (modules->state[i] == MODULE_MISSING)
			fprintf(stderr, "mvkit: no module %s: without %s\n",
				modules_name(i), modules_use(i));
	}
}

static int make_directory(const char *path, struct err *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set(err, errno, "cannot create the directory %s", path);
	return 0;
}

static int make_image(struct image *image, const struct plan *plan, bool verbose,
		      struct err *err)
{
	cleanup_modules struct modules modules = { 0 };

	if (modules_resolve(&modules, plan->modules_dir, err) < 0)
		return err_prefix(err, "kernel %s", plan->kernel.release);
	if (verbose)
		tell(plan, &modules);
	if (modules_check(&modules, plan->kernel.release, err) < 0)
		return -1;
	return image_make(image, plan->kit, &modules, err);
}

/*
 * Whether there is anything to do is seen by comparing bytes. Times would not
 * tell: packages bring files with the time of their build, and --kit and
 * --modules may name others than the last time.
 */
static int install(const struct plan *plan, const struct options *o, struct err *err)
{
	cleanup_image struct image image = { 0 };

	if (make_image(&image, plan, o->verbose, err) < 0 ||
	    make_directory(o->output, err) < 0)
		return -1;
	if (image_is_at(&image, plan->path)) {
		if (o->verbose)
			fprintf(stderr, "mvkit: %s is up to date\n", plan->path);
		return 0;
	}
	return image_write(&image, plan->path, err);
}

static int print_result(const struct plan *plan, struct err *err)
{
	cleanup_free char *path = realpath(plan->path, NULL);

	if (!path)
		return err_set(err, errno, "cannot find %s", plan->path);
	printf("kernel %s\ninitramfs %s\n", plan->kernel.path, path);
	if (fflush(stdout) || ferror(stdout))
		return err_set(err, errno, "cannot write to stdout");
	return 0;
}

static int run(const struct options *o, struct err *err)
{
	cleanup_plan struct plan plan = { 0 };

	if (make_plan(&plan, o, err) < 0 || install(&plan, o, err) < 0)
		return -1;
	return print_result(&plan, err);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct err err = { 0 };

	parse_options(&options, argc, argv);
	if (run(&options, &err) < 0) {
		fprintf(stderr, "mvkit: %s\n", err.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
