/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/files/layers.h"

#include "vmm-agent/files-internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct layer {
	struct operation below;
	atomic_uint value;
};

/* They last as long as the service. */
static struct layer layers[32];
static unsigned used;

static void run_error(struct files *f, struct request *rq, void *ctx)
{
	struct layer *layer = ctx;

	files_answer(f, &rq->header, (int)layer->value, NULL, 0);
}

static void run_delay(struct files *f, struct request *rq, void *ctx)
{
	struct layer *layer = ctx;
	struct timespec t = { .tv_sec = layer->value / 1000,
			      .tv_nsec = layer->value % 1000 * 1000000 };

	nanosleep(&t, NULL);
	layer->below.run(f, rq, layer->below.ctx);
}

/* fuse_read_in, which READDIR has too, and fuse_write_in have their size at the same
 * place. */
static void run_short(struct files *f, struct request *rq, void *ctx)
{
	struct fuse_in_header *header = (void *)rq->bytes;
	struct fuse_write_in *in = (void *)(header + 1);
	struct layer *layer = ctx;

	if (in->size > layer->value) {
		if (header->opcode == FUSE_WRITE) {
			rq->len -= in->size - layer->value;
			header->len = (uint32_t)rq->len;
		}
		in->size = layer->value;
	}
	layer->below.run(f, rq, layer->below.ctx);
}

static void run_drop(struct files *f, struct request *rq, void *ctx)
{
	struct layer *layer = ctx;

	if (atomic_load(&layer->value) == 0) {
		layer->below.run(f, rq, layer->below.ctx);
		return;
	}
	atomic_fetch_sub(&layer->value, 1);
}

static const struct {
	const char *name;
	void (*run)(struct files *f, struct request *rq, void *ctx);
} kinds[] = {
	{ "error", run_error },
	{ "delay", run_delay },
	{ "short", run_short },
	{ "drop", run_drop },
};

static int find_opcode(const char *name)
{
	uint32_t i;

	for (i = 1; i < FILES_OPCODES; i++)
		if (!strcmp(files_check_name(i), name))
			return (int)i;
	return -1;
}

int layers_add(struct files *files, const char *spec, struct err *err)
{
	char kind[16], opcode[32];
	struct operation *op;
	struct layer *layer;
	unsigned value, i;
	int number;

	if (sscanf(spec, "%15[a-z]:%31[A-Z0-9_]:%u", kind, opcode, &value) != 3)
		return err_set(err, 0, "fault %s: not KIND:OPCODE:NUMBER", spec);
	number = find_opcode(opcode);
	if (number < 0)
		return err_set(err, 0, "fault %s: no such opcode", spec);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, kind))
			break;
	if (i == sizeof(kinds) / sizeof(kinds[0]))
		return err_set(err, 0, "fault %s: no such kind", spec);
	if (used == sizeof(layers) / sizeof(layers[0]))
		return err_set(err, 0, "fault %s: too many", spec);
	layer = &layers[used++];
	op = files_operation(files, (unsigned)number);
	layer->below = *op;
	atomic_init(&layer->value, value);
	*op = (struct operation){ .run = kinds[i].run, .ctx = layer };
	return 0;
}
