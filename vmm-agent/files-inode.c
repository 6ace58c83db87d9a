/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inode table: two chained hash tables over the same inodes, by node id and
 * by identity. An inode that turns out to be another file (its number was used
 * again) leaves the second one only: the guest may still have it open.
 */
#include "vmm-agent/files-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_SIZE 1024

struct identity inode_identity(const struct statx *stx)
{
	struct identity id = {
		.dev = stat_dev(stx),
		.ino = stx->stx_ino,
		.type = stx->stx_mode & S_IFMT,
	};

	if (S_ISDIR(stx->stx_mode) && (stx->stx_mask & STATX_MNT_ID))
		id.mount = stx->stx_mnt_id;
	if (stx->stx_mask & STATX_BTIME)
		id.btime = (uint64_t)stx->stx_btime.tv_sec * 1000000000 +
			   stx->stx_btime.tv_nsec;
	return id;
}

static bool same_key(const struct identity *a, const struct identity *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->mount == b->mount;
}

bool inode_same(const struct identity *a, const struct identity *b)
{
	return same_key(a, b) && a->type == b->type && a->btime == b->btime;
}

static size_t hash(uint64_t x, size_t size)
{
	return (x * 0x9e3779b97f4a7c15 >> 20) & (size - 1);
}

static size_t hash_key(const struct identity *id, size_t size)
{
	return hash(id->ino ^ id->dev << 40 ^ id->mount << 20, size);
}

static void insert_id(struct table *t, struct inode *inode)
{
	struct inode **head = &t->by_id[hash(inode->nodeid, t->size)];

	inode->next_by_id = *head;
	*head = inode;
}

static void insert_key(struct table *t, struct inode *inode)
{
	struct inode **head = &t->by_key[hash_key(&inode->id, t->size)];

	inode->next_by_key = *head;
	*head = inode;
}

static void rehash(struct table *t, struct inode **old, size_t old_size)
{
	struct inode *inode, *next;
	size_t i;

	for (i = 0; i < old_size; i++)
		for (inode = old[i]; inode; inode = next) {
			next = inode->next_by_id;
			insert_id(t, inode);
			if (inode->keyed)
				insert_key(t, inode);
		}
}

/* Twice as many buckets. Without memory the chains just get longer. */
static int grow(struct table *t, size_t size)
{
	struct inode **by_id = calloc(size, sizeof(*by_id));
	struct inode **by_key = calloc(size, sizeof(*by_key));
	struct inode **old = t->by_id;
	size_t old_size = t->size;

	if (!by_id || !by_key) {
		free(by_id);
		free(by_key);
		return -ENOMEM;
	}
	free(t->by_key);
	t->by_id = by_id;
	t->by_key = by_key;
	t->size = size;
	rehash(t, old, old_size);
	free(old);
	return 0;
}

struct inode *inode_find_locked(struct files *f, uint64_t nodeid)
{
	struct inode *inode = f->table.by_id[hash(nodeid, f->table.size)];

	while (inode && inode->nodeid != nodeid)
		inode = inode->next_by_id;
	return inode;
}

struct inode *inode_find_key_locked(struct files *f, const struct identity *id)
{
	struct table *t = &f->table;
	struct inode *inode = t->by_key[hash_key(id, t->size)];

	while (inode && !same_key(&inode->id, id))
		inode = inode->next_by_key;
	return inode;
}

struct inode *inode_get(struct files *f, uint64_t nodeid)
{
	struct inode *inode;

	pthread_mutex_lock(&f->table.mutex);
	inode = inode_find_locked(f, nodeid);
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&f->table.mutex);
	return inode;
}

void inode_ref(struct files *f, struct inode *inode)
{
	pthread_mutex_lock(&f->table.mutex);
	inode->refs++;
	pthread_mutex_unlock(&f->table.mutex);
}

static void unkey(struct table *t, struct inode *inode)
{
	struct inode **p = &t->by_key[hash_key(&inode->id, t->size)];

	if (!inode->keyed)
		return;
	while (*p != inode)
		p = &(*p)->next_by_key;
	*p = inode->next_by_key;
	inode->keyed = false;
}

void inode_lru_unlink(struct inode *inode)
{
	if (!inode->lru_next)
		return;
	inode->lru_next->lru_prev = inode->lru_prev;
	inode->lru_prev->lru_next = inode->lru_next;
	inode->lru_next = inode->lru_prev = NULL;
}

static void remove_from_tables(struct table *t, struct inode *inode)
{
	struct inode **p = &t->by_id[hash(inode->nodeid, t->size)];

	while (*p != inode)
		p = &(*p)->next_by_id;
	*p = inode->next_by_id;
	unkey(t, inode);
	inode_lru_unlink(inode);
	if (inode->fd >= 0)
		t->descriptors--;
	t->count--;
}

/* A loop, not a recursion: a guest decides how deep its directories are. */
void inode_put_locked(struct files *f, struct inode *inode,
		      struct inode **dead)
{
	struct inode *parent;

