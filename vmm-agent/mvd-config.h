/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the agent was told on its command line, and the directories that follow
 * from it.
 */
#ifndef MV_MVD_CONFIG_H
#define MV_MVD_CONFIG_H

#include "net/err.h"
#include "vmm-agent/mvd-domain.h"
#include "vmm-agent/mvd-settings.h"

#include <glib.h>

struct mvd_config {
	gboolean session;   /* a user's private agent */
	gboolean daemonize, verbose;
	char *uri;          /* libvirt's */
	char *socket;
	char *state_dir;    /* kept over restarts of the node: the kit */
	char *kit_dir;
	char *kernel;       /* for mvkit; NULL: its own choice */
	enum accel accel;   /* ACCEL_AUTO: find out */
	gint memory;        /* MiB for jobs of other nodes in all; 0: what is free */
	char *path;         /* of the configuration file; NULL: the usual one */
	char **assignments; /* --set: NAME=VALUE, over what the file says */
	struct mvd_settings settings;
	struct mvd_settings configured; /* before anything was ordered */
	/* What belongs to one agent is named after its socket. */
	char *jobs_dir;     /* sockets and consoles of jobs, 0700 */
	char *lock_path, *log_path, *verdict_path;
};

/*
 * Parse the command line. Prints and exits for --help and --version. Returns
 * 0, or -1 for a usage error.
 */
int mvd_config_parse(struct mvd_config *config, int argc, char **argv,
		     struct err *err);

/* Make the directories, and the environment that libvirt needs. */
int mvd_config_prepare(struct mvd_config *config, struct err *err);

/* Write down what has been ordered and is not as configured (drain, block, stay), so that it
 * outlasts the agent: a drained node that is started anew is still drained. */
int mvd_config_keep_orders(const struct mvd_config *config, struct err *err);

void mvd_config_clear(struct mvd_config *config);

/*
 * Become the only agent of this socket: a lock that lasts as long as the
 * process. -1 when another agent has it.
 */
int mvd_config_lock(const struct mvd_config *config, struct err *err);

#endif
