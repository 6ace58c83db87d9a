/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes, access, extended attributes, the text of symbolic links, statfs.
 *
 * What only reads takes the inode's place as it is: one system call by name.
 * What changes an inode does so through a descriptor that is known to be it.
 */
#include "vmm-agent/files-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static void reply_attr(fuse_req_t req, int r, const struct statx *stx)
{
	struct files *f = fuse_req_userdata(req);
	struct stat st;

	if (work_later(req, r))
		return;
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	stat_fill(f, stx, &st);
	fuse_reply_attr(req, &st, stat_trust(f->attr_timeout, stx));
}

static int stat_nodeid(struct files *f, uint64_t nodeid, struct statx *stx)
{
	struct place place;
	int r = place_get(f, nodeid, &place);

	if (r < 0)
		return r;
	r = place_stat(f, &place, stx);
	place_put(f, &place);
	return r;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = fi ? handle_get(f, ino, fi->fh) : NULL;
	struct statx stx;
	int r;

	if (handle) {
		r = stat_below(f, handle->inode, handle->fd, "",
			       AT_EMPTY_PATH, &stx);
		handle_put(f, handle);
	} else {
		r = fi ? -EBADF : stat_nodeid(f, ino, &stx);
	}
	reply_attr(req, r, &stx);
}

/* --- setattr ------------------------------------------------------------------------ */

/* The inode to change: an open handle's file, or a descriptor of the inode. */
struct target {
	struct handle *handle;
	struct place place;
	int fd;
};

static int target_get(struct files *f, fuse_ino_t ino,
		      const struct fuse_file_info *fi, struct target *t)
{
	int r;

	t->handle = NULL;
	if (fi) {
		t->handle = handle_get(f, ino, fi->fh);
		if (!t->handle)
			return -EBADF;
		t->fd = t->handle->fd;
		return 0;
	}
	r = place_get_own(f, ino, &t->place);
	if (r == 0)
		t->fd = t->place.base.fd;
	return r;
}

static void target_put(struct files *f, struct target *t)
{
	if (t->handle)
		handle_put(f, t->handle);
	else
		place_put(f, &t->place);
}

static int set_mode(const struct target *t, mode_t mode)
{
	int r;

	if (t->handle)
		r = fchmod(t->fd, mode & 07777);
	else
		r = chmod(fd_proc_path(t->fd).text, mode & 07777);
	return r < 0 ? -errno : 0;
}

