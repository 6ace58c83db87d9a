/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Discovery, with a bus of the test's own and, in place of the Avahi daemon, an
 * object on it that answers as that one does, and worse.
 */
#include "vmm-agent/mvd-avahi.h"

#include <gio/gio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_S 20

static const char interfaces[] =
	"<node><interface name='org.freedesktop.Avahi.Server'>"
	"<method name='GetState'><arg type='i' direction='out'/></method>"
	"<method name='EntryGroupNew'><arg type='o' direction='out'/></method>"
	"<method name='ServiceBrowserNew'><arg type='i' direction='in'/>"
	"<arg type='i' direction='in'/><arg type='s' direction='in'/>"
	"<arg type='s' direction='in'/><arg type='u' direction='in'/>"
	"<arg type='o' direction='out'/></method>"
	"<method name='ResolveService'><arg type='i' direction='in'/>"
	"<arg type='i' direction='in'/><arg type='s' direction='in'/>"
	"<arg type='s' direction='in'/><arg type='s' direction='in'/>"
	"<arg type='i' direction='in'/><arg type='u' direction='in'/>"
	"<arg type='i' direction='out'/><arg type='i' direction='out'/>"
	"<arg type='s' direction='out'/><arg type='s' direction='out'/>"
	"<arg type='s' direction='out'/><arg type='s' direction='out'/>"
	"<arg type='i' direction='out'/><arg type='s' direction='out'/>"
	"<arg type='q' direction='out'/><arg type='aay' direction='out'/>"
	"<arg type='u' direction='out'/></method></interface>"
	"<interface name='org.freedesktop.Avahi.EntryGroup'>"
	"<method name='AddService'><arg type='i' direction='in'/>"
	"<arg type='i' direction='in'/><arg type='u' direction='in'/>"
	"<arg type='s' direction='in'/><arg type='s' direction='in'/>"
	"<arg type='s' direction='in'/><arg type='s' direction='in'/>"
	"<arg type='q' direction='in'/><arg type='aay' direction='in'/></method>"
	"<method name='Commit'/><method name='Free'/></interface>"
	"<interface name='org.freedesktop.Avahi.ServiceBrowser'>"
	"<method name='Free'/></interface></node>";

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* What the mock knows; address NULL: it cannot be resolved. */
static const struct service {
	const char *address;
	unsigned port;
	const char *texts[4];
} services[] = {
	{ "fe80::1", 7480, { "node=one", "cluster=" A64, "authority=yes" } },
	{ "10.0.0.1", 7480, { "node=one", "cluster=" A64, "authority=yes" } },
	{ "fd00::1", 7480, { "node=one", "cluster=" A64, "authority=yes" } },
	{ "10.0.0.2", 7481, { "node=two", "cluster=" B64, "authority=no" } },
	{ NULL, 0, { NULL } },
	/* what nobody of ours would say */
	{ "127.0.0.1", 7480, { "node=loop", "cluster=" A64 } },
	{ "0.0.0.0", 7480, { "node=any", "cluster=" A64 } },
	{ "not an address", 7480, { "node=bad", "cluster=" A64 } },
	{ "10.0.0.3", 0, { "node=port", "cluster=" A64 } },
	{ "10.0.0.3", 7480, { "node=../../etc", "cluster=" A64 } },
	{ "10.0.0.3", 7480, { "node=home", "cluster=" A64 } },
	{ "10.0.0.3", 7480, { "node=short", "cluster=aa" } },
	{ "10.0.0.3", 7480, { "node=upper", "cluster=A" A64 } },
	{ "10.0.0.3", 7480, { "cluster=" A64 } },
	{ "10.0.0.3", 7480, { NULL } },
};

static GTestDBus *bus;
static GDBusConnection *daemon_side;
static guint objects[3], owner;
static unsigned added, committed, freed, browsers_freed;
static char *announced;
static bool silent, refuses;
static int server_state = 2; /* running */

static GVariant *texts_of(const struct service *service)
{
	GVariantBuilder list;
	size_t i;

	g_variant_builder_init(&list, G_VARIANT_TYPE("aay"));
	for (i = 0; service->texts[i]; i++)
		g_variant_builder_add_value(&list, g_variant_new_fixed_array(
			G_VARIANT_TYPE_BYTE, service->texts[i],
			strlen(service->texts[i]), 1));
	return g_variant_builder_end(&list);
}

static void emit(const char *name, GVariant *arguments)
{
	g_dbus_connection_emit_signal(daemon_side, NULL, "/browser",
				      "org.freedesktop.Avahi.ServiceBrowser", name, arguments,
				      NULL);
}

