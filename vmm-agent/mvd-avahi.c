/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-avahi.h"

#include <gio/gio.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#define BUS_NAME "org.freedesktop.Avahi"
#define SERVER "org.freedesktop.Avahi.Server"
#define GROUP "org.freedesktop.Avahi.EntryGroup"
#define BROWSER "org.freedesktop.Avahi.ServiceBrowser"
#define ANY (-1) /* interface, protocol */
#define STATE_RUNNING 2 /* AVAHI_SERVER_RUNNING */
#define CALL_MS 5000
#define SEARCH_MS 3000 /* others' answers come within a second */

struct avahi {
	GDBusConnection *bus; /* NULL: no daemon */
	guint watch;
	GCancellable *cancel; /* of calls about the announcement */
	guint states;         /* subscription to the daemon's changes of state */
	bool running;         /* the daemon is ready to announce */
	char *group;          /* the announcement's object */
	struct avahi_node own;
	bool announces;
	GQueue searches;
};

struct avahi_search {
	struct avahi *avahi;
	GDBusConnection *bus;
	GCancellable *cancel;
	char *browser;
	guint signals, timer;
	unsigned resolving;
	bool all; /* the browser has told all that it knows at first */
	GArray *nodes; /* of struct avahi_node */
	GArray *ranks; /* how good the address of each is */
	char *trouble;
	avahi_found_fn done;
	void *ctx;
};

/* ---- the announcement ---- */

static GVariant *text_records(const struct avahi_node *node)
{
	g_autofree char *name = g_strdup_printf("node=%s", node->name);
	g_autofree char *cluster = g_strdup_printf("cluster=%s", node->cluster);
	const char *const texts[] = { name, cluster,
				      node->authority ? "authority=yes" : "authority=no" };
	GVariantBuilder list;
	size_t i;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aay"));
	for (i = 0; i < G_N_ELEMENTS(texts); i++)
		g_variant_builder_add_value(&list, g_variant_new_fixed_array(
			G_VARIANT_TYPE_BYTE, texts[i], strlen(texts[i]), 1));
	return g_variant_builder_end(&list);
}

static void call(struct avahi *avahi, const char *object, const char *interface,
		 const char *method, GVariant *arguments, const char *type,
		 GAsyncReadyCallback done)
{
	g_dbus_connection_call(avahi->bus, BUS_NAME, object, interface, method, arguments,
			       type ? G_VARIANT_TYPE(type) : NULL,
			       G_DBUS_CALL_FLAGS_NO_AUTO_START, CALL_MS, avahi->cancel,
			       done, avahi);
}

static bool failed(const char *what, const GError *error)
{
	if (!error)
		return false;
	if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		g_message("cannot announce this node on the network: %s: %s", what,
			  error->message);
	return true;
}

static void on_added(GObject *bus, GAsyncResult *result, void *p)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) answer =
		g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
	struct avahi *avahi = p;

	if (!answer) {
		failed("AddService", error);
		return;
	}
	call(avahi, avahi->group, GROUP, "Commit", NULL, NULL, NULL);
}

static void on_group(GObject *bus, GAsyncResult *result, void *p)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) answer =
		g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
	struct avahi *avahi = p;
	g_autofree char *title = NULL;

	if (failed("EntryGroupNew", error))
		return;
	g_free(avahi->group);
	g_variant_get(answer, "(o)", &avahi->group);
	/* Two clusters on a network may have nodes of the same name. */
	title = g_strdup_printf("%.40s %.8s", avahi->own.name, avahi->own.cluster);
	call(avahi, avahi->group, GROUP, "AddService",
	     g_variant_new("(iiussssq@aay)", ANY, ANY, 0u, title, AVAHI_SERVICE, "", "",
			   (guint16)avahi->own.port, text_records(&avahi->own)),
	     NULL, on_added);
}

static void withdraw(struct avahi *avahi)
{
	g_cancellable_cancel(avahi->cancel);
	g_object_unref(avahi->cancel);
	avahi->cancel = g_cancellable_new();
	if (avahi->group && avahi->bus)
		call(avahi, avahi->group, GROUP, "Free", NULL, NULL, NULL);
	g_clear_pointer(&avahi->group, g_free);
}

