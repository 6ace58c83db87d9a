/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-cluster.h"

#include "net/cluster.h"
#include "net/join.h"
#include "net/peer.h"
#include "vmm-agent/mvd-avahi.h"
#include "vmm-agent/mvd-discover.h"
#include "vmm-agent/mvd-gossip.h"

#include <errno.h>
#include <gio/gio.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define PING_MS 5000
#define OP "cluster"

/* A node that joins: one at a time. */
struct joining {
	struct mvd *mvd;
	struct client *client;
	struct request request;
	struct avahi_search *search; /* for whom to join by way of */
	GPtrArray *hosts;            /* those, in the order in which they are tried */
	unsigned next;
	struct join *join;
};

static struct joining *joining;
static GQueue polls = G_QUEUE_INIT;

char *cluster_dir(const struct mvd *mvd)
{
	return g_build_filename(mvd->config.state_dir, "cluster", NULL);
}

static void refuse(struct client *client, const char *text)
{
	client_error(client, OP, text, "");
}

static struct cluster *load(const struct mvd *mvd, struct err *err)
{
	g_autofree char *dir = cluster_dir(mvd);
	struct cluster *cluster = cluster_load(dir, err);

	if (!cluster && err->num == ENOENT)
		err_set(err, 0, "this node is in no cluster (make one with "
			"\"mvctl cluster init\", or join one)");
	return cluster;
}

/* ---- who and where this node is ---- */

static void choose_name(char name[PEER_NAME_MAX + 1],
			const struct request *request)
{
	g_strlcpy(name, request->cluster.name[0] ?
		  request->cluster.name : g_get_host_name(),
		  PEER_NAME_MAX + 1);
}

static unsigned choose_port(const struct request *request)
{
	return request->cluster.port ? request->cluster.port :
				       PEER_DEFAULT_PORT;
}

/* An address that other machines may reach, of this family. */
static bool address_of(const struct ifaddrs *list, int family, char *text,
		       size_t size)
{
	for (; list; list = list->ifa_next) {
		socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) :
						    sizeof(struct sockaddr_in6);

		if (!list->ifa_addr || list->ifa_addr->sa_family != family ||
		    (list->ifa_flags & IFF_LOOPBACK) ||
		    !(list->ifa_flags & IFF_UP))
			continue;
		if (getnameinfo(list->ifa_addr, len, text, (socklen_t)size,
				NULL, 0, NI_NUMERICHOST) == 0 &&
		    !strchr(text, '%'))
			return true;
	}
	return false;
}

/* In a cluster the port is ours already, and there is a better message. */
static int check_port(const struct mvd *mvd, const struct request *request,
		      struct err *err)
{
	if (peers_in_cluster(mvd->peers))
		return 0;
	return peers_check_port(choose_port(request), err);
}

static int choose_address(char *address, size_t size,
			  const struct request *request, struct err *err)
{
	struct ifaddrs *list = NULL;
	bool found;

	if (request->cluster.address[0]) {
		g_strlcpy(address, request->cluster.address, size);
		return 0;
	}
	if (getifaddrs(&list) < 0)
		return err_set(err, errno, "cannot list this node's addresses");
	found = address_of(list, AF_INET, address, size) ||
		address_of(list, AF_INET6, address, size);
	freeifaddrs(list);
	return found ? 0 : err_set(err, 0, "this node has no network address "
				   "(give one with --address)");
}

/* ---- init ---- */

static struct json_object *event_cluster(struct mvd *mvd)
{
	struct json_object *event = event_new("cluster");

	event_add_string(event, "node", peers_self(mvd->peers));
	return event;
}

static int init(struct mvd *mvd, const struct request *request,
		struct err *err)
{
	g_autofree char *dir = cluster_dir(mvd);
	char name[PEER_NAME_MAX + 1], address[ROSTER_ADDRESS_MAX + 1];

	choose_name(name, request);
	if (choose_address(address, sizeof(address), request, err) < 0 ||
	    check_port(mvd, request, err) < 0 ||
	    cluster_init(dir, name, address, choose_port(request),
			 CLUSTER_NODE_YEARS * PKI_YEAR_S, err) < 0)
		return -1;
	return peers_reload(mvd->peers, err);
}

static void do_init(struct mvd *mvd, struct client *client,
		    const struct request *request)
{
	struct json_object *event;
	struct peer_info info;
	struct err err = { 0 };

	if (init(mvd, request, &err) < 0) {
		refuse(client, err.text);
		return;
	}
	event = event_cluster(mvd);
	peers_get(mvd->peers, 0, &info);
	event_add_string(event, "address", info.address);
	event_add_number(event, "port", info.port);
	client_send(client, event);
}

