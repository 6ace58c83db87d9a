/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks of the job that exclude processes at home too.
 *
 * POSIX locks belong to an owner (in the guest a process, more exactly its
 * table of descriptors) and an inode. Here each such pair has an open file of
 * its own, and its locks are that file's OFD locks: they conflict with those of
 * other owners and of home's processes and not with each other, and closing it
 * releases them all, which is what close(2) of any descriptor by the owner must
 * do. flock(2) locks belong to the open file: the handle's descriptor has them.
 *
 * Nothing here blocks in the kernel. A request that must wait goes to a list,
 * in which a thread tries again after 1 ms, then less and less often down to
 * every 50 ms, and at once when this service releases a lock. INTERRUPT ends
 * the wait. A request is known here from its arrival, so an INTERRUPT that
 * overtakes it finds it all the same.
 *
 * Who has got a lock reads what the holder before him wrote, be he at home. So
 * the guest is told, before it is told of the lock, to ask for the attributes
 * again; when those have changed it drops the pages that it has of the file.
 * (It could be told to drop the pages at once. But then its kernel waits for
 * pages that are being read, in the call of the relay that should bring them.)
 */
#include "vmm-agent/files-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define FIRST_DELAY_MS 1
#define LAST_DELAY_MS 50

struct lock_owner {
	struct lock_owner *next;
	struct inode *inode;
	uint64_t owner, through; /* the handle last used */
	int fd, access;          /* O_RDWR, O_RDONLY or O_WRONLY */
	unsigned refs;
	pid_t pid;       /* as the guest gave it; for F_GETLK */
	int64_t low, high; /* all its locks are within */
};

struct waiter {
	struct waiter *next;
	uint64_t unique;
	bool interrupted, waiting;
	fuse_req_t req;
	struct handle *handle;
	struct lock_owner *owner; /* NULL: flock */
	struct flock range;
	int flock_op;
	int64_t next_try;
	int delay;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- owners ------------------------------------------------------------------- */

/* locks.mutex held; takes a reference. */
static struct lock_owner *owner_find(struct inode *inode, uint64_t owner)
{
	struct lock_owner *o;

	for (o = inode->owners; o; o = o->next)
		if (o->owner == owner) {
			o->refs++;
			return o;
		}
	return NULL;
}

static void owner_put(struct files *f, struct lock_owner *o)
{
	bool last;

	pthread_mutex_lock(&f->locks.mutex);
	last = --o->refs == 0;
	pthread_mutex_unlock(&f->locks.mutex);
	if (!last)
		return;
	close(o->fd);
	inode_put(f, o->inode);
	free(o);
}

/* An open file of its own, if possible one that takes both kinds of lock. */
static int open_again(struct files *f, const struct handle *handle, int *access)
{
	int fd = fd_reopen(f, handle->fd, O_RDWR | O_NONBLOCK);

	*access = O_RDWR;
	if (fd >= 0)
		return fd;
	*access = handle->flags & O_ACCMODE;
	return fd_reopen(f, handle->fd, *access | O_NONBLOCK);
}

static struct lock_owner *owner_insert(struct files *f, struct inode *inode,
				       struct lock_owner *fresh)
{
	struct lock_owner *o;

	inode_ref(f, inode);
	pthread_mutex_lock(&f->locks.mutex);
	o = owner_find(inode, fresh->owner);
	if (!o) {
		o = fresh;
		o->inode = inode;
		o->refs = 2; /* the list's and the caller's */
		o->next = inode->owners;
		inode->owners = o;
	}
	pthread_mutex_unlock(&f->locks.mutex);
	if (o != fresh) {
		inode_put(f, inode);
		close(fresh->fd);
		free(fresh);
	}
	return o;
}

static int owner_new(struct files *f, struct handle *handle, uint64_t owner,
		     struct lock_owner **result)
{
	struct lock_owner *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->owner = owner;
	o->low = INT64_MAX;
	o->high = -1;
	o->fd = open_again(f, handle, &o->access);
	if (o->fd < 0) {
		int r = o->fd;

		free(o);
		return r;
	}
	*result = owner_insert(f, handle->inode, o);
	return 0;
}

static int owner_get(struct files *f, struct handle *handle, uint64_t owner,
		     struct lock_owner **result)
{
	pthread_mutex_lock(&f->locks.mutex);
	*result = owner_find(handle->inode, owner);
	pthread_mutex_unlock(&f->locks.mutex);
	return *result ? 0 : owner_new(f, handle, owner, result);
}

/* Out of the list: nobody finds it any more. Returns the list's reference. */
static struct lock_owner *owner_unlink(struct lock_owner **at)
{
	struct lock_owner *o = *at;

