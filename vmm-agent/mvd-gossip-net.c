/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-gossip-private.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define BURST 64           /* datagrams read in one turn of the main loop */
#define CHALLENGE_GAP 0.5  /* s between two challenges to a peer */
#define ANSWERS_MAX 16     /* to a peer's challenges in a second */
#define RESOLVE_GAP 30.0   /* s between two attempts to find an address */
#define WAITING_S 2.0      /* what has waited longer is no news */
#define MOVED_S 30.0       /* silent for so long: is it still where it was? */
#define MOVED_CHALLENGES 3 /* not answered there: no */
#define WAITING_MAX 256    /* datagrams that wait for proofs */
#define GREETED 64         /* at once: so many answers fit into a socket's buffer */
#define SOCKET_RETRY_S 30

/* ---- peers ---- */

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

static void clear_addresses(struct mesh_peer *peer)
{
	while (peer->address_count > 0)
		g_object_unref(peer->addresses[--peer->address_count]);
	peer->next_address = 0;
}

static void drop_addresses(struct mesh_peer *peer)
{
	if (peer->resolving)
		g_cancellable_cancel(peer->resolving);
	g_clear_object(&peer->resolving);
	clear_addresses(peer);
	peer->resolve_at = 0;
}

void mesh_peer_free(void *p)
{
	struct mesh_peer *peer = p;

	drop_addresses(peer);
	g_clear_object(&peer->proven);
	g_free(peer->name);
	g_free(peer->host);
	g_free(peer);
}

void mesh_peer_place(struct mesh_peer *peer, const char *host, unsigned port)
{
	if (g_strcmp0(peer->host, host) == 0 && peer->port == port)
		return;
	g_free(peer->host);
	peer->host = g_strdup(host);
	peer->port = port;
	drop_addresses(peer);
}

/* ---- addresses ---- */

static void challenge(struct mesh_peer *peer);

static void on_address(GObject *source, GAsyncResult *result, void *p)
{
	GSocketAddressEnumerator *all = G_SOCKET_ADDRESS_ENUMERATOR(source);
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocketAddress) address =
		g_socket_address_enumerator_next_finish(all, result, &error);
	struct mesh_peer *peer = p;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return; /* perhaps there is no peer any more */
	if (address && peer->stale)
		clear_addresses(peer);
	peer->stale &= !address;
	if (address && peer->address_count < MESH_ADDRESSES) {
		peer->addresses[peer->address_count++] = g_steal_pointer(&address);
		if (peer->address_count == 1)
			challenge(peer);
		if (peer->address_count < MESH_ADDRESSES) {
			g_socket_address_enumerator_next_async(all, peer->resolving,
							       on_address, peer);
			return;
		}
	}
	g_clear_object(&peer->resolving);
}

static void resolve(struct mesh_peer *peer)
{
	double now = mvd_gossip_now();
	g_autoptr(GSocketConnectable) name = NULL;
	g_autoptr(GSocketAddressEnumerator) all = NULL;

	if (peer->resolving || now < peer->resolve_at)
		return;
	peer->stale = true;
	peer->resolve_at = now + RESOLVE_GAP;
	peer->resolving = g_cancellable_new();
	name = g_network_address_new(peer->host, (guint16)peer->port);
	all = g_socket_connectable_enumerate(name);
	g_socket_address_enumerator_next_async(all, peer->resolving, on_address, peer);
}

const char *mvd_gossip_address(struct mvd *mvd, const char *node_name)
{
	static char text[64];
	struct mesh_peer *peer = mvd->mesh ? mesh_peer(mvd->mesh, seal_id(node_name)) : NULL;
	g_autofree char *address = NULL;

	if (!peer || peer->address_count == 0)
		return NULL;
	address = g_inet_address_to_string(g_inet_socket_address_get_address(
		G_INET_SOCKET_ADDRESS(peer->addresses[0])));
	g_strlcpy(text, address, sizeof(text));
	return text;
}

/* Where to send to: where it answered, else one of its addresses in turn. */
static GSocketAddress *where(struct mesh_peer *peer)
{
	if (peer->unanswered >= MOVED_CHALLENGES &&
	    mvd_gossip_now() > peer->heard + MOVED_S)
		g_clear_object(&peer->proven);
	if (peer->proven)
		return peer->proven;
	resolve(peer);
	if (peer->address_count == 0)
		return NULL;
	return peer->addresses[peer->next_address++ % peer->address_count];
}

/* ---- sending ---- */

static void transmit(struct mesh *mesh, GSocketAddress *to, const uint8_t *bytes,
		     size_t len)
{
	if (len > 0 && to && mesh->socket &&
	    g_socket_send_to(mesh->socket, to, (const char *)bytes, len, NULL,
			     NULL) == (gssize)len)
		mesh->counters.sent++;
	else
		mesh->counters.unsent++;
}

static void challenge(struct mesh_peer *peer)
{
	struct mesh *mesh = peer->mesh;
	uint8_t bytes[SEAL_MAX];
	double now = mvd_gossip_now();
	GSocketAddress *to;

	if (now < peer->asked + CHALLENGE_GAP || !(to = where(peer)))
		return;
	peer->asked = now;
	peer->unanswered++;
	transmit(mesh, to, bytes, seal_hello(&mesh->seal, &peer->seal, true, NULL, bytes,
					     sizeof(bytes)));
}

