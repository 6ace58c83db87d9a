/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rooms of the file service and what they share.
 *
 *	files.c         the service: set-up, the libfuse session, dispatch
 *	files-check.c   the door: every request is checked here first
 *	files-work.c    worker threads and their queue
 *	files-inode.c   the guest's node ids and home's inodes
 *	files-base.c    descriptors of inodes: a cache, opened again by name
 *	files-handle.c  the guest's file handles
 *	files-cred.c    whose files a request creates
 *	files-lock.c    POSIX and flock locks, waiting requests
 *	files-name.c    operations on names: lookup, create, rename, unlink...
 *	files-attr.c    attributes, access, xattr, symbolic links' text, statfs
 *	files-io.c      open files
 *	files-dir.c     open directories
 *	files-stat.c    what home's statx() becomes in the guest
 *
 * Theory of operation
 *
 * An inode of the guest is known by a node id that is never used twice. Behind
 * it is an identity (device, inode number, birth time and, for a directory, the
 * mount) and the last name by which the inode was reached: a parent and one
 * component. Most inodes have no descriptor: they are reached as that name
 * below the descriptor of their parent, and whatever is found there is compared
 * with the identity. Directories in use, and inodes that are changed through a
 * descriptor, get one; those form a cache with a budget, from which the
 * descriptor unused longest is closed first.
 *
 * A name may be gone while the guest still knows the inode. So whoever removes
 * or changes a name at home first gives the inode a descriptor and holds it
 * until the table says what is true now: either the new name, or none. An inode
 * without a name keeps its descriptor until the guest forgets it. A reader who
 * used the old name in between and failed tries again and finds the descriptor.
 * Changes that others make at home are not seen that way: they end in ESTALE,
 * upon which the guest's kernel looks the path up again.
 *
 * Threads and locks
 *
 * The caller's thread runs files_request(); "mv-files" workers run operations;
 * one "mv-locks" thread, once needed, retries locks that wait. Order, outermost
 * first; only the first kind is ever held over a system call:
 *
 *	dir_stream.mutex   one open directory's position and buffer
 *	locks.mutex        lock owners, waiting requests
 *	table.mutex        inodes, their names and descriptors, handles
 *
 * work.mutex and the devices' mutex are taken with none of these held, or
 * innermost, and nothing is taken inside them.
 */
#ifndef MV_AGENT_FILES_INTERNAL_H
#define MV_AGENT_FILES_INTERNAL_H

#include "vmm-agent/files-check.h"
#include "vmm-agent/files.h"

#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* --- requests and workers ------------------------------------------------ */

struct waiter;

/* One request of the guest, from files_request() until its answer. */
struct request {
	struct request *next;
	struct files *files;
	struct waiter *waiter; /* SETLKW: see files-lock.c */
	int error;             /* refused at the door with this errno, or 0 */
	size_t len;
	struct fuse_in_header header; /* a copy: layers may change the bytes */
	_Alignas(8) uint8_t bytes[];
};

struct work {
	pthread_mutex_t mutex;
	pthread_cond_t wake, gone;
	struct request *first, **last;
	unsigned threads, idle, max_threads;
	size_t backlog; /* bytes of requests that no worker has taken yet */
	bool stopping;
	void (*drained)(void *ctx); /* see files_on_drained() */
	void *drained_ctx;
	bool want_drained;
};

int work_init(struct files *f, unsigned max_threads);
/* Queue a request; starts a worker when none is idle. Takes it over. */
int work_add(struct files *f, struct request *rq, struct err *err);
/* Waits for the workers to end; frees what was queued. */
void work_stop(struct files *f);

/* The request this thread is in, or NULL. */
struct request *work_current(void);

/*
 * Handing a request to a worker and the answer back takes two switches between
 * threads, many times the cost of a lookup or a small read itself. So those are
 * tried at once, by the thread that brings the request, in calls that home's
 * kernel answers from its caches or not at all. Where it must wait, the
 * operation fails with FILES_LATER and a worker does it again.
 *
 * True when the request has been answered.
 */
bool work_at_once(struct files *f, struct request *rq);
/* This thread is in work_at_once(). */
bool work_must_not_wait(void);
/* For an operation: if `r` is -FILES_LATER, let `req` go. False: answer it. */
bool work_later(fuse_req_t req, ssize_t r);
#define FILES_LATER EINPROGRESS /* no file operation's own errno */

/*
 * This worker's buffer for an answer's payload of up to `size` bytes. The
 * session sends it without another copy because there is room for the header
 * in front of it. NULL when out of memory.
 */
void *work_payload(size_t size);
/* The header in front of `payload` if it is this worker's buffer, else NULL. */
void *work_payload_header(const void *payload);

