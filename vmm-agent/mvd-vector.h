/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vector of a job between two agents: docs/peer-protocol.md, "What is asked".
 */
#ifndef MV_MVD_VECTOR_H
#define MV_MVD_VECTOR_H

#include "scheduler/load.h"
#include "vmm-agent/mvd.h"

#include <json-c/json.h>
#include <stdbool.h>

/* Into a question; `expected` is what it is to cost there, 0: not said. */
void vector_write(struct mvd *mvd, const struct sched_job *job, double expected,
		  struct json_object *body);
/* False when the peer has sent none, or one that makes no sense. */
bool vector_read(struct json_object *body, const char *home, struct sched_job *job);
double vector_expected(struct json_object *body);

#endif
