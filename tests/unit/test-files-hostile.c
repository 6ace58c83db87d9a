/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that says anything: well-formed requests with whatever node ids,
 * handles, flags and sizes, in any order, many at once. Each is answered once,
 * nothing outside of the served directory changes, and the service ends with
 * what it began with.
 */
#include "vmm-agent/files-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUESTS 30000
#define MAX_IDS 4096

static char root[] = "/tmp/test-files-hostile.XXXXXX";
static uint64_t state64 = 0x9e3779b97f4a7c15;

/* What replies taught: real node ids and handles, among which to choose. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t nodeids[MAX_IDS] = { 1 }, handles[MAX_IDS];
static unsigned nnodeids = 1, nhandles;
static uint8_t answered[4 * REQUESTS], opcode_of[4 * REQUESTS];
static unsigned nanswers;

static uint64_t random64(void)
{
	state64 ^= state64 >> 12;
	state64 ^= state64 << 25;
	state64 ^= state64 >> 27;
	return state64 * 2685821657736338717u;
}

static void learn(uint64_t *ids, unsigned *n, uint64_t id)
{
	ids[*n < MAX_IDS ? (*n)++ : id % MAX_IDS] = id;
}

static void learn_from(uint32_t opcode, const void *payload, size_t len)
{
	const struct fuse_entry_out *entry = payload;
	const struct fuse_open_out *opened = payload;

	switch (opcode) {
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		opened = (const void *)(entry + 1);
		learn(handles, &nhandles, opened->fh);
		learn(nodeids, &nnodeids, entry->nodeid);
		break;
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		assert_true(len >= sizeof(*entry));
		learn(nodeids, &nnodeids, entry->nodeid);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		assert_int_equal(len, sizeof(*opened));
		learn(handles, &nhandles, opened->fh);
		break;
	}
}

static void reply(void *ctx, const void *message, size_t len)
{
	const struct fuse_out_header *header = message;

	(void)ctx;
	assert_true(len >= sizeof(*header) && header->len == len);
	if (header->unique == 0) {
		assert_int_equal(header->error, FUSE_NOTIFY_INVAL_INODE);
		return;
	}
	assert_true(header->error <= 0 && header->error > -1000);
	assert_true(header->unique < sizeof(answered));
	pthread_mutex_lock(&mutex);
	assert_int_equal(answered[header->unique]++, 0);
	nanswers++;
	if (header->error == 0)
		learn_from(opcode_of[header->unique], header + 1,
			   len - sizeof(*header));
	pthread_mutex_unlock(&mutex);
}

static uint64_t some_id(const uint64_t *ids, const unsigned *n)
{
	uint64_t choice = random64();
	uint64_t id;

	pthread_mutex_lock(&mutex);
	id = *n ? ids[choice % *n] : 0;
	pthread_mutex_unlock(&mutex);
	return choice % 16 ? id : random64() >> choice % 64;
}

static size_t add_name(uint8_t *to)
{
	return 1 + (size_t)sprintf((char *)to, "name-%u",
				   (unsigned)(random64() % 20));
}

/* Small numbers are what flags, sizes and modes are made of. */
static void fill_random(uint8_t *bytes, size_t len)
{
	size_t i;

	for (i = 0; i + 4 <= len; i += 4) {
		uint32_t value = (uint32_t)(random64() >> random64() % 64);

		memcpy(bytes + i, &value, 4);
	}
}

