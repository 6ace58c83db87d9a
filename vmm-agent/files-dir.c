/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open directories. Entries are read from home in large pieces and handed out
 * in the small ones that the guest asks for. The offset of an entry is home's
 * own cookie (d_off), so any position the guest comes back to can be found
 * again, also when the directory changed meanwhile.
 */
#include "vmm-agent/files-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STREAM_SIZE (64 * 1024)

/* As getdents64() gives it. */
struct home_entry {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

struct dir_stream {
	pthread_mutex_t mutex;
	off_t position; /* the cookie of the next entry in the buffer */
	bool started;
	size_t at, end;
	_Alignas(8) uint8_t buffer[STREAM_SIZE];
};

void dir_stream_free(struct dir_stream *stream)
{
	if (!stream)
		return;
	pthread_mutex_destroy(&stream->mutex);
	free(stream);
}

/* The stream of a handle, made when it is first read. */
static struct dir_stream *stream_of(struct files *f, struct handle *handle)
{
	struct dir_stream *fresh, *stream;

	pthread_mutex_lock(&f->table.mutex);
	stream = handle->stream;
	pthread_mutex_unlock(&f->table.mutex);
	if (stream)
		return stream;
	fresh = malloc(sizeof(*fresh));
	if (!fresh)
		return NULL;
	pthread_mutex_init(&fresh->mutex, NULL);
	fresh->started = false;
	fresh->at = fresh->end = 0;
	pthread_mutex_lock(&f->table.mutex);
	stream = handle->stream;
	if (!stream)
		stream = handle->stream = fresh;
	pthread_mutex_unlock(&f->table.mutex);
	if (stream != fresh)
		dir_stream_free(fresh);
	return stream;
}

/* Offset 0 is a rewind: what was read before is not used again. */
static int seek_to(struct handle *handle, struct dir_stream *s, off_t offset)
{
	if (s->started && offset != 0 && offset == s->position)
		return 0;
	s->at = s->end = 0;
	if (lseek(handle->fd, offset, SEEK_SET) < 0)
		return -errno;
	s->position = offset;
	s->started = true;
	return 0;
}

/* NULL at the end or on an error, which is -errno in *r. */
static struct home_entry *next_entry(struct handle *handle,
				     struct dir_stream *s, int *r)
{
	long n;

