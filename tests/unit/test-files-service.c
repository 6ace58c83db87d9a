/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file service, spoken to directly: what no sane guest does, and what takes
 * a race or a rare file system to happen through a mount.
 */
#include "vmm-agent/files-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/test-files-service.XXXXXX";
static struct files *service;

/* What was answered, and the last answer. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;
static bool answered[4096];
static int error;
static unsigned notified;
static _Alignas(8) uint8_t payload[65536];

static void reply(void *ctx, const void *message, size_t len)
{
	const struct fuse_out_header *header = message;

	(void)ctx;
	pthread_mutex_lock(&mutex);
	assert_true(header->unique < sizeof(answered));
	notified += header->unique == 0;
	answered[header->unique] = true;
	error = -header->error;
	memcpy(payload, header + 1, len - sizeof(*header));
	pthread_cond_broadcast(&came);
	pthread_mutex_unlock(&mutex);
}

static uint64_t send_request(uint32_t opcode, uint64_t nodeid, const void *fixed,
			     size_t len, const char *name)
{
	static uint64_t unique = 2;
	_Alignas(8) uint8_t message[4096];
	struct fuse_in_header header = { .opcode = opcode, .nodeid = nodeid,
					 .unique = unique += 2 };
	size_t total = sizeof(header) + len;
	struct err err;

	if (len)
		memcpy(message + sizeof(header), fixed, len);
	if (name) {
		strcpy((char *)message + total, name);
		total += strlen(name) + 1;
	}
	header.len = (uint32_t)total;
	memcpy(message, &header, sizeof(header));
	if (files_request(service, message, total, &err) < 0)
		fail_msg("%s", err.text);
	return header.unique;
}

/* True when that request is answered within the time. */
static bool wait_answer(uint64_t unique, int ms)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&mutex);
	while (!answered[unique] && r == 0)
		r = pthread_cond_timedwait(&came, &mutex, &until);
	pthread_mutex_unlock(&mutex);
	return r == 0;
}

static int call(uint32_t opcode, uint64_t nodeid, const void *fixed, size_t len,
		const char *name)
{
	assert_true(wait_answer(send_request(opcode, nodeid, fixed, len, name),
				20000));
	return error;
}

static uint64_t look_up(uint64_t parent, const char *name)
{
	assert_int_equal(call(FUSE_LOOKUP, parent, NULL, 0, name), 0);
	return ((struct fuse_entry_out *)payload)->nodeid;
}

static int get_attr(uint64_t nodeid)
{
	static const struct fuse_getattr_in in;

	return call(FUSE_GETATTR, nodeid, &in, sizeof(in), NULL);
}

static uint64_t open_file(uint64_t nodeid, uint32_t flags)
{
	const struct fuse_open_in in = { .flags = flags };

	assert_int_equal(call(FUSE_OPEN, nodeid, &in, sizeof(in), NULL), 0);
	return ((struct fuse_open_out *)payload)->fh;
}

static int release(uint64_t nodeid, uint64_t fh)
{
	const struct fuse_release_in in = { .fh = fh };

	return call(FUSE_RELEASE, nodeid, &in, sizeof(in), NULL);
}

static int read_file(uint64_t nodeid, uint64_t fh)
{
	const struct fuse_read_in in = { .fh = fh, .size = 10 };

	return call(FUSE_READ, nodeid, &in, sizeof(in), NULL);
}

/* FORGET has no answer: wait for its effect by asking something after it. */
static void forget(uint64_t nodeid, uint64_t count)
{
	const struct fuse_forget_in in = { .nlookup = count };
	struct timespec t = { 0, 20000000 };

	send_request(FUSE_FORGET, nodeid, &in, sizeof(in), NULL);
	nanosleep(&t, NULL);
}