static const struct {
	uint32_t opcode;
	size_t fixed, fh_at; /* where a handle is, ~0: none */
	unsigned names;
} shapes[] = {
	{ FUSE_LOOKUP, 0, ~0, 1 },
	{ FUSE_FORGET, 8, ~0, 0 },
	{ FUSE_GETATTR, 16, 8, 0 },
	{ FUSE_SETATTR, 88, 8, 0 },
	{ FUSE_READLINK, 0, ~0, 0 },
	{ FUSE_SYMLINK, 0, ~0, 2 },
	{ FUSE_MKNOD, 16, ~0, 1 },
	{ FUSE_MKDIR, 8, ~0, 1 },
	{ FUSE_UNLINK, 0, ~0, 1 },
	{ FUSE_RMDIR, 0, ~0, 1 },
	{ FUSE_RENAME, 8, ~0, 2 },
	{ FUSE_LINK, 8, ~0, 1 },
	{ FUSE_OPEN, 8, ~0, 0 },
	{ FUSE_READ, 40, 0, 0 },
	{ FUSE_STATFS, 0, ~0, 0 },
	{ FUSE_RELEASE, 24, 0, 0 },
	{ FUSE_FSYNC, 16, 0, 0 },
	{ FUSE_GETXATTR, 8, ~0, 1 },
	{ FUSE_LISTXATTR, 8, ~0, 0 },
	{ FUSE_REMOVEXATTR, 0, ~0, 1 },
	{ FUSE_FLUSH, 24, 0, 0 },
	{ FUSE_OPENDIR, 8, ~0, 0 },
	{ FUSE_READDIR, 40, 0, 0 },
	{ FUSE_READDIRPLUS, 40, 0, 0 },
	{ FUSE_RELEASEDIR, 24, 0, 0 },
	{ FUSE_FSYNCDIR, 16, 0, 0 },
	{ FUSE_GETLK, 48, 0, 0 },
	{ FUSE_SETLK, 48, 0, 0 },
	{ FUSE_SETLKW, 48, 0, 0 },
	{ FUSE_ACCESS, 8, ~0, 0 },
	{ FUSE_CREATE, 16, ~0, 1 },
	{ FUSE_INTERRUPT, 8, ~0, 0 },
	{ FUSE_LSEEK, 24, 0, 0 },
	{ FUSE_COPY_FILE_RANGE, 56, 0, 0 },
	{ FUSE_RENAME2, 16, ~0, 2 },
	{ FUSE_TMPFILE, 16, ~0, 1 },
	{ FUSE_WRITE, 40, 0, 0 },
};

static size_t make_request(uint8_t *to, uint64_t unique)
{
	unsigned which = random64() % (sizeof(shapes) / sizeof(shapes[0])), i;
	struct fuse_in_header header = { .opcode = shapes[which].opcode,
					 .unique = unique,
					 .nodeid = some_id(nodeids, &nnodeids),
					 .uid = getuid(), .gid = getgid() };
	size_t len = sizeof(header) + shapes[which].fixed;
	uint64_t fh = some_id(handles, &nhandles);

	fill_random(to + sizeof(header), shapes[which].fixed);
	if (shapes[which].fh_at != (size_t)~0)
		memcpy(to + sizeof(header) + shapes[which].fh_at, &fh, 8);
	if (header.opcode == FUSE_WRITE) {
		struct fuse_write_in *in = (void *)(to + sizeof(header));

		in->size = random64() % 100;
		in->offset %= 1 << 20;
		memset(to + len, 'w', in->size);
		len += in->size;
	}
	if (header.opcode == FUSE_SETATTR)
		((struct fuse_setattr_in *)(to + sizeof(header)))->size %= 1 << 20;
	for (i = 0; i < shapes[which].names; i++)
		len += add_name(to + len);
	header.len = (uint32_t)len;
	memcpy(to, &header, sizeof(header));
	return len;
}

static void send_init(struct files *f)
{
	struct {
		struct fuse_in_header header;
		struct fuse_init_in init;
	} message = {
		.header = { .len = sizeof(message), .opcode = FUSE_INIT,
			    .unique = 2 },
		.init = { .major = 7, .minor = 38, .max_readahead = 131072,
			  .flags = 0x7fffffff & ~(uint32_t)FUSE_INIT_EXT },
	};
	struct err err;
	unsigned i;

	opcode_of[2] = FUSE_INIT;
	assert_int_equal(files_request(f, &message, sizeof(message), &err), 0);
	for (i = 0; i < 5000 && !atomic_load(&f->ready); i++)
		usleep(1000);
	assert_true(atomic_load(&f->ready));
}