	inode->refs--;
	while (inode && inode->refs == 0 && inode->nlookup == 0) {
		parent = inode->parent;
		remove_from_tables(&f->table, inode);
		inode->next_by_id = *dead;
		*dead = inode;
		if (parent)
			parent->refs--;
		inode = parent;
	}
}

void inode_free_dead(struct inode *dead)
{
	struct inode *next;

	for (; dead; dead = next) {
		next = dead->next_by_id;
		if (dead->fd >= 0)
			close(dead->fd);
		locks_free_owners(dead);
		free(dead->name);
		free(dead);
	}
}

void inode_put(struct files *f, struct inode *inode)
{
	struct inode *dead = NULL;

	pthread_mutex_lock(&f->table.mutex);
	inode_put_locked(f, inode, &dead);
	pthread_mutex_unlock(&f->table.mutex);
	inode_free_dead(dead);
}

static struct inode *inode_new(struct files *f, const struct identity *id)
{
	struct table *t = &f->table;
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	if (t->count >= t->size)
		grow(t, t->size * 2);
	inode->nodeid = t->next_nodeid++;
	inode->id = *id;
	inode->fd = -1;
	inode->keyed = true;
	insert_id(t, inode);
	insert_key(t, inode);
	t->count++;
	return inode;
}

int inode_table_init(struct files *f, const struct statx *root, int root_fd)
{
	struct table *t = &f->table;
	struct identity id = inode_identity(root);

	pthread_mutex_init(&t->mutex, NULL);
	t->lru.lru_next = t->lru.lru_prev = &t->lru;
	t->next_nodeid = FUSE_ROOT_ID;
	t->budget = fd_budget();
	if (grow(t, FIRST_SIZE) < 0)
		return -ENOMEM;
	t->root = inode_new(f, &id);
	if (!t->root)
		return -ENOMEM;
	t->root->nlookup = 1; /* for ever */
	t->root->fd = root_fd;
	t->descriptors++;
	return 0;
}

void inode_table_free(struct files *f)
{
	struct table *t = &f->table;
	struct inode *dead = NULL;
	size_t i;

	for (i = 0; i < t->size; i++)
		while (t->by_id[i]) {
			struct inode *inode = t->by_id[i];

			t->by_id[i] = inode->next_by_id;
			inode->next_by_id = dead;
			dead = inode;
		}
	inode_free_dead(dead);
	free(t->by_id);
	free(t->by_key);
	pthread_mutex_destroy(&t->mutex);
}

static bool has_name(const struct inode *inode, const struct inode *parent,
		     const char *name)
{
	return inode->parent == parent && inode->name &&
	       !strcmp(inode->name, name);
}

int inode_rename_locked(struct files *f, struct inode *inode,
			struct inode *parent, const char *name,
			struct inode **dead)
{
	struct inode *old = inode->parent;
	char *copy = NULL;

	if (parent && has_name(inode, parent, name))
		return 0;
	if (inode == f->table.root)
		return 0;
	if (parent) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
	}
	free(inode->name);
	inode->name = copy;
	inode->parent = parent;
	if (parent)
		parent->refs++;
	if (old)
		inode_put_locked(f, old, dead);
	return 0;
}

int inode_enter(struct files *f, struct inode *parent, const char *name,
		uint32_t changes, const struct statx *stx, uint64_t *nodeid)
{
	struct identity id = inode_identity(stx);
	struct inode *inode, *dead = NULL;
	struct table *t = &f->table;
	int r = 0;

	pthread_mutex_lock(&t->mutex);
	if (name && parent->changes != changes) {
		pthread_mutex_unlock(&t->mutex);
		return -EAGAIN;
	}
	inode = inode_find_key_locked(f, &id);
	if (inode && !inode_same(&inode->id, &id)) {
		unkey(t, inode);
		inode = NULL;
	}
	if (!inode) {
		inode = inode_new(f, &id);
		if (inode && name && id.type == S_IFDIR)
			inode->hidden = name_hidden(f, parent, name);
	}
	if (inode && name)
		r = inode_rename_locked(f, inode, parent, name, &dead);
	if (inode && r == 0) {
		inode->nlookup++;
		*nodeid = inode->nodeid;
	}
	pthread_mutex_unlock(&t->mutex);
	inode_free_dead(dead);
	return inode ? r : -ENOMEM;
}

void inode_forget(struct files *f, uint64_t nodeid, uint64_t nlookup)
{
	struct inode *dead = NULL, *inode;

	if (nodeid == FUSE_ROOT_ID)
		return;
	pthread_mutex_lock(&f->table.mutex);
	inode = inode_find_locked(f, nodeid);
	if (inode) {
		inode->nlookup -= nlookup < inode->nlookup ? nlookup :
							     inode->nlookup;
		inode->refs++;
		inode_put_locked(f, inode, &dead);
	}
	pthread_mutex_unlock(&f->table.mutex);
	inode_free_dead(dead);
}
