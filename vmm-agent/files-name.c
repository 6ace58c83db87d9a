/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on names: what changes a directory, and lookup.
 *
 * Each works on one component below the descriptor of its directory, so no path
 * of the guest is ever resolved at home.
 */
#include "vmm-agent/files-internal.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How often a lookup is repeated when names change under it. */
#define LOOKUP_TRIES 8

bool name_hidden(const struct files *f, const struct inode *dir,
		 const char *name)
{
	char **p;

	if (dir != f->table.root)
		return false;
	for (p = f->hidden; *p; p++)
		if (!strcmp(*p, name))
			return true;
	return false;
}

int name_enter_stat(struct files *f, struct inode *dir, uint32_t changes,
		    const char *name, const struct statx *stx,
		    struct fuse_entry_param *e)
{
	uint64_t nodeid;
	int r = inode_enter(f, dir, name, changes, stx, &nodeid);

	if (r < 0)
		return r;
	memset(e, 0, sizeof(*e));
	e->ino = nodeid;
	e->generation = 1; /* node ids are never used again */
	e->attr_timeout = stat_trust(f->attr_timeout, stx);
	e->entry_timeout = stat_trust(f->entry_timeout, stx);
	stat_fill(f, stx, &e->attr);
	return 0;
}

static uint32_t changes_of(struct files *f, struct inode *dir)
{
	uint32_t changes;

	pthread_mutex_lock(&f->table.mutex);
	changes = dir->changes;
	pthread_mutex_unlock(&f->table.mutex);
	return changes;
}

int name_enter(struct files *f, const struct base *dir, const char *name,
	       struct fuse_entry_param *e)
{
	uint32_t changes = dir->changes;
	struct statx stx;
	unsigned tries;
	int r = -EAGAIN;

	for (tries = 0; r == -EAGAIN; tries++) {
		if (tries)
			changes = changes_of(f, dir->inode);
		r = stat_below(f, dir->inode, dir->fd, name,
			       AT_SYMLINK_NOFOLLOW, &stx);
		if (r < 0)
			return r;
		/* In a directory that never rests, take what was seen. */
		if (tries > LOOKUP_TRIES)
			changes = changes_of(f, dir->inode);
		r = name_enter_stat(f, dir->inode, changes, name, &stx, e);
	}
	return r;
}