	*at = o->next;
	o->next = NULL;
	return o;
}

/* Who still waits with this owner keeps its file open, without the locks. */
static void owner_end(struct files *f, struct lock_owner *o)
{
	struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(o->fd, F_OFD_SETLK, &all);
	owner_put(f, o);
	locks_kick(f);
}

void locks_flush(struct files *f, struct inode *inode, uint64_t owner)
{
	struct lock_owner **at, *o = NULL;

	pthread_mutex_lock(&f->locks.mutex);
	for (at = &inode->owners; *at; at = &(*at)->next)
		if ((*at)->owner == owner) {
			o = owner_unlink(at);
			break;
		}
	pthread_mutex_unlock(&f->locks.mutex);
	if (o)
		owner_end(f, o);
}

static struct lock_owner *unlink_through(struct files *f, struct inode *inode,
					 uint64_t fh)
{
	struct lock_owner **at, *o = NULL;

	pthread_mutex_lock(&f->locks.mutex);
	for (at = &inode->owners; *at && !o;)
		if ((*at)->through == fh)
			o = owner_unlink(at);
		else
			at = &(*at)->next;
	pthread_mutex_unlock(&f->locks.mutex);
	return o;
}

void locks_release(struct files *f, uint64_t nodeid, uint64_t fh)
{
	struct handle *handle = handle_get(f, nodeid, fh);
	struct lock_owner *o;

	if (!handle)
		return;
	if (atomic_load(&handle->posix_locks))
		while ((o = unlink_through(f, handle->inode, fh)))
			owner_end(f, o);
	if (atomic_load(&handle->flock_locks)) {
		flock(handle->fd, LOCK_UN);
		locks_kick(f);
	}
	handle_put(f, handle);
}

static void renew_attributes(struct files *f, const struct inode *inode)
{
	const struct {
		struct fuse_out_header header;
		struct fuse_notify_inval_inode_out inval;
	} message = {
		.header = { .len = sizeof(message),
			    .error = FUSE_NOTIFY_INVAL_INODE },
		.inval = { .ino = inode->nodeid, .off = -1 },
	};

	files_notify(f, &message, sizeof(message));
}

/* --- trying --------------------------------------------------------------------- */

static int64_t range_end(const struct flock *range)
{
	return range->l_len ? range->l_start + range->l_len - 1 : INT64_MAX;
}

static void note_range(struct files *f, struct lock_owner *o,
		       const struct handle *handle, const struct flock *range)
{
	pthread_mutex_lock(&f->locks.mutex);
	if (range->l_start < o->low)
		o->low = range->l_start;
	if (range_end(range) > o->high)
		o->high = range_end(range);
	o->pid = range->l_pid;
	o->through = handle->fh;
	pthread_mutex_unlock(&f->locks.mutex);
}

/* The lock needs an open file with the right access: EBADF is not the job's
 * fault, it had the access through its own handle. */
static int posix_errno(int error)
{
	if (error == EACCES)
		return -EAGAIN;
	return error == EBADF ? -ENOLCK : -error;
}

static int try_posix(struct files *f, struct lock_owner *o,
		     struct handle *handle, const struct flock *range)
{
	struct flock copy = *range;

	copy.l_pid = 0;
	if (fcntl(o->fd, F_OFD_SETLK, &copy) < 0)
		return posix_errno(errno);
	if (range->l_type == F_UNLCK) {
		locks_kick(f);
		return 0;
	}
	atomic_store(&handle->posix_locks, true);
	atomic_store(&handle->inode->locked_once, true);
	note_range(f, o, handle, range);
	renew_attributes(f, handle->inode);
	return 0;
}

static int try_flock(struct files *f, struct handle *handle, int op)
{
	if (flock(handle->fd, op | LOCK_NB) < 0)
		return -errno;
	if (op & LOCK_UN) {
		locks_kick(f);
		return 0;
	}
	atomic_store(&handle->flock_locks, true);
	renew_attributes(f, handle->inode);
	return 0;
}

static int try_waiter(struct files *f, struct waiter *w)
{
	if (w->interrupted)
		return -EINTR;
	if (w->owner)
		return try_posix(f, w->owner, w->handle, &w->range);
	return try_flock(f, w->handle, w->flock_op);
}

/* --- waiting ---------------------------------------------------------------------- */

int locks_register(struct files *f, struct request *rq)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->unique = rq->header.unique;
	rq->waiter = w;
	pthread_mutex_lock(&f->locks.mutex);
	w->next = f->locks.registered;
	f->locks.registered = w;
	pthread_mutex_unlock(&f->locks.mutex);
	return 0;
}