static void make(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static struct files_stats stats(void)
{
	struct files_stats s;

	files_stats(service, &s);
	return s;
}

static void wrong_numbers(void **state)
{
	uint64_t a, b, fh;

	(void)state;
	make("a", "text");
	make("b", "text");
	a = look_up(1, "a");
	b = look_up(1, "b");
	fh = open_file(a, O_RDONLY);
	assert_int_equal(read_file(a, fh), 0);
	assert_int_equal(read_file(b, fh), EBADF);
	assert_int_equal(read_file(a, fh + 1), EBADF);
	assert_int_equal(read_file(a, fh ^ (uint64_t)1 << 32), EBADF);
	assert_int_equal(read_file(a, UINT64_MAX), EBADF);
	assert_int_equal(get_attr(a + 1000), ESTALE);
	assert_int_equal(get_attr(0), ESTALE);
	assert_int_equal(get_attr(UINT64_MAX), ESTALE);
	assert_int_equal(call(FUSE_LOOKUP, a, NULL, 0, "x"), ENOTDIR);
	assert_int_equal(call(FUSE_LOOKUP, 0, NULL, 0, "a"), ESTALE);
	assert_int_equal(release(b, fh), EBADF);
	assert_int_equal(release(a, fh), 0);
	assert_int_equal(release(a, fh), EBADF);
	assert_int_equal(read_file(a, fh), EBADF);
	assert_int_equal(stats().handles, 0);
}

static void forgetting(void **state)
{
	uint64_t before = stats().inodes, a;

	(void)state;
	make("f", "");
	a = look_up(1, "f");
	assert_int_equal(look_up(1, "f"), a);
	assert_int_equal(stats().inodes, before + 1);
	forget(a, 1);
	assert_int_equal(get_attr(a), 0);
	forget(a, 1);
	assert_int_equal(get_attr(a), ESTALE);
	forget(a, 1);
	assert_int_not_equal(look_up(1, "f"), a);
	forget(1, UINT64_MAX);
	a = look_up(1, "f");
	forget(a, UINT64_MAX);
	assert_int_equal(get_attr(a), ESTALE);
	assert_int_equal(stats().inodes, before);
}

/* A parent that the guest forgot is kept as long as the way leads over it. */
static void forgotten_parent(void **state)
{
	uint64_t before = stats().inodes, dir, file;

	(void)state;
	assert_int_equal(mkdir("dir", 0755), 0);
	make("dir/f", "");
	dir = look_up(1, "dir");
	file = look_up(dir, "f");
	forget(dir, 1);
	assert_int_equal(get_attr(file), 0);
	forget(file, 1);
	assert_int_equal(stats().inodes, before);
}

/* The same inode number, often, and never the same file. */
static void inode_numbers_used_again(void **state)
{
	uint64_t old, new;
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		make("reused", "old");
		old = look_up(1, "reused");
		unlink("reused");
		assert_int_equal(get_attr(old), ESTALE);
		make("reused", "new");
		new = look_up(1, "reused");
		assert_int_not_equal(old, new);
		assert_int_equal(get_attr(old), ESTALE);
		assert_int_equal(get_attr(new), 0);
		unlink("reused");
	}
}

static void renamed_at_home(void **state)
{
	uint64_t dir, file;

	(void)state;
	assert_int_equal(mkdir("d1", 0755), 0);
	make("d1/f", "");
	dir = look_up(1, "d1");
	file = look_up(dir, "f");
	/* Its descriptor is in the cache, and follows. */
	assert_int_equal(rename("d1", "d2"), 0);
	assert_int_equal(get_attr(file), 0);
	assert_int_equal(call(FUSE_LOOKUP, dir, NULL, 0, "f"), 0);
	assert_int_equal(rename("d2/f", "d2/g"), 0);
	assert_int_equal(get_attr(file), ESTALE);
	assert_int_equal(look_up(dir, "g"), file);
	assert_int_equal(get_attr(file), 0);
}

/* Renames at home that leave the guest's names in a circle end, with an error. */
static void names_in_a_circle(void **state)
{
	uint64_t a, b;

	(void)state;
	assert_int_equal(mkdir("a-dir", 0755) | mkdir("a-dir/b-dir", 0755), 0);
	a = look_up(1, "a-dir");
	b = look_up(a, "b-dir");
	/* b gets a descriptor, so a lookup below it works whatever its name. */
	assert_int_equal(call(FUSE_LOOKUP, b, NULL, 0, "none"), ENOENT);
	assert_int_equal(rename("a-dir/b-dir", "b-dir"), 0);
	assert_int_equal(rename("a-dir", "b-dir/a-dir"), 0);
	assert_int_equal(look_up(b, "a-dir"), a);
	service->table.budget = 0; /* the next one closes what it can */
	assert_int_equal(get_attr(1), 0);
	service->table.budget = 1000;
	assert_int_equal(get_attr(a), ESTALE);
	assert_int_equal(get_attr(b), ESTALE);
	assert_int_equal(look_up(1, "b-dir"), b);
	assert_int_equal(get_attr(a), 0);
}

/* Far deeper than a path may be long, and no descriptor on the way. */
static void deep_below_closed_descriptors(void **state)
{
	uint64_t nodeid = 1;
	char name[201];
	int i;

	(void)state;
	memset(name, 'd', 200);
	name[200] = '\0';
	for (i = 0; i < 60; i++) {
		assert_int_equal(mkdir(name, 0755) | chdir(name), 0);
		nodeid = look_up(nodeid, name);
	}
	assert_int_equal(chdir(root), 0);
	service->table.budget = 0;
	assert_int_equal(get_attr(1), 0);
	assert_int_equal(stats().descriptors, 1);
	assert_int_equal(get_attr(nodeid), 0);
	assert_int_equal(call(FUSE_LOOKUP, nodeid, NULL, 0, "none"), ENOENT);
}

static unsigned descriptors_of_deleted(void)
{
	char path[300], target[300];
	struct dirent *entry;
	unsigned n = 0;
	ssize_t len;
	DIR *dir = opendir("/proc/self/fd");

	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		n += strstr(target, " (deleted)") != NULL;
	}
	closedir(dir);
	return n;
}

