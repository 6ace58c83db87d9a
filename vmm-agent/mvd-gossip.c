/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-gossip-private.h"

#include "net/json.h"
#include "net/roster.h"
#include "scheduler/gossip-wire.h"
#include "scheduler/swim-wire.h"

#include <math.h>
#include <string.h>

#define STEP 1.0        /* s from gossip to gossip */
#define MAX_AGE 120.0   /* s; what is older is forgotten */
#define ALIVE_AGE 10.0  /* s; whose load is younger is alive */
#define URGENT_GAP 0.2  /* s between two urgent messages */
#define URGENT_NODES 3  /* get one */
#define ROOM ROSTER_MAX_MEMBERS
/* What goes into a datagram; a larger window travels in several. */
#define ENTRIES ((SEAL_PAYLOAD_MAX - GOSSIP_HEADER) / GOSSIP_ENTRY)

G_STATIC_ASSERT(SWIM_MESSAGE_MAX <= SEAL_PAYLOAD_MAX);

static void plan(struct mesh *mesh);

double mvd_gossip_now(void)
{
	return (double)g_get_monotonic_time() / G_USEC_PER_SEC;
}

uint64_t mvd_gossip_id(const char *node_name)
{
	return seal_id(node_name);
}

/* ---- load ---- */

static bool is_member(void *data, uint64_t id)
{
	return mesh_peer(data, id) != NULL;
}

static unsigned window_for(unsigned nodes)
{
	return gossip_window(nodes, ENTRIES);
}

/* A message as datagrams: each is one, of a part of the entries. */
static void send_gossip(struct mesh *mesh, uint64_t to, const uint8_t *message, size_t len)
{
	const uint8_t *entries = message + GOSSIP_HEADER;
	size_t left = (len - GOSSIP_HEADER) / GOSSIP_ENTRY;
	uint8_t part[GOSSIP_HEADER + ENTRIES * GOSSIP_ENTRY];

	while (left > 0) {
		struct gossip_header header = {
			.sender = mesh->table.self,
			.count = (unsigned)MIN(left, ENTRIES),
		};
		size_t size = header.count * GOSSIP_ENTRY;

		gossip_put_header(part, &header);
		memcpy(part + GOSSIP_HEADER, entries, size);
		mesh_send(mesh, to, SEAL_GOSSIP, part, GOSSIP_HEADER + size);
		entries += size;
		left -= header.count;
	}
}

/* The living first; returns how many they are. */
static unsigned list_members(const struct mesh *mesh, uint64_t *ids)
{
	const struct swim *swim = &mesh->swim;
	unsigned i, front = 0, back = swim->count;

	for (i = 0; i < swim->count; i++)
		if (swim->members[i].state == SWIM_ALIVE ||
		    swim->members[i].state == SWIM_SUSPECT)
			ids[front++] = swim->members[i].id;
		else
			ids[--back] = swim->members[i].id;
	return front;
}

static void gossip_to(struct mesh *mesh, unsigned nodes)
{
	static uint8_t message[GOSSIP_MESSAGE_MAX];
	static uint64_t ids[ROOM];
	unsigned alive = list_members(mesh, ids), i;
	uint64_t to;
	double now = mvd_gossip_now();

	if (!mesh->measured)
		return;
	for (i = 0; i < nodes; i++)
		if (gossip_pick(&mesh->table, ids, alive, mesh->swim.count, &mesh->random,
				&to))
			send_gossip(mesh, to, message,
				    gossip_write(&mesh->table, now, message,
						 sizeof(message)));
}

static void step(struct mesh *mesh, double now)
{
	mesh->next_step += STEP;
	if (mesh->next_step < now)
		mesh->next_step = now + STEP; /* the machine was asleep */
	gossip_expire(&mesh->table, now);
	gossip_to(mesh, 1);
}

/* ---- liveness ---- */

static void log_change(const struct mesh *mesh, const struct swim_change *change)
{
	const struct mesh_peer *peer = mesh_peer(mesh, change->id);

	if (!peer)
		return;
	if (change->state == SWIM_DEAD)
		g_message("%s is believed dead", peer->name);
	else if (change->before == SWIM_DEAD)
		g_message("%s is alive", peer->name);
	else
		g_info("%s is %s", peer->name, swim_state_name(change->state));
}

static void empty(struct swim_out *out)
{
	out->packet_count = out->change_count = 0;
	out->changes_lost = false;
}

static void carry_out(struct mesh *mesh)
{
	unsigned i;

	for (i = 0; i < mesh->out.change_count; i++)
		log_change(mesh, &mesh->out.changes[i]);
	for (i = 0; i < mesh->out.packet_count; i++)
		mesh_send(mesh, mesh->out.packets[i].to, SEAL_SWIM,
			  mesh->out.packets[i].bytes, mesh->out.packets[i].len);
}