	*r = 0;
	if (s->at == s->end) {
		n = syscall(SYS_getdents64, handle->fd, s->buffer, STREAM_SIZE);
		if (n <= 0) {
			*r = n < 0 ? -errno : 0;
			return NULL;
		}
		s->at = 0;
		s->end = (size_t)n;
	}
	return (struct home_entry *)(s->buffer + s->at);
}

static void consume(struct dir_stream *s, const struct home_entry *entry)
{
	s->position = entry->off;
	s->at += entry->len;
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* --- one entry for the guest --------------------------------------------------------- */

struct listing {
	struct files *f;
	fuse_req_t req;
	struct handle *handle;
	char *buf;
	size_t used, size;
	bool plus;
};

static void plain_attr(struct files *f, const struct handle *handle,
		       const struct home_entry *entry, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = stat_ino(f, handle->inode->id.dev, entry->ino);
	st->st_mode = (mode_t)DTTOIF(entry->type);
}

static size_t room_needed(const struct listing *l, const char *name)
{
	return l->plus ? fuse_add_direntry_plus(l->req, NULL, 0, name, NULL, 0) :
			 fuse_add_direntry(l->req, NULL, 0, name, NULL, 0);
}

/*
 * What cannot be looked up is listed all the same, without a node id: the guest
 * looks it up when it needs it, and a name never goes missing.
 */
static void look_up(struct listing *l, const struct home_entry *entry,
		    struct fuse_entry_param *e)
{
	struct base dir = { .inode = l->handle->inode, .fd = l->handle->fd };

	memset(e, 0, sizeof(*e));
	if (is_dot(entry->name)) {
		plain_attr(l->f, l->handle, entry, &e->attr);
		return;
	}
	pthread_mutex_lock(&l->f->table.mutex);
	dir.changes = dir.inode->changes;
	pthread_mutex_unlock(&l->f->table.mutex);
	if (name_enter(l->f, &dir, entry->name, e) < 0) {
		memset(e, 0, sizeof(*e));
		plain_attr(l->f, l->handle, entry, &e->attr);
	}
}

/* False when it does not fit any more. */
static bool add_entry(struct listing *l, const struct home_entry *entry)
{
	struct fuse_entry_param e;
	size_t room = l->size - l->used;
	char *at = l->buf + l->used;

	if (room_needed(l, entry->name) > room)
		return false;
	if (l->plus) {
		look_up(l, entry, &e);
		l->used += fuse_add_direntry_plus(l->req, at, room, entry->name,
						  &e, entry->off);
	} else {
		plain_attr(l->f, l->handle, entry, &e.attr);
		l->used += fuse_add_direntry(l->req, at, room, entry->name,
					     &e.attr, entry->off);
	}
	return true;
}

/* Hidden directories have "." and ".." and nothing else. */
static bool shown(const struct listing *l, const struct home_entry *entry)
{
	return !l->handle->inode->hidden || is_dot(entry->name);
}

static int fill(struct listing *l, struct dir_stream *s, off_t offset)
{
	struct home_entry *entry;
	int r = seek_to(l->handle, s, offset);

	if (r < 0)
		return r;
	while ((entry = next_entry(l->handle, s, &r))) {
		if (shown(l, entry) && !add_entry(l, entry))
			return l->used ? 0 : -EINVAL;
		consume(s, entry);
	}
	return l->used ? 0 : r;
}

static int list(struct listing *l, off_t offset)
{
	struct dir_stream *s;
	int r;

	if (!l->handle || !l->handle->directory)
		return -EBADF;
	s = stream_of(l->f, l->handle);
	l->buf = work_payload(l->size);
	if (!s || !l->buf)
		return -ENOMEM;
	pthread_mutex_lock(&s->mutex);
	r = fill(l, s, offset);
	pthread_mutex_unlock(&s->mutex);
	return r;
}

static void reply_listing(fuse_req_t req, fuse_ino_t ino, size_t size,
			  off_t offset, uint64_t fh, bool plus)
{
	struct files *f = fuse_req_userdata(req);
	struct listing l = { .f = f,
			     .req = req,
			     .handle = handle_get(f, ino, fh),
			     .size = size,
			     .plus = plus };
	int r = list(&l, offset);

	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, l.buf, l.used);
	if (l.handle)
		handle_put(f, l.handle);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
		       off_t offset, struct fuse_file_info *fi)
{
	reply_listing(req, ino, size, offset, fi->fh, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t offset, struct fuse_file_info *fi)
{
	reply_listing(req, ino, size, offset, fi->fh, true);
}

/* --- opening and closing -------------------------------------------------------------------- */

static int open_dir(struct files *f, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const int flags = O_RDONLY | O_DIRECTORY | (fi->flags & O_NOATIME);
	struct base base;
	uint64_t fh;
	int r = base_get(f, ino, &base);

	if (r < 0)
		return r;
	r = base.inode->id.type == S_IFDIR ? fd_open(f, base.fd, ".", flags, 0) :
					     -ENOTDIR;
	if (r >= 0)
		r = handle_new(f, base.inode, r, O_RDONLY, true, &fh);
	base_put(f, &base);
	fi->fh = r < 0 ? 0 : fh;
	return r;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	int r = open_dir(fuse_req_userdata(req), ino, fi);

	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_open(req, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_remove(f, ino, fi->fh);

	if (handle)
		handle_put(f, handle);
	fuse_reply_err(req, handle ? 0 : EBADF);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	int r = -EBADF;

	if (handle) {
		r = datasync ? fdatasync(handle->fd) : fsync(handle->fd);
		r = r < 0 ? -errno : 0;
		handle_put(f, handle);
	}
	fuse_reply_err(req, -r);
}

void dir_operations(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->releasedir = op_releasedir;
	ops->fsyncdir = op_fsyncdir;
}