/* --- inodes ---------------------------------------------------------------- */

/* What makes an inode of home the same one later. */
struct identity {
	uint64_t dev, ino;
	uint64_t mount; /* directories only: bind mounts have their own tree */
	uint64_t btime; /* ns, 0 where the file system has none */
	mode_t type;    /* S_IFMT bits */
};

/* A file's contents as last seen when it was opened; see files-io.c. */
struct stamp {
	uint64_t mtime, ctime, size; /* ns, ns, bytes */
	bool valid;
};

struct inode {
	uint64_t nodeid;
	struct identity id;
	uint64_t nlookup; /* how often the guest was told of it */
	uint32_t refs;    /* children, handles, operations under way */
	uint32_t fd_users;
	int fd;           /* O_PATH, or -1 */
	uint32_t changes; /* names removed or changed in this directory */
	bool hidden, keyed;
	atomic_bool locked_once; /* somebody took a POSIX lock */
	struct inode *parent; /* NULL: the root, or no name any more */
	char *name;
	struct inode *next_by_id, *next_by_key;
	struct inode *lru_next, *lru_prev;
	struct handle *handles;
	struct lock_owner *owners; /* locks.mutex */
	struct stamp seen;
};

struct table {
	pthread_mutex_t mutex;
	struct inode **by_id, **by_key;
	size_t size, count; /* buckets, inodes */
	uint64_t next_nodeid;
	struct inode *root;
	struct inode lru; /* list head: lru_next is the newest */
	unsigned descriptors, budget;
	struct handle **handles;
	uint32_t nhandles, handle_slots, free_hint, handle_generation;
};

int inode_table_init(struct files *f, const struct statx *root, int root_fd);
void inode_table_free(struct files *f);

struct identity inode_identity(const struct statx *stx);
bool inode_same(const struct identity *a, const struct identity *b);

/* A reference, or NULL: the guest names an inode that it was never told of. */
struct inode *inode_get(struct files *f, uint64_t nodeid);
/* One more, for who has one already. */
void inode_ref(struct files *f, struct inode *inode);
void inode_put(struct files *f, struct inode *inode);
/* With table.mutex held; NULL when unknown. No reference is taken. */
struct inode *inode_find_locked(struct files *f, uint64_t nodeid);
struct inode *inode_find_key_locked(struct files *f, const struct identity *id);
/* Give (or with parent NULL take away) the name. Locked. 0 or -ENOMEM. */
int inode_rename_locked(struct files *f, struct inode *inode,
			struct inode *parent, const char *name,
			struct inode **dead);
/* Take it out of the cache of descriptors, if it is there. Locked. */
void inode_lru_unlink(struct inode *inode);
/* Drop a reference under the lock; what died is chained and freed later. */
void inode_put_locked(struct files *f, struct inode *inode,
		      struct inode **dead);
void inode_free_dead(struct inode *dead);

/*
 * The guest is told of the inode that was found as `name` in `parent`: one more
 * lookup, the name is recorded. `changes` is parent->changes from before the
 * statx(); -EAGAIN when names changed since then: look again. `name` may be
 * NULL: an inode without one.
 */
int inode_enter(struct files *f, struct inode *parent, const char *name,
		uint32_t changes, const struct statx *stx, uint64_t *nodeid);
void inode_forget(struct files *f, uint64_t nodeid, uint64_t nlookup);

/* --- descriptors ------------------------------------------------------------ */

/* An inode with a descriptor that stays open until base_put(). */
struct base {
	struct inode *inode;
	struct handle *handle; /* whose descriptor it is, or NULL: the inode's */
	int fd;
	uint32_t changes; /* inode->changes when it was got */
};

int base_get(struct files *f, uint64_t nodeid, struct base *base);
void base_put(struct files *f, struct base *base);

/* Where an inode is found: base.fd and path, for the *at() calls. */
struct place {
	struct inode *inode;
	struct base base; /* the inode's own, or its parent's */
	int flags;        /* AT_EMPTY_PATH, or AT_SYMLINK_NOFOLLOW */
	char path[NAME_MAX + 1];
};

/* Cheapest: by its own descriptor if it has one, else by name. */
int place_get(struct files *f, uint64_t nodeid, struct place *place);
/* Make it the inode's own descriptor, which is the inode for sure. */
int place_own(struct files *f, struct place *place);
/* Got by its own descriptor at once. */
int place_get_own(struct files *f, uint64_t nodeid, struct place *place);
void place_put(struct files *f, struct place *place);

/* statx() of an inode, by `fd` if that is not -1, else by its place. */
int place_stat(struct files *f, struct place *place, struct statx *stx);

