/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the agents of other nodes ask (docs/peer-protocol.md). */
#ifndef MV_MVD_QUESTIONS_H
#define MV_MVD_QUESTIONS_H

#include "net/peer.h"
#include "vmm-agent/mvd.h"

void mvd_question(struct mvd *mvd, const char *from, struct json_object *body,
		  struct peer_question *question);
void mvd_stream(struct mvd *mvd, const char *from, struct json_object *body,
		struct peer_stream *stream);

#endif
