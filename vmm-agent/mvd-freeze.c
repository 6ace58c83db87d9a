/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-freeze.h"

/* How long an mvrun that said "stopping" may take until it is seen stopped. */
#define STOP_GRACE_MS 3000

static enum freeze_act suspend(struct freeze *freeze, int64_t now_ms)
{
	if (freeze->ours || freeze->paused || freeze->overridden)
		return FREEZE_NOTHING;
	freeze->ours = true;
	freeze->seen = false;
	freeze->since_ms = now_ms;
	return FREEZE_SUSPEND;
}

enum freeze_act freeze_stopping(struct freeze *freeze, int64_t now_ms)
{
	freeze->overridden = false;
	return suspend(freeze, now_ms);
}

enum freeze_act freeze_running(struct freeze *freeze)
{
	freeze->overridden = false;
	if (!freeze->ours)
		return FREEZE_NOTHING;
	freeze->ours = false;
	freeze->resuming = true;
	return FREEZE_RESUME;
}

enum freeze_act freeze_look(struct freeze *freeze, bool stopped, int64_t now_ms)
{
	if (stopped) {
		enum freeze_act act = suspend(freeze, now_ms);

		freeze->seen = true;
		return act;
	}
	/* It said that it would stop and has not been scheduled to do so yet. */
	if (freeze->ours && !freeze->seen &&
	    now_ms - freeze->since_ms < STOP_GRACE_MS)
		return FREEZE_NOTHING;
	return freeze_running(freeze);
}

bool freeze_domain_paused(struct freeze *freeze)
{
	freeze->paused = true;
	return !freeze->ours;
}

bool freeze_domain_resumed(struct freeze *freeze)
{
	bool told = freeze->paused && !freeze->resuming;

	freeze->paused = false;
	freeze->resuming = false;
	if (!freeze->ours)
		return told;
	/* We did not resume it, mvrun is stopped still: somebody insists. */
	freeze->ours = false;
	freeze->overridden = true;
	return true;
}

void freeze_failed(struct freeze *freeze, enum freeze_act act)
{
	freeze->ours = act == FREEZE_RESUME;
	freeze->resuming = false;
}
