/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why another node is not seen. All members are asked; to those that do not answer a
 * plain connection is tried, because what fails tells who is to blame: the machine, a
 * firewall, the agent, or what the two think of each other.
 */
#include "vmm-agent/mvd-node.h"

#include "net/peer.h"
#include "vmm-agent/mvd-avahi.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-server.h"

#include <gio/gio.h>
#include <inttypes.h>
#include <string.h>

#define ASK_MS 5000
#define CONNECT_S 3
#define CLOCK_OFF_MS 60000
#define UDP_SILENT_S 15.0

/* How a plain connection went. */
enum reach { REACH_UNKNOWN, REACH_OPEN, REACH_REFUSED, REACH_SILENT, REACH_NO_ROUTE,
	     REACH_NO_NAME };

struct patient {
	struct checkup *checkup;
	char *name, *address;
	unsigned port;
	char *trouble; /* NULL: it answers */
	enum reach reach;
};

struct checkup {
	struct mvd *mvd;
	struct client *client;
	GPtrArray *patients;
	unsigned waiting;
};

static void patient_free(void *p)
{
	struct patient *patient = p;

	g_free(patient->name);
	g_free(patient->address);
	g_free(patient->trouble);
	g_free(patient);
}

/* ---- one member ---- */

static bool is_loopback(const char *text)
{
	g_autoptr(GInetAddress) address = text ? g_inet_address_new_from_string(text) : NULL;

	return address && g_inet_address_get_is_loopback(address);
}

/* It does not answer: whose fault is it? */
static const char *advice(const struct patient *patient)
{
	const char *trouble = patient->trouble;

	if (is_loopback(mvd_gossip_address(patient->checkup->mvd, patient->name)))
		return "its name leads to this node's own loopback address: mend /etc/hosts, or "
		       "remove it and let it join again with --address";
	switch (patient->reach) {
	case REACH_REFUSED:
		return "the machine answers, but nothing serves that port: start mvd there, or "
		       "let its firewall pass the port";
	case REACH_SILENT:
		return "packets vanish: it is down, or a firewall drops TCP to that port";
	case REACH_NO_ROUTE:
		return "there is no way to that address: look at the networks of both nodes, or "
		       "remove it and let it join again with --address";
	case REACH_NO_NAME:
		return "its name cannot be resolved here: mend DNS or /etc/hosts, or use addresses";
	default:
		break;
	}
	if (strstr(trouble, "another cluster"))
		return "it was made a member of another cluster since: remove it here, or let it "
		       "join again";
	if (strstr(trouble, "clock") || strstr(trouble, "expired"))
		return "set the clocks of both nodes";
	if (strstr(trouble, "version"))
		return "install the same version of Monovisor on both";
	if (strstr(trouble, "revoked") || strstr(trouble, "removed"))
		return "let it join again: mvctl cluster join";
	return "see the log of mvd on both nodes";
}

static void check_silent(struct json_object *checks, const struct patient *patient)
{
	doctor_add(checks, "node", false,
		   g_strdup_printf("%s is not reached: %s", patient->name, patient->trouble),
		   advice(patient));
}

static void check_clock(struct json_object *checks, const struct peer_info *info)
{
	int64_t ms = info->clock_ahead_ms;

	if (ms > -CLOCK_OFF_MS && ms < CLOCK_OFF_MS)
		return;
	doctor_add(checks, "clock", false,
		   g_strdup_printf("the clock of %s is %" PRId64 " seconds %s", info->name,
				   (ms < 0 ? -ms : ms) / 1000, ms < 0 ? "behind" : "ahead"),
		   "set the clocks of both nodes, best by NTP");
}

/* It answers by TCP: then its datagrams should come, too. */
static bool check_datagrams(struct json_object *checks, struct mvd *mvd,
			    const struct patient *patient)
{
	double silence = mvd_gossip_silence(mvd, patient->name);
	const char *state = mvd_gossip_state(mvd, patient->name);

	if (silence >= 0 && silence < UDP_SILENT_S)
		return true;
	/* It has just come, and nobody has had a reason to send. */
	if (g_strcmp0(state, "alive") == 0)
		return true;
	doctor_add(checks, "node", false,
		   g_strdup_printf("%s answers by TCP, but not by UDP: %s", patient->name,
				   state ? state : "not known"),
		   "let the firewalls of both nodes pass UDP at the cluster's port, too");
	return false;
}

/* Which one answers by TCP is a matter of addresses. */
static bool check_twins(struct json_object *checks, struct mvd *mvd,
			const struct patient *patient)
{
	if (!mvd_gossip_twins(mvd, patient->name))
		return false;
	doctor_add(checks, "node", false,
		   g_strdup_printf("two machines claim to be %s: one is a copy of the other's disk",
				   patient->name),
		   "switch one off, remove the node where the cluster was made (mvctl cluster "
		   "remove), and let each machine join anew, under a name of its own");
	return true;
}

/* ---- the cluster ---- */

static void check_self(struct json_object *checks, struct mvd *mvd)
{
	struct peer_info info;
	unsigned i;

	for (i = 0; i < peers_count(mvd->peers); i++) {
		peers_get(mvd->peers, i, &info);
		if (!info.self)
			check_clock(checks, &info);
		else if (is_loopback(info.address) || strcmp(info.address, "localhost") == 0)
			doctor_add(checks, "node", false,
				   g_strdup_printf("the others look for this node at %s, which is "
						   "their own address", info.address),
				   "let it join again with --address");
	}
}

