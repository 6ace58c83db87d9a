/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How this node takes part in the cluster's decisions: what mvd.conf and "mvctl set"
 * say. Each setting has a name, a type and bounds; the numbers of the policy
 * (scheduler/policy.h) are among them. Pure but for reading a file.
 */
#ifndef MV_MVD_SETTINGS_H
#define MV_MVD_SETTINGS_H

#include "net/err.h"
#include "scheduler/policy.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define SETTINGS_SEEDS_MAX 500

/* Does the owner work at this node? auto: mvd-owner.h finds out. */
enum settings_use { SETTINGS_NO, SETTINGS_YES, SETTINGS_AUTO };

struct mvd_settings {
	struct sched_policy policy;
	bool place;    /* jobs start where it is best, else at home */
	bool balance;  /* jobs move to where they cost less */
	bool usher;    /* jobs leave when memory is short */
	bool weights;  /* old jobs get less CPU time than young ones */
	bool stay;     /* no job leaves by itself */
	bool block;    /* takes no jobs of other nodes */
	bool drain;    /* takes none and sends its own away */
	enum settings_use in_use; /* its owner works at it: takes no jobs of other nodes */
	double owner_idle;        /* auto: not any more after so many s without input */
	bool expel_when_used;     /* jobs of other nodes leave when the owner comes */
	uint32_t slots;    /* jobs hosted at most */
	/* Memory promised to all that are hosted here, at most so many times the
	 * node's; 0: no bound */
	double memory_promised;
	double interval;   /* s between two decisions */
	/* HOST[:PORT], several with commas: tried when a cluster is to be found */
	char seeds[SETTINGS_SEEDS_MAX + 1];
};

void settings_default(struct mvd_settings *settings);

/* One by its name; the text is "yes", "no", "auto" or a number. */
int settings_set(struct mvd_settings *settings, const char *name, const char *text,
		 struct err *err);
/* "NAME=VALUE", of the command line. */
int settings_assign(struct mvd_settings *settings, const char *text, struct err *err);
/* Lines of "name = value" and comments; nothing is changed by a text with a mistake.
 * `path` is for the message. */
int settings_parse(struct mvd_settings *settings, const char *text, const char *path,
		   struct err *err);
/* The same from a file. `optional`: there may be none. */
int settings_load(struct mvd_settings *settings, const char *path, bool optional,
		  struct err *err);

/* All of them, or the one named (NULL when there is none): an array of objects. */
struct json_object *settings_to_json(const struct mvd_settings *settings,
				     const char *name);

#endif
