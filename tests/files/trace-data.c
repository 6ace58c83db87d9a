/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenarios: reading, writing, mapping, space. */
#include "tests/files/trace.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define MIB (1024 * 1024)

static void reading(void)
{
	char buf[64] = "";
	struct iovec iov[2] = { { buf, 3 }, { buf + 3, 60 } };
	int fd, wo;

	put("f", "0123456789");
	fd = OPEN(open("f", O_RDONLY));
	wo = OPEN(open("f", O_WRONLY));
	CALL(read(fd, buf, 4));
	CALL(pread(fd, buf, 64, 8));
	CALL(pread(fd, buf, 64, 10));
	CALL(pread(fd, buf, 64, 1000000));
	CALL(pread(fd, buf, 64, -1));
	CALL(pread(fd, buf, 0, 0));
	CALL(lseek(fd, 0, SEEK_CUR));
	CALL(lseek(fd, -3, SEEK_END));
	CALL(lseek(fd, -30, SEEK_END));
	CALL(readv(fd, iov, 2));
	say("%s\n", buf);
	CALL(write(fd, "x", 1));
	CALL(read(wo, buf, 1));
	CALL(write(wo, "", 0));
	CALL(pwrite(wo, "tail", 4, 20));
	say_contents("f");
	close(fd);
	close(wo);
}

/* Sizes around pages and around the largest request. */
static void sizes(void)
{
	static const size_t lengths[] = { 1,       511,     4095,    4096,
					  4097,    65537,   MIB - 1, MIB,
					  MIB + 1, 3 * MIB + 77 };
	uint8_t *bytes = malloc(4 * MIB);
	size_t i;
	int fd;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fill_pattern(bytes, lengths[i], (unsigned)i);
		fd = OPEN(open("f", O_RDWR | O_CREAT | O_TRUNC, 0644));
		CALL(write(fd, bytes, lengths[i]));
		close(fd);
		say_contents("f");
		fd = OPEN(open("f", O_RDWR));
		CALL(pwrite(fd, bytes, lengths[i], 12345));
		close(fd);
		say_contents("f");
	}
	free(bytes);
}

static void appending(void)
{
	int a = OPEN(open("f", O_WRONLY | O_CREAT | O_APPEND, 0644));
	int b = OPEN(open("f", O_WRONLY | O_APPEND));
	int c = OPEN(open("f", O_RDWR));

	CALL(write(a, "one ", 4));
	CALL(write(b, "two ", 4));
	CALL(write(a, "three ", 6));
	CALL(pwrite(a, "four ", 5, 0));
	CALL(lseek(a, 0, SEEK_CUR));
	say_contents("f");
	CALL(fcntl(a, F_SETFL, 0));
	CALL(pwrite(a, "ONE", 3, 0));
	CALL(fcntl(c, F_SETFL, O_APPEND));
	CALL(write(c, "five", 4));
	CALL(ftruncate(b, 2));
	CALL(write(b, "end", 3));
	say_contents("f");
	close(a);
	close(b);
	close(c);
}

/* Pages of a mapping go where they belong, O_APPEND or not. */
static void append_and_map(void)
{
	int fd = OPEN(open("f", O_RDWR | O_CREAT | O_APPEND, 0644));
	char *map;

	CALL(ftruncate(fd, 8192));
	map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CALL(map == MAP_FAILED);
	memset(map + 4000, 'm', 200);
	CALL(msync(map, 8192, MS_SYNC));
	CALL(write(fd, "appended", 8));
	CALL(munmap(map, 8192));
	close(fd);
	say_path("f");
	say_contents("f");
}

static void mapping(void)
{
	int fd = OPEN(open("f", O_RDWR | O_CREAT, 0644)), i, sum = 0;
	char *shared, *private;

	CALL(ftruncate(fd, 10000));
	shared = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CALL(shared == MAP_FAILED || private == MAP_FAILED);
	memcpy(shared, "shared", 6);
	memcpy(shared + 9990, "end", 3);
	memcpy(private + 100, "private", 7);
	CALL(pwrite(fd, "written", 7, 5000));
	CALL(memcmp(shared + 5000, "written", 7));
	CALL(msync(shared, 10000, MS_SYNC));
	say_contents("f");
	CALL(munmap(shared, 10000));
	for (i = 0; i < 10000; i++)
		sum += private[i];
	CALL(sum);
	close(fd);
	CALL(munmap(private, 10000));
	say_contents("f");
}

static void direct_io(void)
{
	int fd = OPEN(open("f", O_RDWR | O_CREAT | O_DIRECT, 0644));
	void *page, *map;

	if (fd < 0 || posix_memalign(&page, 4096, 8192))
		return;
	fill_pattern(page, 8192, 3);
	CALL(pwrite(fd, page, 8192, 0));
	CALL(pwrite(fd, page, 4096, 12288));
	memset(page, 0, 8192);
	CALL(pread(fd, page, 8192, 4096));
	say_contents("f");
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CALL(map == MAP_FAILED ? -1 : 0);
	if (map != MAP_FAILED) {
		memcpy(map, "mapped", 6);
		CALL(munmap(map, 4096));
	}
	CALL(fsync(fd));
	close(fd);
	say_contents("f");
	free(page);
}

