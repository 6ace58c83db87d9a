/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors of inodes; see "Theory of operation" in files-internal.h.
 *
 * A descriptor in use (fd_users) is in no list. When its last user is done it
 * goes to the head of the cache, from whose tail the surplus is closed. The
 * root's, and those of inodes without a name, never get there: nothing could
 * open them again. An inode that has an open handle needs none of its own.
 */
#include "vmm-agent/files-internal.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_BUDGET 4096
#define MIN_BUDGET 16
#define RESERVE 64 /* what the rest of the process may need */

/* Paths of more than PATH_MAX are opened in so many legs at most. A longer one
 * is likely a circle into which renames at home have tied the guest's names. */
#define MAX_LEGS 16
#define MAX_TRIES 3

/* Half of what the process may open; handles of the guest have the rest. */
unsigned fd_budget(void)
{
	struct rlimit limit;
	rlim_t half;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return MIN_BUDGET;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	half = limit.rlim_cur > RESERVE ? (limit.rlim_cur - RESERVE) / 2 : 0;
	if (half < MIN_BUDGET)
		return MIN_BUDGET;
	return half > MAX_BUDGET ? MAX_BUDGET : (unsigned)half;
}

struct proc_path fd_proc_path(int fd)
{
	struct proc_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

/* Take a descriptor that nobody uses away from the inode. Locked. */
static int take_fd(struct files *f, struct inode *inode)
{
	if (inode->fd < 0 || inode->fd_users || !inode->name)
		return -1;
	inode_lru_unlink(inode);
	f->table.descriptors--;
	return steal_fd(&inode->fd);
}

/* Close the descriptor unused longest; false when there is none. */
static bool shed_one(struct files *f, unsigned keep)
{
	struct table *t = &f->table;
	struct inode *inode;
	int fd = -1;

	pthread_mutex_lock(&t->mutex);
	inode = t->lru.lru_prev;
	if (t->descriptors > keep && inode != &t->lru)
		fd = take_fd(f, inode);
	pthread_mutex_unlock(&t->mutex);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool shed_all(struct files *f)
{
	bool any = false;

	while (shed_one(f, 0))
		any = true;
	return any;
}

int fd_open(struct files *f, int dirfd, const char *path, int flags,
	    mode_t mode)
{
	int fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOCTTY, mode);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && shed_all(f))
		fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOCTTY, mode);
	return fd < 0 ? -errno : fd;
}

int fd_reopen(struct files *f, int fd, int flags)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	return fd_open(f, f->proc_fd, number, flags & ~O_NOFOLLOW, 0);
}

/* --- using a descriptor ----------------------------------------------------- */

/* Use the descriptor that there is: the inode's own or a handle's. Locked. */
static bool attach(struct base *base)
{
	struct inode *inode = base->inode;

	base->handle = NULL;
	base->changes = inode->changes;
	if (inode->fd >= 0) {
		inode_lru_unlink(inode);
		inode->fd_users++;
		base->fd = inode->fd;
		return true;
	}
	if (inode->handles) {
		base->handle = inode->handles;
		handle_ref_locked(base->handle);
		base->fd = base->handle->fd;
		return true;
	}
	return false;
}

/* The last user is done: the descriptor may be closed when room is needed. */
static void unuse(struct files *f, struct inode *inode)
{
	struct inode *head = &f->table.lru;

	if (--inode->fd_users || !inode->name)
		return;
	inode->lru_next = head->lru_next;
	inode->lru_prev = head;
	head->lru_next->lru_prev = inode;
	head->lru_next = inode;
}

static bool over_budget(const struct table *t)
{
	return t->descriptors > t->budget;
}

void base_put(struct files *f, struct base *base)
{
	struct handle *last = NULL;
	struct inode *dead = NULL;
	bool shed;

	pthread_mutex_lock(&f->table.mutex);
	if (!base->handle)
		unuse(f, base->inode);
	else if (handle_unref_locked(base->handle))
		last = base->handle;
	inode_put_locked(f, base->inode, &dead);
	shed = over_budget(&f->table);
	pthread_mutex_unlock(&f->table.mutex);
	if (last)
		handle_free(f, last);
	inode_free_dead(dead);
	while (shed && shed_one(f, f->table.budget))
		;
}