/*
 * An inode whose name is about to be removed or changed, with a descriptor that
 * stays. inode is NULL when the guest does not know what is there, and for a
 * file to be removed that must not have one; see stat_renames_open_files().
 */
struct hold {
	struct inode *inode;
};
void hold_name(struct files *f, const struct base *dir, const char *name,
	       bool to_remove, struct hold *hold);
void hold_end(struct files *f, struct hold *hold);

/* Note that `name` in `dir` is gone, or is now `inode`'s name. */
void hold_removed(struct files *f, struct hold *hold, struct inode *dir,
		  const char *name);
void hold_moved(struct files *f, struct hold *hold, struct inode *dir,
		const char *name);
void hold_changed(struct files *f, struct inode *dir);

/* Keep a descriptor (taken over) for an inode that has no name. */
void inode_give_fd(struct files *f, struct inode *inode, int fd);

/* openat() that closes cached descriptors and tries again on EMFILE. -errno. */
int fd_open(struct files *f, int dirfd, const char *path, int flags,
	    mode_t mode);
/* Open again what `fd` (O_PATH or not) refers to. */
int fd_reopen(struct files *f, int fd, int flags);
unsigned fd_budget(void);

struct proc_path {
	char text[32];
};
/* "/proc/self/fd/N" for calls that take no descriptor. */
struct proc_path fd_proc_path(int fd);

/* --- handles ---------------------------------------------------------------- */

struct dir_stream;

struct handle {
	uint64_t fh;
	int fd, flags;
	uint32_t refs;
	bool directory;
	atomic_bool posix_locks, flock_locks; /* taken through it, ever */
	struct inode *inode;
	struct handle *next, **prevp; /* of inode->handles */
	struct dir_stream *stream;
};

/*
 * A new handle for `fd` (taken over, also on failure); `inode` gets a reference
 * more. 0 or -errno.
 */
int handle_new(struct files *f, struct inode *inode, int fd, int flags,
	       bool directory, uint64_t *fh);
/* A reference; NULL when it is not a handle of that inode: EBADF. */
struct handle *handle_get(struct files *f, uint64_t nodeid, uint64_t fh);
void handle_put(struct files *f, struct handle *handle);
/* The guest has closed it. Returns a reference to be put, or NULL. */
struct handle *handle_remove(struct files *f, uint64_t nodeid, uint64_t fh);
void handle_ref_locked(struct handle *handle);
/* Returns true when that was the last one: handle_free() it, unlocked. */
bool handle_unref_locked(struct handle *handle);
void handle_free(struct files *f, struct handle *handle);
void handle_table_free(struct files *f);

void dir_stream_free(struct dir_stream *stream);

/* --- credentials -------------------------------------------------------------- */

/*
 * Around a creation: umask and, for a root deputy, owner of the request. Returns
 * the mode to create with. Others do everything as the user that they are.
 */
void cred_thread_start(struct files *f);
mode_t cred_enter(struct files *f, const struct fuse_in_header *header,
		  mode_t umask_value, mode_t mode);
void cred_leave(struct files *f);
/* A root deputy writes for someone who may not keep set-id bits. */
void cred_strip_suid(struct files *f, int fd);

/* --- what statx says, for the guest ----------------------------------------------- */

#define FILES_STATX (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* File systems other than the root's: their inode numbers are made unique. */
struct devices {
	pthread_mutex_t mutex;
	_Atomic unsigned count;
	uint64_t dev[1023];
	atomic_long type[1024]; /* statfs f_type; 0: the root's; then dev[] */
};

int stat_at(int fd, const char *path, int flags, struct statx *stx);
/* The same for what is at or below an inode; minds work_must_not_wait(). */
int stat_below(struct files *f, const struct inode *at, int fd,
	       const char *path, int flags, struct statx *stx);
/* On a file system without network or daemon, as far as is known yet. */
bool stat_is_local(struct files *f, const struct inode *inode);
/* Learn what kind of file system a device has; may wait. */
void stat_learn_device(struct files *f, uint64_t dev, int fd);
uint64_t stat_dev(const struct statx *stx);
/*
 * NFS: a file that is removed while a descriptor refers to it, even O_PATH, is
 * renamed instead, and its directory is not empty.
 */
bool stat_renames_open_files(struct files *f, const struct statx *stx, int fd);
/* The inode number that the guest sees. */
uint64_t stat_ino(struct files *f, uint64_t dev, uint64_t ino);
void stat_fill(struct files *f, const struct statx *stx, struct stat *st);
/*
 * For how long the guest may believe a file's attributes and name, in s:
 * `configured`, or, where that is negative, an eighth of the time since the file
 * last changed, at least 1 and at most 10. What has not changed for long will
 * not change now; NFS clients reason alike (nfs(5), acregmin and acregmax).
 */
