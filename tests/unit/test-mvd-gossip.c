/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the agent knows of the others: the real source, with a roster, a socket and a
 * key of the test's own.
 */
#include "vmm-agent/mvd-gossip.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MOST 300
#define ALL ROSTER_MAX_MEMBERS
#define SENT_MAX 256

static struct mvd mvd;
static struct peer_info roster[ALL];
static char names[ALL][PEER_NAME_MAX + 1];
static unsigned members, with_key, placed;
static int64_t newest; /* of the rosters that others say to have */

static struct sent {
	uint64_t to;
	enum seal_kind kind;
	size_t len;
	uint8_t bytes[SEAL_PAYLOAD_MAX];
} sent[SENT_MAX];
static unsigned sent_count;

/* ---- in place of net/peer.c, mvd-gossip-net.c and mvd-gossip-key.c ---- */

unsigned peers_count(const struct peers *peers)
{
	(void)peers;
	return members;
}

void peers_get(const struct peers *peers, unsigned index, struct peer_info *info)
{
	(void)peers;
	*info = roster[index];
}

int64_t peers_serial(const struct peers *peers)
{
	(void)peers;
	return 7;
}

void peers_newer(struct peers *peers, const char *from, int64_t serial)
{
	(void)peers;
	assert_string_equal(from, "node2");
	newest = MAX(newest, serial);
}

struct mesh_peer *mesh_peer(const struct mesh *mesh, uint64_t id)
{
	return mesh->peers ? g_hash_table_lookup(mesh->peers, &id) : NULL;
}

struct mesh_peer *mesh_peer_new(struct mesh *mesh, const char *name)
{
	struct mesh_peer *peer = g_new0(struct mesh_peer, 1);

	peer->mesh = mesh;
	peer->name = g_strdup(name);
	seal_peer_init(&peer->seal, name);
	return peer;
}

void mesh_peer_place(struct mesh_peer *peer, const char *host, unsigned port)
{
	(void)peer;
	(void)host;
	(void)port;
	placed++;
}

void mesh_peer_free(void *p)
{
	struct mesh_peer *peer = p;

	g_free(peer->name);
	g_free(peer);
}

void mesh_socket(struct mesh *mesh, unsigned port)
{
	static int some;

	mesh->port = port;
	mesh->socket = port ? (GSocket *)(void *)&some : NULL;
}

void mesh_send(struct mesh *mesh, uint64_t to, enum seal_kind kind, const uint8_t *bytes,
	       size_t len)
{
	struct sent *slot = &sent[sent_count];

	assert_true(sent_count < SENT_MAX && len <= SEAL_PAYLOAD_MAX);
	assert_non_null(mesh_peer(mesh, to));
	*slot = (struct sent){ .to = to, .kind = kind, .len = len };
	memcpy(slot->bytes, bytes, len);
	sent_count++;
}

void mesh_waiting_clear(struct mesh *mesh)
{
	(void)mesh;
}

void mesh_greet_all(struct mesh *mesh)
{
	(void)mesh;
}

void mesh_key_start(struct mesh *mesh)
{
	if (with_key && !mesh->seal.key.number) {
		mesh->seal.key.number = 1;
		mesh_key_changed(mesh);
	}
}

void mesh_key_stop(struct mesh *mesh)
{
	mesh->seal.key.number = 0;
}

/* ---- the cluster ---- */

static void set_roster(unsigned count)
{
	unsigned i;

	members = count;
	for (i = 0; i < count; i++) {
		g_snprintf(names[i], sizeof(names[i]), "node%u", i + 1);
		roster[i] = (struct peer_info){ .name = names[i], .address = "192.0.2.1",
						.port = 7480, .self = i == 0 };
	}
}

static int set_up(void **state)
{
	(void)state;
	set_roster(0);
	with_key = 1;
	sent_count = placed = 0;
	mvd.node = g_strdup("node1");
	mvd_gossip_start(&mvd);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mvd_gossip_stop(&mvd);
	assert_null(mvd.mesh);
	g_clear_pointer(&mvd.node, g_free);
	return 0;
}

static struct sched_node vector(void)
{
	return (struct sched_node){
		.cpus = 4, .speed = 1, .mem_total = 0x1p33, .mem_free = 0x1p32, .slots = 64,
		.qemu = 1, .cpu = 1, .state = SCHED_OPEN,
	};
}

