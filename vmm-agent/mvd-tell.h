/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a node says of its own load beside its yes or no to a job: who asked decides the
 * next time by that, and does not wait until gossip has told it.
 */
#ifndef MV_MVD_TELL_H
#define MV_MVD_TELL_H

#include "net/peer.h"
#include "vmm-agent/mvd.h"

/* Add this node's vector to an answer; none without a scheduler. */
void tell_load(struct mvd *mvd, struct json_object *answer);
/* Say no, with the vector. */
void tell_refusal(struct mvd *mvd, struct peer_question *question, const char *text);
/* Note what `node`, which was asked, says of itself in its reply, if anything. */
void tell_note(struct mvd *mvd, const char *node, const struct peer_reply *reply);

#endif