static bool is_elsewhere(const struct mesh_peer *peer, GSocketAddress *from)
{
	GInetSocketAddress *was, *is = G_INET_SOCKET_ADDRESS(from);

	if (!peer->proven)
		return false;
	was = G_INET_SOCKET_ADDRESS(peer->proven);
	return g_inet_socket_address_get_port(was) != g_inet_socket_address_get_port(is) ||
	       !g_inet_address_equal(g_inet_socket_address_get_address(was),
				     g_inet_socket_address_get_address(is));
}

/* It goes where the challenge came from: that may be all that is known. And whoever is found
 * elsewhere than before is asked whether he is there. */
static void answer(struct mesh_peer *peer, GSocketAddress *to,
		   const struct seal_heard *heard)
{
	struct mesh *mesh = peer->mesh;
	uint8_t bytes[SEAL_MAX];
	double now = mvd_gossip_now();
	bool ask = heard->doubtful || is_elsewhere(peer, to);

	if (now > peer->answers_since + 1) {
		peer->answers_since = now;
		peer->answers = 0;
	}
	if (peer->answers++ >= ANSWERS_MAX)
		return;
	if (ask)
		peer->asked = now;
	transmit(mesh, to, bytes, seal_hello(&mesh->seal, &peer->seal, ask,
					     heard->challenge, bytes, sizeof(bytes)));
}

struct waiting {
	uint64_t to;
	double since;
	enum seal_kind kind;
	size_t len;
	uint8_t bytes[];
};

/* Those that are no news any more, from the oldest on; and it if there are too many. */
static void drop_waiting(struct mesh *mesh, double now)
{
	struct waiting *oldest;

	while ((oldest = g_queue_peek_head(&mesh->waiting)) &&
	       (now > oldest->since + WAITING_S || mesh->waiting.length >= WAITING_MAX))
		g_free(g_queue_pop_head(&mesh->waiting));
}

void mesh_waiting_clear(struct mesh *mesh)
{
	g_queue_clear_full(&mesh->waiting, g_free);
}

static void wait_for_proof(struct mesh_peer *peer, enum seal_kind kind,
			   const uint8_t *bytes, size_t len)
{
	struct waiting *waiting = g_malloc(sizeof(*waiting) + len);

	waiting->to = peer->seal.id;
	waiting->since = mvd_gossip_now();
	waiting->kind = kind;
	waiting->len = len;
	memcpy(waiting->bytes, bytes, len);
	drop_waiting(peer->mesh, waiting->since);
	g_queue_push_tail(&peer->mesh->waiting, waiting);
	challenge(peer);
}

static void send_sealed(struct mesh_peer *peer, enum seal_kind kind,
			const uint8_t *bytes, size_t len)
{
	struct mesh *mesh = peer->mesh;
	uint8_t sealed[SEAL_MAX];

	transmit(mesh, where(peer), sealed,
		 seal_write(&mesh->seal, &peer->seal, kind, bytes, len, sealed,
			    sizeof(sealed)));
}

void mesh_send(struct mesh *mesh, uint64_t to, enum seal_kind kind, const uint8_t *bytes,
	       size_t len)
{
	struct mesh_peer *peer = mesh_peer(mesh, to);

	if (!peer)
		return;
	if (peer->seal.boot == 0) {
		wait_for_proof(peer, kind, bytes, len);
		return;
	}
	send_sealed(peer, kind, bytes, len);
	if (mvd_gossip_now() > peer->heard + MOVED_S)
		challenge(peer);
}

void mesh_greet_all(struct mesh *mesh)
{
	unsigned left = g_hash_table_size(mesh->peers), wanted = GREETED;
	GHashTableIter iter;
	void *peer;

	/* Any of them, each as likely; the others hear of it from those. */
	g_hash_table_iter_init(&iter, mesh->peers);
	while (g_hash_table_iter_next(&iter, NULL, &peer))
		if (sched_random_below(&mesh->random, left--) < wanted) {
			wanted--;
			challenge(peer);
		}
}

/* ---- receiving ---- */

static void proven(struct mesh_peer *peer)
{
	GList *l, *next;

	drop_waiting(peer->mesh, mvd_gossip_now());
	for (l = peer->mesh->waiting.head; l; l = next) {
		struct waiting *waiting = l->data;

		next = l->next;
		if (waiting->to != peer->seal.id)
			continue;
		send_sealed(peer, waiting->kind, waiting->bytes, waiting->len);
		g_queue_delete_link(&peer->mesh->waiting, l);
		g_free(waiting);
	}
}

static void heard_of(struct mesh_peer *peer)
{
	peer->heard = mvd_gossip_now();
	peer->unanswered = 0;
}