/* locks.mutex held. */
static void unregister(struct locks *l, struct waiter *w)
{
	struct waiter **at = &l->registered;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (w->waiting)
		l->waiting--;
}

void locks_unregister(struct files *f, struct request *rq)
{
	if (!rq->waiter)
		return;
	pthread_mutex_lock(&f->locks.mutex);
	unregister(&f->locks, rq->waiter);
	pthread_mutex_unlock(&f->locks.mutex);
	free(rq->waiter);
	rq->waiter = NULL;
}

void locks_interrupt(struct files *f, uint64_t unique)
{
	struct waiter *w;

	pthread_mutex_lock(&f->locks.mutex);
	for (w = f->locks.registered; w; w = w->next)
		if (w->unique == unique) {
			w->interrupted = true;
			w->next_try = 0;
			pthread_cond_signal(&f->locks.wake);
		}
	pthread_mutex_unlock(&f->locks.mutex);
}

void locks_kick(struct files *f)
{
	struct waiter *w;

	pthread_mutex_lock(&f->locks.mutex);
	if (f->locks.waiting) {
		for (w = f->locks.registered; w; w = w->next) {
			w->next_try = 0;
			w->delay = FIRST_DELAY_MS;
		}
		f->locks.kicks++;
		pthread_cond_signal(&f->locks.wake);
	}
	pthread_mutex_unlock(&f->locks.mutex);
}

/* The one that is due first; requests that came first go first. Locked. */
static struct waiter *first_due(struct locks *l)
{
	struct waiter *w, *best = NULL;

	for (w = l->registered; w; w = w->next)
		if (w->waiting && (!best || w->next_try < best->next_try ||
				   (w->next_try == best->next_try &&
				    w->unique < best->unique)))
			best = w;
	return best;
}

static void finish(struct files *f, struct waiter *w, int r)
{
	fuse_reply_err(w->req, -r);
	handle_put(f, w->handle);
	if (w->owner)
		owner_put(f, w->owner);
	free(w);
}

/* With the mutex held, which is given up in between. */
static void try_again(struct files *f, struct waiter *w)
{
	struct locks *l = &f->locks;
	unsigned kicks = l->kicks;
	int r;

	pthread_mutex_unlock(&l->mutex);
	r = try_waiter(f, w);
	pthread_mutex_lock(&l->mutex);
	if (r == -EAGAIN) {
		/* A lock released meanwhile may be the one: at once again. */
		w->next_try = kicks == l->kicks ? now_ms() + w->delay : 0;
		if (w->interrupted)
			w->next_try = 0;
		w->delay *= 2;
		if (w->delay > LAST_DELAY_MS)
			w->delay = LAST_DELAY_MS;
		return;
	}
	unregister(l, w);
	pthread_mutex_unlock(&l->mutex);
	finish(f, w, r);
	pthread_mutex_lock(&l->mutex);
}

static void wait_until(struct locks *l, int64_t ms)
{
	struct timespec until = { .tv_sec = ms / 1000,
				  .tv_nsec = ms % 1000 * 1000000 };

	pthread_cond_timedwait(&l->wake, &l->mutex, &until);
}

static void *retry_thread(void *arg)
{
	struct files *f = arg;
	struct locks *l = &f->locks;
	struct waiter *w;

	prctl(PR_SET_NAME, "mv-locks");
	pthread_mutex_lock(&l->mutex);
	while (!l->stopping) {
		w = first_due(l);
		if (!w)
			pthread_cond_wait(&l->wake, &l->mutex);
		else if (w->next_try <= now_ms())
			try_again(f, w);
		else
			wait_until(l, w->next_try);
	}
	pthread_mutex_unlock(&l->mutex);
	return NULL;
}