/* ---- invite ---- */

static void do_invite(struct mvd *mvd, struct client *client,
		      const struct request *request)
{
	struct err err = { 0 };
	struct cluster *cluster = load(mvd, &err);
	g_autofree char *token = NULL;
	const struct roster_member *self;
	struct json_object *event;

	(void)request;
	if (cluster)
		token = cluster_invite(cluster, &err);
	if (!token) {
		refuse(client, err.text);
		cluster_free(cluster);
		return;
	}
	self = roster_find(cluster->roster, cluster->self);
	event = event_cluster(mvd);
	event_add_string(event, "token", token);
	event_add_number(event, "valid", CLUSTER_INVITE_S);
	event_add_string(event, "address", self->address);
	event_add_number(event, "port", self->port);
	client_send(client, event);
	cluster_free(cluster);
}

/* ---- join ---- */

static void on_joined(void *ctx, const char *error);

static void joining_end(void)
{
	if (joining->search)
		avahi_search_cancel(joining->search);
	g_clear_pointer(&joining->hosts, g_ptr_array_unref);
	client_unref(joining->client);
	g_clear_pointer(&joining, g_free);
}

/* HOST, HOST:PORT, [ADDRESS]:PORT or an IPv6 address. */
static int split_host(const char *text, char *host, size_t size,
		      unsigned *port, struct err *err)
{
	const char *first = strchr(text, ':');
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocketConnectable) address = NULL;

	*port = PEER_DEFAULT_PORT;
	if (first && strchr(first + 1, ':') && text[0] != '[') {
		g_strlcpy(host, text, size);
	} else {
		address = g_network_address_parse(text, PEER_DEFAULT_PORT,
						  &error);
		if (!address)
			return err_set(err, 0, "\"%s\" is no HOST:PORT", text);
		g_strlcpy(host, g_network_address_get_hostname(
				  G_NETWORK_ADDRESS(address)), size);
		*port = g_network_address_get_port(G_NETWORK_ADDRESS(address));
	}
	return roster_address_ok(host) ? 0 :
		err_set(err, 0, "\"%s\" is no host name or address", text);
}

static struct join *start_join(struct mvd *mvd, const struct request *request,
			       struct err *err)
{
	g_autofree char *dir = cluster_dir(mvd);
	char name[PEER_NAME_MAX + 1], host[REQUEST_HOST_MAX + 1];
	const char *address = request->cluster.address;
	struct join_order order = {
		.dir = dir,
		.host = host,
		.token = request->cluster.token,
		.name = name,
		.address = *address ? address : NULL,
		.port = choose_port(request),
	};

	choose_name(name, request);
	if (split_host(request->cluster.host, host, sizeof(host),
		       &order.host_port, err) < 0 ||
	    check_port(mvd, request, err) < 0)
		return NULL;
	return join_new(&order, on_joined, mvd, err);
}

static void joined(const char *error)
{
	struct mvd *mvd = joining->mvd;
	struct client *client = joining->client;
	struct json_object *event;
	struct err err = { 0 };

	if (!error && peers_reload(mvd->peers, &err) < 0)
		error = err.text;
	if (error) {
		refuse(client, error);
	} else {
		event = event_cluster(mvd);
		event_add_number(event, "nodes", peers_count(mvd->peers));
		client_send(client, event);
	}
	joining_end();
}

static void join_next(const char *error);

static void on_joined(void *ctx, const char *error)
{
	(void)ctx;
	joining->join = NULL;
	if (error)
		join_next(error);
	else
		joined(NULL);
}

/* Of several the first that admits this node; `error`: what the last one said. */
static void join_next(const char *error)
{
	struct err err = { 0 };
	const char *host;

	while (joining->next < joining->hosts->len) {
		host = joining->hosts->pdata[joining->next++];
		g_strlcpy(joining->request.cluster.host, host,
			  sizeof(joining->request.cluster.host));
		joining->join = start_join(joining->mvd, &joining->request, &err);
		if (joining->join)
			return;
		error = err.text;
	}
	joined(error);
}

