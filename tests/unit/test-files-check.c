/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/files-check.h"

#include "vmm-agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static _Alignas(8) uint8_t message[FILES_MAX_MESSAGE + 64];
static size_t length;

static void begin(uint32_t opcode)
{
	struct fuse_in_header header = { .opcode = opcode, .unique = 4,
					 .nodeid = 1 };

	memset(message, 0, 4096);
	memcpy(message, &header, sizeof(header));
	length = sizeof(header);
}

static void add(const void *bytes, size_t len)
{
	memcpy(message + length, bytes, len);
	length += len;
}

static int check(void)
{
	struct fuse_in_header *header = (void *)message;
	struct err err;

	header->len = (uint32_t)length;
	return files_check(message, length, &err);
}

static int check_one(uint32_t opcode, const void *bytes, size_t len)
{
	begin(opcode);
	add(bytes, len);
	return check();
}

#define NAME(opcode, text) check_one(opcode, text, sizeof(text))

static void framing(void **state)
{
	struct fuse_in_header *header = (void *)message;
	struct err err;

	(void)state;
	begin(FUSE_STATFS);
	assert_int_equal(check(), 0);
	header->len = 41;
	assert_int_equal(files_check(message, 40, &err), -1);
	assert_int_equal(files_check(message, 39, &err), -1);
	assert_int_equal(files_check(message, 0, &err), -1);
	header->len = 40;
	header->unique = 0;
	assert_int_equal(files_check(message, 40, &err), -1);
	header->unique = 2;
	header->total_extlen = 1;
	assert_int_equal(files_check(message, 40, &err), -1);
	header->total_extlen = 0;
	header->len = sizeof(message);
	assert_int_equal(files_check(message, sizeof(message), &err), -1);
}

static void unknown_requests(void **state)
{
	static const uint32_t opcodes[] = { 0,  7,  19,   41,   48,     50,
					    52, 63, 4096, 1000, 1048576 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		begin(opcodes[i]);
		assert_int_equal(check(), ENOSYS);
	}
	begin(FUSE_IOCTL);
	assert_int_equal(check(), ENOTTY);
	begin(FUSE_POLL);
	assert_int_equal(check(), ENOSYS);
}

static void names(void **state)
{
	char name[400];

	(void)state;
	assert_int_equal(NAME(FUSE_LOOKUP, "name"), 0);
	assert_int_equal(NAME(FUSE_LOOKUP, "..."), 0);
	assert_int_equal(NAME(FUSE_LOOKUP, "."), EINVAL);
	assert_int_equal(NAME(FUSE_LOOKUP, ".."), EINVAL);
	assert_int_equal(NAME(FUSE_LOOKUP, ""), EINVAL);
	assert_int_equal(NAME(FUSE_LOOKUP, "a/b"), EINVAL);
	assert_int_equal(NAME(FUSE_UNLINK, "/etc/passwd"), EINVAL);
	assert_int_equal(NAME(FUSE_RMDIR, "two\0names"), -1);
	assert_int_equal(check_one(FUSE_LOOKUP, "name", 4), -1);
	assert_int_equal(check_one(FUSE_LOOKUP, "", 0), -1);
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	assert_int_equal(check_one(FUSE_LOOKUP, name, 256), 0);
	name[255] = 'n';
	name[256] = '\0';
	assert_int_equal(check_one(FUSE_LOOKUP, name, 257), ENAMETOOLONG);
}

static void two_names(void **state)
{
	static const struct fuse_rename2_in bad_flags = { .flags = 8 };
	static const char fixed[8];

	(void)state;
	begin(FUSE_RENAME);
	add(fixed, 8);
	add("old\0new", 8);
	assert_int_equal(check(), 0);
	length -= 1;
	assert_int_equal(check(), -1);
	length -= 4;
	assert_int_equal(check(), -1);
	begin(FUSE_RENAME);
	add(fixed, 8);
	add("old\0../new", 11);
	assert_int_equal(check(), EINVAL);
	begin(FUSE_RENAME);
	add(fixed, 8);
	add("a\0b\0c", 6);
	assert_int_equal(check(), -1);
	begin(FUSE_RENAME2);
	add(&bad_flags, sizeof(bad_flags));
	add("old\0new", 8);
	assert_int_equal(check(), EINVAL);
	assert_int_equal(NAME(FUSE_SYMLINK, "name\0../any/where"), 0);
	assert_int_equal(NAME(FUSE_SYMLINK, "name\0"), ENOENT);
	assert_int_equal(NAME(FUSE_SYMLINK, "name"), -1);
	assert_int_equal(check_one(FUSE_SYMLINK, "name\0target", 11), -1);
}