static void take_hello(struct mesh_peer *peer, GSocketAddress *from, const uint8_t *bytes,
		       const uint8_t *payload, size_t len)
{
	struct seal_heard heard;

	if (seal_take_hello(&peer->seal, bytes, payload, len, &heard) < 0) {
		peer->mesh->counters.nonsense++;
		return;
	}
	if (heard.answered) {
		g_set_object(&peer->proven, from);
		heard_of(peer);
	}
	if (heard.challenges)
		answer(peer, from, &heard);
	else if (heard.doubtful)
		challenge(peer);
	if (heard.proven)
		proven(peer);
}

/* Only an answer to a challenge shows where it is: another datagram may have been held
 * back and sent on from elsewhere. */
static void take(struct mesh_peer *peer, GSocketAddress *from, enum seal_kind kind,
		 const uint8_t *bytes, const uint8_t *payload, size_t len)
{
	if (kind == SEAL_HELLO) {
		take_hello(peer, from, bytes, payload, len);
		return;
	}
	heard_of(peer);
	mesh_take(peer->mesh, peer, kind, payload, len);
}

static void receive(struct mesh *mesh, GSocketAddress *from, const uint8_t *bytes,
		    size_t len)
{
	uint8_t payload[SEAL_PAYLOAD_MAX];
	uint64_t key_number = 0, sender = seal_sender(&mesh->seal, bytes, len,
						      &key_number);
	struct mesh_peer *peer = sender ? mesh_peer(mesh, sender) : NULL;
	enum seal_verdict verdict;
	enum seal_kind kind;
	size_t used;

	verdict = seal_open(&mesh->seal, peer ? &peer->seal : NULL, bytes, len, &kind,
			    payload, &used);
	mesh->counters.verdicts[verdict]++;
	if (verdict == SEAL_GOOD || verdict == SEAL_UNPROVEN)
		mesh_life(peer, seal_boot(bytes), mvd_gossip_now());
	if (verdict == SEAL_GOOD)
		take(peer, from, kind, bytes, payload, used);
	else if (verdict == SEAL_UNPROVEN)
		challenge(peer);
	else if (verdict == SEAL_KEY_UNKNOWN)
		mesh_key_seen(mesh, peer, key_number);
}

static gboolean on_readable(GSocket *socket, GIOCondition condition, void *p)
{
	struct mesh *mesh = p;
	uint8_t bytes[2048];
	unsigned i;

	(void)condition;
	for (i = 0; i < BURST && mesh->socket == socket; i++) {
		g_autoptr(GSocketAddress) from = NULL;
		gssize len = g_socket_receive_from(socket, &from, (char *)bytes,
						   sizeof(bytes), NULL, NULL);

		if (len < 0)
			break;
		receive(mesh, from, bytes, (size_t)len);
	}
	return G_SOURCE_CONTINUE;
}

/* ---- the socket ---- */

static GSocket *open_socket(GSocketFamily family, unsigned port, GError **error)
{
	g_autoptr(GSocket) socket = g_socket_new(family, G_SOCKET_TYPE_DATAGRAM,
						 G_SOCKET_PROTOCOL_UDP, error);
	g_autoptr(GInetAddress) any = g_inet_address_new_any(family);
	g_autoptr(GSocketAddress) address = g_inet_socket_address_new(any, (guint16)port);

	if (!socket)
		return NULL;
	g_socket_set_blocking(socket, FALSE);
	if (family == G_SOCKET_FAMILY_IPV6)
		g_socket_set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0, NULL);
	return g_socket_bind(socket, address, FALSE, error) ?
		g_steal_pointer(&socket) : NULL;
}

static gboolean on_retry(void *p)
{
	struct mesh *mesh = p;
	unsigned port = mesh->port;

	mesh->retry = 0;
	mesh->port = 0;
	mesh_socket(mesh, port);
	if (mesh->socket)
		mesh_key_start(mesh);
	return G_SOURCE_REMOVE;
}

static void close_socket(struct mesh *mesh)
{
	g_clear_handle_id(&mesh->retry, g_source_remove);
	if (mesh->source)
		g_source_destroy(mesh->source);
	g_clear_pointer(&mesh->source, g_source_unref);
	if (mesh->socket)
		g_socket_close(mesh->socket, NULL);
	g_clear_object(&mesh->socket);
}

void mesh_socket(struct mesh *mesh, unsigned port)
{
	g_autoptr(GError) error = NULL;

	if (port == mesh->port)
		return;
	close_socket(mesh);
	mesh->port = port;
	if (port == 0)
		return;
	mesh->socket = open_socket(G_SOCKET_FAMILY_IPV6, port, NULL);
	if (!mesh->socket)
		mesh->socket = open_socket(G_SOCKET_FAMILY_IPV4, port, &error);
	if (!mesh->socket) {
		if (!mesh->complained)
			g_warning("cannot have UDP port %u, so this node knows nothing of "
				  "the others' load: %s", port, error->message);
		mesh->complained = true;
		mesh->retry = g_timeout_add_seconds(SOCKET_RETRY_S, on_retry, mesh);
		return;
	}
	mesh->complained = false;
	mesh->source = g_socket_create_source(mesh->socket, G_IO_IN, NULL);
	g_source_set_callback(mesh->source, G_SOURCE_FUNC(on_readable), mesh, NULL);
	g_source_attach(mesh->source, NULL);
}