static bool waits_for_ever(uint32_t opcode)
{
	return opcode == FUSE_SETLKW || !files_check_answered(opcode);
}

static unsigned missing_answers(uint64_t last)
{
	unsigned n = 0;
	uint64_t i;

	pthread_mutex_lock(&mutex);
	for (i = 2; i <= last; i++)
		n += opcode_of[i] && !answered[i] && !waits_for_ever(opcode_of[i]);
	pthread_mutex_unlock(&mutex);
	return n;
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void every_request_is_answered(void **state)
{
	const struct files_config config = { .root = root, .attr_timeout = -1,
					     .entry_timeout = -1 };
	_Alignas(8) uint8_t message[4096];
	unsigned before = open_descriptors(), i;
	struct err err;
	struct files *f;
	uint64_t unique;

	memset(answered, 0, sizeof(answered));
	nnodeids = 1;
	nhandles = 0;
	f = files_new(&config, reply, NULL, &err);
	assert_non_null(f);
	if (*state)
		f->table.budget = 0; /* no descriptor stays open unused */
	send_init(f);
	for (unique = 4; unique < 4 + REQUESTS; unique++) {
		size_t len = make_request(message, unique);

		opcode_of[unique] = message[4];
		if (files_request(f, message, len, &err) < 0)
			fail_msg("%s", err.text);
	}
	for (i = 0; i < 20000 && missing_answers(unique - 1); i++)
		usleep(1000);
	assert_int_equal(missing_answers(unique - 1), 0);
	files_free(f);
	/* It was not all refused; what there is at the end is chance. */
	assert_true(nnodeids > 10 && nhandles > 10);
	assert_int_equal(open_descriptors(), before);
}

static void order_is_checked(void **state)
{
	const struct files_config config = { .root = root };
	struct fuse_in_header statfs = { .len = sizeof(statfs),
					 .opcode = FUSE_STATFS, .unique = 4,
					 .nodeid = 1 };
	struct err err;
	struct files *f = files_new(&config, reply, NULL, &err);

	(void)state;
	memset(answered, 0, sizeof(answered));
	assert_non_null(f);
	assert_int_equal(files_request(f, &statfs, sizeof(statfs), &err), -1);
	send_init(f);
	assert_int_equal(files_request(f, &statfs, sizeof(statfs), &err), 0);
	statfs.opcode = FUSE_INIT;
	assert_int_equal(files_request(f, &statfs, sizeof(statfs), &err), -1);
	files_free(f);
}

static void bad_roots(void **state)
{
	struct files_config config = { .root = "/nonexistent/directory" };
	struct err err;

	(void)state;
	assert_null(files_new(&config, reply, NULL, &err));
	assert_int_equal(err.num, ENOENT);
	assert_non_null(strstr(err.text, config.root));
	config.root = "/proc/self/status";
	assert_null(files_new(&config, reply, NULL, &err));
	assert_int_equal(err.num, ENOTDIR);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Modes are random too: what cannot be listed is made so on the way down. */
static int open_up(const char *path, const struct stat *st, int type,
		   struct FTW *ftw)
{
	(void)ftw;
	(void)type;
	return S_ISDIR(st->st_mode) ? chmod(path, 0700) : 0;
}

static int remove_root(void **state)
{
	(void)state;
	while (nftw(root, open_up, 16, FTW_PHYS) > 0)
		;
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_is_answered),
		cmocka_unit_test_prestate(every_request_is_answered, root),
		cmocka_unit_test(order_is_checked),
		cmocka_unit_test(bad_roots),
	};

	if (!mkdtemp(root))
		return 1;
	return cmocka_run_group_tests(tests, NULL, remove_root);
}
