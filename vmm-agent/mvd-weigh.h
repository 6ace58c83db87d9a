/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU weights of the jobs that are here: the one place that decides how they are given.
 *
 * Theory of operation. Where libvirt keeps a control group for each domain (systemd
 * hosts, as a rule) the group gets the weight, through libvirt: it counts
 * between jobs and nothing else, and no process can take it back. Elsewhere, as in
 * a session or where libvirt is told to use no groups, it is the niceness of the virtual
 * processors' threads. Which of the two is found out with each job anew, by trying: libvirt
 * may be restarted with another configuration.
 *
 * Niceness counts against all processes of the node, not jobs only. So there the
 * youngest job that is busy has none, and one that is alone keeps its share.
 */
#ifndef MV_MVD_WEIGH_H
#define MV_MVD_WEIGH_H

#include "vmm-agent/mvd-load.h"

enum weigh_means {
	WEIGH_UNKNOWN, /* no job has been weighed yet */
	WEIGH_CGROUP,
	WEIGH_NICE,
	WEIGH_NOT,     /* no groups, and only root may take niceness back */
};

struct weigh {
	struct mvd *mvd;
	bool v2;                /* of control groups */
	enum weigh_means means; /* as it was with the last job */
};

/* `jobs`: struct load_job by UUID. Once a second. */
void weigh_jobs(struct weigh *weigh, GHashTable *jobs);
/* In words, for mvctl doctor; a static string. */
const char *weigh_text(const struct weigh *weigh);

/* Pure: what a domain of this age gets, and whether that differs enough from what it has
 * been given (0: nothing yet) to be worth a call. */
unsigned weigh_shares(const struct mvd_settings *settings, double age, bool v2);
bool weigh_differs(unsigned had, unsigned shares, bool v2);

#endif
