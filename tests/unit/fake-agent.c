/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake-agent.h"

#include "net/peer.h"
#include "vmm-agent/mvd-cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

const char *const fake_members[] = { "alpha", "beta", "gamma" };

bool peers_is_member(const struct peers *peers, const char *name)
{
	(void)peers;
	return strcmp(name, "alpha") == 0 || strcmp(name, "beta") == 0 ||
	       strcmp(name, "gamma") == 0;
}

unsigned peers_count(const struct peers *peers)
{
	(void)peers;
	return G_N_ELEMENTS(fake_members);
}

void peers_get(const struct peers *peers, unsigned index, struct peer_info *info)
{
	(void)peers;
	*info = (struct peer_info){ .name = fake_members[index], .self = !index };
}

const char *peers_self(const struct peers *peers)
{
	(void)peers;
	return fake_members[0];
}

int64_t peers_serial(const struct peers *peers)
{
	(void)peers;
	return 0;
}

void peers_newer(struct peers *peers, const char *from, int64_t serial)
{
	(void)peers;
	(void)from;
	(void)serial;
}

const char *peers_authority(const struct peers *peers)
{
	(void)peers;
	return NULL;
}

void peer_open_on(struct peers *peers, const char *node, struct json_object *body,
		  unsigned timeout_ms, int fd, struct peer_meter *meter,
		  peer_opened_fn done, void *ctx)
{
	(void)fd;
	(void)meter;
	peer_open(peers, node, body, timeout_ms, done, ctx);
}

void peer_accept(struct peer_stream *stream, int fd)
{
	(void)stream;
	(void)fd;
	fail();
}

void peer_decline(struct peer_stream *stream, const char *text)
{
	(void)stream;
	fail_msg("declined: %s", text);
}

struct peer_meter *peer_meter_new(void)
{
	return NULL;
}

struct peer_meter *peer_meter_ref(struct peer_meter *meter)
{
	return meter;
}

void peer_meter_unref(struct peer_meter *meter)
{
	(void)meter;
}

uint64_t peer_meter_sent(struct peer_meter *meter)
{
	(void)meter;
	return 0;
}

char *cluster_dir(const struct mvd *of)
{
	(void)of;
	return g_strdup("/nowhere");
}

static void on_virt_up(void *ctx, GPtrArray *domains)
{
	(void)ctx;
	(void)domains;
}

static void on_virt_down(void *ctx)
{
	(void)ctx;
}

static void on_virt_event(void *ctx, const char *uuid, enum virt_event event)
{
	(void)ctx;
	(void)uuid;
	(void)event;
}

const struct virt_handlers fake_virt_handlers = {
	.up = on_virt_up, .down = on_virt_down, .event = on_virt_event,
};
