/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting an agent from a client that found none.
 */
#ifndef MV_AGENT_SPAWN_H
#define MV_AGENT_SPAWN_H

#include "net/err.h"

/*
 * Run `mvd --daemonize`, with --session for an ordinary user, and wait until it
 * listens or gives up (at most 30 s). Returns 0 or -1.
 */
int agent_spawn(struct err *err);

#endif
