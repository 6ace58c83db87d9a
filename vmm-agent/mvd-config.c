/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"
#include "vmm-agent/mvd-config.h"

#include "net/cleanup.h"
#include "vmm-agent/agent-paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest name that the agent makes below its jobs directory. */
#define LONGEST_SOCKET "/00000000-0000-0000-0000-000000000000.link"

struct options {
	gboolean version;
	char *accel;
};

static int check_options(struct mvd_config *config, struct options *options,
			 struct err *err)
{
	if (options->version) {
		puts("mvd (Monovisor) " PACKAGE_VERSION);
		exit(0);
	}
	config->accel = ACCEL_AUTO;
	if (options->accel && !accel_find(options->accel, &config->accel))
		return err_set(err, 0, "--accel takes auto, kvm or tcg, not "
			       "\"%s\"", options->accel);
	if (!config->session && geteuid() != 0)
		return err_set(err, 0, "only root can run the system's agent "
			       "(mvd --session runs your own)");
	return 0;
}

/* Before anything else is done: a mistake is to be seen at once. */
static int load_settings(struct mvd_config *config, struct err *err)
{
	bool optional = !config->path;
	unsigned i;

	settings_default(&config->settings);
	if (optional && config->session)
		config->path = g_build_filename(g_get_user_config_dir(), "monovisor",
						"mvd.conf", NULL);
	else if (optional)
		config->path = g_strdup(MV_SYSCONFDIR "/monovisor/mvd.conf");
	if (settings_load(&config->settings, config->path, optional, err) < 0)
		return -1;
	for (i = 0; config->assignments && config->assignments[i]; i++)
		if (settings_assign(&config->settings, config->assignments[i], err) < 0)
			return -1;
	config->configured = config->settings;
	return 0;
}

int mvd_config_parse(struct mvd_config *config, int argc, char **argv,
		     struct err *err)
{
	struct options options = { 0 };
	const GOptionEntry entries[] = {
		{ "session", 0, 0, G_OPTION_ARG_NONE, &config->session,
		  "Be a user's private agent, on qemu:///session", NULL },
		{ "connect", 0, 0, G_OPTION_ARG_STRING, &config->uri,
		  "libvirt to use", "URI" },
		{ "socket", 0, 0, G_OPTION_ARG_FILENAME, &config->socket,
		  "Serve clients here", "PATH" },
		{ "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &config->state_dir,
		  "Keep the guest's image below DIR", "DIR" },
		{ "kit", 0, 0, G_OPTION_ARG_FILENAME, &config->kit_dir,
		  "Keep the guest's image in DIR", "DIR" },
		{ "kernel", 0, 0, G_OPTION_ARG_FILENAME, &config->kernel,
		  "Kernel for guests (see mvkit(8))", "PATH" },
		{ "accel", 0, 0, G_OPTION_ARG_STRING, &options.accel,
		  "auto (find out whether KVM works), kvm or tcg", "NAME" },
		{ "memory", 0, 0, G_OPTION_ARG_INT, &config->memory,
		  "Memory promised to jobs in all, at most (default: what is free)",
		  "MIB" },
		{ "config", 0, 0, G_OPTION_ARG_FILENAME, &config->path,
		  "Read settings from FILE (see mvd.conf(5))", "FILE" },
		{ "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &config->assignments,
		  "A setting, over what the file says", "NAME=VALUE" },
		{ "daemonize", 0, 0, G_OPTION_ARG_NONE, &config->daemonize,
		  "Go to the background once clients can connect", NULL },
		{ "foreground", 0, G_OPTION_FLAG_REVERSE, G_OPTION_ARG_NONE,
		  &config->daemonize, "Stay in the foreground (default)", NULL },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &config->verbose,
		  "Log each step", NULL },
		{ "version", 0, 0, G_OPTION_ARG_NONE, &options.version,
		  "Print the version", NULL },
		{ NULL }
	};
	GOptionContext *context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	gboolean ok;
	int rc;

	g_option_context_set_summary(context, "The agent of a Monovisor node: "
		"starts and keeps the microVMs of jobs.");
	g_option_context_add_main_entries(context, entries, NULL);
	ok = g_option_context_parse(context, &argc, &argv, &error);
	g_option_context_free(context);
	if (!ok)
		return err_set(err, 0, "%s (see mvd --help)", error->message);
	if (argc > 1)
		return err_set(err, 0, "unexpected argument \"%s\" (see mvd "
			       "--help)", argv[1]);
	if (config->memory < 0)
		return err_set(err, 0, "--memory is less than nothing");
	rc = check_options(config, &options, err);
	if (rc == 0)
		rc = load_settings(config, err);
	g_free(options.accel);
	return rc;
}

