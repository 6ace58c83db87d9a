/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. */
#include "guest-kit/mvkit-cpio.h"

#include "net/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define CPIO_HEADER_SIZE 110
#define CPIO_ALIGN 4
#define CPIO_BLOCK 512 /* archives end on a block, as cpio(1) writes them */
#define CPIO_TRAILER "TRAILER!!!"

static struct cpio_entry *cpio_grow(struct cpio *cpio)
{
	size_t room = cpio->room ? cpio->room * 2 : 16;
	struct cpio_entry *entries;

	if (cpio->count < cpio->room)
		return &cpio->entries[cpio->count];
	entries = reallocarray(cpio->entries, room, sizeof(*entries));
	if (!entries)
		return NULL;
	cpio->entries = entries;
	cpio->room = room;
	return &cpio->entries[cpio->count];
}

int cpio_add(struct cpio *cpio, const char *name, mode_t mode, void *data,
	     size_t size, struct err *err)
{
	cleanup_free void *owned = data;
	cleanup_free char *copy = strdup(name);
	struct cpio_entry *entry = cpio_grow(cpio);

	if (!copy || !entry)
		return err_set(err, ENOMEM, "cannot add %s to the initramfs", name);
	if (size > UINT32_MAX)
		return err_set(err, EFBIG, "cannot add %s to the initramfs", name);
	*entry = (struct cpio_entry){
		.name = steal_pointer(&copy),
		.mode = mode,
		.data = steal_pointer(&owned),
		.size = size,
	};
	cpio->count++;
	return 0;
}

int cpio_add_directory(struct cpio *cpio, const char *name, struct err *err)
{
	return cpio_add(cpio, name, S_IFDIR | 0755, NULL, 0, err);
}

int cpio_add_device(struct cpio *cpio, const char *name, mode_t mode,
		    dev_t rdev, struct err *err)
{
	if (cpio_add(cpio, name, S_IFCHR | mode, NULL, 0, err) < 0)
		return -1;
	cpio->entries[cpio->count - 1].rdev = rdev;
	return 0;
}

static void put_padding(FILE *out, size_t written, size_t align)
{
	while (written++ % align)
		fputc(0, out);
}

/* Returns how many bytes the entry takes. */
static size_t put_entry(FILE *out, const struct cpio_entry *entry, unsigned ino)
{
	size_t name_size = strlen(entry->name) + 1;
	size_t head = CPIO_HEADER_SIZE + name_size;
	unsigned nlink = S_ISDIR(entry->mode) ? 2 : 1;

	/* magic, ino, mode, uid, gid, nlink, mtime, size, device, rdev, name, check */
	fprintf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		ino, (unsigned)entry->mode, 0, 0, nlink, 0, (unsigned)entry->size,
		0, 0, major(entry->rdev), minor(entry->rdev), (unsigned)name_size, 0);
	fwrite(entry->name, 1, name_size, out);
	put_padding(out, head, CPIO_ALIGN);
	if (entry->size)
		fwrite(entry->data, 1, entry->size, out);
	put_padding(out, entry->size, CPIO_ALIGN);
	head += -head % CPIO_ALIGN;
	return head + entry->size + -entry->size % CPIO_ALIGN;
}

static int compare_entries(const void *a, const void *b)
{
	const struct cpio_entry *left = a, *right = b;

	return strcmp(left->name, right->name);
}

static void put_archive(const struct cpio *cpio, FILE *out)
{
	const struct cpio_entry trailer = { .name = (char *)CPIO_TRAILER };
	size_t total = 0;

	for (size_t i = 0; i < cpio->count; i++)
		total += put_entry(out, &cpio->entries[i], (unsigned)i + 1);
	total += put_entry(out, &trailer, 0);
	put_padding(out, total, CPIO_BLOCK);
}

int cpio_pack(struct cpio *cpio, char **bytes, size_t *size, struct err *err)
{
	struct cpio_entry *entries = cpio->entries;
	bool failed;
	FILE *out;

	if (cpio->count)
		qsort(entries, cpio->count, sizeof(*entries), compare_entries);
	for (size_t i = 1; i < cpio->count; i++)
		if (!strcmp(entries[i].name, entries[i - 1].name))
			return err_set(err, 0, "cannot add %s to the initramfs twice",
				       entries[i].name);
	out = open_memstream(bytes, size);
	if (!out)
		return err_set(err, errno, "cannot make the initramfs");
	put_archive(cpio, out);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(steal_pointer(bytes));
		return err_set(err, ENOMEM, "cannot make the initramfs");
	}
	return 0;
}

void cpio_free(struct cpio *cpio)
{
	for (size_t i = 0; i < cpio->count; i++) {
		free(cpio->entries[i].name);
		free(cpio->entries[i].data);
	}
	free(cpio->entries);
	*cpio = (struct cpio){ 0 };
}
