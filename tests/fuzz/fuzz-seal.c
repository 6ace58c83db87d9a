/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A datagram from anybody: the envelope, and, behind a good seal, both kinds of
 * message. Half of the inputs get a true seal after they were mutated, as a member's that has gone
 * mad; those that do not get one must change nothing.
 */
#include "net/seal.c"

#include "scheduler/gossip.h"
#include "scheduler/swim-wire.h"
#include "scheduler/gossip-wire.h"

#define FUZZ_RUNS 60000
#include "tests/fuzz/standalone.h"

#include <stdlib.h>

static struct seal self, other;
static struct seal_peer other_of_self, self_of_other;
static struct gossip table;
static struct swim swim;

static void set_up(void)
{
	static struct seal_heard heard;
	struct sched_random random;
	struct swim_config config;

	if (seal_init(&self, "self", NULL) < 0 || seal_init(&other, "other", NULL) < 0)
		abort();
	seal_peer_init(&other_of_self, "other");
	seal_peer_init(&self_of_other, "self");
	self.key.number = other.key.number = 1;
	/* As after their hellos. */
	other_of_self.boot = other.boot;
	self_of_other.boot = self.boot;
	(void)heard;
	gossip_init(&table, malloc(gossip_size(8)), 8, self.id, 4, 100);
	swim_config_default(&config);
	swim_init(&swim, malloc(swim_size(8)), 8, self.id, &config, 0);
	sched_random_seed(&random, 1);
	swim_add(&swim, other.id, &random);
	swim_add(&swim, 99, &random);
}

static void take(enum seal_kind kind, const uint8_t *bytes, const uint8_t *payload,
		 size_t len)
{
	static struct swim_out out;
	struct seal_heard heard;
	static double now = 1;

	now += 0.01;
	if (kind == SEAL_HELLO) {
		seal_take_hello(&other_of_self, bytes, payload, len, &heard);
	} else if (kind == SEAL_GOSSIP) {
		gossip_read(&table, payload, len, now, NULL);
	} else {
		out.packet_count = out.change_count = 0;
		swim_receive(&swim, payload, len, now, &out, NULL);
		if (out.packet_count > SWIM_PACKETS || out.change_count > SWIM_CHANGES)
			abort();
	}
	/* The proof of who it is does not go by itself. */
	if (other_of_self.boot != other.boot)
		abort();
}

/* As it comes: only what is sealed may be good, and here nothing is. */
static void raw(const uint8_t *data, size_t size)
{
	uint8_t payload[SEAL_PAYLOAD_MAX];
	struct seal_peer before = other_of_self;
	uint64_t number;
	enum seal_kind kind;
	size_t used;

	if (seal_sender(&self, data, size, &number) != 0 &&
	    (size < SEAL_HEADER + SEAL_TAG || number == 0))
		abort();
	if (seal_open(&self, &other_of_self, data, size, &kind, payload, &used) ==
	    SEAL_GOOD)
		abort();
	if (memcmp(&before, &other_of_self, sizeof(before)) != 0)
		abort();
}

/* The first byte is the kind. */
static void sealed(const uint8_t *data, size_t size)
{
	uint8_t wire[SEAL_MAX], payload[SEAL_PAYLOAD_MAX];
	enum seal_kind kind = 1 + data[0] % (SEAL_KINDS - 1), got;
	size_t len, used;

	if (size - 1 > SEAL_PAYLOAD_MAX)
		return;
	len = seal_write(&other, &self_of_other, kind, data + 1, size - 1, wire,
			 sizeof(wire));
	if (len == 0 || seal_open(&self, &other_of_self, wire, len, &got, payload, &used) !=
			SEAL_GOOD || got != kind || used != size - 1)
		abort();
	take(kind, wire, payload, used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (self.id == 0)
		set_up();
	raw(data, size);
	if (size > 0)
		sealed(data, size);
	return 0;
}

static size_t gossip_example(uint8_t *out)
{
	struct sched_node node = {
		.id = 42, .cpus = 4, .speed = 1, .mem_total = 0x1p33, .mem_free = 0x1p32,
		.slots = 64, .qemu = 1, .cpu = 1, .state = SCHED_OPEN,
	};
	struct gossip_header header = { .sender = other.id, .count = 2 };
	static uint64_t stamp;

	gossip_put_header(out, &header);
	gossip_put_entry(out + GOSSIP_HEADER, &node, ++stamp, 1);
	node.id = 43 + stamp % 16;
	gossip_put_entry(out + GOSSIP_HEADER + GOSSIP_ENTRY, &node, stamp, 2);
	return GOSSIP_HEADER + 2 * GOSSIP_ENTRY;
}

static size_t swim_example(unsigned n, uint8_t *out)
{
	struct swim_header header = { .kind = 1 + n % (SWIM_KINDS - 1), .sender = other.id,
				      .target = self.id, .sequence = n + 1, .updates = 2 };
	struct swim_update update = { .id = 99, .accuser = other.id, .incarnation = n,
				      .state = SWIM_ALIVE + n % 3 };

	swim_put_header(out, &header);
	swim_put_update(out + SWIM_HEADER, &update);
	update.id = self.id;
	swim_put_update(out + SWIM_HEADER + SWIM_UPDATE, &update);
	return SWIM_HEADER + 2 * SWIM_UPDATE;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	if (self.id == 0)
		set_up();
	if (size < SEAL_MAX)
		return 0;
	if (n % 4 == 3) { /* a whole datagram, but of an unknown key */
		struct seal stranger = other;
		struct seal_peer to = self_of_other;

		stranger.key.bytes[0] ^= 1;
		return seal_write(&stranger, &to, SEAL_SWIM, out, 40, out, size);
	}
	out[0] = (uint8_t)(n % 3);
	if (out[0] == SEAL_HELLO - 1) {
		memset(out + 1, (int)n, HELLO);
		return 1 + HELLO;
	}
	return 1 + (out[0] == SEAL_GOSSIP - 1 ? gossip_example(out + 1) :
						swim_example(n / 4, out + 1));
}