static void announce(struct avahi *avahi)
{
	withdraw(avahi);
	if (avahi->announces && avahi->running)
		call(avahi, "/", SERVER, "EntryGroupNew", NULL, "(o)", on_group);
}

static bool same(const struct avahi_node *a, const struct avahi_node *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->cluster, b->cluster) == 0 &&
	       a->port == b->port && a->authority == b->authority;
}

void avahi_announce(struct avahi *avahi, const struct avahi_node *node)
{
	bool change = avahi->announces != (node != NULL) ||
		      (node && !same(node, &avahi->own));

	avahi->announces = node != NULL;
	if (node)
		avahi->own = *node;
	if (change)
		announce(avahi);
}

/* ---- the daemon ---- */

/* It takes in what is to be announced before it is ready, and forgets it. */
static void set_state(struct avahi *avahi, int state)
{
	bool running = state == STATE_RUNNING;

	if (running == avahi->running)
		return;
	avahi->running = running;
	announce(avahi);
}

static void on_state(GDBusConnection *bus, const char *sender, const char *path,
		     const char *interface, const char *name, GVariant *arguments, void *p)
{
	int state;

	(void)bus;
	(void)sender;
	(void)path;
	(void)interface;
	(void)name;
	if (!g_variant_is_of_type(arguments, G_VARIANT_TYPE("(is)")))
		return;
	g_variant_get(arguments, "(is)", &state, NULL);
	set_state(p, state);
}

static void on_first_state(GObject *bus, GAsyncResult *result, void *p)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) answer =
		g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
	int state;

	if (failed("GetState", error))
		return;
	g_variant_get(answer, "(i)", &state);
	set_state(p, state);
}

static void on_appeared(GDBusConnection *bus, const char *name, const char *owner, void *p)
{
	struct avahi *avahi = p;

	(void)name;
	(void)owner;
	g_set_object(&avahi->bus, bus);
	if (!avahi->states)
		avahi->states = g_dbus_connection_signal_subscribe(bus, BUS_NAME, SERVER,
			"StateChanged", "/", NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_state, avahi,
			NULL);
	call(avahi, "/", SERVER, "GetState", NULL, "(i)", on_first_state);
}

static void forget_daemon(struct avahi *avahi)
{
	if (avahi->states)
		g_dbus_connection_signal_unsubscribe(avahi->bus, avahi->states);
	avahi->states = 0;
	avahi->running = false;
	g_clear_object(&avahi->bus);
	g_clear_pointer(&avahi->group, g_free);
}

static void on_vanished(GDBusConnection *bus, const char *name, void *p)
{
	(void)bus;
	(void)name;
	forget_daemon(p);
}

struct avahi *avahi_new(void)
{
	struct avahi *avahi = g_new0(struct avahi, 1);

	avahi->cancel = g_cancellable_new();
	g_queue_init(&avahi->searches);
	avahi->watch = g_bus_watch_name(G_BUS_TYPE_SYSTEM, BUS_NAME,
					G_BUS_NAME_WATCHER_FLAGS_NONE, on_appeared,
					on_vanished, avahi, NULL);
	return avahi;
}

void avahi_free(struct avahi *avahi)
{
	struct avahi_search *search;

	while ((search = g_queue_peek_head(&avahi->searches)))
		avahi_search_cancel(search);
	g_bus_unwatch_name(avahi->watch);
	withdraw(avahi);
	g_cancellable_cancel(avahi->cancel);
	g_object_unref(avahi->cancel);
	/* The daemon drops what it announced for a client that goes. */
	forget_daemon(avahi);
	g_free(avahi);
}

const char *avahi_trouble(const struct avahi *avahi)
{
	return avahi->bus ? NULL : "the Avahi daemon does not run here";
}

/* ---- what is found: anybody's words ---- */