static int make_dir(const char *path, int mode, struct err *err)
{
	if (g_mkdir_with_parents(path, mode) < 0)
		return err_set(err, errno, "cannot make the directory %s", path);
	return 0;
}

/* Where the socket is: private to the user, or the system's and open to all. */
static int default_socket(struct mvd_config *config, struct err *err)
{
	char dir[PATH_MAX];

	if (config->socket)
		return 0;
	if (!config->session) {
		config->socket = g_strdup(AGENT_SYSTEM_SOCKET);
		return 0;
	}
	if (agent_private_dir(dir, sizeof(dir), true, err) < 0)
		return -1;
	config->socket = g_build_filename(dir, AGENT_SOCKET_NAME, NULL);
	return 0;
}

static char *beside_socket(const struct mvd_config *config, const char *suffix)
{
	size_t len = strlen(config->socket);

	if (g_str_has_suffix(config->socket, ".sock"))
		len -= strlen(".sock");
	return g_strdup_printf("%.*s%s", (int)len, config->socket, suffix);
}

/*
 * libvirt's session daemon lives below XDG_RUNTIME_DIR and HOME. Without a
 * login manager the first is not set; libvirt would then make do with a cache
 * directory that may be shared between nodes.
 */
static int session_environment(struct err *err)
{
	char dir[PATH_MAX];

	if (!g_getenv("HOME"))
		g_setenv("HOME", g_get_home_dir(), TRUE);
	if (g_getenv("XDG_RUNTIME_DIR"))
		return 0;
	if (agent_private_dir(dir, sizeof(dir), true, err) < 0)
		return -1;
	g_setenv("XDG_RUNTIME_DIR", dir, TRUE);
	return 0;
}

static void default_state(struct mvd_config *config)
{
	const char *state = g_getenv("XDG_STATE_HOME");

	if (config->state_dir)
		return;
	if (!config->session)
		config->state_dir = g_strdup(MV_LOCALSTATEDIR "/lib/monovisor");
	else if (state && state[0] == '/')
		config->state_dir = g_build_filename(state, "monovisor", NULL);
	else
		config->state_dir = g_build_filename(g_get_home_dir(), ".local",
			"state", "monovisor", NULL);
}

static int make_absolute(char **path, struct err *err)
{
	char *absolute;

	if (!*path || g_path_is_absolute(*path))
		return 0;
	absolute = g_canonicalize_filename(*path, NULL);
	if (!absolute)
		return err_set(err, 0, "cannot resolve %s", *path);
	g_free(*path);
	*path = absolute;
	return 0;
}

/* Only then no other user can put something of his own into our paths. */
static int check_socket_dir(const struct mvd_config *config, struct err *err)
{
	g_autofree char *dir = g_path_get_dirname(config->socket);
	struct stat st;

	if (make_dir(dir, config->session ? 0700 : 0755, err) < 0)
		return -1;
	if (stat(dir, &st) < 0)
		return err_set(err, errno, "cannot use the directory %s", dir);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, 0, "the directory %s belongs to user %u",
			       dir, (unsigned)st.st_uid);
	if ((st.st_mode & 022) && !(st.st_mode & S_ISVTX))
		return err_set(err, 0, "the directory %s can be changed by other "
			       "users", dir);
	return 0;
}

