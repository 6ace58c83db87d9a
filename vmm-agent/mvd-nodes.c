/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-nodes.h"

#include "net/json.h"
#include "net/peer.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-node.h"

#include <glib.h>
#include <string.h>

#define ANSWER_MS 4000
#define DEAD_ANSWER_MS 1000 /* from one that is believed dead */
/* Bytes of a node, which is some 400: thousands fit into what a client may be sent. */
#define NODE_MAX 1500

struct collection {
	struct client *client; /* a reference */
	struct json_object *nodes;
	unsigned waiting;
};

struct place {
	struct collection *collection;
	char *name;
	size_t index;
	bool dead; /* as the others believe */
};

static void answer_when_done(struct collection *collection)
{
	struct json_object *event;

	if (--collection->waiting > 0)
		return;
	event = event_new("nodes");
	json_object_object_add(event, "nodes", collection->nodes);
	client_send(collection->client, event);
	client_unref(collection->client);
	g_free(collection);
}

static struct json_object *silent_node(const char *name, const char *why, bool dead)
{
	struct json_object *node = json_object_new_object();

	event_add_string(node, "name", name);
	event_add_string(node, "state", dead ? "dead" : "out-of-reach");
	event_add_string(node, "accel_reason", why);
	return node;
}

static void on_reply(void *ctx, const struct peer_reply *reply)
{
	struct place *place = ctx;
	struct json_object *node = NULL;

	if (reply->answer &&
	    json_object_object_get_ex(reply->answer, "node", &node) &&
	    json_object_is_type(node, json_type_object) &&
	    strlen(json_text(node)) <= NODE_MAX)
		json_object_get(node);
	else
		node = silent_node(place->name, reply->error ? reply->error :
				   "its answer is not understood", place->dead);
	json_object_array_put_idx(place->collection->nodes, place->index, node);
	answer_when_done(place->collection);
	g_free(place->name);
	g_free(place);
}

static void ask(struct mvd *mvd, struct collection *collection,
		const char *name, size_t index)
{
	struct json_object *body = json_object_new_object();
	struct place *place = g_new0(struct place, 1);

	place->collection = collection;
	place->name = g_strdup(name);
	place->index = index;
	place->dead = g_strcmp0(mvd_gossip_state(mvd, name), "dead") == 0;
	collection->waiting++;
	event_add_string(body, "op", "node");
	peer_ask(mvd->peers, name, body, place->dead ? DEAD_ANSWER_MS : ANSWER_MS,
		 on_reply, place);
}

void nodes_collect(struct mvd *mvd, struct client *client)
{
	struct collection *collection = g_new0(struct collection, 1);
	unsigned i, n = peers_count(mvd->peers);
	struct peer_info info;

	collection->client = client_ref(client);
	collection->nodes = json_object_new_array();
	collection->waiting = 1;
	if (n == 0)
		json_object_array_add(collection->nodes, node_to_json(mvd));
	for (i = 0; i < n; i++) {
		peers_get(mvd->peers, i, &info);
		if (info.self)
			json_object_array_put_idx(collection->nodes, i,
						  node_to_json(mvd));
		else
			ask(mvd, collection, info.name, i);
	}
	answer_when_done(collection);
}