static void unlink_known(const char *name)
{
	const struct fuse_setattr_in chmod_in = { .valid = FATTR_MODE,
						  .mode = 0600 };
	uint64_t nodeid;

	make(name, "");
	nodeid = look_up(1, name);
	/* This leaves a descriptor of the inode in the cache. */
	assert_int_equal(call(FUSE_SETATTR, nodeid, &chmod_in, sizeof(chmod_in),
			      NULL), 0);
	assert_int_equal(call(FUSE_UNLINK, 1, NULL, 0, name), 0);
}

/* NFS would rename a removed file of which there is a descriptor. */
static void no_descriptor_of_removed_files_on_nfs(void **state)
{
	struct statfs st;
	unsigned before = descriptors_of_deleted();

	(void)state;
	unlink_known("kept");
	assert_int_equal(descriptors_of_deleted(), before + 1);
	assert_int_equal(statfs(".", &st), 0);
	service->renaming_type = st.f_type;
	unlink_known("not-kept");
	assert_int_equal(descriptors_of_deleted(), before + 1);
}

static uint64_t send_lock(uint32_t opcode, uint64_t nodeid, uint64_t fh,
			  uint64_t owner)
{
	const struct fuse_lk_in in = { .fh = fh, .owner = owner,
				       .lk = { .end = 9, .type = F_WRLCK } };

	return send_request(opcode, nodeid, &in, sizeof(in), NULL);
}

static void interrupting(void **state)
{
	struct fuse_interrupt_in interrupt = { 0 };
	uint64_t file, fh;

	(void)state;
	make("lock", "");
	file = look_up(1, "lock");
	fh = open_file(file, O_RDWR);
	notified = 0;
	assert_true(wait_answer(send_lock(FUSE_SETLK, file, fh, 1), 5000));
	assert_int_equal(error, 0);
	assert_int_equal(notified, 1); /* before: what was cached may be old */
	assert_true(wait_answer(send_lock(FUSE_SETLK, file, fh, 2), 5000));
	assert_int_equal(error, EAGAIN);
	interrupt.unique = send_lock(FUSE_SETLKW, file, fh, 2);
	assert_false(wait_answer(interrupt.unique, 200));
	assert_int_equal(stats().waiting_locks, 1);
	send_request(FUSE_INTERRUPT, 0, &interrupt, sizeof(interrupt), NULL);
	assert_true(wait_answer(interrupt.unique, 5000));
	assert_int_equal(error, EINTR);
	/* Before a worker has seen the request, too. */
	interrupt.unique = send_lock(FUSE_SETLKW, file, fh, 2);
	send_request(FUSE_INTERRUPT, 0, &interrupt, sizeof(interrupt), NULL);
	assert_true(wait_answer(interrupt.unique, 5000));
	assert_int_equal(error, EINTR);
	assert_int_equal(stats().waiting_locks, 0);
	/* One that waits still, when the service ends. */
	send_lock(FUSE_SETLKW, file, fh, 3);
}

static void run_slowly(struct files *f, struct request *rq, void *ctx)
{
	struct timespec t = { 0, 300000000 };

	(void)ctx;
	nanosleep(&t, NULL);
	files_answer(f, &rq->header, 0, NULL, 0);
}

static unsigned threads_now(void)
{
	unsigned n;

	pthread_mutex_lock(&service->work.mutex);
	n = service->work.threads;
	pthread_mutex_unlock(&service->work.mutex);
	return n;
}

static void workers_come_and_go(void **state)
{
	struct timespec t = { 0, 100000000 };
	uint64_t sent[200];
	int i;

	(void)state;
	files_operation(service, FUSE_STATFS)->run = run_slowly;
	for (i = 0; i < 200; i++)
		sent[i] = send_request(FUSE_STATFS, 1, NULL, 0, NULL);
	assert_int_equal(threads_now(), 64);
	for (i = 0; i < 200; i++)
		assert_true(wait_answer(sent[i], 20000));
	for (i = 0; i < 150 && threads_now() > 1; i++)
		nanosleep(&t, NULL);
	assert_int_equal(threads_now(), 1);
	assert_int_equal(get_attr(1), 0);
}

static int start(void **state)
{
	const struct files_config config = { .root = root, .attr_timeout = -1,
					     .entry_timeout = -1 };
	const struct fuse_init_in init = { .major = 7, .minor = 38 };
	struct err err;

	(void)state;
	service = files_new(&config, reply, NULL, &err);
	if (!service)
		return -1;
	assert_int_equal(call(FUSE_INIT, 0, &init, sizeof(init), NULL), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	files_free(service);
	return system("rm -rf ./*");
}

static int remove_root(void **state)
{
	(void)state;
	return chdir("/") || rmdir(root);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_numbers),
		TEST(forgetting),
		TEST(forgotten_parent),
		TEST(inode_numbers_used_again),
		TEST(renamed_at_home),
		TEST(names_in_a_circle),
		TEST(deep_below_closed_descriptors),
		TEST(no_descriptor_of_removed_files_on_nfs),
		TEST(interrupting),
		TEST(workers_come_and_go),
	};

	if (!mkdtemp(root) || chdir(root))
		return 1;
	return cmocka_run_group_tests(tests, NULL, remove_root);
}