/* --- opening by name ----------------------------------------------------------- */

/* The way to an inode: a path below an inode that has a descriptor. */
struct route {
	struct base from;
	size_t start; /* of the path, which is built from its end */
	char text[PATH_MAX];
};

static bool prepend(struct route *route, const char *name)
{
	size_t len = strlen(name);

	if (route->start < len + 1)
		return false;
	if (route->text[route->start])
		route->text[--route->start] = '/';
	route->start -= len;
	memcpy(route->text + route->start, name, len);
	return true;
}

/*
 * Climb until there is a descriptor. Returns 0; -ESTALE when an inode on the
 * way has neither name nor descriptor; -ENAMETOOLONG when the path is full:
 * then route->from.inode is as far as it got. Locked; takes references.
 */
static int find_route(struct inode *inode, struct route *route)
{
	int r = 0;

	route->start = sizeof(route->text) - 1;
	route->text[route->start] = '\0';
	do {
		if (!inode->name)
			return -ESTALE;
		if (!prepend(route, inode->name)) {
			r = -ENAMETOOLONG;
			break;
		}
		inode = inode->parent;
		route->from.inode = inode;
	} while (!attach(&route->from));
	route->from.inode = inode;
	inode->refs++;
	return r;
}

/* Give the inode the descriptor unless it has one by now. */
static void install(struct files *f, struct base *base, int fd)
{
	struct inode *inode = base->inode;

	pthread_mutex_lock(&f->table.mutex);
	if (inode->fd < 0) {
		inode->fd = steal_fd(&fd);
		f->table.descriptors++;
	}
	attach(base);
	pthread_mutex_unlock(&f->table.mutex);
	if (fd >= 0)
		close(fd);
}

static int open_along(struct files *f, const struct route *route,
		      struct base *base)
{
	int flags = O_PATH | O_NOFOLLOW;
	struct identity id;
	struct statx stx;
	int fd, r;

	if (base->inode->id.type == S_IFDIR)
		flags |= O_DIRECTORY; /* lets home mount what automounts */
	fd = fd_open(f, route->from.fd, route->text + route->start, flags, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return -ESTALE;
	if (fd < 0)
		return fd;
	r = stat_at(fd, "", AT_EMPTY_PATH, &stx);
	if (r == 0) {
		id = inode_identity(&stx);
		if (inode_same(&id, &base->inode->id)) {
			install(f, base, fd);
			return 0;
		}
		r = -ESTALE;
	}
	close(fd);
	return r;
}

static int open_in_legs(struct files *f, struct base *base, unsigned *legs);
static int try_open(struct files *f, struct base *base, unsigned *legs);

/*
 * The way was too long: first a descriptor for the inode half way up, which is
 * held until it was used.
 */
static int open_from_half_way(struct files *f, struct base *base,
			      struct base *half, unsigned *legs)
{
	int r = -ELOOP;