static void sizes(void **state)
{
	struct fuse_write_in write = { .size = 5 };
	struct fuse_read_in read = { .size = FILES_MAX_IO };

	(void)state;
	begin(FUSE_WRITE);
	add(&write, sizeof(write));
	add("12345", 5);
	assert_int_equal(check(), 0);
	add("6", 1);
	assert_int_equal(check(), -1);
	length -= 2;
	assert_int_equal(check(), -1);
	write.offset = INT64_MAX;
	begin(FUSE_WRITE);
	add(&write, sizeof(write));
	add("12345", 5);
	assert_int_equal(check(), EFBIG);
	assert_int_equal(check_one(FUSE_READ, &read, sizeof(read)), 0);
	assert_int_equal(check_one(FUSE_READ, &read, sizeof(read) - 1), -1);
	read.size++;
	assert_int_equal(check_one(FUSE_READ, &read, sizeof(read)), EINVAL);
	assert_int_equal(check_one(FUSE_READDIR, &read, sizeof(read)), EINVAL);
	read.size = 1;
	read.offset = (uint64_t)INT64_MAX + 1;
	assert_int_equal(check_one(FUSE_READ, &read, sizeof(read)), EINVAL);
	assert_int_equal(check_one(FUSE_READDIR, &read, sizeof(read)), 0);
}

static void forgets(void **state)
{
	struct fuse_batch_forget_in in = { .count = 2 };
	struct fuse_forget_one one[2] = { { 0 } };

	(void)state;
	begin(FUSE_BATCH_FORGET);
	((struct fuse_in_header *)message)->unique = 0;
	add(&in, sizeof(in));
	add(one, sizeof(one));
	assert_int_equal(check(), 0);
	length--;
	assert_int_equal(check(), -1);
	in.count = 0x10000001; /* times 16 is 16 again in 32 bits */
	begin(FUSE_BATCH_FORGET);
	add(&in, sizeof(in));
	add(one, sizeof(one[0]));
	assert_int_equal(check(), -1);
}

static void extended_attributes(void **state)
{
	struct fuse_setxattr_in set = { .size = 5 };
	struct fuse_getxattr_in get = { .size = 10 };

	(void)state;
	begin(FUSE_SETXATTR);
	add(&set, FUSE_COMPAT_SETXATTR_IN_SIZE);
	add("user.x", 7);
	add("value", 5);
	assert_int_equal(check(), 0);
	length--;
	assert_int_equal(check(), -1);
	length -= 5;
	assert_int_equal(check(), -1);
	begin(FUSE_GETXATTR);
	add(&get, sizeof(get));
	add("user.x", 7);
	assert_int_equal(check(), 0);
	length--;
	assert_int_equal(check(), -1);
	get.size = XATTR_SIZE_MAX + 1;
	assert_int_equal(check_one(FUSE_LISTXATTR, &get, sizeof(get)), E2BIG);
}

static void locks(void **state)
{
	struct fuse_lk_in lk = { .lk = { .start = 5, .end = 9,
					 .type = F_WRLCK } };

	(void)state;
	assert_int_equal(check_one(FUSE_SETLKW, &lk, sizeof(lk)), 0);
	assert_int_equal(check_one(FUSE_SETLK, &lk, sizeof(lk) - 8), -1);
	lk.lk.end = 4;
	assert_int_equal(check_one(FUSE_SETLK, &lk, sizeof(lk)), EINVAL);
	lk.lk.end = (uint64_t)INT64_MAX + 1;
	assert_int_equal(check_one(FUSE_GETLK, &lk, sizeof(lk)), EINVAL);
	lk.lk.end = INT64_MAX;
	assert_int_equal(check_one(FUSE_GETLK, &lk, sizeof(lk)), 0);
	lk.lk.type = 17;
	assert_int_equal(check_one(FUSE_GETLK, &lk, sizeof(lk)), EINVAL);
}

static void init(void **state)
{
	struct fuse_init_in in = { .major = 7, .minor = 38 };

	(void)state;
	assert_int_equal(check_one(FUSE_INIT, &in, sizeof(in)), 0);
	assert_int_equal(check_one(FUSE_INIT, &in, 16), 0);
	assert_int_equal(check_one(FUSE_INIT, &in, 15), -1);
	in.flags = FUSE_INIT_EXT;
	assert_int_equal(check_one(FUSE_INIT, &in, 16), -1);
	in.minor = FILES_MIN_MINOR - 1;
	assert_int_equal(check_one(FUSE_INIT, &in, sizeof(in)), -1);
	in.minor = 38;
	in.major = 8;
	assert_int_equal(check_one(FUSE_INIT, &in, sizeof(in)), -1);
}

static void attributes(void **state)
{
	struct fuse_setattr_in in = { .valid = FATTR_MTIME,
				      .mtimensec = 1000000000 };

	(void)state;
	assert_int_equal(check_one(FUSE_SETATTR, &in, sizeof(in)), EINVAL);
	in.valid |= FATTR_MTIME_NOW;
	assert_int_equal(check_one(FUSE_SETATTR, &in, sizeof(in)), 0);
	in.valid = FATTR_SIZE;
	in.size = (uint64_t)1 << 63;
	assert_int_equal(check_one(FUSE_SETATTR, &in, sizeof(in)), EINVAL);
	assert_int_equal(check_one(FUSE_SETATTR, &in, sizeof(in) - 8), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(framing),
		cmocka_unit_test(unknown_requests),
		cmocka_unit_test(names),
		cmocka_unit_test(two_names),
		cmocka_unit_test(sizes),
		cmocka_unit_test(forgets),
		cmocka_unit_test(extended_attributes),
		cmocka_unit_test(locks),
		cmocka_unit_test(init),
		cmocka_unit_test(attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