double stat_trust(double configured, const struct statx *stx);

/* --- locks ---------------------------------------------------------------------- */

struct locks {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	pthread_t thread;
	bool running, stopping;
	unsigned kicks; /* counts locks released here */
	struct waiter *registered; /* every SETLKW not yet answered */
	unsigned waiting;
};

int locks_init(struct files *f);
void locks_stop(struct files *f);
/* A SETLKW came in: it can be interrupted from now on. */
int locks_register(struct files *f, struct request *rq);
void locks_unregister(struct files *f, struct request *rq);
/* INTERRUPT of the request `unique`. */
void locks_interrupt(struct files *f, uint64_t unique);
/* close() by `owner`: its POSIX locks of the inode end. */
void locks_flush(struct files *f, struct inode *inode, uint64_t owner);
/*
 * The last close() of a handle. Called in the order of the requests, before
 * the RELEASE is queued: a handle for reading has no FLUSH, and the guest's
 * close() does not wait for RELEASE.
 */
void locks_release(struct files *f, uint64_t nodeid, uint64_t fh);
/* A lock was released: whoever waits tries now. */
void locks_kick(struct files *f);
/* At the end, when nothing uses the inode any more. */
void locks_free_owners(struct inode *inode);

/* --- operations, one per FUSE opcode ------------------------------------------------ */

void name_operations(struct fuse_lowlevel_ops *ops);
void attr_operations(struct fuse_lowlevel_ops *ops);
void io_operations(struct fuse_lowlevel_ops *ops);
void dir_operations(struct fuse_lowlevel_ops *ops);
void lock_operations(struct fuse_lowlevel_ops *ops);

/* Those that libfuse does not parse, or not alike in all its versions. */
void name_tmpfile(struct files *f, struct request *rq);
void attr_setxattr(struct files *f, struct request *rq);

/* True for a directory of files_config.hidden. */
bool name_hidden(const struct files *f, const struct inode *dir,
		 const char *name);
/* Fill `e` in for the inode found at name; counts a lookup. */
int name_enter(struct files *f, const struct base *dir, const char *name,
	       struct fuse_entry_param *e);
/* The same, for a statx() made by the caller; -EAGAIN as inode_enter(). */
int name_enter_stat(struct files *f, struct inode *dir, uint32_t changes,
		    const char *name, const struct statx *stx,
		    struct fuse_entry_param *e);

/* After an open() for the guest: a handle, and what the reply says of it. */
int io_opened(struct files *f, struct inode *inode, int fd, int guest_flags,
	      const struct statx *stx, struct fuse_file_info *fi);
/* The open flags that home gets for those of a guest. */
int io_home_flags(int guest_flags);

/* Answer from outside libfuse: an error, or a payload. */
void files_answer(struct files *f, const struct fuse_in_header *header,
		  int error, const void *payload, size_t len);

/* Tell the guest something that it did not ask for: a whole message. */
void files_notify(struct files *f, const void *message, size_t len);

/* --- the dispatch table and layers ------------------------------------------------------ */

/*
 * How requests of one opcode are run. A layer puts its own operation in front
 * and calls the one it replaced, as nbdkit's filters do: tests put faults in
 * that way. Install layers before the first request.
 */
struct operation {
	void (*run)(struct files *f, struct request *rq, void *ctx);
	void *ctx;
	bool at_once; /* try work_at_once() first */
};

struct operation *files_operation(struct files *f, unsigned opcode);

/*
 * False: every request goes to a worker, because reply() may have to wait, and
 * must not in the thread that calls files_request(). For that thread to set.
 */
void files_allow_at_once(struct files *f, bool allow);

/*
 * Bytes of requests that no worker has taken yet; when they are more than
 * `limit`, `drained` is called once, from a worker, when they no longer are.
 */
bool files_backlogged(struct files *f);
void files_on_drained(struct files *f, void (*drained)(void *ctx), void *ctx);

struct files {
	files_reply_fn reply;
	void *reply_ctx;
	struct fuse_session *session;
	int proc_fd; /* /proc/self/fd */
	bool is_root;
	double attr_timeout, entry_timeout;
	char **hidden;
	atomic_bool ready; /* INIT was answered */
	bool init_seen, at_once; /* the caller's thread only */
	atomic_bool silent; /* ending: no reply leaves any more */
	atomic_uint_fast64_t requests;
	uint64_t root_dev;
	long renaming_type; /* NFS_SUPER_MAGIC; tests take another */
	struct operation operations[FILES_OPCODES];
	struct work work;
	struct table table;
	struct devices devices;
	struct locks locks;
};

#endif