	if (*legs) {
		--*legs;
		r = open_in_legs(f, half, legs);
	}
	if (r < 0) {
		inode_put(f, half->inode);
		return r;
	}
	r = try_open(f, base, legs);
	base_put(f, half);
	return r;
}

/* One attempt; base->inode is referenced. */
static int try_open(struct files *f, struct base *base, unsigned *legs)
{
	struct route route;
	int r;

	pthread_mutex_lock(&f->table.mutex);
	r = attach(base) ? 1 : find_route(base->inode, &route);
	pthread_mutex_unlock(&f->table.mutex);
	if (r == 1)
		return 0;
	if (r == -ENAMETOOLONG)
		return open_from_half_way(f, base, &route.from, legs);
	if (r < 0)
		return r;
	r = open_along(f, &route, base);
	base_put(f, &route.from);
	return r;
}

/*
 * A failure by name is tried again: a rename under way gave the inode that it
 * moves a descriptor first.
 */
static int open_in_legs(struct files *f, struct base *base, unsigned *legs)
{
	unsigned tries = 0;
	int r;

	do
		r = try_open(f, base, legs);
	while (r == -ESTALE && ++tries < MAX_TRIES);
	return r;
}

/* A descriptor for base->inode. */
static int base_attach(struct files *f, struct base *base)
{
	unsigned legs = MAX_LEGS;
	int r;

	if (work_must_not_wait())
		return -FILES_LATER;
	r = open_in_legs(f, base, &legs);
	if (r == 0)
		stat_learn_device(f, base->inode->id.dev, base->fd);
	return r == -ELOOP ? -ESTALE : r;
}

int base_get(struct files *f, uint64_t nodeid, struct base *base)
{
	bool ready = false;
	int r;

	pthread_mutex_lock(&f->table.mutex);
	base->inode = inode_find_locked(f, nodeid);
	if (base->inode) {
		base->inode->refs++;
		ready = attach(base);
	}
	pthread_mutex_unlock(&f->table.mutex);
	if (!base->inode)
		return -ESTALE;
	if (ready)
		return 0;
	r = base_attach(f, base);
	if (r < 0)
		inode_put(f, base->inode);
	return r;
}

/* --- places ---------------------------------------------------------------------- */

/* Locked. Its own descriptor, or its name below a parent that has one. */
static bool place_find(struct place *place)
{
	struct inode *inode = place->inode;

	place->base.inode = inode;
	place->path[0] = '\0';
	place->flags = AT_EMPTY_PATH;
	if (attach(&place->base)) {
		inode->refs++;
		return true;
	}
	if (!inode->name)
		return false;
	strcpy(place->path, inode->name); /* checked: at most NAME_MAX */
	place->flags = AT_SYMLINK_NOFOLLOW;
	place->base.inode = inode->parent;
	inode->parent->refs++;
	return attach(&place->base);
}

static int place_fill(struct files *f, struct place *place)
{
	bool ready;
	int r;

	pthread_mutex_lock(&f->table.mutex);
	ready = place_find(place);
	pthread_mutex_unlock(&f->table.mutex);
	if (ready)
		return 0;
	if (!place->path[0])
		return -ESTALE;
	r = base_attach(f, &place->base);
	if (r < 0)
		inode_put(f, place->base.inode);
	return r;
}

int place_get(struct files *f, uint64_t nodeid, struct place *place)
{
	int r;

	place->inode = inode_get(f, nodeid);
	if (!place->inode)
		return -ESTALE;
	r = place_fill(f, place);
	if (r < 0)
		inode_put(f, place->inode);
	return r;
}

int place_own(struct files *f, struct place *place)
{
	struct base own = { .inode = place->inode };
	int r;

	if (place->flags == AT_EMPTY_PATH)
		return 0;
	inode_ref(f, own.inode);
	r = base_attach(f, &own);
	if (r < 0) {
		inode_put(f, own.inode);
		return r;
	}
	base_put(f, &place->base);
	place->base = own;
	place->path[0] = '\0';
	place->flags = AT_EMPTY_PATH;
	return 0;
}

int place_get_own(struct files *f, uint64_t nodeid, struct place *place)
{
	int r;

	place->inode = inode_get(f, nodeid);
	if (!place->inode)
		return -ESTALE;
	place->path[0] = '\0';
	place->flags = AT_EMPTY_PATH;
	r = base_get(f, nodeid, &place->base);
	if (r < 0)
		inode_put(f, place->inode);
	return r;
}

void place_put(struct files *f, struct place *place)
{
	base_put(f, &place->base);
	inode_put(f, place->inode);
}

static int stat_checked(struct files *f, struct place *place,
			struct statx *stx)
{
	struct identity id;
	int r = stat_below(f, place->base.inode, place->base.fd, place->path,
			   place->flags, stx);