static bool take_text(struct avahi_node *node, const char *text, size_t len)
{
	g_autofree char *copy = g_strndup(text, len);

	if (strlen(copy) != len)
		return false;
	if (g_str_has_prefix(copy, "node="))
		g_strlcpy(node->name, copy + 5, sizeof(node->name));
	else if (g_str_has_prefix(copy, "cluster="))
		g_strlcpy(node->cluster, copy + 8, sizeof(node->cluster));
	else if (strcmp(copy, "authority=yes") == 0)
		node->authority = true;
	return true;
}

static bool is_fingerprint(const char *text)
{
	return strlen(text) == PKI_FINGERPRINT_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == PKI_FINGERPRINT_SIZE - 1;
}

static bool take_texts(struct avahi_node *node, GVariant *texts)
{
	GVariantIter iter;
	GVariant *text;
	bool ok = true;

	g_variant_iter_init(&iter, texts);
	while ((text = g_variant_iter_next_value(&iter))) {
		gsize len;
		const char *bytes = g_variant_get_fixed_array(text, &len, 1);

		ok = ok && take_text(node, bytes, len);
		g_variant_unref(text);
	}
	return ok && roster_name_ok(node->name) && is_fingerprint(node->cluster);
}

/* 0: of no use. An address that needs no interface is better than one that does. */
static int rank_address(struct avahi_node *node, const char *text, int interface)
{
	g_autoptr(GInetAddress) address = g_inet_address_new_from_string(text);
	char name[IF_NAMESIZE];

	if (!address || g_inet_address_get_is_loopback(address) ||
	    g_inet_address_get_is_any(address) || g_inet_address_get_is_multicast(address))
		return 0;
	g_strlcpy(node->address, text, sizeof(node->address));
	if (!g_inet_address_get_is_link_local(address))
		return g_inet_address_get_family(address) == G_SOCKET_FAMILY_IPV4 ? 3 : 2;
	if (g_inet_address_get_family(address) == G_SOCKET_FAMILY_IPV4)
		return 1;
	if (interface <= 0 || !if_indextoname((unsigned)interface, name))
		return 0;
	g_snprintf(node->address, sizeof(node->address), "%s%%%s", text, name);
	return 1;
}

static void add_found(struct avahi_search *search, const struct avahi_node *node, int rank)
{
	unsigned i;

	for (i = 0; i < search->nodes->len; i++) {
		struct avahi_node *known = &g_array_index(search->nodes, struct avahi_node,
							  i);

		if (strcmp(known->name, node->name) != 0 ||
		    strcmp(known->cluster, node->cluster) != 0)
			continue;
		if (rank > g_array_index(search->ranks, int, i)) {
			*known = *node;
			g_array_index(search->ranks, int, i) = rank;
		}
		return;
	}
	if (search->nodes->len < AVAHI_MAX_FOUND) {
		g_array_append_val(search->nodes, *node);
		g_array_append_val(search->ranks, rank);
	}
}

static void take_service(struct avahi_search *search, GVariant *answer)
{
	g_autoptr(GVariant) texts = NULL;
	struct avahi_node node = { 0 };
	const char *address;
	int interface, rank;
	guint16 port;

	g_variant_get(answer, "(iissssi&sq@aayu)", &interface, NULL, NULL, NULL, NULL, NULL,
		      NULL, &address, &port, &texts, NULL);
	node.port = port;
	rank = rank_address(&node, address, interface);
	if (rank > 0 && port > 0 && take_texts(&node, texts))
		add_found(search, &node, rank);
}

/* ---- searching ---- */

static void search_free(struct avahi_search *search)
{
	g_queue_remove(&search->avahi->searches, search);
	g_cancellable_cancel(search->cancel);
	g_object_unref(search->cancel);
	g_clear_handle_id(&search->timer, g_source_remove);
	if (search->signals)
		g_dbus_connection_signal_unsubscribe(search->bus, search->signals);
	if (search->browser)
		g_dbus_connection_call(search->bus, BUS_NAME, search->browser, BROWSER,
				       "Free", NULL, NULL, G_DBUS_CALL_FLAGS_NONE, CALL_MS,
				       NULL, NULL, NULL);
	g_clear_object(&search->bus);
	g_array_unref(search->nodes);
	g_array_unref(search->ranks);
	g_free(search->browser);
	g_free(search->trouble);
	g_free(search);
}

