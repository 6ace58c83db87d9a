/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-tell.h"

#include "net/json.h"
#include "scheduler/gossip-wire.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-scheduler.h"

#include <string.h>

#define FIELD "load"

void tell_load(struct mvd *mvd, struct json_object *answer)
{
	uint8_t entry[GOSSIP_ENTRY];
	g_autofree char *text = NULL;
	struct sched_node node;

	if (!mvd->scheduler)
		return;
	load_node(mvd->scheduler->load, &node, true);
	/* It is true now, and the stamps of gossip are not for this way. */
	gossip_put_entry(entry, &node, 0, 0);
	text = g_base64_encode(entry, sizeof(entry));
	json_add_string(answer, FIELD, text);
}

void tell_refusal(struct mvd *mvd, struct peer_question *question, const char *text)
{
	struct json_object *details = json_object_new_object();

	tell_load(mvd, details);
	peer_refuse_with(question, text, details);
}

static bool read_load(struct json_object *said, struct sched_node *node)
{
	const char *text = json_peek_string(said, FIELD);
	g_autofree uint8_t *entry = NULL;
	uint64_t stamp;
	size_t len = 0;
	double age;

	if (!text)
		return false;
	entry = g_base64_decode(text, &len);
	/* Which cuts what is not to be believed, and refuses what makes no sense. */
	return len == GOSSIP_ENTRY &&
	       gossip_get_entry(entry, node, &stamp, &age, NULL) == 0;
}

void tell_note(struct mvd *mvd, const char *node, const struct peer_reply *reply)
{
	struct json_object *said = reply->answer ? reply->answer : reply->details;
	struct sched_node vector;

	/* A node speaks for itself only. */
	if (!said || !read_load(said, &vector) || vector.id != mvd_gossip_id(node))
		return;
	vector.time = mvd_gossip_now();
	mvd_gossip_note(mvd, &vector);
}
