/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving a job from here to another node, as a table of stages with an undo each.
 */
#ifndef MV_MVD_MIGRATE_H
#define MV_MVD_MIGRATE_H

#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-virt-move.h"

struct migration;

struct migrated {
	const char *error; /* NULL: it has moved */
	const char *from, *to;
	struct virt_move_stats stats;
	uint64_t sent;     /* bytes on the wire, compressed */
	uint64_t total_ms; /* from the wish to the end of all stages */
};
typedef void (*migrated_fn)(void *ctx, const struct migrated *result);

/*
 * Move the job, which is here, to `to`. `done` is made once, now or later; the
 * result's error says in words why it did not move.
 */
void migrate_begin(struct job *job, const char *to, bool postcopy,
		   migrated_fn done, void *ctx);
/* Give it up: its user says so, or mvrun has ended. */
void migrate_abort(struct job *job);

/* Another node has the job, by home's decision, although there is a copy here: that
 * one ends as soon as mvrun is linked to the other. */
void migrate_watch_leftover(struct job *job);

/* Why the job cannot move at all, an allocated text, or NULL: it can. */
char *migrate_obstacle(const struct job *job);

/* How far it is, for a progress bar; false when it is not on its way. */
struct migrate_progress {
	const char *to, *stage;
	struct virt_move_stats stats;
	uint64_t sent;
};
bool migrate_progress(const struct job *job, struct migrate_progress *progress);

/* For tests of what happens when something dies just then: a stage does not begin,
 * and mvrun is not attached to a copy that is new ("attach"), while there is the
 * file $MVD_HOLD_DIR/POINT. In it is written that somebody waits. */
bool migrate_is_held(const char *point);

struct json_object *migrated_to_json(const struct migrated *result);

#endif