static int take_swim(struct mesh *mesh, const struct mesh_peer *peer, const uint8_t *bytes,
		     size_t len)
{
	struct swim_header header;

	if (swim_get_header(bytes, len, &header, NULL) < 0 ||
	    header.sender != peer->seal.id)
		return -1;
	empty(&mesh->out);
	if (swim_receive(&mesh->swim, bytes, len, mvd_gossip_now(), &mesh->out, NULL) < 0)
		return -1;
	carry_out(mesh);
	plan(mesh);
	if (header.note <= INT64_MAX)
		peers_newer(mesh->mvd->peers, peer->name, (int64_t)header.note);
	return 0;
}

/* Of thousands the detector's own messages would take minutes to tell a node that has just
 * started. What it is told so, it will find out by itself. */
static void hint(struct mesh *mesh, const uint8_t *entries, unsigned count)
{
	double now = mvd_gossip_now();
	const struct sched_node *node;
	uint64_t id, stamp;
	unsigned i;

	empty(&mesh->out);
	for (i = 0; i < count; i++) {
		gossip_peek_entry(entries + i * GOSSIP_ENTRY, &id, &stamp);
		node = gossip_find(&mesh->table, id);
		if (node && now - node->time < ALIVE_AGE)
			swim_hint(&mesh->swim, id, now, &mesh->out);
	}
	carry_out(mesh);
}

static int take_gossip(struct mesh *mesh, const struct mesh_peer *peer,
		       const uint8_t *bytes, size_t len)
{
	struct gossip_header header;
	int rc;

	if (gossip_get_header(bytes, len, &header, NULL) < 0 ||
	    header.sender != peer->seal.id)
		return -1;
	rc = gossip_read(&mesh->table, bytes, len, mvd_gossip_now(), NULL);
	if (rc == 0 && mesh->swim.alive < mesh->swim.count)
		hint(mesh, bytes + GOSSIP_HEADER, header.count);
	return rc;
}

void mesh_take(struct mesh *mesh, struct mesh_peer *peer, enum seal_kind kind,
	       const uint8_t *bytes, size_t len)
{
	if ((kind == SEAL_SWIM ? take_swim(mesh, peer, bytes, len) :
				 take_gossip(mesh, peer, bytes, len)) < 0)
		mesh->counters.nonsense++;
}

/* ---- time ---- */

static gboolean on_tick(void *p)
{
	struct mesh *mesh = p;
	double now = mvd_gossip_now();

	mesh->timer = 0;
	if (mesh->seal.former.number && now >= mesh->former_until)
		mesh->seal.former = (struct seal_key){ 0 };
	empty(&mesh->out);
	swim_tick(&mesh->swim, now, &mesh->random, &mesh->out);
	carry_out(mesh);
	if (now >= mesh->next_step)
		step(mesh, now);
	plan(mesh);
	return G_SOURCE_REMOVE;
}

static bool is_running(const struct mesh *mesh)
{
	return mesh->socket && mesh->seal.key.number && mesh->swim.count > 0;
}

static void plan(struct mesh *mesh)
{
	double next;

	g_clear_handle_id(&mesh->timer, g_source_remove);
	if (!is_running(mesh))
		return;
	next = fmin(swim_next(&mesh->swim), mesh->next_step) - mvd_gossip_now();
	mesh->timer = g_timeout_add((guint)(CLAMP(next, 0, STEP) * 1000) + 1, on_tick,
				    mesh);
}

void mesh_key_changed(struct mesh *mesh)
{
	double now = mvd_gossip_now();

	/* Not all nodes at the same moment. */
	if (mesh->next_step < now)
		mesh->next_step = now + STEP * sched_random_unit(&mesh->random);
	mesh_greet_all(mesh);
	plan(mesh);
}

/* ---- who the others are ---- */

static void drop_peer(struct mesh *mesh, const struct mesh_peer *peer)
{
	swim_remove(&mesh->swim, peer->seal.id);
	gossip_forget(&mesh->table, peer->seal.id);
}

static void take_member(struct mesh *mesh, const struct peer_info *info)
{
	uint64_t id = seal_id(info->name);
	struct mesh_peer *peer = mesh_peer(mesh, id);

	/* Two names of one number, or this node's: a miracle, or somebody's work. */
	if (id == mesh->table.self ||
	    (peer && g_ascii_strcasecmp(peer->name, info->name) != 0)) {
		g_message("%s gets no datagrams: its name has the same number as another's",
			  info->name);
		return;
	}
	if (!peer) {
		peer = mesh_peer_new(mesh, info->name);
		g_hash_table_insert(mesh->peers, &peer->seal.id, peer);
		swim_add(&mesh->swim, id, &mesh->random);
	}
	mesh_peer_place(peer, info->address, info->port);
	peer->listed = true;
}

