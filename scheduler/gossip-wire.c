/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/gossip-wire.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define MAGIC 0x736f676dul /* "mgos" */
#define VERSION 1

struct wire_header {
	uint32_t magic;
	uint8_t version;
	uint8_t reserved; /* 0 */
	uint16_t count;
	uint64_t sender;
};
static_assert(sizeof(struct wire_header) == GOSSIP_HEADER, "wire format");

struct wire_entry {
	uint64_t id;
	uint64_t stamp;
	uint32_t age;      /* ms */
	uint32_t speed;    /* 1/1000 */
	uint64_t cpu;
	uint32_t mem_total; /* 64 KiB */
	uint32_t mem_free;  /* 64 KiB */
	uint32_t qemu;
	uint16_t former[2];  /* 0; disks' rates once, which nobody needs */
	uint16_t net_rate;  /* rates: see put_rate() */
	uint16_t net_max;
	uint16_t cpus;      /* 1/16 */
	uint16_t run;       /* 1/64, at most 1023.98 */
	uint16_t others;    /* 1/64 */
	uint16_t load[SCHED_CLASSES]; /* 1/64 */
	uint16_t jobs;
	uint16_t reserved;
	uint16_t slots;
	uint16_t unused[3]; /* 0 */
	uint8_t pressure;   /* 1/255 */
	uint8_t state;      /* low 3 bits: state; high 5: flags */
};
static_assert(sizeof(struct wire_entry) == GOSSIP_ENTRY, "wire format");

#define MEM_UNIT 65536.0

static uint16_t put16(double value, double unit)
{
	return htole16((uint16_t)fmin(fmax(value / unit + 0.5, 0), 65535));
}

static uint32_t put32(double value, double unit)
{
	return htole32((uint32_t)fmin(fmax(value / unit + 0.5, 0), 4294967295.0));
}

static double get16(uint16_t value, double unit)
{
	return le16toh(value) * unit;
}

static double get32(uint32_t value, double unit)
{
	return le32toh(value) * unit;
}

/* Bytes per second from 0 to beyond 1 TB/s within 0.1 %: 2 to the power of n/1024. */
static uint16_t put_rate(double rate)
{
	return rate < 1 ? 0 : put16(log2(rate), 1.0 / 1024);
}

static double get_rate(uint16_t value)
{
	return value == 0 ? 0 : exp2(get16(value, 1.0 / 1024));
}

void gossip_put_header(uint8_t *out, const struct gossip_header *header)
{
	struct wire_header wire = {
		.magic = htole32(MAGIC),
		.version = VERSION,
		.count = htole16((uint16_t)header->count),
		.sender = htole64(header->sender),
	};

	memcpy(out, &wire, sizeof(wire));
}

int gossip_get_header(const uint8_t *bytes, size_t len, struct gossip_header *header,
		      struct err *err)
{
	struct wire_header wire;

	if (len < sizeof(wire))
		return err_set(err, 0, "gossip of %zu bytes is too short", len);
	memcpy(&wire, bytes, sizeof(wire));
	if (le32toh(wire.magic) != MAGIC)
		return err_set(err, 0, "not a gossip message");
	if (wire.version != VERSION || wire.reserved != 0)
		return err_set(err, 0, "gossip of version %u, not %u", wire.version,
			       VERSION);
	header->sender = le64toh(wire.sender);
	header->count = le16toh(wire.count);
	if (header->count == 0 || header->count > GOSSIP_WINDOW_MAX)
		return err_set(err, 0, "gossip of %u entries, not 1 to %u",
			       header->count, GOSSIP_WINDOW_MAX);
	if (len != GOSSIP_HEADER + (size_t)header->count * GOSSIP_ENTRY)
		return err_set(err, 0, "gossip of %u entries in %zu bytes",
			       header->count, len);
	return 0;
}

void gossip_put_entry(uint8_t *out, const struct sched_node *node, uint64_t stamp,
		      double age)
{
	struct wire_entry wire = {
		.id = htole64(node->id),
		.stamp = htole64(stamp),
		.age = put32(age, 1e-3),
		.speed = put32(node->speed, 1e-3),
		.cpu = htole64(node->cpu),
		.mem_total = put32(node->mem_total, MEM_UNIT),
		/* What is left over of a unit is not offered. */
		.mem_free = htole32((uint32_t)fmin(node->mem_free / MEM_UNIT,
						   4294967295.0)),
		.qemu = htole32(node->qemu),
		.net_rate = put_rate(node->net_rate),
		.net_max = put_rate(node->net_max),
		.cpus = put16(node->cpus, 1.0 / 16),
		.run = put16(node->run, 1.0 / 64),
		.others = put16(node->others, 1.0 / 64),
		.jobs = put16(node->jobs, 1),
		.reserved = put16(node->reserved, 1),
		.slots = put16(node->slots, 1),
		.pressure = (uint8_t)(fmin(fmax(node->pressure, 0), 1) * 255 + 0.5),
		.state = (uint8_t)(node->state | node->flags << 3),
	};
	unsigned i;

	for (i = 0; i < SCHED_CLASSES; i++)
		wire.load[i] = put16(node->load[i], 1.0 / 64);
	memcpy(out, &wire, sizeof(wire));
}

void gossip_peek_entry(const uint8_t *bytes, uint64_t *id, uint64_t *stamp)
{
	uint64_t first[2];

	static_assert(offsetof(struct wire_entry, stamp) == sizeof(first[0]), "order");
	memcpy(first, bytes, sizeof(first));
	*id = le64toh(first[0]);
	*stamp = le64toh(first[1]);
}

int gossip_get_entry(const uint8_t *bytes, struct sched_node *node, uint64_t *stamp,
		     double *age, struct err *err)
{
	struct wire_entry wire;
	unsigned i;

	memcpy(&wire, bytes, sizeof(wire));
	*node = (struct sched_node){
		.id = le64toh(wire.id),
		.speed = get32(wire.speed, 1e-3),
		.cpu = le64toh(wire.cpu),
		.mem_total = get32(wire.mem_total, MEM_UNIT),
		.mem_free = get32(wire.mem_free, MEM_UNIT),
		.qemu = le32toh(wire.qemu),
		.net_rate = get_rate(wire.net_rate),
		.net_max = get_rate(wire.net_max),
		.cpus = get16(wire.cpus, 1.0 / 16),
		.run = get16(wire.run, 1.0 / 64),
		.others = get16(wire.others, 1.0 / 64),
		.jobs = le16toh(wire.jobs),
		.reserved = le16toh(wire.reserved),
		.slots = le16toh(wire.slots),
		.pressure = wire.pressure / 255.0,
		.state = (enum sched_state)(wire.state & 7),
		.flags = wire.state >> 3,
	};
	for (i = 0; i < SCHED_CLASSES; i++)
		node->load[i] = get16(wire.load[i], 1.0 / 64);
	*stamp = le64toh(wire.stamp);
	*age = get32(wire.age, 1e-3);
	return sched_node_check(node, err);
}
