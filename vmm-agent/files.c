/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file service: set-up, libfuse's session, and the dispatch of requests.
 *
 * libfuse parses requests and encodes replies; its own loop is not used. The
 * session's descriptor is a dummy, its writev() callback hands each reply over,
 * and workers call fuse_session_process_buf() with one checked message each. So
 * the session outlives every transport.
 */
#include "vmm-agent/files-internal.h"

#include "net/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_WORKERS 64
#define MAX_BACKGROUND 64   /* read-ahead and the like under way at once */

struct operation *files_operation(struct files *f, unsigned opcode)
{
	return &f->operations[opcode < FILES_OPCODES ? opcode : 0];
}

void files_allow_at_once(struct files *f, bool allow)
{
	f->at_once = allow;
}

static void hand_over(struct files *f, const void *message, size_t len)
{
	if (!atomic_load(&f->silent))
		f->reply(f->reply_ctx, message, len);
}

void files_notify(struct files *f, const void *message, size_t len)
{
	hand_over(f, message, len);
}

void files_answer(struct files *f, const struct fuse_in_header *header,
		  int error, const void *payload, size_t len)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + len),
		.error = -error,
		.unique = header->unique,
	};
	uint8_t message[512];

	assert(out.len <= sizeof(message));
	memcpy(message, &out, sizeof(out));
	if (len)
		memcpy(message + sizeof(out), payload, len);
	hand_over(f, message, out.len);
}

/* --- libfuse's side ------------------------------------------------------------ */

static size_t total_length(const struct iovec *iov, int count)
{
	size_t total = 0;

	while (count--)
		total += (iov++)->iov_len;
	return total;
}

static void gather(uint8_t *to, const struct iovec *iov, int count)
{
	for (; count--; iov++) {
		memcpy(to, iov->iov_base, iov->iov_len);
		to += iov->iov_len;
	}
}

/*
 * What libfuse 3.14 does not pass on. Without FUSE_HANDLE_KILLPRIV_V2 the guest's
 * kernel asks for security.capability before every single write; without
 * FUSE_PARALLEL_DIROPS it looks up one name at a time in a directory, and one that
 * gets no answer holds up all the others.
 */
static void amend_init(struct request *rq, uint8_t *message, size_t len)
{
	const struct fuse_init_in *in =
		(const void *)(rq->bytes + sizeof(struct fuse_in_header));
	struct fuse_out_header *header = (void *)message;
	struct fuse_init_out *out = (void *)(header + 1);

	if (len < sizeof(*header) + sizeof(*out) || header->error)
		return;
	out->flags |= in->flags & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_PARALLEL_DIROPS);
	/* From here on the guest may send other requests. */
	atomic_store(&rq->files->ready, true);
}

static void send_gathered(struct files *f, const struct iovec *iov, int count,
			  size_t total)
{
	_Alignas(8) uint8_t small[512];
	struct request *rq = work_current();
	cleanup_free uint8_t *big = NULL;
	uint8_t *message = small;

	if (total > sizeof(small)) {
		big = malloc(total);
		message = big;
	}
	if (!message) {
		struct fuse_out_header *header = iov[0].iov_base;

		header->error = -ENOMEM;
		header->len = sizeof(*header);
		hand_over(f, header, sizeof(*header));
		return;
	}
	gather(message, iov, count);
	if (rq && rq->header.opcode == FUSE_INIT)
		amend_init(rq, message, total);
	hand_over(f, message, total);
}

static ssize_t session_writev(int fd, struct iovec *iov, int count,
			      void *userdata)
{
	size_t total = total_length(iov, count);
	struct files *f = userdata;
	void *room;

	(void)fd;
	if (count == 1) {
		hand_over(f, iov[0].iov_base, total);
		return (ssize_t)total;
	}
	room = count == 2 ? work_payload_header(iov[1].iov_base) : NULL;
	if (room) {
		memcpy(room, iov[0].iov_base, iov[0].iov_len);
		hand_over(f, room, total);
	} else {
		send_gathered(f, iov, count, total);
	}
	return (ssize_t)total;
}

static ssize_t session_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)fd;
	(void)buf;
	(void)len;
	(void)userdata;
	errno = ENODEV; /* never called: requests are pushed */
	return -1;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct files *f = userdata;
	unsigned want = FUSE_CAP_DONT_MASK | FUSE_CAP_CACHE_SYMLINKS |
			FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC;

	/* Implies default_permissions, which only a root deputy has. */
	if (f->is_root)
		want |= FUSE_CAP_POSIX_ACL;
	conn->want |= want & conn->capable;
	/* Not only where it seems to pay: a program that reads a whole directory
	 * before it looks at the first file (find, git, rsync) never seems so. */
	conn->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE |
				  FUSE_CAP_HANDLE_KILLPRIV);
	conn->max_write = FILES_MAX_IO;
	conn->max_background = MAX_BACKGROUND;
}