static uint64_t id_of(unsigned number)
{
	char name[16];

	g_snprintf(name, sizeof(name), "NODE%u", number);
	return mvd_gossip_id(name);
}

/* A message of one entry, from a member. */
static void hear_aged_load(unsigned from, unsigned about, uint64_t stamp, double age)
{
	struct gossip_header header = { .sender = id_of(from), .count = 1 };
	struct sched_node node = vector();
	uint8_t bytes[GOSSIP_HEADER + GOSSIP_ENTRY];

	node.id = id_of(about);
	gossip_put_header(bytes, &header);
	gossip_put_entry(bytes + GOSSIP_HEADER, &node, stamp, age);
	mesh_take(mvd.mesh, mesh_peer(mvd.mesh, id_of(from)), SEAL_GOSSIP, bytes,
		  sizeof(bytes));
}

static void hear_load(unsigned from, unsigned about, uint64_t stamp)
{
	hear_aged_load(from, about, stamp, 1);
}

static void hear_news(unsigned from, unsigned sender, unsigned about, enum swim_state state)
{
	struct swim_header header = { .kind = SWIM_ACK, .sender = id_of(sender),
				      .sequence = 1, .updates = 1 };
	struct swim_update update = { .id = id_of(about), .accuser = id_of(sender),
				      .incarnation = 3, .state = state };
	uint8_t bytes[SWIM_HEADER + SWIM_UPDATE];

	swim_put_header(bytes, &header);
	swim_put_update(bytes + SWIM_HEADER, &update);
	mesh_take(mvd.mesh, mesh_peer(mvd.mesh, id_of(from)), SEAL_SWIM, bytes,
		  sizeof(bytes));
}

static const struct sched_node *known(unsigned number)
{
	unsigned count, i;
	const struct sched_node *nodes = mvd_gossip_nodes(&mvd, &count);

	for (i = 0; i < count; i++)
		if (nodes[i].id == id_of(number))
			return &nodes[i];
	return NULL;
}

/* ---- tests ---- */

static void alone_it_does_nothing(void **state)
{
	struct sched_node own = vector();
	const struct sched_node *nodes;
	unsigned count;

	(void)state;
	for (members = 0; members < 2; members++) {
		set_roster(members);
		mvd_gossip_roster(&mvd);
		mvd_gossip_own(&mvd, &own);
		mvd_gossip_urgent(&mvd);
		assert_null(mvd.mesh->socket);
		assert_int_equal(mvd.mesh->timer, 0);
		assert_null(mvd_gossip_to_json(&mvd));
		nodes = mvd_gossip_nodes(&mvd, &count);
		assert_int_equal(count, 1);
		assert_int_equal(nodes[0].id, id_of(1));
	}
	assert_int_equal(sent_count, 0);
	/* Nor does it without a key. */
	with_key = 0;
	set_roster(3);
	mvd_gossip_roster(&mvd);
	assert_non_null(mvd.mesh->socket);
	assert_int_equal(mvd.mesh->timer, 0);
	with_key = 1;
	mvd_gossip_roster(&mvd);
	assert_int_not_equal(mvd.mesh->timer, 0);
	set_roster(1);
	mvd_gossip_roster(&mvd);
	assert_int_equal(mvd.mesh->timer, 0);
	assert_null(mvd.mesh->socket);
}

static void names_and_numbers(void **state)
{
	(void)state;
	set_roster(3);
	mvd_gossip_roster(&mvd);
	assert_string_equal(mvd_gossip_name(&mvd, id_of(1)), "node1");
	assert_string_equal(mvd_gossip_name(&mvd, id_of(3)), "node3");
	assert_null(mvd_gossip_name(&mvd, id_of(4)));
	assert_int_equal(mvd_gossip_id("Node3"), mvd_gossip_id("nODE3"));
	assert_string_equal(mvd_gossip_state(&mvd, "node1"), "alive");
	assert_string_equal(mvd_gossip_state(&mvd, "node2"), "unseen");
	assert_null(mvd_gossip_state(&mvd, "node4"));
}

