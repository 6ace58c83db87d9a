/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The door of the file service. What it lets through is read here as libfuse's
 * parser and our own operations read it; a sanitizer sees a byte too far.
 */
#include "vmm-agent/files-check.c"

#include "net/err.c"
#include "tests/fuzz/standalone.h"

#include <assert.h>
#include <stdlib.h>

static volatile uint64_t sink;

static void touch(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len--)
		sink += *p++;
}

/* A string where libfuse takes one; returns what follows it. */
static const char *touch_string(const char *s)
{
	touch(s, strlen(s) + 1);
	return s + strlen(s) + 1;
}

static void touch_entry(const char *name)
{
	assert(*name && strlen(name) <= NAME_MAX && !strchr(name, '/'));
	assert(strcmp(name, ".") && strcmp(name, ".."));
}

static void parse_names(uint32_t opcode, const uint8_t *p)
{
	const char *text = (const char *)p;

	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		touch_entry(text);
		break;
	case FUSE_SYMLINK:
		touch_entry(text);
		touch_string(touch_string(text));
		break;
	case FUSE_REMOVEXATTR:
		touch_string(text);
		break;
	case FUSE_MKNOD:
	case FUSE_CREATE:
		touch_entry(text + sizeof(struct fuse_mknod_in));
		break;
	case FUSE_MKDIR:
	case FUSE_LINK:
		touch_entry(text + sizeof(struct fuse_mkdir_in));
		break;
	case FUSE_GETXATTR:
		touch_string(text + sizeof(struct fuse_getxattr_in));
		break;
	case FUSE_RENAME:
		text += sizeof(struct fuse_rename_in);
		touch_entry(text);
		touch_entry(touch_string(text));
		break;
	case FUSE_RENAME2:
		text += sizeof(struct fuse_rename2_in);
		touch_entry(text);
		touch_entry(touch_string(text));
		break;
	}
}

static void parse_counts(uint32_t opcode, const uint8_t *p)
{
	const struct fuse_batch_forget_in *batch = (const void *)p;
	const struct fuse_write_in *write = (const void *)p;
	const struct fuse_setxattr_in *set = (const void *)p;

	switch (opcode) {
	case FUSE_BATCH_FORGET:
		touch(batch + 1, batch->count * sizeof(struct fuse_forget_one));
		break;
	case FUSE_WRITE:
		touch(write + 1, write->size);
		break;
	case FUSE_SETXATTR:
		touch(touch_string((const char *)p +
				   FUSE_COMPAT_SETXATTR_IN_SIZE),
		      set->size);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* aligned, of its exact size */
	const struct fuse_in_header *header = (const void *)copy;
	struct err err = { 0 };
	int r;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	r = files_check(copy, size, &err);
	if (r < 0)
		assert(err.text[0]);
	if (r == 0) {
		touch(copy + sizeof(*header), rule_of(header->opcode)->min_size);
		parse_names(header->opcode, copy + sizeof(*header));
		parse_counts(header->opcode, copy + sizeof(*header));
	}
	free(copy);
	return 0;
}

/* --- valid requests to begin from --------------------------------------------- */

static size_t put_tail(enum tail tail, uint32_t opcode, uint8_t *p)
{
	static const char names[] = "old-name\0new-name";
	static const uint8_t forgets[3 * sizeof(struct fuse_forget_one)] = { 5 };
	struct fuse_batch_forget_in *batch = (void *)(p - sizeof(*batch));
	struct fuse_write_in *write = (void *)(p - sizeof(*write));

	switch (tail) {
	case TAIL_NAME:
	case TAIL_XATTR:
		memcpy(p, names, 9);
		return 9;
	case TAIL_NAMES:
	case TAIL_SYMLINK:
		memcpy(p, names, sizeof(names));
		return sizeof(names);
	case TAIL_OTHER:
	case TAIL_NONE:
		break;
	}
	if (opcode == FUSE_BATCH_FORGET) {
		batch->count = 3;
		memcpy(p, forgets, sizeof(forgets));
		return sizeof(forgets);
	}
	if (opcode == FUSE_WRITE) {
		write->size = sizeof(names);
		memcpy(p, names, sizeof(names));
		return sizeof(names);
	}
	if (opcode == FUSE_SETXATTR) {
		/* "old-name", then its value of nine bytes. */
		((struct fuse_setxattr_in *)(p - 8))->size = sizeof(names) - 9;
		memcpy(p, names, sizeof(names));
		return sizeof(names);
	}
	if (opcode == FUSE_TMPFILE) {
		memcpy(p, "/", 2);
		return 2;
	}
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	uint32_t opcode = n % FILES_OPCODES;
	const struct rule *rule = rule_of(opcode);
	size_t fixed = sizeof(struct fuse_in_header) + rule->min_size;
	struct fuse_in_header header = { .opcode = opcode,
					 .unique = 2 * n + 2,
					 .nodeid = 1 + n % 5 };
	struct fuse_init_in init = { .major = 7, .minor = 38 };

	assert(size >= 512);
	memset(out, 0, 512);
	header.len = (uint32_t)(fixed +
				put_tail(rule->tail, opcode, out + fixed));
	if (opcode == FUSE_INIT)
		memcpy(out + sizeof(header), &init, rule->min_size);
	memcpy(out, &header, sizeof(header));
	/* Half of them must pass, or mutations explore nothing behind it. */
	if (n < FILES_OPCODES && rule->name && !rule->refuse)
		assert(files_check(out, header.len, NULL) == 0);
	return header.len;
}
