/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files. Data goes to home's file before the guest is answered; the guest
 * caches what it read and drops it when attributes say that the file changed.
 */
#include "vmm-agent/files-internal.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* In the open flags when a program is being executed; not in any header. */
#define GUEST_FMODE_EXEC 0x20

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif

/*
 * Two changes within this time may leave a file with equal time stamps: file
 * systems count in ticks. A stamp that was taken sooner after the change it
 * shows is not trusted.
 */
#define TICK_NS 100000000

/* The largest read that is tried without a worker: copying it takes time too. */
#define MAX_AT_ONCE (128 * 1024)

/* One copy_file_range() at home; the answer has 32 bits. */
#define MAX_COPY ((size_t)64 * 1024 * 1024)

/*
 * Home's flags for those of the guest. O_APPEND is not among them: the guest
 * says with each write whether it appends, fcntl() may change that, and a page
 * of a shared mapping must never be appended. O_DIRECT is for the guest's own
 * cache. O_NONBLOCK keeps a FIFO that took a file's name from blocking a worker;
 * regular files do not know it.
 */
int io_home_flags(int guest_flags)
{
	const int kept = O_ACCMODE | O_DSYNC | O_SYNC | O_NOATIME;

	return (guest_flags & kept) | O_NONBLOCK;
}

/* --- keeping the guest's cache ----------------------------------------------------- */

