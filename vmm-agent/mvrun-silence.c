/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvrun-silence.h"

/* Nobody has looked when it was due: mvrun was stopped, and has not been waiting. */
static bool was_away(const struct silence *silence, int64_t now)
{
	return now - silence->looked > 2 * SILENCE_LOOK_MS;
}

static enum silence_news heard(struct silence *silence)
{
	bool again = silence->said;

	silence->said = false;
	return again ? SILENCE_ENDS : SILENCE_NO_NEWS;
}

enum silence_news silence_look(struct silence *silence, uint64_t frames, bool excused,
			       int64_t now)
{
	bool more = frames != silence->frames;

	if (more || excused || now < silence->moves || was_away(silence, now))
		silence->since = now;
	silence->frames = frames;
	silence->looked = now;
	if (more)
		return heard(silence);
	if (silence->said || now - silence->since < SILENCE_MS)
		return SILENCE_NO_NEWS;
	silence->said = true;
	return SILENCE_BEGINS;
}

void silence_moving(struct silence *silence, int64_t now)
{
	silence->moves = now + SILENCE_MOVE_MS;
}

void silence_linked(struct silence *silence)
{
	silence->moves = 0;
}

int64_t silence_deadline(const struct silence *silence)
{
	int64_t due = silence->since + SILENCE_MS, next = silence->looked + SILENCE_LOOK_MS;

	if (silence->said)
		return -1;
	return due < next ? due : next;
}
