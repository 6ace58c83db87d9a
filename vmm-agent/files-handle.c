/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's file handles: a slot number and, above it, a generation that
 * makes each handle's value its own, so a handle that was released names
 * nothing. The table owns one reference, who uses a handle has another.
 */
#include "vmm-agent/files-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_SLOTS 64

static uint32_t slot_of(uint64_t fh)
{
	return (uint32_t)fh;
}

static int grow(struct table *t)
{
	uint32_t slots = t->handle_slots ? t->handle_slots * 2 : FIRST_SLOTS;
	struct handle **bigger;
	uint32_t i;

	bigger = realloc(t->handles, slots * sizeof(struct handle *));
	if (!bigger)
		return -ENOMEM;
	for (i = t->handle_slots; i < slots; i++)
		bigger[i] = NULL;
	t->free_hint = t->handle_slots;
	t->handles = bigger;
	t->handle_slots = slots;
	return 0;
}

/* Every slot below free_hint is taken. */
static int free_slot(struct table *t, uint32_t *slot)
{
	if (t->nhandles == t->handle_slots && grow(t) < 0)
		return -ENOMEM;
	while (t->handles[t->free_hint])
		t->free_hint++;
	*slot = t->free_hint++;
	return 0;
}

static void link_inode(struct handle *handle, struct inode *inode)
{
	inode->refs++;
	handle->inode = inode;
	handle->next = inode->handles;
	handle->prevp = &inode->handles;
	if (handle->next)
		handle->next->prevp = &handle->next;
	inode->handles = handle;
}

static void unlink_inode(struct handle *handle)
{
	*handle->prevp = handle->next;
	if (handle->next)
		handle->next->prevp = handle->prevp;
	handle->prevp = NULL;
}

int handle_new(struct files *f, struct inode *inode, int fd, int flags,
	       bool directory, uint64_t *fh)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	struct table *t = &f->table;
	int r = -ENOMEM;
	uint32_t slot;

	pthread_mutex_lock(&t->mutex);
	if (handle && free_slot(t, &slot) == 0) {
		handle->fh = (uint64_t)++t->handle_generation << 32 | slot;
		handle->fd = fd;
		handle->flags = flags;
		handle->directory = directory;
		handle->refs = 1;
		link_inode(handle, inode);
		t->handles[slot] = handle;
		t->nhandles++;
		*fh = handle->fh;
		r = 0;
	}
	pthread_mutex_unlock(&t->mutex);
	if (r < 0) {
		close(fd);
		free(handle);
	}
	return r;
}

static struct handle *find(struct files *f, uint64_t nodeid, uint64_t fh)
{
	struct table *t = &f->table;
	struct handle *handle;

	if (slot_of(fh) >= t->handle_slots)
		return NULL;
	handle = t->handles[slot_of(fh)];
	if (!handle || handle->fh != fh || handle->inode->nodeid != nodeid)
		return NULL;
	return handle;
}

void handle_ref_locked(struct handle *handle)
{
	handle->refs++;
}

struct handle *handle_get(struct files *f, uint64_t nodeid, uint64_t fh)
{
	struct handle *handle;

	pthread_mutex_lock(&f->table.mutex);
	handle = find(f, nodeid, fh);
	if (handle)
		handle_ref_locked(handle);
	pthread_mutex_unlock(&f->table.mutex);
	return handle;
}

bool handle_unref_locked(struct handle *handle)
{
	return --handle->refs == 0;
}

void handle_free(struct files *f, struct handle *handle)
{
	close(handle->fd);
	dir_stream_free(handle->stream);
	inode_put(f, handle->inode);
	free(handle);
}

void handle_put(struct files *f, struct handle *handle)
{
	bool last;

	pthread_mutex_lock(&f->table.mutex);
	last = handle_unref_locked(handle);
	pthread_mutex_unlock(&f->table.mutex);
	if (last)
		handle_free(f, handle);
}

struct handle *handle_remove(struct files *f, uint64_t nodeid, uint64_t fh)
{
	struct table *t = &f->table;
	struct handle *handle;

	pthread_mutex_lock(&t->mutex);
	handle = find(f, nodeid, fh);
	if (handle) {
		unlink_inode(handle);
		t->handles[slot_of(fh)] = NULL;
		t->nhandles--;
		if (slot_of(fh) < t->free_hint)
			t->free_hint = slot_of(fh);
	}
	pthread_mutex_unlock(&t->mutex);
	return handle;
}

/* At the end: nothing uses a handle any more, and the inodes go next. */
void handle_table_free(struct files *f)
{
	struct table *t = &f->table;
	uint32_t i;

	for (i = 0; i < t->handle_slots; i++) {
		if (!t->handles[i])
			continue;
		close(t->handles[i]->fd);
		dir_stream_free(t->handles[i]->stream);
		free(t->handles[i]);
	}
	free(t->handles);
}
