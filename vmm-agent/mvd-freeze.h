/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a job's mvrun is stopped (Ctrl-Z, SIGSTOP) its domain is suspended, and
 * resumed when mvrun continues. Others may suspend and resume the same domain
 * with virsh or mvctl, and their word counts: the agent resumes only what it
 * suspended itself, and does not suspend again what they resumed. Pure: the
 * owner passes what it sees and carries the decision out.
 */
#ifndef MV_MVD_FREEZE_H
#define MV_MVD_FREEZE_H

#include <stdbool.h>
#include <stdint.h>

struct freeze {
	bool paused;     /* the domain is, as libvirt says */
	bool ours;       /* because the agent suspended it */
	bool resuming;   /* the agent is resuming it */
	bool overridden; /* somebody resumed it although mvrun is stopped */
	bool seen;       /* mvrun was seen stopped since the agent froze it */
	int64_t since_ms; /* when the agent froze it */
};

enum freeze_act {
	FREEZE_NOTHING,
	FREEZE_SUSPEND,
	FREEZE_RESUME,
};

/* mvrun says that it is about to be stopped. */
enum freeze_act freeze_stopping(struct freeze *freeze, int64_t now_ms);
/* mvrun says that it continues. */
enum freeze_act freeze_running(struct freeze *freeze);
/* The periodic look at mvrun's process state. */
enum freeze_act freeze_look(struct freeze *freeze, bool stopped,
			    int64_t now_ms);

/* The domain was suspended or resumed. True when somebody else did it, whom
 * the user should hear of. */
bool freeze_domain_paused(struct freeze *freeze);
bool freeze_domain_resumed(struct freeze *freeze);

/* The act that was decided could not be carried out: decide again later. */
void freeze_failed(struct freeze *freeze, enum freeze_act act);

#endif
