/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-discover.h"

#include "net/cluster.h"

#include <string.h>

static GQueue waiting = G_QUEUE_INIT; /* of struct asker */

/* A client that waits for who is there. */
struct asker {
	struct mvd *mvd;
	struct client *client;
	struct avahi_search *search;
};

void mvd_discover_start(struct mvd *mvd)
{
	if (mvd->config.session)
		return;
	mvd->avahi = avahi_new();
	mvd_discover_roster(mvd);
}

static void asker_free(struct asker *asker)
{
	g_queue_remove(&waiting, asker);
	client_unref(asker->client);
	g_free(asker);
}

void mvd_discover_stop(struct mvd *mvd)
{
	struct asker *asker;

	while ((asker = g_queue_peek_head(&waiting))) {
		avahi_search_cancel(asker->search);
		asker_free(asker);
	}
	g_clear_pointer(&mvd->avahi, avahi_free);
}

void mvd_discover_roster(struct mvd *mvd)
{
	const char *self = peers_self(mvd->peers);
	struct avahi_node own = { 0 };
	struct peer_info info;
	unsigned i;

	if (!mvd->avahi)
		return;
	if (!self) {
		avahi_announce(mvd->avahi, NULL);
		return;
	}
	g_strlcpy(own.name, self, sizeof(own.name));
	g_strlcpy(own.cluster, peers_cluster(mvd->peers), sizeof(own.cluster));
	own.authority = strcmp(peers_authority(mvd->peers), self) == 0;
	for (i = 0; i < peers_count(mvd->peers); i++) {
		peers_get(mvd->peers, i, &info);
		if (info.self)
			own.port = info.port;
	}
	avahi_announce(mvd->avahi, &own);
}

/* ---- seeds ---- */

static void add_seeds(const struct mvd *mvd, GPtrArray *hosts)
{
	g_auto(GStrv) seeds = g_strsplit_set(mvd->config.settings.seeds, ", ", -1);
	unsigned i;

	for (i = 0; seeds[i]; i++)
		if (*seeds[i])
			g_ptr_array_add(hosts, g_strdup(seeds[i]));
}

/* ---- who is there ---- */

static struct json_object *node_found(const struct mvd *mvd, const struct avahi_node *node)
{
	const char *ours = peers_cluster(mvd->peers);
	struct json_object *json = json_object_new_object();

	event_add_string(json, "node", node->name);
	event_add_string(json, "address", node->address);
	event_add_number(json, "port", node->port);
	event_add_string(json, "admits", node->authority ? "yes" : "no");
	event_add_string(json, "cluster", node->cluster);
	event_add_bool(json, "ours", ours && strcmp(ours, node->cluster) == 0);
	return json;
}

static void on_found(void *ctx, const struct avahi_node *nodes, unsigned count,
		     const char *trouble)
{
	struct asker *asker = ctx;
	struct json_object *event = event_new("cluster");
	struct json_object *list = json_object_new_array(), *seeds = json_object_new_array();
	g_autoptr(GPtrArray) hosts = g_ptr_array_new_with_free_func(g_free);
	unsigned i;

	for (i = 0; i < count; i++)
		json_object_array_add(list, node_found(asker->mvd, &nodes[i]));
	add_seeds(asker->mvd, hosts);
	for (i = 0; i < hosts->len; i++)
		json_object_array_add(seeds, json_object_new_string(hosts->pdata[i]));
	json_object_object_add(event, "nodes", list);
	json_object_object_add(event, "seeds", seeds);
	event_add_string(event, "trouble", trouble);
	client_send(asker->client, event);
	asker_free(asker);
}

void mvd_discover(struct mvd *mvd, struct client *client, const struct request *request)
{
	struct asker *asker = g_new0(struct asker, 1);

	(void)request;
	asker->mvd = mvd;
	asker->client = client_ref(client);
	g_queue_push_tail(&waiting, asker);
	asker->search = avahi_search(mvd->avahi, on_found, asker);
}

/* ---- by way of whom to join ---- */

static char *place_of(const struct avahi_node *node)
{
	return g_strdup_printf(strchr(node->address, ':') ? "[%s]:%u" : "%s:%u",
			       node->address, node->port);
}

GPtrArray *mvd_discover_hosts(const struct mvd *mvd, const char *token,
			      const struct avahi_node *nodes, unsigned count)
{
	GPtrArray *hosts = g_ptr_array_new_with_free_func(g_free);
	struct cluster_token parts;
	unsigned i;

	if (cluster_token_parse(&parts, token, NULL) == 0)
		for (i = 0; i < 2 * count; i++) {
			const struct avahi_node *node = &nodes[i % count];

			if (node->authority == (i < count) &&
			    g_str_has_prefix(node->cluster, parts.ca_hash))
				g_ptr_array_add(hosts, place_of(node));
		}
	add_seeds(mvd, hosts);
	return hosts;
}