/* Unsigned: a job sets mtime to any year it likes; it is only compared. */
static uint64_t to_ns(const struct statx_timestamp *t)
{
	return (uint64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Has at least a tick of home's clock passed since? */
static bool settled(uint64_t ctime)
{
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	return now > ctime && now - ctime > TICK_NS;
}

/* Has the file the contents that it had when this job opened it last? */
static bool unchanged(struct files *f, struct inode *inode,
		      const struct statx *stx)
{
	struct stamp now = { .mtime = to_ns(&stx->stx_mtime),
			     .ctime = to_ns(&stx->stx_ctime),
			     .size = stx->stx_size };
	struct stamp *seen = &inode->seen;
	bool same;

	now.valid = settled(now.ctime);
	pthread_mutex_lock(&f->table.mutex);
	same = seen->valid && seen->mtime == now.mtime &&
	       seen->ctime == now.ctime && seen->size == now.size;
	*seen = now;
	pthread_mutex_unlock(&f->table.mutex);
	return same;
}

/* --- opening ---------------------------------------------------------------------------- */

int io_opened(struct files *f, struct inode *inode, int fd, int guest_flags,
	      const struct statx *stx, struct fuse_file_info *fi)
{
	bool reader = (guest_flags & O_ACCMODE) == O_RDONLY;
	uint64_t fh;
	int r;

	fi->keep_cache = unchanged(f, inode, stx);
	/*
	 * Nothing to write back: close() need not wait for an answer. Locks
	 * taken through such a handle end with its RELEASE. Once a file is seen
	 * to be locked, its later opens do have their FLUSH.
	 */
	fi->noflush = reader && !atomic_load(&inode->locked_once);
	r = handle_new(f, inode, fd, guest_flags, false, &fh);
	fi->fh = fh;
	return r;
}

/*
 * By name; then the file must be the one that the guest means. -ESTALE when
 * something else has the name.
 */
static int open_named(struct files *f, const struct place *place, int flags,
		      struct statx *stx)
{
	struct identity id;
	int fd, r;

	fd = fd_open(f, place->base.fd, place->path, flags | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -ENXIO)
		return -ESTALE;
	if (fd < 0)
		return fd;
	r = stat_at(fd, "", AT_EMPTY_PATH, stx);
	if (r == 0) {
		id = inode_identity(stx);
		if (inode_same(&id, &place->inode->id))
			return fd;
		r = -ESTALE;
	}
	close(fd);
	return r;
}

static int open_own(struct files *f, const struct place *place, int flags,
		    struct statx *stx)
{
	int fd = fd_reopen(f, place->base.fd, flags), r;

	/* Somebody has a lease: only now, known to be a file, wait for it. */
	if (fd == -EWOULDBLOCK)
		fd = fd_reopen(f, place->base.fd, flags & ~O_NONBLOCK);
	if (fd < 0)
		return fd;
	r = stat_at(fd, "", AT_EMPTY_PATH, stx);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int open_place(struct files *f, struct place *place, int flags,
		      struct statx *stx)
{
	int r;

	if (place->inode->id.type != S_IFREG)
		return place->inode->id.type == S_IFDIR ? -EISDIR : -ENXIO;
	if (place->flags != AT_EMPTY_PATH) {
		r = open_named(f, place, flags, stx);
		if (r != -ESTALE && r != -EWOULDBLOCK)
			return r;
		r = place_own(f, place);
		if (r < 0)
			return r;
	}
	return open_own(f, place, flags, stx);
}

/* Only now, when it is known which file it is. */
static int truncate_opened(struct files *f, int fd, int flags, bool strip,
			   struct statx *stx)
{
	cleanup_fd int writable = -1;

	if ((flags & O_ACCMODE) == O_RDONLY) {
		writable = fd_reopen(f, fd, O_WRONLY | O_NONBLOCK);
		if (writable < 0)
			return writable;
	}
	if (ftruncate(writable < 0 ? fd : writable, 0) < 0)
		return -errno;
	if (strip)
		cred_strip_suid(f, fd);
	return stat_at(fd, "", AT_EMPTY_PATH, stx);
}

/* What the guest's kernel cannot know: home says who may execute. */
static int check_executable(int fd)
{
	long r = syscall(SYS_faccessat2, fd, "", X_OK,
			 AT_EMPTY_PATH | AT_EACCESS);

	return r < 0 ? -errno : 0;
}

static int prepare_opened(struct files *f, int fd, int flags, struct statx *stx)
{
	const struct fuse_open_in *in =
		(const void *)(work_current()->bytes +
			       sizeof(struct fuse_in_header));
	int r = 0;

	if (flags & GUEST_FMODE_EXEC)
		r = check_executable(fd);
	if (r == 0 && (flags & O_TRUNC))
		r = truncate_opened(f, fd, flags,
				    in->open_flags & FUSE_OPEN_KILL_SUIDGID,
				    stx);
	return r;
}

static int open_inode(struct files *f, struct place *place,
		      struct fuse_file_info *fi)
{
	int flags = io_home_flags(fi->flags), fd, r;
	struct statx stx;

	fd = open_place(f, place, flags, &stx);
	/* An append-only file opens for writing only so. */
	if (fd == -EPERM && (fi->flags & O_APPEND))
		fd = open_place(f, place, flags | O_APPEND, &stx);
	if (fd < 0)
		return fd;
	r = prepare_opened(f, fd, fi->flags, &stx);
	if (r < 0) {
		close(fd);
		return r;
	}
	return io_opened(f, place->inode, fd, fi->flags, &stx, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct place place;
	int r = place_get(f, ino, &place);

	if (r == 0) {
		r = open_inode(f, &place, fi);
		place_put(f, &place);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_open(req, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_remove(f, ino, fi->fh);

	if (handle)
		handle_put(f, handle);
	fuse_reply_err(req, handle ? 0 : EBADF);
}

/* Network file systems at home report late errors of writing at close(). */
static int close_copy(struct files *f, const struct handle *handle)
{
	int fd;

	if ((handle->flags & O_ACCMODE) == O_RDONLY ||
	    stat_is_local(f, handle->inode))
		return 0;
	fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return 0; /* no descriptor left: nothing to report */
	return close(fd) < 0 ? -errno : 0;
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	int r = -EBADF;

	if (handle) {
		r = close_copy(f, handle);
		locks_flush(f, handle->inode, fi->lock_owner);
		handle_put(f, handle);
	}
	fuse_reply_err(req, -r);
}

/* --- data ----------------------------------------------------------------------------------- */

static bool may_continue(size_t done, size_t size)
{
	/* A regular file gives less than asked for at its end; one that gives
	 * up in the middle, as some network file systems do, does so between
	 * pages. */
	return done < size && done % 4096 == 0;
}

static ssize_t read_all(int fd, uint8_t *buf, size_t size, off_t offset)
{
	size_t done = 0;
	ssize_t n;

	do {
		n = pread(fd, buf + done, size - done, offset + (off_t)done);
		if (n < 0)
			return done ? (ssize_t)done : -errno;
		done += (size_t)n;
	} while (n > 0 && may_continue(done, size));
	return (ssize_t)done;
}

/* Only what is in home's page cache. */
static ssize_t read_cached(int fd, uint8_t *buf, size_t size, off_t offset)
{
	size_t done = 0;
	ssize_t n;

	if (size > MAX_AT_ONCE)
		return -FILES_LATER;
	do {
		struct iovec iov = { buf + done, size - done };

		n = preadv2(fd, &iov, 1, offset + (off_t)done, RWF_NOWAIT);
		if (n < 0)
			return -FILES_LATER;
		done += (size_t)n;
	} while (n > 0 && done < size);
	return (ssize_t)done;
}

static ssize_t read_some(int fd, uint8_t *buf, size_t size, off_t offset)
{
	if (work_must_not_wait())
		return read_cached(fd, buf, size, offset);
	return read_all(fd, buf, size, offset);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	void *buf = work_payload(size);
	ssize_t n = -EBADF;

	if (handle) {
		n = buf ? read_some(handle->fd, buf, size, offset) : -ENOMEM;
		handle_put(f, handle);
	}
	if (work_later(req, n))
		return;
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

/*
 * The handle is O_APPEND at home only for an append-only file, which nobody can
 * map for writing.
 */
static ssize_t write_some(int fd, const char *buf, size_t size, off_t offset,
			  bool append)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = size };

	if (append)
		return pwritev2(fd, &iov, 1, offset, RWF_APPEND);
	return pwrite(fd, buf, size, offset);
}

/*
 * Whoever wrote pages of a mapping does not wait for the answer, and the guest's
 * kernel reads nothing in it but the error: for pages a part is a failure.
 */
static ssize_t write_all(int fd, const char *buf, size_t size, off_t offset,
			 bool append, bool pages)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = write_some(fd, buf + done, size - done,
			       offset + (off_t)done, append);
		if (n < 0)
			return done && !pages ? (ssize_t)done : -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		     size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	const struct fuse_write_in *in =
		(const void *)(work_current()->bytes +
			       sizeof(struct fuse_in_header));
	bool append = (fi->flags & O_APPEND) && !fi->writepage;
	ssize_t n = -EBADF;

	if (handle) {
		if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
			cred_strip_suid(f, handle->fd);
		n = write_all(handle->fd, buf, size, offset, append,
			      fi->writepage);
		handle_put(f, handle);
	}
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
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

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	int r = -EBADF;

	if (handle) {
		r = fallocate(handle->fd, mode, offset, length) < 0 ? -errno : 0;
		handle_put(f, handle);
	}
	fuse_reply_err(req, -r);
}

/* The descriptor's own position is never used, so it may be moved. */
static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	off_t at = -EBADF;

	if (handle && !handle->directory) {
		at = lseek(handle->fd, offset, whence);
		if (at < 0)
			at = -errno;
	}
	if (handle)
		handle_put(f, handle);
	if (at < 0)
		fuse_reply_err(req, (int)-at);
	else
		fuse_reply_lseek(req, at);
}

static ssize_t copy_range(const struct handle *in, off_t off_in,
			  const struct handle *out, off_t off_out, size_t len)
{
	ssize_t n;

	if (len > MAX_COPY)
		len = MAX_COPY;
	n = copy_file_range(in->fd, &off_in, out->fd, &off_out, len, 0);
	/* ENOSYS would end all attempts for this mount. */
	if (n < 0 && errno == ENOSYS)
		return -EOPNOTSUPP;
	return n < 0 ? -errno : n;
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			       off_t off_out, struct fuse_file_info *fi_out,
			       size_t len, int flags)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *in = handle_get(f, ino_in, fi_in->fh);
	struct handle *out = handle_get(f, ino_out, fi_out->fh);
	ssize_t n = -EBADF;

	if (in && out)
		n = flags ? -EINVAL : copy_range(in, off_in, out, off_out, len);
	if (in)
		handle_put(f, in);
	if (out)
		handle_put(f, out);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

void io_operations(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->release = op_release;
	ops->flush = op_flush;
	ops->read = op_read;
	ops->write = op_write;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