/* As the daemon does: signals may overtake the answer. */
static void browse(GDBusMethodInvocation *invocation)
{
	size_t i;

	for (i = 0; !silent && i < G_N_ELEMENTS(services); i++) {
		g_autofree char *name = g_strdup_printf("%zu", i);

		emit("ItemNew", g_variant_new("(iisssu)", 1, 0, name, AVAHI_SERVICE, "local",
					      0u));
	}
	g_dbus_method_invocation_return_value(invocation, g_variant_new("(o)", "/browser"));
	if (!silent)
		emit("AllForNow", NULL);
}

static void resolve(GDBusMethodInvocation *invocation, GVariant *arguments)
{
	const struct service *service;
	const char *name;

	g_variant_get(arguments, "(ii&sssiu)", NULL, NULL, &name, NULL, NULL, NULL, NULL);
	service = &services[g_ascii_strtoull(name, NULL, 10)];
	if (!service->address)
		g_dbus_method_invocation_return_dbus_error(invocation,
			"org.freedesktop.Avahi.TimeoutError", "Timeout reached");
	else
		g_dbus_method_invocation_return_value(invocation, g_variant_new(
			"(iissssisq@aayu)", 1, 0, name, AVAHI_SERVICE, "local", "host.local", 0,
			service->address, (guint16)service->port, texts_of(service), 0u));
}

static void announce(GVariant *arguments)
{
	g_autofree char *text = g_variant_print(arguments, FALSE);

	added++;
	g_free(announced);
	announced = g_steal_pointer(&text);
}

static void on_call(GDBusConnection *connection, const char *sender, const char *path,
		    const char *interface, const char *method, GVariant *arguments,
		    GDBusMethodInvocation *invocation, void *ctx)
{
	(void)connection;
	(void)sender;
	(void)path;
	(void)ctx;
	if (strcmp(method, "ServiceBrowserNew") == 0 && refuses) {
		g_dbus_method_invocation_return_dbus_error(invocation,
			"org.freedesktop.Avahi.TooManyClientsError", "Too many clients");
		return;
	}
	if (strcmp(method, "ServiceBrowserNew") == 0) {
		browse(invocation);
		return;
	}
	if (strcmp(method, "GetState") == 0) {
		g_dbus_method_invocation_return_value(invocation, g_variant_new("(i)", server_state));
		return;
	}
	if (strcmp(method, "ResolveService") == 0) {
		resolve(invocation, arguments);
		return;
	}
	if (strcmp(method, "AddService") == 0)
		announce(arguments);
	else if (strcmp(method, "Commit") == 0)
		committed++;
	else if (strcmp(method, "Free") == 0)
		*(g_str_has_suffix(interface, "Browser") ? &browsers_freed : &freed) += 1;
	g_dbus_method_invocation_return_value(invocation,
		strcmp(method, "EntryGroupNew") == 0 ? g_variant_new("(o)", "/group") : NULL);
}

static void daemon_start(void)
{
	static const GDBusInterfaceVTable table = { .method_call = on_call };
	static const char *const paths[] = { "/", "/group", "/browser" };
	g_autoptr(GDBusNodeInfo) info = g_dbus_node_info_new_for_xml(interfaces, NULL);
	size_t i;

	assert_non_null(info);
	daemon_side = g_dbus_connection_new_for_address_sync(
		g_test_dbus_get_bus_address(bus),
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
		G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, NULL);
	assert_non_null(daemon_side);
	for (i = 0; i < 3; i++)
		objects[i] = g_dbus_connection_register_object(daemon_side, paths[i],
			info->interfaces[i], &table, NULL, NULL, NULL);
	owner = g_bus_own_name_on_connection(daemon_side, "org.freedesktop.Avahi",
					     G_BUS_NAME_OWNER_FLAGS_NONE, NULL, NULL, NULL,
					     NULL);
}

static void daemon_stop(void)
{
	g_bus_unown_name(owner);
	g_dbus_connection_close_sync(daemon_side, NULL, NULL);
	g_clear_object(&daemon_side);
}

static int set_up(void **state)
{
	(void)state;
	added = committed = freed = browsers_freed = 0;
	silent = refuses = false;
	return 0;
}

static gboolean on_late(void *p)
{
	*(bool *)p = true;
	return G_SOURCE_REMOVE;
}

#define WAIT_FOR(condition) do { \
	bool late_ = false; \
	guint timer_ = g_timeout_add_seconds(WAIT_S, on_late, &late_); \
	while (!(condition) && !late_) \
		g_main_context_iteration(NULL, TRUE); \
	if (!late_) \
		g_source_remove(timer_); \
	assert_true(condition); \
} while (0)

/* ---- tests ---- */

static struct avahi_node found[16];
static unsigned found_count;
static char *found_trouble;
static bool found_done;