void avahi_search_cancel(struct avahi_search *search)
{
	search_free(search);
}

static gboolean finish(void *p)
{
	struct avahi_search *search = p;

	search->timer = 0;
	search->done(search->ctx, (struct avahi_node *)(void *)search->nodes->data,
		     search->nodes->len, search->trouble);
	search_free(search);
	return G_SOURCE_REMOVE;
}

static void finish_soon(struct avahi_search *search)
{
	g_clear_handle_id(&search->timer, g_source_remove);
	search->timer = g_idle_add(finish, search);
}

static void on_resolved(GObject *bus, GAsyncResult *result, void *p)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) answer =
		g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
	struct avahi_search *search = p;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return; /* there is no search any more */
	if (answer)
		take_service(search, answer);
	if (--search->resolving == 0 && search->all)
		finish_soon(search);
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path,
		      const char *interface, const char *name, GVariant *arguments, void *p)
{
	struct avahi_search *search = p;
	const char *service, *type, *domain;
	int card, protocol;

	(void)sender;
	(void)interface;
	/* Signals may come before the answer that tells the browser's path. */
	if (search->browser && strcmp(path, search->browser) != 0)
		return;
	if (strcmp(name, "ItemNew") == 0 &&
	    g_variant_is_of_type(arguments, G_VARIANT_TYPE("(iisssu)")) &&
	    search->resolving < AVAHI_MAX_FOUND) {
		g_variant_get(arguments, "(ii&s&s&su)", &card, &protocol, &service, &type,
			      &domain, NULL);
		search->resolving++;
		g_dbus_connection_call(bus, BUS_NAME, "/", SERVER, "ResolveService",
				       g_variant_new("(iisssiu)", card, protocol, service,
						     type, domain, ANY, 0u),
				       G_VARIANT_TYPE("(iissssisqaayu)"),
				       G_DBUS_CALL_FLAGS_NONE, SEARCH_MS, search->cancel,
				       on_resolved, search);
	} else if (strcmp(name, "AllForNow") == 0) {
		search->all = true;
		if (search->resolving == 0)
			finish_soon(search);
	}
}

static void on_browser(GObject *bus, GAsyncResult *result, void *p)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) answer =
		g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
	struct avahi_search *search = p;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return;
	if (answer) {
		g_variant_get(answer, "(o)", &search->browser);
		return;
	}
	search->trouble = g_strdup(error->message);
	finish_soon(search);
}

struct avahi_search *avahi_search(struct avahi *avahi, avahi_found_fn done, void *ctx)
{
	struct avahi_search *search = g_new0(struct avahi_search, 1);

	search->avahi = avahi;
	search->done = done;
	search->ctx = ctx;
	search->cancel = g_cancellable_new();
	search->nodes = g_array_new(FALSE, FALSE, sizeof(struct avahi_node));
	search->ranks = g_array_new(FALSE, FALSE, sizeof(int));
	g_queue_push_tail(&avahi->searches, search);
	if (!avahi->bus) {
		search->trouble = g_strdup(avahi_trouble(avahi));
		finish_soon(search);
		return search;
	}
	search->bus = g_object_ref(avahi->bus);
	search->timer = g_timeout_add(SEARCH_MS, finish, search);
	search->signals = g_dbus_connection_signal_subscribe(search->bus, BUS_NAME, BROWSER,
		NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_signal, search, NULL);
	g_dbus_connection_call(search->bus, BUS_NAME, "/", SERVER, "ServiceBrowserNew",
			       g_variant_new("(iissu)", ANY, ANY, AVAHI_SERVICE, "", 0u),
			       G_VARIANT_TYPE("(o)"), G_DBUS_CALL_FLAGS_NONE, CALL_MS,
			       search->cancel, on_browser, search);
	return search;
}