static int set_owner(const struct target *t, const struct stat *attr, int valid)
{
	uid_t uid = valid & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = valid & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return fchownat(t->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_size(struct files *f, const struct target *t, off_t size,
		    bool strip)
{
	int fd = t->fd, r = 0;

	if (t->handle) {
		if (ftruncate(fd, size) < 0)
			return -errno;
		if (strip)
			cred_strip_suid(f, fd);
		return 0;
	}
	fd = fd_reopen(f, t->fd, O_WRONLY | O_NONBLOCK);
	if (fd < 0)
		return fd;
	if (ftruncate(fd, size) < 0)
		r = -errno;
	else if (strip)
		cred_strip_suid(f, fd);
	close(fd);
	return r;
}

static struct timespec time_to_set(int valid, int set, int now,
				   const struct timespec *value)
{
	if (valid & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (valid & set)
		return *value;
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_times(const struct target *t, const struct stat *attr, int valid)
{
	struct timespec times[2] = {
		time_to_set(valid, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW,
			    &attr->st_atim),
		time_to_set(valid, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW,
			    &attr->st_mtim),
	};

	/* By descriptor also for symbolic links, which have times too. */
	if (utimensat(t->fd, "", times, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static int apply(struct files *f, const struct target *t,
		 const struct stat *attr, int valid)
{
	int r = 0;

	if (valid & FUSE_SET_ATTR_MODE)
		r = set_mode(t, attr->st_mode);
	if (r == 0 && (valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
		r = set_owner(t, attr, valid);
	if (r == 0 && (valid & FUSE_SET_ATTR_SIZE))
		r = set_size(f, t, attr->st_size,
			     valid & FUSE_SET_ATTR_KILL_SUID);
	if (r == 0 && (valid & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)))
		r = set_times(t, attr, valid);
	return r;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int valid, struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct inode *inode;
	struct target t;
	struct statx stx;
	int r = target_get(f, ino, fi, &t);

	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	inode = t.handle ? t.handle->inode : t.place.inode;
	r = inode->hidden ? -EPERM : apply(f, &t, attr, valid);
	if (r == 0)
		r = stat_at(t.fd, "", AT_EMPTY_PATH, &stx);
	target_put(f, &t);
	reply_attr(req, r, &stx);
}

/* --- reading by place ---------------------------------------------------------------- */

/*
 * Calls that find an inode by a path only: "/proc/self/fd/N" for its own
 * descriptor, with the name behind it else. Calls that do not follow links must
 * do so in the first case, where the last component is always one.
 */
struct xattr_path {
	bool follow;
	char text[sizeof(struct proc_path) + NAME_MAX + 2];
};

static void xattr_path(const struct place *place, struct xattr_path *path)
{
	struct proc_path fd = fd_proc_path(place->base.fd);

	path->follow = place->flags == AT_EMPTY_PATH;
	if (path->follow)
		snprintf(path->text, sizeof(path->text), "%s", fd.text);
	else
		snprintf(path->text, sizeof(path->text), "%s/%s", fd.text,
			 place->path);
}

/* What a reader does at a place; >= 0 or -errno. */
struct reader {
	ssize_t (*read)(const struct place *place, const struct reader *how);
	const char *name;
	void *buffer;
	size_t size;
	int mask;
};

static bool not_there(ssize_t r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -EINVAL || r == -ELOOP;
}

/*
 * By name if that is how the inode is found; what fails because something else
 * has the name by now is repeated with the inode's own descriptor.
 */
static ssize_t read_place(struct files *f, uint64_t nodeid,
			  const struct reader *how)
{
	struct place place;
	ssize_t r = place_get(f, nodeid, &place);

	if (r < 0)
		return r;
	r = how->read(&place, how);
	if (not_there(r) && place.flags != AT_EMPTY_PATH) {
		int own = place_own(f, &place);

		r = own < 0 ? own : how->read(&place, how);
	}
	place_put(f, &place);
	return r;
}

static ssize_t read_link(const struct place *place, const struct reader *how)
{
	ssize_t n = readlinkat(place->base.fd, place->path, how->buffer,
			       how->size);

	return n < 0 ? -errno : n;
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct files *f = fuse_req_userdata(req);
	char target[PATH_MAX];
	struct reader how = { .read = read_link,
			      .buffer = target,
			      .size = sizeof(target) - 1 };
	ssize_t n = read_place(f, ino, &how);

	if (n < 0) {
		fuse_reply_err(req, (int)-n);
		return;
	}
	target[n] = '\0';
	fuse_reply_readlink(req, target);
}

static ssize_t read_access(const struct place *place, const struct reader *how)
{
	/* glibc before 2.39 emulates faccessat() with flags wrongly. */
	long r = syscall(SYS_faccessat2, place->base.fd, place->path,
			 how->mask, place->flags | AT_EACCESS);

	return r < 0 ? -errno : 0;
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct reader how = { .read = read_access,
			      .mask = mask & (R_OK | W_OK | X_OK) };

	fuse_reply_err(req, (int)-read_place(fuse_req_userdata(req), ino, &how));
}

static ssize_t read_xattr(const struct place *place, const struct reader *how)
{
	struct xattr_path path;
	ssize_t n;

	xattr_path(place, &path);
	n = path.follow ?
		    getxattr(path.text, how->name, how->buffer, how->size) :
		    lgetxattr(path.text, how->name, how->buffer, how->size);
	return n < 0 ? -errno : n;
}

static ssize_t read_xattr_list(const struct place *place,
			       const struct reader *how)
{
	struct xattr_path path;
	ssize_t n;

	xattr_path(place, &path);
	n = path.follow ? listxattr(path.text, how->buffer, how->size) :
			  llistxattr(path.text, how->buffer, how->size);
	return n < 0 ? -errno : n;
}

static void reply_xattr(fuse_req_t req, fuse_ino_t ino, struct reader *how,
			size_t size)
{
	ssize_t n;

	how->size = size;
	how->buffer = size ? work_payload(size) : NULL;
	if (size && !how->buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = read_place(fuse_req_userdata(req), ino, how);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else if (size)
		fuse_reply_buf(req, how->buffer, (size_t)n);
	else
		fuse_reply_xattr(req, (size_t)n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			size_t size)
{
	struct reader how = { .read = read_xattr, .name = name };

	reply_xattr(req, ino, &how, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct reader how = { .read = read_xattr_list };

	reply_xattr(req, ino, &how, size);
}

/* --- changing extended attributes ------------------------------------------------------ */

/*
 * Not through libfuse: where it expects the attribute's name depends on the
 * protocol version that it was built with.
 */
void attr_setxattr(struct files *f, struct request *rq)
{
	const struct fuse_setxattr_in *in =
		(const void *)(rq->bytes + sizeof(rq->header));
	const char *name = (const char *)in + FUSE_COMPAT_SETXATTR_IN_SIZE;
	const char *value = name + strlen(name) + 1;
	struct place place;
	int r = place_get_own(f, rq->header.nodeid, &place);

	if (r == 0) {
		if (setxattr(fd_proc_path(place.base.fd).text, name, value,
			     in->size, (int)in->flags) < 0)
			r = -errno;
		place_put(f, &place);
	}
	files_answer(f, &rq->header, -r, NULL, 0);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct files *f = fuse_req_userdata(req);
	struct place place;
	int r = place_get_own(f, ino, &place);

	if (r == 0) {
		if (removexattr(fd_proc_path(place.base.fd).text, name) < 0)
			r = -errno;
		place_put(f, &place);
	}
	fuse_reply_err(req, -r);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct files *f = fuse_req_userdata(req);
	struct statvfs st;
	struct place place;
	int r = place_get_own(f, ino, &place);

	if (r == 0) {
		if (fstatvfs(place.base.fd, &st) < 0)
			r = -errno;
		place_put(f, &place);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_statfs(req, &st);
}

void attr_operations(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->access = op_access;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->removexattr = op_removexattr;
	ops->statfs = op_statfs;
}
