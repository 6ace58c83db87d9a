/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a job of this home came to where it is: the last decision that started or moved
 * it, in words. Only home knows, and has forgotten when its agent was restarted.
 */
#ifndef MV_MVD_CAME_H
#define MV_MVD_CAME_H

struct job;

struct came {
	char *text;      /* NULL: not known */
	char *to, *next; /* it is about to go there; the text, once it is there */
};

/* It is about to start where it is said to be now. */
void came_start(struct job *job, const char *why);
/* It is about to move. Should it stay, nothing of this counts. */
void came_leave(struct job *job, const char *to, const char *why);
/* "" when it is not known. */
const char *came_text(struct job *job);
void came_clear(struct came *came);

#endif