	if (r == -ENOENT || r == -ENOTDIR)
		return -ESTALE;
	if (r < 0 || place->flags == AT_EMPTY_PATH)
		return r;
	id = inode_identity(stx);
	return inode_same(&id, &place->inode->id) ? 0 : -ESTALE;
}

int place_stat(struct files *f, struct place *place, struct statx *stx)
{
	int r = stat_checked(f, place, stx);

	if (r != -ESTALE)
		return r;
	r = place_own(f, place);
	return r < 0 ? r : stat_checked(f, place, stx);
}

/* --- names that are about to go ------------------------------------------------------- */

/* The inode that the guest knows of it, referenced. Locked. */
static struct inode *known(struct files *f, const struct statx *stx)
{
	struct identity id = inode_identity(stx);
	struct inode *inode = inode_find_key_locked(f, &id);

	if (!inode || !inode_same(&inode->id, &id))
		return NULL;
	inode->refs++;
	return inode;
}

/* Hold the inode by its own descriptor, or by `fd` if it has none. Locked. */
static void hold_by(struct files *f, struct inode *inode, int *fd)
{
	inode->fd_users++;
	inode_lru_unlink(inode);
	if (inode->fd < 0) {
		inode->fd = steal_fd(fd);
		f->table.descriptors++;
	}
}

static void hold_opened(struct files *f, const struct statx *stx, int *fd,
			bool no_descriptor, struct hold *hold)
{
	cleanup_fd int cached = -1;
	struct inode *dead = NULL;

	pthread_mutex_lock(&f->table.mutex);
	hold->inode = known(f, stx);
	if (hold->inode && no_descriptor && !hold->inode->handles) {
		cached = take_fd(f, hold->inode);
		inode_put_locked(f, hold->inode, &dead);
		hold->inode = NULL;
	} else if (hold->inode) {
		hold_by(f, hold->inode, fd);
	}
	pthread_mutex_unlock(&f->table.mutex);
	inode_free_dead(dead);
}

void hold_name(struct files *f, const struct base *dir, const char *name,
	       bool to_remove, struct hold *hold)
{
	cleanup_fd int fd = -1;
	struct statx stx;
	bool must_not;

	hold->inode = NULL;
	fd = fd_open(f, dir->fd, name, O_PATH | O_NOFOLLOW, 0);
	if (fd < 0 || stat_at(fd, "", AT_EMPTY_PATH, &stx) < 0)
		return;
	must_not = to_remove && !S_ISDIR(stx.stx_mode) &&
		   stat_renames_open_files(f, &stx, fd);
	hold_opened(f, &stx, &fd, must_not, hold);
}

void hold_end(struct files *f, struct hold *hold)
{
	struct base base = { .inode = hold->inode };

	if (hold->inode)
		base_put(f, &base);
}

static void change_name(struct files *f, struct inode *inode,
			struct inode *parent, const char *name)
{
	struct inode *dead = NULL;

	inode_rename_locked(f, inode, parent, name, &dead);
	pthread_mutex_unlock(&f->table.mutex);
	inode_free_dead(dead);
}

void hold_changed(struct files *f, struct inode *dir)
{
	pthread_mutex_lock(&f->table.mutex);
	dir->changes++;
	pthread_mutex_unlock(&f->table.mutex);
}

void hold_removed(struct files *f, struct hold *hold, struct inode *dir,
		  const char *name)
{
	struct inode *inode = hold->inode;

	pthread_mutex_lock(&f->table.mutex);
	dir->changes++;
	if (inode && inode->parent == dir && !strcmp(inode->name, name))
		change_name(f, inode, NULL, NULL);
	else
		pthread_mutex_unlock(&f->table.mutex);
}

void hold_moved(struct files *f, struct hold *hold, struct inode *dir,
		const char *name)
{
	pthread_mutex_lock(&f->table.mutex);
	dir->changes++;
	if (hold->inode)
		change_name(f, hold->inode, dir, name);
	else
		pthread_mutex_unlock(&f->table.mutex);
}

void inode_give_fd(struct files *f, struct inode *inode, int fd)
{
	pthread_mutex_lock(&f->table.mutex);
	if (inode->fd < 0) {
		inode->fd = steal_fd(&fd);
		f->table.descriptors++;
	}
	pthread_mutex_unlock(&f->table.mutex);
	if (fd >= 0)
		close(fd);
}