static void knows_what_it_hears(void **state)
{
	struct sched_node said = vector();

	(void)state;
	set_roster(4);
	mvd_gossip_roster(&mvd);
	assert_null(known(1)); /* not measured yet */
	hear_load(2, 3, 10);
	assert_non_null(known(3));
	assert_null(known(2));
	assert_true(mvd_gossip_age(&mvd, "node3") >= 1 &&
		    mvd_gossip_age(&mvd, "node3") < 60);
	assert_true(mvd_gossip_age(&mvd, "node2") < 0);
	/* Of one who is no member nobody is told. */
	hear_load(2, 9, 10);
	assert_null(known(9));
	/* What it says of itself is newer. */
	said.id = id_of(3);
	said.jobs = 7;
	said.time = mvd_gossip_now();
	mvd_gossip_note(&mvd, &said);
	assert_int_equal(known(3)->jobs, 7);
	said.jobs = 8;
	said.time -= 100;
	mvd_gossip_note(&mvd, &said);
	assert_int_equal(known(3)->jobs, 7);
	said.id = id_of(9);
	mvd_gossip_note(&mvd, &said);
	assert_null(known(9));
	/* A node that was removed is forgotten. */
	set_roster(2);
	mvd_gossip_roster(&mvd);
	assert_null(known(3));
	assert_null(mvd_gossip_name(&mvd, id_of(3)));
}

static void hears_two_of_one_name(void **state)
{
	double now = mvd_gossip_now() - 100;
	struct mesh_peer *peer;
	unsigned i;

	(void)state;
	set_roster(3);
	mvd_gossip_roster(&mvd);
	peer = mesh_peer(mvd.mesh, id_of(2));
	/* It is started anew, however often, and a late datagram comes after each. */
	for (i = 1; i <= 20; i++) {
		mesh_life(peer, i, now);
		mesh_life(peer, i + 1, now + 1);
		mesh_life(peer, i, now + 1.1);
		mesh_life(peer, i + 1, now + 1.2);
		now += 3;
	}
	assert_false(mvd_gossip_twins(&mvd, "node2"));
	/* A copy of it. */
	for (i = 0; i < 6; i++) {
		mesh_life(peer, 100 + i % 2, now);
		mesh_life(peer, 100 + i % 2, now + 1);
		now += 5;
	}
	assert_true(mvd_gossip_twins(&mvd, "node2"));
	assert_false(mvd_gossip_twins(&mvd, "node3"));
	assert_false(mvd_gossip_twins(&mvd, "node9"));
	/* One was switched off. */
	peer->lives.changed -= 601;
	assert_false(mvd_gossip_twins(&mvd, "node2"));
	mesh_life(peer, 100 + i % 2, mvd_gossip_now());
	assert_false(mvd_gossip_twins(&mvd, "node2"));
}

static void the_dead_are_gone(void **state)
{
	(void)state;
	set_roster(4);
	mvd_gossip_roster(&mvd);
	hear_load(2, 3, 10);
	hear_news(2, 2, 3, SWIM_ALIVE);
	assert_int_equal(known(3)->state, SCHED_OPEN);
	hear_news(2, 2, 3, SWIM_DEAD);
	assert_string_equal(mvd_gossip_state(&mvd, "node3"), "dead");
	assert_int_equal(known(3)->state, SCHED_GONE);
	/* What is known of it stays, with its age. */
	assert_true(known(3)->cpus == 4);
}

/* Whoever has a newer roster says so with each of the detector's messages, this node too. */
static void rosters_are_compared(void **state)
{
	struct swim_header header = { .kind = SWIM_PING, .sender = id_of(2),
				      .target = id_of(1), .sequence = 1, .note = 9 };
	uint8_t bytes[SWIM_HEADER];

	(void)state;
	set_roster(4);
	mvd_gossip_roster(&mvd);
	newest = 0;
	swim_put_header(bytes, &header);
	mesh_take(mvd.mesh, mesh_peer(mvd.mesh, id_of(2)), SEAL_SWIM, bytes, sizeof(bytes));
	assert_int_equal(newest, 9);
	assert_int_equal(sent_count, 1);
	assert_int_equal(swim_get_header(sent[0].bytes, sent[0].len, &header, NULL), 0);
	assert_int_equal(header.note, 7);
	/* No number of a roster. */
	header = (struct swim_header){ .kind = SWIM_PING, .sender = id_of(2),
				       .target = id_of(1), .sequence = 2, .note = UINT64_MAX };
	swim_put_header(bytes, &header);
	mesh_take(mvd.mesh, mesh_peer(mvd.mesh, id_of(2)), SEAL_SWIM, bytes, sizeof(bytes));
	assert_int_equal(newest, 9);
}