/* Locked. */
static int start_thread(struct files *f)
{
	sigset_t all, old;
	int r;

	if (f->locks.running)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&f->locks.thread, NULL, retry_thread, f);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	f->locks.running = r == 0;
	return -r;
}

/* The waiter takes the references of its handle and owner over. */
static int begin_wait(struct files *f, struct waiter *w)
{
	struct locks *l = &f->locks;
	int r;

	pthread_mutex_lock(&l->mutex);
	r = start_thread(f);
	if (r == 0) {
		w->waiting = true;
		w->delay = FIRST_DELAY_MS;
		w->next_try = 0;
		l->waiting++;
		work_current()->waiter = NULL;
		pthread_cond_signal(&l->wake);
	}
	pthread_mutex_unlock(&l->mutex);
	return r;
}

int locks_init(struct files *f)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&f->locks.mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->locks.wake, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void locks_stop(struct files *f)
{
	struct locks *l = &f->locks;
	struct waiter *w;

	pthread_mutex_lock(&l->mutex);
	l->stopping = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->mutex);
	if (l->running)
		pthread_join(l->thread, NULL);
	while ((w = l->registered)) {
		l->registered = w->next;
		if (w->waiting)
			finish(f, w, -EINTR);
		else
			free(w);
	}
	pthread_cond_destroy(&l->wake);
}

void locks_free_owners(struct inode *inode)
{
	struct lock_owner *o;

	while ((o = inode->owners)) {
		inode->owners = o->next;
		close(o->fd);
		free(o);
	}
}

/* --- operations --------------------------------------------------------------------- */

static void end_request(struct files *f, fuse_req_t req, struct handle *handle,
			struct lock_owner *o, int r)
{
	fuse_reply_err(req, -r);
	if (o)
		owner_put(f, o);
	if (handle)
		handle_put(f, handle);
}

static void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *range, int sleep)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	struct waiter *w = work_current()->waiter;
	struct lock_owner *o = NULL;
	int r = -EBADF;

	if (handle)
		r = owner_get(f, handle, fi->lock_owner, &o);
	if (r == 0)
		r = try_posix(f, o, handle, range);
	if (r == -EAGAIN && sleep && w) {
		w->req = req;
		w->handle = handle;
		w->owner = o;
		w->range = *range;
		r = begin_wait(f, w);
		if (r == 0)
			return;
	}
	end_request(f, req, handle, o, r);
}

static void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     int op)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	struct waiter *w = work_current()->waiter;
	int r = handle ? try_flock(f, handle, op) : -EBADF;

	if (r == -EAGAIN && !(op & LOCK_NB) && w) {
		w->req = req;
		w->handle = handle;
		w->flock_op = op;
		r = begin_wait(f, w);
		if (r == 0)
			return;
	}
	end_request(f, req, handle, NULL, r);
}

/* Whose of our own locks is it that home's kernel found in the way? */
static pid_t pid_of(struct files *f, struct inode *inode, uint64_t not,
		    const struct flock *found)
{
	struct lock_owner *o;
	pid_t pid = found->l_pid;

	if (pid != -1)
		return pid;
	pthread_mutex_lock(&f->locks.mutex);
	for (o = inode->owners; o; o = o->next)
		if (o->owner != not && o->low <= range_end(found) &&
		    o->high >= found->l_start) {
			pid = o->pid;
			break;
		}
	pthread_mutex_unlock(&f->locks.mutex);
	return pid;
}

static void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *range)
{
	struct files *f = fuse_req_userdata(req);
	struct handle *handle = handle_get(f, ino, fi->fh);
	struct lock_owner *o;
	int r;

	if (!handle) {
		fuse_reply_err(req, EBADF);
		return;
	}
	pthread_mutex_lock(&f->locks.mutex);
	o = owner_find(handle->inode, fi->lock_owner);
	pthread_mutex_unlock(&f->locks.mutex);
	range->l_pid = 0;
	r = fcntl(o ? o->fd : handle->fd, F_OFD_GETLK, range) < 0 ? errno : 0;
	if (r == 0 && range->l_type != F_UNLCK)
		range->l_pid = pid_of(f, handle->inode, fi->lock_owner, range);
	if (o)
		owner_put(f, o);
	handle_put(f, handle);
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_lock(req, range);
}

void lock_operations(struct fuse_lowlevel_ops *ops)
{
	ops->getlk = op_getlk;
	ops->setlk = op_setlk;
	ops->flock = op_flock;
}