/* A library does not print; what fails is answered to the guest. */
static void discard_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

static struct fuse_session *new_session(struct files *f)
{
	static const struct fuse_custom_io io = {
		.writev = session_writev,
		.read = session_read,
	};
	char *argv[] = { (char *)"files", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_lowlevel_ops ops = { .init = op_init };
	struct fuse_session *session;
	int fd;

	fuse_set_log_func(discard_log);
	name_operations(&ops);
	attr_operations(&ops);
	io_operations(&ops);
	dir_operations(&ops);
	lock_operations(&ops);
	session = fuse_session_new(&args, &ops, sizeof(ops), f);
	fuse_opt_free_args(&args);
	if (!session)
		return NULL;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0 || fuse_session_custom_io(session, &io, fd) < 0) {
		if (fd >= 0)
			close(fd);
		fuse_session_destroy(session);
		return NULL;
	}
	return session;
}

/* --- dispatch --------------------------------------------------------------------- */

static void run_libfuse(struct files *f, struct request *rq, void *ctx)
{
	struct fuse_buf buf = { .size = rq->len, .mem = rq->bytes };

	(void)ctx;
	fuse_session_process_buf(f->session, &buf);
}

static void run_tmpfile(struct files *f, struct request *rq, void *ctx)
{
	(void)ctx;
	name_tmpfile(f, rq);
}

static void run_setxattr(struct files *f, struct request *rq, void *ctx)
{
	(void)ctx;
	attr_setxattr(f, rq);
}

static void run_refused(struct files *f, struct request *rq, void *ctx)
{
	(void)ctx;
	files_answer(f, &rq->header, rq->error, NULL, 0);
}

static void init_operations(struct files *f)
{
	unsigned i;

	for (i = 0; i < FILES_OPCODES; i++)
		f->operations[i].run = run_libfuse;
	f->operations[0].run = run_refused;
	f->operations[FUSE_TMPFILE].run = run_tmpfile;
	f->operations[FUSE_SETXATTR].run = run_setxattr;
	f->operations[FUSE_LOOKUP].at_once = true;
	f->operations[FUSE_GETATTR].at_once = true;
	f->operations[FUSE_READ].at_once = true;
}

static struct request *copy_request(struct files *f, const void *message,
				    size_t len)
{
	struct request *rq = malloc(sizeof(*rq) + len);

	if (!rq)
		return NULL;
	memset(rq, 0, sizeof(*rq));
	rq->files = f;
	rq->len = len;
	memcpy(rq->bytes, message, len);
	return rq;
}

/* INIT comes first, once, and is answered before anything else is sent. */
static int check_order(struct files *f, const struct request *rq,
		       struct err *err)
{
	if (rq->header.opcode == FUSE_INIT) {
		if (f->init_seen)
			return err_set(err, 0, "a second FUSE INIT");
		f->init_seen = true;
		return 0;
	}
	if (!atomic_load(&f->ready))
		return err_set(err, 0, "FUSE request %s before INIT",
			       files_check_name(rq->header.opcode));
	return 0;
}

/* What cannot wait its turn. Returns true when the request is done with. */
static bool run_in_order(struct files *f, struct request *rq)
{
	const void *payload = rq->bytes + sizeof(rq->header);
	const struct fuse_interrupt_in *interrupt = payload;
	const struct fuse_release_in *release = payload;

	if (rq->header.opcode == FUSE_RELEASE)
		locks_release(f, rq->header.nodeid, release->fh);
	if (rq->header.opcode == FUSE_SETLKW && locks_register(f, rq) < 0)
		rq->error = ENOMEM;
	if (rq->header.opcode != FUSE_INTERRUPT)
		return false;
	locks_interrupt(f, interrupt->unique);
	return true;
}

static int check_request(struct files *f, struct request *rq, struct err *err)
{
	rq->error = files_check(rq->bytes, rq->len, err);
	if (rq->error < 0)
		return -1;
	memcpy(&rq->header, rq->bytes, sizeof(rq->header));
	return check_order(f, rq, err);
}

int files_request(struct files *f, const void *message, size_t len,
		  struct err *err)
{
	struct request *rq;

