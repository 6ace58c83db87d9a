/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When to tell the user that a job does not answer, and that it does again. Pure: the caller
 * passes what the link has received, and the time in ms of a clock that also goes on while the
 * machine sleeps.
 *
 * Theory of operation. A link that is up asks the guest every five seconds whether it is there,
 * and one that is not up asks for it, so a guest that lives is never silent for long, however
 * idle its program is. After fifteen seconds the link gives its transport up, and most often
 * the next one, which takes less than five more, is all that was needed: that is not worth a
 * word. So it is said after twenty.
 */
#ifndef MV_AGENT_MVRUN_SILENCE_H
#define MV_AGENT_MVRUN_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

#define SILENCE_MS 20000
#define SILENCE_LOOK_MS 5000
/* A guest in emulation stands still while it is sent: so long nothing is said of one that
 * moves. Who is told of a move is not told when it fails, so this has an end. */
#define SILENCE_MOVE_MS 600000

struct silence {
	uint64_t frames; /* received at the last look */
	int64_t since;   /* from when on the silence counts */
	int64_t looked;
	int64_t moves;   /* until when it is excused by a move, or 0 */
	bool said;
};

enum silence_news { SILENCE_NO_NEWS, SILENCE_BEGINS, SILENCE_ENDS };

/* `excused`: it is known why nothing comes. */
enum silence_news silence_look(struct silence *silence, uint64_t frames, bool excused,
			       int64_t now);
/* It is about to move; it is linked to where it is. */
void silence_moving(struct silence *silence, int64_t now);
void silence_linked(struct silence *silence);
/* When to look again at the latest, -1: when something has been received. */
int64_t silence_deadline(const struct silence *silence);

#endif