static void on_found(void *ctx, const struct avahi_node *nodes, unsigned count,
		     const char *trouble)
{
	(void)ctx;
	assert_in_range(count, 0, 15);
	if (count)
		memcpy(found, nodes, count * sizeof(*nodes));
	found_count = count;
	g_free(found_trouble);
	found_trouble = g_strdup(trouble);
	found_done = true;
}

static void search(struct avahi *avahi)
{
	found_done = false;
	avahi_search(avahi, on_found, NULL);
	assert_false(found_done);
	WAIT_FOR(found_done);
}

static void without_a_daemon(void **state)
{
	struct avahi *avahi = avahi_new();
	const struct avahi_node own = { "one", A64, "", 7480, true };

	(void)state;
	assert_non_null(strstr(avahi_trouble(avahi), "does not run"));
	avahi_announce(avahi, &own);
	search(avahi);
	assert_int_equal(found_count, 0);
	assert_non_null(strstr(found_trouble, "does not run"));
	avahi_free(avahi);
}

static void finds_and_doubts(void **state)
{
	struct avahi *avahi = avahi_new();

	(void)state;
	daemon_start();
	WAIT_FOR(!avahi_trouble(avahi));
	search(avahi);
	assert_null(found_trouble);
	assert_int_equal(found_count, 2);
	assert_string_equal(found[0].name, "one");
	assert_string_equal(found[0].cluster, A64);
	assert_string_equal(found[0].address, "10.0.0.1"); /* the best of three */
	assert_int_equal(found[0].port, 7480);
	assert_true(found[0].authority);
	assert_string_equal(found[1].name, "two");
	assert_int_equal(found[1].port, 7481);
	assert_false(found[1].authority);
	WAIT_FOR(browsers_freed == 1);
	/* One that tells no end has one. */
	silent = true;
	search(avahi);
	assert_int_equal(found_count, 0);
	refuses = true;
	search(avahi);
	assert_non_null(strstr(found_trouble, "Too many clients"));
	avahi_free(avahi);
	daemon_stop();
}

static void search_is_given_up(void **state)
{
	struct avahi *avahi = avahi_new();
	struct avahi_search *given_up;

	(void)state;
	daemon_start();
	WAIT_FOR(!avahi_trouble(avahi));
	found_done = false;
	given_up = avahi_search(avahi, on_found, NULL);
	avahi_search_cancel(given_up);
	avahi_search(avahi, on_found, NULL); /* goes with the rest */
	avahi_free(avahi);
	while (g_main_context_iteration(NULL, FALSE))
		;
	assert_false(found_done);
	daemon_stop();
}

static void announces(void **state)
{
	struct avahi *avahi = avahi_new();
	struct avahi_node own = { "one", A64, "", 7480, true };

	(void)state;
	avahi_announce(avahi, &own); /* before there is a daemon */
	daemon_start();
	WAIT_FOR(committed == 1);
	assert_non_null(strstr(announced, "'one aaaaaaaa'"));
	assert_non_null(strstr(announced, "7480"));
	avahi_announce(avahi, &own); /* nothing new */
	own.port = 7500;
	avahi_announce(avahi, &own);
	WAIT_FOR(committed == 2 && freed == 1);
	assert_int_equal(added, 2);
	assert_non_null(strstr(announced, "7500"));
	avahi_announce(avahi, NULL);
	WAIT_FOR(freed == 2);
	avahi_announce(avahi, &own);
	WAIT_FOR(committed == 3);
	/* A daemon that is started anew is told again, when it is ready. */
	daemon_stop();
	WAIT_FOR(avahi_trouble(avahi));
	server_state = 1;
	daemon_start();
	WAIT_FOR(!avahi_trouble(avahi));
	search(avahi);
	assert_int_equal(committed, 3);
	server_state = 2;
	g_dbus_connection_emit_signal(daemon_side, NULL, "/", "org.freedesktop.Avahi.Server",
				      "StateChanged", g_variant_new("(is)", 2, ""), NULL);
	WAIT_FOR(committed == 4);
	avahi_free(avahi);
	daemon_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_a_daemon, set_up),
		cmocka_unit_test_setup(finds_and_doubts, set_up),
		cmocka_unit_test_setup(search_is_given_up, set_up),
		cmocka_unit_test_setup(announces, set_up),
	};
	g_autofree char *program = g_find_program_in_path("dbus-daemon");
	int rc;

	if (!program)
		return 77; /* there is no bus to be had */
	bus = g_test_dbus_new(G_TEST_DBUS_NONE);
	g_test_dbus_up(bus);
	g_setenv("DBUS_SYSTEM_BUS_ADDRESS", g_test_dbus_get_bus_address(bus), TRUE);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	g_free(announced);
	g_free(found_trouble);
	g_test_dbus_stop(bus);
	g_object_unref(bus);
	return rc;
}