/* A member seals what it sends; it is not another one inside. */
static void nobody_speaks_for_another(void **state)
{
	(void)state;
	set_roster(4);
	mvd_gossip_roster(&mvd);
	hear_news(2, 4, 3, SWIM_DEAD);
	assert_int_equal(mvd.mesh->counters.nonsense, 1);
	assert_string_equal(mvd_gossip_state(&mvd, "node3"), "unseen");
	mesh_take(mvd.mesh, mesh_peer(mvd.mesh, id_of(2)), SEAL_GOSSIP,
		  (const uint8_t *)"rubbish", 7);
	assert_int_equal(mvd.mesh->counters.nonsense, 2);
}

/* A message of a large cluster is several datagrams, together the window. */
static void large_windows_are_split(void **state)
{
	struct sched_node own = vector();
	struct gossip_header header;
	unsigned i, entries = 0;
	uint64_t id, stamp;

	(void)state;
	set_roster(MOST);
	mvd_gossip_roster(&mvd);
	assert_int_equal(placed, MOST - 1);
	assert_true(mvd.mesh->table.window > ENTRIES);
	assert_true(gossip_average_age(MOST, mvd.mesh->table.window) <
		    GOSSIP_AGE_WANTED / STEP);
	for (i = 3; i <= MOST; i++)
		hear_load(2, i, 10);
	gossip_to(mvd.mesh, 1);
	assert_int_equal(sent_count, 0); /* nothing before the first measurement */
	mvd_gossip_own(&mvd, &own);
	gossip_to(mvd.mesh, 1);
	assert_true(sent_count > 1);
	for (i = 0; i < sent_count; i++) {
		assert_int_equal(sent[i].kind, SEAL_GOSSIP);
		assert_int_equal(sent[i].to, sent[0].to);
		assert_int_equal(gossip_get_header(sent[i].bytes, sent[i].len, &header, NULL),
				 0);
		assert_int_equal(header.sender, id_of(1));
		entries += header.count;
	}
	assert_int_equal(entries, mvd.mesh->table.window);
	gossip_peek_entry(sent[0].bytes + GOSSIP_HEADER, &id, &stamp);
	assert_int_equal(id, id_of(1));
	/* Few nodes: all of them, in one. */
	set_roster(8);
	mvd_gossip_roster(&mvd);
	assert_int_equal(mvd.mesh->table.window, 8);
	sent_count = 0;
	gossip_to(mvd.mesh, 1);
	assert_int_equal(sent_count, 1);
}

/* As many as a cluster may have, with names as long as they may be. */
static void knows_thousands(void **state)
{
	static const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	const struct sched_node *nodes;
	struct gossip_header header = { .count = 1 };
	struct sched_node said = vector(), own = vector();
	uint8_t bytes[GOSSIP_HEADER + GOSSIP_ENTRY];
	unsigned i, count;

	(void)state;
	set_roster(ALL);
	for (i = 1; i < ALL; i++)
		g_snprintf(names[i], sizeof(names[i]), "%s%08u", a, i);
	assert_int_equal(strlen(names[1]), PEER_NAME_MAX);
	mvd_gossip_roster(&mvd);
	mvd_gossip_own(&mvd, &own);
	assert_int_equal(placed, ALL - 1);
	for (i = 1; i < ALL; i++) {
		header.sender = said.id = mvd_gossip_id(names[i]);
		gossip_put_header(bytes, &header);
		gossip_put_entry(bytes + GOSSIP_HEADER, &said, 10, 1);
		mesh_take(mvd.mesh, mesh_peer(mvd.mesh, said.id), SEAL_GOSSIP, bytes,
			  sizeof(bytes));
		assert_string_equal(mvd_gossip_name(&mvd, said.id), names[i]);
		assert_string_equal(mvd_gossip_state(&mvd, names[i]), "alive");
	}
	nodes = mvd_gossip_nodes(&mvd, &count);
	assert_int_equal(count, ALL);
	assert_int_equal(nodes[0].id, id_of(1));
	assert_int_equal(mvd.mesh->swim.alive, ALL - 1);
	gossip_to(mvd.mesh, 1);
	assert_int_equal(sent_count, (GOSSIP_WINDOW_MAX + ENTRIES - 1) / ENTRIES);
}