static void on_found(void *ctx, const struct avahi_node *nodes, unsigned count,
		     const char *trouble)
{
	struct mvd *mvd = ctx;
	g_autofree char *error = NULL;

	joining->search = NULL;
	joining->hosts = mvd_discover_hosts(mvd, joining->request.cluster.token, nodes,
					    count);
	error = g_strdup_printf("no node of the token's cluster is found on this network%s%s "
				"(name one: mvctl cluster join HOST TOKEN)",
				trouble ? ": " : "", trouble ? trouble : "");
	join_next(error);
}

static void do_join(struct mvd *mvd, struct client *client,
		    const struct request *request)
{
	struct cluster_token token;
	struct err err = { 0 };

	if (joining) {
		refuse(client, "this node is joining a cluster already");
		return;
	}
	if (cluster_token_parse(&token, request->cluster.token, &err) < 0) {
		refuse(client, err.text);
		return;
	}
	joining = g_new0(struct joining, 1);
	joining->mvd = mvd;
	joining->client = client_ref(client);
	joining->request = *request;
	if (!request->cluster.host[0]) {
		joining->search = avahi_search(mvd->avahi, on_found, mvd);
		return;
	}
	joining->hosts = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(joining->hosts, g_strdup(request->cluster.host));
	join_next(NULL);
}

/* ---- asking everybody ---- */

/* Who answers a ping: with it the member has our roster, too. */
struct poll {
	struct mvd *mvd;
	struct client *client;
	GQueue pings; /* of struct ping: not answered yet */
	GHashTable *troubles; /* name: why it does not answer */
	void (*done)(struct poll *poll);
};

struct ping {
	struct poll *poll;
	char *name;
};

static void ping_free(void *p)
{
	struct ping *ping = p;

	g_free(ping->name);
	g_free(ping);
}

static void poll_free(struct poll *poll)
{
	g_queue_remove(&polls, poll);
	g_queue_clear_full(&poll->pings, ping_free);
	g_hash_table_unref(poll->troubles);
	client_unref(poll->client);
	g_free(poll);
}

static void poll_check(struct poll *poll)
{
	if (!g_queue_is_empty(&poll->pings))
		return;
	poll->done(poll);
	poll_free(poll);
}

static void on_pong(void *ctx, const struct peer_reply *reply)
{
	struct ping *ping = ctx;
	struct poll *poll = ping->poll;

	if (!reply->answer)
		g_hash_table_insert(poll->troubles, g_strdup(ping->name),
				    g_strdup(reply->error));
	g_queue_remove(&poll->pings, ping);
	ping_free(ping);
	poll_check(poll);
}

static void send_ping(struct poll *poll, const char *name)
{
	struct json_object *body = json_object_new_object();
	struct ping *ping = g_new0(struct ping, 1);

	json_object_object_add(body, "op", json_object_new_string("ping"));
	ping->poll = poll;
	ping->name = g_strdup(name);
	g_queue_push_tail(&poll->pings, ping);
	peer_ask(poll->mvd->peers, name, body, PING_MS, on_pong, ping);
}

static void poll_all(struct mvd *mvd, struct client *client,
		     void (*done)(struct poll *poll))
{
	struct poll *poll = g_new0(struct poll, 1);
	struct peer_info info;
	unsigned i;

	poll->mvd = mvd;
	poll->client = client_ref(client);
	poll->done = done;
	g_queue_init(&poll->pings);
	g_queue_push_tail(&polls, poll);
	poll->troubles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
					       g_free);
	for (i = 0; i < peers_count(mvd->peers); i++) {
		peers_get(mvd->peers, i, &info);
		if (!info.self)
			send_ping(poll, info.name);
	}
	poll_check(poll);
}

/* ---- remove ---- */

/* Members who have not heard of it go on trusting the node until they do. */
static void removed(struct poll *poll)
{
	struct json_object *event = event_cluster(poll->mvd);
	struct json_object *untold = json_object_new_array();
	GHashTableIter iter;
	gpointer name;

	g_hash_table_iter_init(&iter, poll->troubles);
	while (g_hash_table_iter_next(&iter, &name, NULL))
		json_object_array_add(untold, json_object_new_string(name));
	json_object_object_add(event, "untold", untold);
	client_send(poll->client, event);
}

static void do_remove(struct mvd *mvd, struct client *client,
		      const struct request *request)
{
	struct err err = { 0 };
	struct cluster *cluster = load(mvd, &err);
	int rc = cluster ? cluster_remove(cluster, request->cluster.node,
					  &err) : -1;

	cluster_free(cluster);
	if (rc == 0)
		rc = peers_reload(mvd->peers, &err);
	if (rc < 0)
		refuse(client, err.text);
	else
		poll_all(mvd, client, removed);
}