static int make_jobs_dir(struct mvd_config *config, struct err *err)
{
	g_autofree char *longest = NULL;
	struct sockaddr_un address;

	config->jobs_dir = beside_socket(config, ".jobs");
	longest = g_strconcat(config->jobs_dir, LONGEST_SOCKET, NULL);
	if (agent_address(&address, longest, NULL) < 0)
		return err_set(err, ENAMETOOLONG, "cannot keep sockets below %s "
			       "(choose a shorter path with --socket or "
			       "XDG_RUNTIME_DIR)", config->jobs_dir);
	if (mkdir(config->jobs_dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, errno, "cannot make the directory %s",
			       config->jobs_dir);
	return agent_check_private(config->jobs_dir, err);
}

static char *orders_path(const struct mvd_config *config)
{
	return g_build_filename(config->state_dir, "orders", NULL);
}

/* A file that cannot be read keeps no agent from starting. */
static void recall_orders(struct mvd_config *config)
{
	g_autofree char *path = orders_path(config);
	struct err err = { 0 };

	if (settings_load(&config->settings, path, true, &err) < 0)
		g_warning("what was ordered before is forgotten: %s", err.text);
}

int mvd_config_keep_orders(const struct mvd_config *config, struct err *err)
{
	const struct mvd_settings *now = &config->settings, *before = &config->configured;
	const struct {
		const char *name;
		bool is, was;
	} orders[] = {
		{ "drain", now->drain, before->drain },
		{ "block", now->block, before->block },
		{ "stay", now->stay, before->stay },
	};
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *path = orders_path(config);
	g_autoptr(GError) error = NULL;
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(orders); i++)
		if (orders[i].is != orders[i].was)
			g_string_append_printf(text, "%s = %s\n", orders[i].name,
					       orders[i].is ? "yes" : "no");
	if (text->len == 0 && unlink(path) < 0 && errno != ENOENT)
		return err_set(err, errno, "cannot remove %s", path);
	if (text->len > 0 && !g_file_set_contents(path, text->str, -1, &error))
		return err_set(err, 0, "%s", error->message);
	return 0;
}

int mvd_config_prepare(struct mvd_config *config, struct err *err)
{
	if (!config->uri)
		config->uri = g_strdup(config->session ? "qemu:///session" :
				       "qemu:///system");
	if (default_socket(config, err) < 0 ||
	    (config->session && session_environment(err) < 0))
		return -1;
	default_state(config);
	if (!config->kit_dir)
		config->kit_dir = g_build_filename(config->state_dir, "kit",
						   NULL);
	if (make_absolute(&config->socket, err) < 0 ||
	    make_absolute(&config->state_dir, err) < 0 ||
	    make_absolute(&config->kit_dir, err) < 0 ||
	    make_absolute(&config->kernel, err) < 0)
		return -1;
	/* QEMU's user reads the image in it: open to all, like /boot. */
	if (make_dir(config->state_dir, 0755, err) < 0 ||
	    make_dir(config->kit_dir, 0755, err) < 0 ||
	    check_socket_dir(config, err) < 0 ||
	    make_jobs_dir(config, err) < 0)
		return -1;
	config->lock_path = beside_socket(config, ".lock");
	config->log_path = beside_socket(config, ".log");
	config->verdict_path = beside_socket(config, ".kvm");
	recall_orders(config);
	return 0;
}

void mvd_config_clear(struct mvd_config *config)
{
	g_free(config->path);
	g_strfreev(config->assignments);
	g_free(config->uri);
	g_free(config->socket);
	g_free(config->state_dir);
	g_free(config->kit_dir);
	g_free(config->kernel);
	g_free(config->jobs_dir);
	g_free(config->lock_path);
	g_free(config->log_path);
	g_free(config->verdict_path);
}

int mvd_config_lock(const struct mvd_config *config, struct err *err)
{
	cleanup_fd int fd = open(config->lock_path, O_RDWR | O_CREAT |
				 O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(err, errno, "cannot open the lock %s",
			       config->lock_path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return err_set(err, 0, "an agent already serves %s",
				       config->socket);
		return err_set(err, errno, "cannot lock %s", config->lock_path);
	}
	/* For whoever wants to end it. Nothing depends on it. */
	if (ftruncate(fd, 0) == 0)
		dprintf(fd, "%ld\n", (long)getpid());
	/* Held until the process ends: nobody closes it. */
	(void)steal_fd(&fd);
	return 0;
}