static void check_own_datagrams(struct json_object *checks, struct mvd *mvd)
{
	const char *why;

	if (!mvd_gossip_works(mvd, &why))
		doctor_add(checks, "node", false, g_strdup(why),
			   "see who has the port with \"ss -lunp\", and whether the node answers where "
			   "the cluster was made");
}

static void check_discovery(struct json_object *checks, const struct mvd *mvd)
{
	const char *trouble = mvd->avahi ? avahi_trouble(mvd->avahi) : NULL;

	if (mvd->avahi)
		doctor_add(checks, "mdns", true, trouble ?
			   g_strdup_printf("%s: nodes do not find each other by themselves, and "
					   "are named or configured as seeds", trouble) :
			   g_strdup("Avahi runs: nodes on this network find each other"), "");
}

static void check_all(struct json_object *checks, struct checkup *checkup)
{
	unsigned i, well = 0, count = checkup->patients->len;

	for (i = 0; i < count; i++) {
		const struct patient *patient = checkup->patients->pdata[i];

		if (check_twins(checks, checkup->mvd, patient))
			continue;
		if (patient->trouble)
			check_silent(checks, patient);
		else
			well += check_datagrams(checks, checkup->mvd, patient);
	}
	if (well == count)
		doctor_add(checks, "cluster", true, peers_in_cluster(checkup->mvd->peers) ?
			   g_strdup_printf("this node is %s; %u other%s, and all are seen",
					   peers_self(checkup->mvd->peers), count,
					   count == 1 ? " member" : " members") :
			   g_strdup("this node is in no cluster"), "");
	check_own_datagrams(checks, checkup->mvd);
	check_self(checks, checkup->mvd);
	check_discovery(checks, checkup->mvd);
}

static void finish(struct checkup *checkup)
{
	struct json_object *event = event_new("doctor");
	struct json_object *checks = doctor_to_json(checkup->mvd);

	if (!checkup->mvd->config.session)
		check_all(checks, checkup);
	json_object_object_add(event, "checks", checks);
	client_send(checkup->client, event);
	client_unref(checkup->client);
	g_ptr_array_unref(checkup->patients);
	g_free(checkup);
}

static void one_less(struct checkup *checkup)
{
	if (--checkup->waiting == 0)
		finish(checkup);
}

/* ---- asking ---- */

static enum reach judge(const GError *error)
{
	if (error->domain == G_RESOLVER_ERROR)
		return REACH_NO_NAME;
	if (error->domain != G_IO_ERROR)
		return REACH_UNKNOWN;
	switch (error->code) {
	case G_IO_ERROR_CONNECTION_REFUSED: return REACH_REFUSED;
	case G_IO_ERROR_TIMED_OUT: return REACH_SILENT;
	case G_IO_ERROR_HOST_UNREACHABLE:
	case G_IO_ERROR_NETWORK_UNREACHABLE: return REACH_NO_ROUTE;
	default: return REACH_UNKNOWN;
	}
}

static void on_connected(GObject *source, GAsyncResult *result, void *p)
{
	struct patient *patient = p;
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocketConnection) tcp = g_socket_client_connect_finish(
		G_SOCKET_CLIENT(source), result, &error);

	patient->reach = tcp ? REACH_OPEN : judge(error);
	one_less(patient->checkup);
}

static void on_pong(void *ctx, const struct peer_reply *reply)
{
	struct patient *patient = ctx;
	g_autoptr(GSocketClient) client = NULL;
	g_autoptr(GSocketConnectable) place = NULL;

	if (reply->answer) {
		one_less(patient->checkup);
		return;
	}
	patient->trouble = g_strdup(reply->error);
	client = g_socket_client_new();
	g_socket_client_set_enable_proxy(client, FALSE);
	g_socket_client_set_timeout(client, CONNECT_S);
	place = g_network_address_new(patient->address, (guint16)patient->port);
	g_socket_client_connect_async(client, place, NULL, on_connected, patient);
}

static void ask(struct checkup *checkup, const struct peer_info *info)
{
	struct json_object *body = json_object_new_object();
	struct patient *patient = g_new0(struct patient, 1);

	patient->checkup = checkup;
	patient->name = g_strdup(info->name);
	patient->address = g_strdup(info->address);
	patient->port = info->port;
	g_ptr_array_add(checkup->patients, patient);
	checkup->waiting++;
	event_add_string(body, "op", "ping");
	peer_ask(checkup->mvd->peers, patient->name, body, ASK_MS, on_pong, patient);
}

void doctor_answer(struct mvd *mvd, struct client *client)
{
	struct checkup *checkup = g_new0(struct checkup, 1);
	struct peer_info info;
	unsigned i;

	checkup->mvd = mvd;
	checkup->client = client_ref(client);
	checkup->patients = g_ptr_array_new_with_free_func(patient_free);
	checkup->waiting = 1;
	for (i = 0; i < peers_count(mvd->peers); i++) {
		peers_get(mvd->peers, i, &info);
		if (!info.self)
			ask(checkup, &info);
	}
	one_less(checkup);
}