/* ---- status ---- */

static struct json_object *member_status(struct poll *poll,
					 const struct peer_info *info)
{
	struct json_object *member = json_object_new_object();
	const char *trouble = g_hash_table_lookup(poll->troubles, info->name);
	double age;

	event_add_string(member, "name", info->name);
	event_add_string(member, "address", info->address);
	event_add_number(member, "port", info->port);
	event_add_bool(member, "self", info->self);
	event_add_bool(member, "reachable", !trouble);
	event_add_string(member, "trouble", trouble);
	event_add_number(member, "clock_ahead_ms", info->clock_ahead_ms);
	event_add_string(member, "liveness", mvd_gossip_state(poll->mvd, info->name));
	age = mvd_gossip_age(poll->mvd, info->name);
	if (age >= 0)
		event_add_number(member, "load_age_ms", (int64_t)(age * 1000));
	return member;
}

static void say_removed(struct client *client, const struct cluster *cluster)
{
	g_autofree char *text = g_strdup_printf("%s was removed from its cluster",
						cluster->self);

	client_error(client, OP, text,
		     "\"mvctl cluster join\" lets it in again");
}

static struct json_object *status_event(struct poll *poll,
					const struct cluster *cluster)
{
	struct json_object *event = event_cluster(poll->mvd);
	struct json_object *members = json_object_new_array();
	struct peer_info info;
	unsigned i;

	for (i = 0; i < peers_count(poll->mvd->peers); i++) {
		peers_get(poll->mvd->peers, i, &info);
		json_object_array_add(members, member_status(poll, &info));
	}
	event_add_number(event, "roster", cluster->roster->serial);
	event_add_string(event, "authority", cluster->roster->authority);
	event_add_string(event, "cluster", cluster->ca_fingerprint);
	json_object_object_add(event, "members", members);
	json_object_object_add(event, "datagrams", mvd_gossip_to_json(poll->mvd));
	return event;
}

static void send_status(struct poll *poll)
{
	struct err err = { 0 };
	struct cluster *cluster = load(poll->mvd, &err);

	if (!cluster)
		refuse(poll->client, err.text);
	else if (!peers_in_cluster(poll->mvd->peers))
		say_removed(poll->client, cluster); /* a member has just said so */
	else
		client_send(poll->client, status_event(poll, cluster));
	cluster_free(cluster);
}

static void do_status(struct mvd *mvd, struct client *client,
		      const struct request *request)
{
	struct err err = { 0 };
	struct cluster *cluster = load(mvd, &err);

	(void)request;
	if (!cluster)
		refuse(client, err.text);
	else if (!peers_in_cluster(mvd->peers))
		say_removed(client, cluster);
	else
		poll_all(mvd, client, send_status);
	cluster_free(cluster);
}

/* ---- requests ---- */

static const struct {
	const char *name;
	void (*act)(struct mvd *mvd, struct client *client,
		    const struct request *request);
	bool host, token, node; /* fields that it must have */
} actions[] = {
	{ "init", do_init, false, false, false },
	{ "invite", do_invite, false, false, false },
	{ "join", do_join, false, true, false },
	{ "discover", mvd_discover, false, false, false },
	{ "remove", do_remove, false, false, true },
	{ "status", do_status, false, false, false },
};

void mvd_cluster(struct mvd *mvd, struct client *client,
		 const struct request *request)
{
	size_t i;

	if (client_uid(client) != 0 || mvd->config.session) {
		client_error(client, OP, mvd->config.session ?
			     "a user's private agent takes no part in a cluster" :
			     "only root may do this", "");
		return;
	}
	for (i = 0; i < G_N_ELEMENTS(actions); i++)
		if (strcmp(actions[i].name, request->cluster.action) == 0)
			break;
	if (i == G_N_ELEMENTS(actions))
		refuse(client, "the action is unknown");
	else if ((actions[i].host && !request->cluster.host[0]) ||
		 (actions[i].token && !request->cluster.token[0]) ||
		 (actions[i].node && !request->cluster.node[0]))
		refuse(client, "the request lacks a field");
	else
		actions[i].act(mvd, client, request);
}

void mvd_cluster_stop(void)
{
	struct poll *poll;

	if (joining) {
		if (joining->join)
			join_cancel(joining->join);
		joining_end();
	}
	while ((poll = g_queue_peek_head(&polls)))
		poll_free(poll);
}
