/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mvctl info. What a job computes, and what it has of its host, its host alone knows: that is asked. */
#ifndef MV_MVD_INFO_H
#define MV_MVD_INFO_H

#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-server.h"

struct json_object;

/* Send the client all about the job: at once, or when its host has answered, or not in time. */
void info_send(struct job *job, struct client *client);

/* From a peer's answer to "figures" those that are known and believable, into the job's
 * object: as they are in job_to_json() of a job that is here. */
void info_take_figures(struct json_object *job, struct json_object *answer);

#endif
