/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether somebody works at this machine: when input last came from a terminal of a login
 * session, a keyboard or a mouse. Only the kernel's accounts are looked at; no event is read.
 *
 * Theory of operation. A read from a terminal sets its access time, at a granularity of eight
 * seconds (tty_update_time() in the kernel). Who works in a graphical session reads no
 * terminal: there the interrupts of the i8042 (PS/2, and the keyboards of most portables)
 * grow, or the number of transfers of a USB keyboard or mouse, which answers only when there
 * is something to tell. /dev/input/event* would be the obvious place, but reading an event
 * sets no time that stat() shows. What hangs on I2C or Bluetooth is not seen.
 */
#ifndef MV_MVD_OWNER_H
#define MV_MVD_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define OWNER_LOOK_S 5.0 /* between two looks */

struct owner {
	const char *root; /* in front of all paths, NULL: none */
	double looked;    /* 0: not yet */
	double input;     /* when it came last, if it did: `seen` */
	bool seen;
	bool blind;       /* this machine has none of the accounts */
	uint64_t events;  /* interrupts and transfers at the last look */
	bool counted;
};

/* Look, unless the last look was just now. `now` is of any clock that goes on evenly, `wall`
 * of the one that files are stamped with. */
void owner_look(struct owner *owner, double now, time_t wall);
/* Seconds without input; INFINITY when there was none since the first look. */
double owner_idle(const struct owner *owner, double now);

/* The interrupts of keyboard and mouse in a text like /proc/interrupts; `found`: there is such
 * a line. */
uint64_t owner_interrupts(const char *text, bool *found);

#endif