/* Beyond 4 GiB, without the space. */
static void large(void)
{
	const off_t far = (off_t)5 << 30;
	char buf[8] = "";
	int fd = OPEN(open("f", O_RDWR | O_CREAT, 0644));

	CALL(pwrite(fd, "far", 3, far));
	CALL(pread(fd, buf, 8, far));
	say("%s\n", buf);
	say_fd(fd);
	CALL(lseek(fd, 0, SEEK_DATA));
	CALL(lseek(fd, 0, SEEK_HOLE));
	CALL(lseek(fd, far, SEEK_HOLE));
	CALL(lseek(fd, far + 4096, SEEK_DATA));
	CALL(ftruncate(fd, far * 100));
	say_fd(fd);
	CALL(ftruncate(fd, 0));
	CALL(ftruncate(fd, -1));
	close(fd);
}

static void space(void)
{
	int fd = OPEN(open("f", O_RDWR | O_CREAT, 0644)), ro;
	uint8_t *bytes = malloc(MIB);

	fill_pattern(bytes, MIB, 9);
	CALL(write(fd, bytes, MIB));
	CALL(fallocate(fd, 0, 0, 2 * MIB));
	say_fd(fd);
	CALL(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4 * MIB));
	say_fd(fd);
	CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536,
		       65536));
	CALL(fallocate(fd, FALLOC_FL_ZERO_RANGE, 300000, 5000));
	say_contents("f");
	CALL(lseek(fd, 0, SEEK_HOLE));
	CALL(lseek(fd, 70000, SEEK_DATA));
	CALL(posix_fallocate(fd, 0, 100));
	CALL(fallocate(fd, 0, 0, 0));
	ro = OPEN(open("f", O_RDONLY));
	CALL(fallocate(ro, 0, 0, 10));
	CALL(ftruncate(ro, 0));
	CALL(truncate("f", 1000));
	CALL(truncate("missing", 0));
	CALL(truncate(".", 0));
	say_contents("f");
	close(ro);
	close(fd);
	free(bytes);
}

static void copying(void)
{
	uint8_t *bytes = malloc(MIB);
	off_t in = 100, out = 7;
	int a, b;

	fill_pattern(bytes, MIB, 5);
	a = OPEN(open("a", O_RDWR | O_CREAT, 0644));
	b = OPEN(open("b", O_RDWR | O_CREAT, 0644));
	CALL(write(a, bytes, MIB));
	CALL(copy_file_range(a, &in, b, &out, 500000, 0));
	CALL(in + out);
	CALL(copy_file_range(a, &in, b, &out, MIB, 0));
	CALL(copy_file_range(a, &in, b, &out, MIB, 0));
	say_contents("b");
	CALL(lseek(a, 0, SEEK_SET));
	CALL(lseek(b, 0, SEEK_SET));
	CALL(sendfile(b, a, NULL, 200000));
	say_contents("b");
	close(a);
	a = OPEN(open("a", O_WRONLY | O_APPEND));
	CALL(copy_file_range(b, NULL, a, NULL, 10, 0));
	close(a);
	close(b);
	free(bytes);
}

static void syncing(void)
{
	int fd = OPEN(open("f", O_RDWR | O_CREAT | O_SYNC, 0644));
	int dir = OPEN(open(".", O_RDONLY | O_DIRECTORY));

	CALL(write(fd, "x", 1));
	CALL(fsync(fd));
	CALL(fdatasync(fd));
	CALL(fsync(dir));
	CALL(fdatasync(dir));
	CALL(syncfs(fd));
	CALL(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	CALL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	close(fd);
	close(dir);
}

static void controls(void)
{
	int fd, n = -1;

	put("f", "12345678");
	fd = OPEN(open("f", O_RDONLY));
	CALL(ioctl(fd, FIONREAD, &n));
	CALL(n);
	CALL(ioctl(fd, TIOCGWINSZ, &n));
	CALL(isatty(fd));
	close(fd);
}

static void file_system(void)
{
	struct statvfs a, b;

	put("f", "x");
	CALL(statvfs(".", &a));
	CALL(statvfs("f", &b));
	say("block %lu fragment %lu blocks %lu names %lu\n", a.f_bsize,
	    a.f_frsize, a.f_blocks, a.f_namemax);
	CALL(a.f_blocks == b.f_blocks);
	CALL(a.f_bavail > 0);
}

const struct scenario data_scenarios[] = {
	{ "reading", reading },
	{ "sizes", sizes },
	{ "appending", appending },
	{ "append_and_map", append_and_map },
	{ "mapping", mapping },
	{ "direct_io", direct_io },
	{ "large", large },
	{ "space", space },
	{ "copying", copying },
	{ "syncing", syncing },
	{ "controls", controls },
	{ "file_system", file_system },
	{ NULL, NULL },
};