	if (len > FILES_MAX_MESSAGE)
		return err_set(err, 0, "a FUSE request of %zu bytes", len);
	rq = copy_request(f, message, len);
	if (!rq)
		return err_set(err, ENOMEM, "cannot take a FUSE request");
	if (check_request(f, rq, err) < 0) {
		free(rq);
		return -1;
	}
	atomic_fetch_add(&f->requests, 1);
	if (!rq->error && run_in_order(f, rq)) {
		free(rq);
		return 0;
	}
	if (rq->error)
		rq->header.opcode = 0; /* run_refused() */
	if (f->at_once && files_operation(f, rq->header.opcode)->at_once &&
	    work_at_once(f, rq)) {
		free(rq);
		return 0;
	}
	return work_add(f, rq, err);
}

/* --- beginning and end ---------------------------------------------------------------- */

static int copy_hidden(struct files *f, const char *const *hidden)
{
	size_t n = 0, i;

	while (hidden && hidden[n])
		n++;
	f->hidden = calloc(n + 1, sizeof(char *));
	for (i = 0; f->hidden && i < n; i++) {
		f->hidden[i] = strdup(hidden[i]);
		if (!f->hidden[i])
			return -ENOMEM;
	}
	return f->hidden ? 0 : -ENOMEM;
}

static int open_root(struct files *f, const char *path, struct err *err)
{
	cleanup_fd int fd = -1;
	struct statx stx;
	int r;

	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "cannot open the directory %s", path);
	r = stat_at(fd, "", AT_EMPTY_PATH, &stx);
	if (r < 0)
		return err_set(err, -r, "cannot stat the directory %s", path);
	f->root_dev = stat_dev(&stx);
	stat_learn_device(f, f->root_dev, fd);
	r = inode_table_init(f, &stx, fd);
	if (r < 0)
		return err_set(err, -r, "cannot make the table of inodes");
	steal_fd(&fd);
	return 0;
}

static int set_up(struct files *f, const struct files_config *config,
		  struct err *err)
{
	f->attr_timeout = config->attr_timeout;
	f->entry_timeout = config->entry_timeout;
	f->at_once = true;
	f->is_root = geteuid() == 0;
	f->renaming_type = NFS_SUPER_MAGIC;
	pthread_mutex_init(&f->devices.mutex, NULL);
	init_operations(f);
	work_init(f, config->workers ? config->workers : DEFAULT_WORKERS);
	locks_init(f);
	if (open_root(f, config->root, err) < 0)
		return -1;
	if (copy_hidden(f, config->hidden) < 0)
		return err_set(err, ENOMEM, "cannot start the file service");
	f->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->proc_fd < 0)
		return err_set(err, errno, "cannot open /proc/self/fd"
			       " (is /proc mounted?)");
	f->session = new_session(f);
	if (!f->session)
		return err_set(err, 0, "libfuse cannot make a session");
	return 0;
}

struct files *files_new(const struct files_config *config, files_reply_fn reply,
			void *ctx, struct err *err)
{
	struct files *f = calloc(1, sizeof(*f));

	if (!f) {
		err_set(err, ENOMEM, "cannot start the file service");
		return NULL;
	}
	f->reply = reply;
	f->reply_ctx = ctx;
	f->proc_fd = -1;
	if (set_up(f, config, err) < 0) {
		files_free(f);
		return NULL;
	}
	return f;
}

static void free_hidden(struct files *f)
{
	char **p;

	for (p = f->hidden; p && *p; p++)
		free(*p);
	free(f->hidden);
}

void files_free(struct files *f)
{
	if (!f)
		return;
	atomic_store(&f->silent, true);
	work_stop(f);
	locks_stop(f);
	handle_table_free(f);
	inode_table_free(f);
	if (f->session)
		fuse_session_destroy(f->session);
	if (f->proc_fd >= 0)
		close(f->proc_fd);
	free_hidden(f);
	pthread_mutex_destroy(&f->devices.mutex);
	free(f);
}

void files_stats(struct files *f, struct files_stats *stats)
{
	stats->requests = atomic_load(&f->requests);
	pthread_mutex_lock(&f->table.mutex);
	stats->inodes = f->table.count;
	stats->descriptors = f->table.descriptors;
	stats->handles = f->table.nhandles;
	pthread_mutex_unlock(&f->table.mutex);
	pthread_mutex_lock(&f->locks.mutex);
	stats->waiting_locks = f->locks.waiting;
	pthread_mutex_unlock(&f->locks.mutex);
}