static void reply_entry(fuse_req_t req, int r, const struct fuse_entry_param *e)
{
	if (work_later(req, r))
		return;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, e);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct files *f = fuse_req_userdata(req);
	struct fuse_entry_param e;
	struct base dir;
	int r = base_get(f, parent, &dir);

	if (r == 0) {
		r = dir.inode->hidden ? -ENOENT :
					name_enter(f, &dir, name, &e);
		base_put(f, &dir);
	}
	reply_entry(req, r, &e);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	inode_forget(fuse_req_userdata(req), ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	struct files *f = fuse_req_userdata(req);
	size_t i;

	for (i = 0; i < count; i++)
		inode_forget(f, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* --- creating -------------------------------------------------------------------- */

/* A directory in which `name` may be made, changed or removed. */
static int get_dir(struct files *f, uint64_t nodeid, const char *name,
		   struct base *dir)
{
	int r = base_get(f, nodeid, dir);

	if (r < 0)
		return r;
	if (dir->inode->hidden)
		r = -EACCES;
	else if (name_hidden(f, dir->inode, name))
		r = -EBUSY; /* in the guest something is mounted there */
	if (r < 0)
		base_put(f, dir);
	return r;
}

/* What mknod(), mkdir() and symlink() need; `make` returns as they do. */
struct creation {
	const char *name, *target;
	mode_t mode;
	dev_t rdev;
	int (*make)(int dirfd, const struct creation *c);
};

static int make_node(int dirfd, const struct creation *c)
{
	return mknodat(dirfd, c->name, c->mode, c->rdev);
}

static int make_dir(int dirfd, const struct creation *c)
{
	return mkdirat(dirfd, c->name, c->mode);
}

static int make_symlink(int dirfd, const struct creation *c)
{
	return symlinkat(c->target, dirfd, c->name);
}

static int create(struct files *f, fuse_req_t req, const struct base *dir,
		  const struct creation *c, struct fuse_entry_param *e)
{
	struct creation now = *c;
	int r;

	now.mode = cred_enter(f, &work_current()->header,
			      fuse_req_ctx(req)->umask, c->mode);
	r = c->make(dir->fd, &now) < 0 ? -errno : 0;
	cred_leave(f);
	return r < 0 ? r : name_enter(f, dir, c->name, e);
}

static void reply_created(fuse_req_t req, fuse_ino_t parent,
			  const struct creation *c)
{
	struct files *f = fuse_req_userdata(req);
	struct fuse_entry_param e;
	struct base dir;
	int r = get_dir(f, parent, c->name, &dir);

	if (r == 0) {
		r = create(f, req, &dir, c, &e);
		base_put(f, &dir);
	}
	reply_entry(req, r, &e);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t rdev)
{
	reply_created(req, parent,
		      &(struct creation){ .name = name,
					  .mode = mode,
					  .rdev = rdev,
					  .make = make_node });
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode)
{
	reply_created(req, parent,
		      &(struct creation){
			      .name = name, .mode = mode, .make = make_dir });
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name)
{
	reply_created(req, parent,
		      &(struct creation){ .name = name,
					  .target = target,
					  .make = make_symlink });
}

static int link_at(struct files *f, uint64_t nodeid, const struct base *dir,
		   const char *name)
{
	struct place from;
	int r = place_get_own(f, nodeid, &from);

	if (r < 0)
		return r;
	/* linkat() of a descriptor itself wants CAP_DAC_READ_SEARCH. */
	if (linkat(AT_FDCWD, fd_proc_path(from.base.fd).text, dir->fd, name,
		   AT_SYMLINK_FOLLOW) < 0)
		r = -errno;
	place_put(f, &from);
	return r;
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
		    const char *name)
{
	struct files *f = fuse_req_userdata(req);
	struct fuse_entry_param e;
	struct base dir;
	int r = get_dir(f, parent, name, &dir);

	if (r == 0) {
		r = link_at(f, ino, &dir, name);
		if (r == 0)
			r = name_enter(f, &dir, name, &e);
		base_put(f, &dir);
	}
	reply_entry(req, r, &e);
}

/* --- creating and opening ------------------------------------------------------------ */

/* The handle and the entry for a file just made; takes `fd` over. */
static int enter_opened(struct files *f, const struct base *dir,
			const char *name, int fd, int flags,
			struct fuse_entry_param *e, struct fuse_file_info *fi)
{
	struct inode *inode;
	struct statx stx;
	int r = stat_at(fd, "", AT_EMPTY_PATH, &stx);

	if (r == 0)
		do
			r = name_enter_stat(f, dir->inode,
					    changes_of(f, dir->inode), name,
					    &stx, e);
		while (r == -EAGAIN);
	if (r < 0) {
		close(fd);
		return r;
	}
	inode = inode_get(f, e->ino);
	r = io_opened(f, inode, fd, flags, &stx, fi);
	inode_put(f, inode);
	if (r < 0)
		inode_forget(f, e->ino, 1);
	return r;
}

static int create_open(struct files *f, fuse_req_t req, const struct base *dir,
		       const char *name, mode_t mode, struct fuse_entry_param *e,
		       struct fuse_file_info *fi)
{
	int flags = io_home_flags(fi->flags) | O_CREAT | O_EXCL;
	int fd;

	mode = cred_enter(f, &work_current()->header, fuse_req_ctx(req)->umask,
			  mode);
	fd = fd_open(f, dir->fd, name, flags, mode);
	cred_leave(f);
	/*
	 * The guest saw no such file. If somebody made one meanwhile, it looks
	 * again and opens it like any other.
	 */
	if (fd == -EEXIST && !(fi->flags & O_EXCL))
		return -ESTALE;
	if (fd < 0)
		return fd;
	return enter_opened(f, dir, name, fd, fi->flags, e, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct fuse_entry_param e;
	struct base dir;
	int r = get_dir(f, parent, name, &dir);

	if (r == 0) {
		r = create_open(f, req, &dir, name, mode, &e, fi);
		base_put(f, &dir);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_create(req, &e, fi);
}

/* --- unnamed files ----------------------------------------------------------------------- */

static int open_unnamed(struct files *f, const struct base *dir,
			const struct fuse_in_header *header,
			const struct fuse_create_in *in)
{
	int flags = io_home_flags((int)in->flags) | O_TMPFILE |
		    ((int)in->flags & O_EXCL);
	mode_t mode = cred_enter(f, header, in->umask, in->mode);
	int fd = fd_open(f, dir->fd, ".", flags, mode);

	cred_leave(f);
	return fd;
}

/* A descriptor that stays, for linkat(): the file has no name to open. */
static int keep_unnamed(struct files *f, uint64_t nodeid, int fd)
{
	struct inode *inode = inode_get(f, nodeid);
	int own = fd_reopen(f, fd, O_PATH);

	if (own >= 0)
		inode_give_fd(f, inode, own);
	inode_put(f, inode);
	return own < 0 ? own : 0;
}

static void fill_attr(const struct stat *st, struct fuse_attr *attr)
{
	attr->ino = st->st_ino;
	attr->size = (uint64_t)st->st_size;
	attr->blocks = (uint64_t)st->st_blocks;
	attr->atime = (uint64_t)st->st_atim.tv_sec;
	attr->mtime = (uint64_t)st->st_mtim.tv_sec;
	attr->ctime = (uint64_t)st->st_ctim.tv_sec;
	attr->atimensec = (uint32_t)st->st_atim.tv_nsec;
	attr->mtimensec = (uint32_t)st->st_mtim.tv_nsec;
	attr->ctimensec = (uint32_t)st->st_ctim.tv_nsec;
	attr->mode = st->st_mode;
	attr->nlink = (uint32_t)st->st_nlink;
	attr->uid = st->st_uid;
	attr->gid = st->st_gid;
	attr->blksize = (uint32_t)st->st_blksize;
}

static int make_unnamed(struct files *f, const struct base *dir,
			const struct request *rq, struct fuse_entry_param *e,
			struct fuse_file_info *fi)
{
	const struct fuse_create_in *in =
		(const void *)(rq->bytes + sizeof(rq->header));
	cleanup_fd int fd = open_unnamed(f, dir, &rq->header, in);
	struct statx stx;
	struct inode *inode;
	int r;

	if (fd < 0)
		return fd;
	r = stat_at(fd, "", AT_EMPTY_PATH, &stx);
	if (r == 0)
		r = name_enter_stat(f, NULL, 0, NULL, &stx, e);
	if (r < 0)
		return r;
	r = keep_unnamed(f, e->ino, fd);
	inode = inode_get(f, e->ino);
	if (r == 0)
		r = io_opened(f, inode, steal_fd(&fd), (int)in->flags, &stx, fi);
	inode_put(f, inode);
	if (r < 0)
		inode_forget(f, e->ino, 1);
	return r;
}

void name_tmpfile(struct files *f, struct request *rq)
{
	struct fuse_entry_param e;
	struct fuse_file_info fi = { 0 };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = { 0 };
	struct base dir;
	int r = get_dir(f, rq->header.nodeid, "", &dir);

	if (r == 0) {
		r = make_unnamed(f, &dir, rq, &e, &fi);
		base_put(f, &dir);
	}
	if (r < 0) {
		files_answer(f, &rq->header, -r, NULL, 0);
		return;
	}
	out.entry.nodeid = e.ino;
	out.entry.generation = e.generation;
	out.entry.attr_valid = (uint64_t)e.attr_timeout;
	fill_attr(&e.attr, &out.entry.attr);
	out.open.fh = fi.fh;
	out.open.open_flags = fi.noflush ? FOPEN_NOFLUSH : 0;
	files_answer(f, &rq->header, 0, &out, sizeof(out));
}

/* --- removing and renaming ------------------------------------------------------------------ */

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name,
			int flags)
{
	struct files *f = fuse_req_userdata(req);
	struct hold hold;
	struct base dir;
	int r = get_dir(f, parent, name, &dir);

	if (r == 0) {
		hold_name(f, &dir, name, true, &hold);
		if (unlinkat(dir.fd, name, flags) < 0)
			r = -errno;
		else
			hold_removed(f, &hold, dir.inode, name);
		hold_end(f, &hold);
		base_put(f, &dir);
	}
	fuse_reply_err(req, -r);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, 0);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, AT_REMOVEDIR);
}

/* One side of a rename. */
struct side {
	struct base dir;
	const char *name;
	struct hold hold;
};

/* The table follows what renameat2() has done. */
static void record_rename(struct files *f, struct side *from, struct side *to,
			  unsigned flags)
{
	bool same = from->hold.inode && from->hold.inode == to->hold.inode;

	if (same) {
		/* Two links of one file: rename(2) leaves both. */
		hold_changed(f, to->dir.inode);
	} else if (flags & RENAME_EXCHANGE) {
		hold_moved(f, &to->hold, from->dir.inode, from->name);
		hold_moved(f, &from->hold, to->dir.inode, to->name);
	} else {
		hold_removed(f, &to->hold, to->dir.inode, to->name);
		hold_moved(f, &from->hold, to->dir.inode, to->name);
	}
	hold_changed(f, from->dir.inode);
}

static int rename_sides(struct files *f, struct side *from, struct side *to,
			unsigned flags)
{
	int r = 0;

	hold_name(f, &from->dir, from->name, false, &from->hold);
	if (flags & RENAME_NOREPLACE)
		to->hold.inode = NULL;
	else
		hold_name(f, &to->dir, to->name, !(flags & RENAME_EXCHANGE),
			  &to->hold);
	if (renameat2(from->dir.fd, from->name, to->dir.fd, to->name, flags) < 0)
		r = -errno;
	else
		record_rename(f, from, to, flags);
	hold_end(f, &to->hold);
	hold_end(f, &from->hold);
	return r;
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name,
		      unsigned flags)
{
	struct files *f = fuse_req_userdata(req);
	struct side from = { .name = name }, to = { .name = new_name };
	int r = get_dir(f, parent, name, &from.dir);

	if (r == 0) {
		r = get_dir(f, new_parent, new_name, &to.dir);
		if (r == 0) {
			r = rename_sides(f, &from, &to, flags);
			base_put(f, &to.dir);
		}
		base_put(f, &from.dir);
	}
	fuse_reply_err(req, -r);
}

void name_operations(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->create = op_create;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