/* Returns this node's port. */
static unsigned take_roster(struct mesh *mesh)
{
	struct peers *peers = mesh->mvd->peers;
	struct mesh_peer *peer;
	struct peer_info info;
	GHashTableIter iter;
	unsigned i, port = 0;

	g_hash_table_iter_init(&iter, mesh->peers);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&peer))
		peer->listed = false;
	for (i = 0; i < peers_count(peers); i++) {
		peers_get(peers, i, &info);
		if (info.self)
			port = info.port;
		else
			take_member(mesh, &info);
	}
	g_hash_table_iter_init(&iter, mesh->peers);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&peer))
		if (!peer->listed) {
			drop_peer(mesh, peer);
			g_hash_table_iter_remove(&iter);
		}
	return port;
}

static int begin(struct mesh *mesh)
{
	struct swim_config config;
	struct err err = { 0 };

	if (seal_init(&mesh->seal, mesh->self, &err) < 0) {
		g_warning("%s", err.text);
		return -1;
	}
	swim_config_default(&config);
	mesh->peers = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
					    mesh_peer_free);
	mesh->swim_memory = g_malloc(swim_size(ROOM));
	swim_init(&mesh->swim, mesh->swim_memory, ROOM, mesh->table.self, &config,
		  mvd_gossip_now());
	return 0;
}

static void end(struct mesh *mesh)
{
	g_clear_handle_id(&mesh->timer, g_source_remove);
	mesh_socket(mesh, 0);
	mesh_waiting_clear(mesh);
	mesh_key_stop(mesh);
	if (mesh->peers)
		g_hash_table_unref(mesh->peers);
	mesh->peers = NULL;
	g_clear_pointer(&mesh->swim_memory, g_free);
	mesh->swim = (struct swim){ 0 };
}

/* ---- the beginning and the end ---- */

/* Nothing is known but this node's own vector. */
static void init_table(struct mesh *mesh)
{
	struct sched_node own = mesh->measured ? mesh->table.nodes[0] :
						 (struct sched_node){ 0 };

	g_free(mesh->table_memory);
	mesh->table_memory = g_malloc(gossip_size(ROOM));
	gossip_init(&mesh->table, mesh->table_memory, ROOM, seal_id(mesh->self), 2, MAX_AGE);
	mesh->table.member = is_member;
	mesh->table.member_data = mesh;
	if (mesh->measured)
		mvd_gossip_own(mesh->mvd, &own);
}

void mvd_gossip_start(struct mvd *mvd)
{
	struct mesh *mesh = g_new0(struct mesh, 1);

	mesh->mvd = mvd;
	mesh->self = g_strdup(mvd->node);
	mesh->list = g_new0(struct sched_node, ROOM);
	sched_random_seed(&mesh->random, (uint64_t)g_random_int() << 32 | g_random_int());
	init_table(mesh);
	mvd->mesh = mesh;
	mvd_gossip_roster(mvd);
}

void mvd_gossip_stop(struct mvd *mvd)
{
	struct mesh *mesh = mvd->mesh;

	if (!mesh)
		return;
	mvd->mesh = NULL;
	end(mesh);
	g_free(mesh->table_memory);
	g_free(mesh->list);
	g_free(mesh->self);
	g_free(mesh);
}

/* In a cluster a node may have another name. */
static void rename_self(struct mesh *mesh)
{
	if (strcmp(mesh->self, mesh->mvd->node) == 0)
		return;
	end(mesh);
	g_free(mesh->self);
	mesh->self = g_strdup(mesh->mvd->node);
	init_table(mesh);
}

void mvd_gossip_roster(struct mvd *mvd)
{
	struct mesh *mesh = mvd->mesh;
	unsigned port;

	if (!mesh)
		return;
	rename_self(mesh);
	if (peers_count(mvd->peers) < 2 && mesh->peers) {
		end(mesh);
		init_table(mesh);
	}
	if (peers_count(mvd->peers) < 2 || (!mesh->peers && begin(mesh) < 0))
		return;
	port = take_roster(mesh);
	mesh->swim.note = (uint64_t)peers_serial(mvd->peers);
	gossip_set_window(&mesh->table, window_for(mesh->swim.count + 1));
	mesh_socket(mesh, port);
	if (mesh->socket)
		mesh_key_start(mesh);
	plan(mesh);
}

/* ---- for the rest of the agent ---- */

void mvd_gossip_own(struct mvd *mvd, const struct sched_node *own)
{
	struct mesh *mesh = mvd->mesh;

	if (!mesh)
		return;
	gossip_own(&mesh->table, own, (uint64_t)(g_get_real_time() / 1000),
		   mvd_gossip_now());
	mesh->measured = true;
}