/* Whose load is new is alive, even if the detector has not heard of it; an old one says
 * nothing, and of the dead the detector knows better. */
static void new_loads_are_signs_of_life(void **state)
{
	(void)state;
	set_roster(5);
	mvd_gossip_roster(&mvd);
	hear_load(2, 3, 10);
	assert_string_equal(mvd_gossip_state(&mvd, "node3"), "alive");
	hear_aged_load(2, 4, 10, ALIVE_AGE + 1);
	assert_string_equal(mvd_gossip_state(&mvd, "node4"), "unseen");
	hear_news(2, 2, 5, SWIM_DEAD);
	hear_load(2, 5, 10);
	assert_string_equal(mvd_gossip_state(&mvd, "node5"), "dead");
}

static void urgent_goes_at_once(void **state)
{
	struct sched_node own = vector();
	double before;

	(void)state;
	set_roster(6);
	mvd_gossip_roster(&mvd);
	mvd_gossip_own(&mvd, &own);
	mvd_gossip_urgent(&mvd);
	assert_int_equal(sent_count, URGENT_NODES);
	/* Not a flood: the second one soon, but not at once. */
	before = mvd.mesh->next_urgent;
	mvd_gossip_urgent(&mvd);
	if (mvd.mesh->next_urgent == before) {
		assert_int_equal(sent_count, URGENT_NODES);
		assert_true(mvd.mesh->next_step <= before);
	}
}

static void a_new_name_is_another_node(void **state)
{
	struct sched_node own = vector();

	(void)state;
	mvd_gossip_own(&mvd, &own);
	g_free(mvd.node);
	mvd.node = g_strdup("other");
	set_roster(3);
	names[0][0] = '\0';
	g_strlcpy(names[0], "other", sizeof(names[0]));
	mvd_gossip_roster(&mvd);
	assert_string_equal(mvd_gossip_name(&mvd, mvd_gossip_id("other")), "other");
	assert_null(mvd_gossip_name(&mvd, id_of(1)));
	/* What was measured is of this machine, whatever its name. */
	assert_true(mvd_gossip_age(&mvd, "other") >= 0);
}

static void shows_its_counters(void **state)
{
	struct json_object *json, *value;
	const char *why;

	(void)state;
	set_roster(3);
	mvd_gossip_roster(&mvd);
	mvd.mesh->counters.verdicts[SEAL_FORGED] = 5;
	json = mvd_gossip_to_json(&mvd);
	assert_non_null(json);
	assert_true(json_object_object_get_ex(json, "forged", &value));
	assert_int_equal(json_object_get_int(value), 5);
	assert_true(json_object_object_get_ex(json, "key", &value));
	assert_int_equal(json_object_get_int(value), 1);
	json_object_put(json);
	assert_true(mvd_gossip_works(&mvd, &why));
	mvd.mesh->socket = NULL;
	assert_false(mvd_gossip_works(&mvd, &why));
	assert_non_null(strstr(why, "UDP port"));
}

/* Parts of the agent may ask before it is there, and after. */
static void without_a_mesh(void **state)
{
	struct mvd none = { 0 };
	struct sched_node own = vector();
	unsigned count = 9;
	const char *why;

	(void)state;
	mvd_gossip_own(&none, &own);
	mvd_gossip_note(&none, &own);
	mvd_gossip_urgent(&none);
	mvd_gossip_roster(&none);
	assert_null(mvd_gossip_nodes(&none, &count));
	assert_int_equal(count, 0);
	assert_null(mvd_gossip_name(&none, 1));
	assert_null(mvd_gossip_state(&none, "x"));
	assert_true(mvd_gossip_age(&none, "x") < 0);
	assert_true(mvd_gossip_silence(&none, "x") < 0);
	assert_null(mvd_gossip_to_json(&none));
	assert_true(mvd_gossip_works(&none, &why));
	mvd_gossip_stop(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(alone_it_does_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_and_numbers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(knows_what_it_hears, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hears_two_of_one_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_dead_are_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rosters_are_compared, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_speaks_for_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(large_windows_are_split, set_up, tear_down),
		cmocka_unit_test_setup_teardown(knows_thousands, set_up, tear_down),
		cmocka_unit_test_setup_teardown(new_loads_are_signs_of_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(urgent_goes_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_name_is_another_node, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shows_its_counters, set_up, tear_down),
		cmocka_unit_test(without_a_mesh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