static bool is_dead(const struct mesh *mesh, uint64_t id)
{
	const struct swim_member *member = mesh->peers ? swim_find(&mesh->swim, id) : NULL;

	return member && member->state == SWIM_DEAD;
}

const struct sched_node *mvd_gossip_nodes(struct mvd *mvd, unsigned *count)
{
	struct mesh *mesh = mvd->mesh;
	unsigned i;

	*count = 0;
	if (!mesh)
		return NULL;
	for (i = mesh->measured ? 0 : 1; i < mesh->table.count; i++) {
		struct sched_node *node = &mesh->list[*count];

		*node = mesh->table.nodes[i];
		if (i > 0 && !mesh_peer(mesh, node->id))
			continue;
		if (is_dead(mesh, node->id))
			node->state = SCHED_GONE;
		(*count)++;
	}
	return mesh->list;
}

void mvd_gossip_note(struct mvd *mvd, const struct sched_node *node)
{
	struct mesh *mesh = mvd->mesh;
	const struct sched_node *known;

	if (!mesh || !mesh_peer(mesh, node->id))
		return;
	known = gossip_find(&mesh->table, node->id);
	if (!known || known->time <= node->time)
		gossip_note(&mesh->table, node);
}

void mvd_gossip_urgent(struct mvd *mvd)
{
	struct mesh *mesh = mvd->mesh;
	double now = mvd_gossip_now();

	if (!mesh || !is_running(mesh))
		return;
	if (now >= mesh->next_urgent) {
		mesh->next_urgent = now + URGENT_GAP;
		gossip_to(mesh, URGENT_NODES);
	} else {
		mesh->next_step = fmin(mesh->next_step, mesh->next_urgent);
		plan(mesh);
	}
}

const char *mvd_gossip_name(struct mvd *mvd, uint64_t id)
{
	struct mesh *mesh = mvd->mesh;
	const struct mesh_peer *peer;

	if (!mesh)
		return NULL;
	if (id == mesh->table.self)
		return mesh->self;
	peer = mesh_peer(mesh, id);
	return peer ? peer->name : NULL;
}

const char *mvd_gossip_state(struct mvd *mvd, const char *node_name)
{
	struct mesh *mesh = mvd->mesh;
	const struct swim_member *member;
	uint64_t id = seal_id(node_name);

	if (!mesh || !mesh->peers)
		return NULL;
	if (id == mesh->table.self)
		return swim_state_name(SWIM_ALIVE);
	member = swim_find(&mesh->swim, id);
	return member ? swim_state_name(member->state) : NULL;
}

double mvd_gossip_age(struct mvd *mvd, const char *node_name)
{
	struct mesh *mesh = mvd->mesh;
	const struct sched_node *node = mesh ?
		gossip_find(&mesh->table, seal_id(node_name)) : NULL;

	if (!node || (node == mesh->table.nodes && !mesh->measured))
		return -1;
	return mvd_gossip_now() - node->time;
}

double mvd_gossip_silence(struct mvd *mvd, const char *node_name)
{
	struct mesh *mesh = mvd->mesh;
	const struct mesh_peer *peer = mesh ? mesh_peer(mesh, seal_id(node_name)) : NULL;

	return peer && peer->heard > 0 ? mvd_gossip_now() - peer->heard : -1;
}

bool mvd_gossip_works(struct mvd *mvd, const char **why)
{
	const struct mesh *mesh = mvd->mesh;

	*why = NULL;
	if (mesh && mesh->peers && !mesh->socket)
		*why = "the cluster's UDP port is taken";
	else if (mesh && mesh->peers && mesh->seal.key.number == 0)
		*why = "this node has not got the cluster's key for datagrams yet";
	return !*why;
}

struct json_object *mvd_gossip_to_json(struct mvd *mvd)
{
	const struct mesh *mesh = mvd->mesh;
	struct json_object *json;
	enum seal_verdict verdict;

	if (!mesh || !mesh->peers)
		return NULL;
	json = json_object_new_object();
	json_add_int(json, "port", mesh->socket ? mesh->port : 0);
	json_add_int(json, "key", (int64_t)mesh->seal.key.number);
	json_add_int(json, "window", mesh->table.window);
	json_add_int(json, "sent", (int64_t)mesh->counters.sent);
	json_add_int(json, "unsent", (int64_t)mesh->counters.unsent);
	for (verdict = 0; verdict < SEAL_VERDICTS; verdict++)
		json_add_int(json, seal_verdict_name(verdict),
			     (int64_t)mesh->counters.verdicts[verdict]);
	json_add_int(json, "nonsense", (int64_t)mesh->counters.nonsense);
	json_add_int(json, "unbelievable", (int64_t)(mesh->table.refused +
						    mesh->swim.refused));
	return json;
}
