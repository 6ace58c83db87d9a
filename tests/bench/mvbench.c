/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rates of one kind of work after the other, in the current directory: file
 * operations per second, MB/s, processes per second. It prints a line "KIND RATE
 * UNIT" each, natively or as a job; bench.py compares.
 *
 *	mvbench SECONDS-PER-KIND
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (128 * 1024)
#define BIG_BLOCKS 256 /* 32 MiB */
#define TREE 500

static uint8_t block[BLOCK];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "mvbench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *numbered(const char *kind, unsigned n)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s-%u", kind, n);
	return name;
}

static void write_file(const char *name, size_t blocks, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	must(fd >= 0, name);
	for (size_t i = 0; i < blocks; i++)
		must(write(fd, block, size) == (ssize_t)size, name);
	close(fd);
}

/* ---- kinds: each does a little and returns how much ------------------------ */

static double do_create(unsigned n)
{
	int fd = open(numbered("new", n), O_WRONLY | O_CREAT | O_EXCL, 0644);

	must(fd >= 0, "create");
	close(fd);
	return 1;
}

static double do_write_small(unsigned n)
{
	write_file(numbered("small", n % TREE), 1, 1024);
	return 1;
}

static double do_read_small(unsigned n)
{
	int fd = open(numbered("tree/f", n % TREE), O_RDONLY);

	must(fd >= 0 && read(fd, block, 4096) == 1024, "read");
	close(fd);
	return 1;
}

static double do_stat(unsigned n)
{
	struct stat st;

	must(!stat(numbered("tree/f", n % TREE), &st), "stat");
	return 1;
}

static double do_stat_missing(unsigned n)
{
	struct stat st;

	must(stat(numbered("tree/none", n), &st) < 0, "stat");
	return 1;
}

static double do_rename(unsigned n)
{
	char from[64];

	snprintf(from, sizeof(from), "ren-%u", n);
	must(!rename(from, numbered("ren", n + 1)), "rename");
	return 1;
}

static double do_unlink(unsigned n)
{
	return unlink(numbered("new", n)) ? do_create(n) : 1;
}

static double do_mkdir(unsigned n)
{
	const char *name = numbered("dir", n);

	must(!mkdir(name, 0755) && !rmdir(name), "mkdir");
	return 2;
}

static double do_readdir(unsigned n)
{
	DIR *dir = opendir("tree");
	double entries = 0;

	(void)n;
	must(dir != NULL, "tree");
	while (readdir(dir))
		entries++;
	closedir(dir);
	return entries;
}

static double do_write_big(unsigned n)
{
	(void)n;
	write_file("big", BIG_BLOCKS, BLOCK);
	return BIG_BLOCKS * BLOCK / 1e6;
}

static double read_whole(const char *name)
{
	int fd = open(name, O_RDONLY);
	double bytes = 0;
	ssize_t got;

	must(fd >= 0, name);
	while ((got = read(fd, block, BLOCK)) > 0)
		bytes += (double)got;
	close(fd);
	return bytes / 1e6;
}

/* Every time another file, which this job has not read before. */
static double do_read_big(unsigned n)
{
	return read_whole(numbered("cold", n % 8));
}

static double do_reread_big(unsigned n)
{
	(void)n;
	return read_whole("cold-0");
}

static double do_map(unsigned n)
{
	int fd = open("cold-0", O_RDONLY);
	volatile uint8_t *map;
	uint8_t sum = 0;

	(void)n;
	map = mmap(NULL, BIG_BLOCKS * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED, "mmap");
	for (size_t i = 0; i < BIG_BLOCKS * BLOCK; i += 4096)
		sum = (uint8_t)(sum + map[i]);
	block[0] = sum;
	munmap((void *)map, BIG_BLOCKS * BLOCK);
	close(fd);
	return BIG_BLOCKS * BLOCK / 1e6;
}

static double do_spawn(unsigned n)
{
	pid_t pid = fork();

	(void)n;
	must(pid >= 0, "fork");
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	return 1;
}

static double do_compute(unsigned n)
{
	uint64_t x = n + 1;

	for (int i = 0; i < 1000000; i++)
		x = x * 6364136223846793005ull + 1442695040888963407ull;
	block[1] = (uint8_t)x;
	return 1;
}

static const struct {
	const char *name, *unit;
	double (*run)(unsigned n);
	unsigned limit; /* of calls, 0: none */
} kinds[] = {
	{ "create", "files/s", do_create, 0 },
	{ "unlink", "files/s", do_unlink, 0 },
	{ "write-1K", "files/s", do_write_small, 0 },
	{ "open-read-1K", "files/s", do_read_small, 0 },
	{ "stat", "calls/s", do_stat, 0 },
	{ "stat-missing", "calls/s", do_stat_missing, 0 },
	{ "rename", "calls/s", do_rename, 0 },
	{ "mkdir-rmdir", "calls/s", do_mkdir, 0 },
	{ "readdir", "entries/s", do_readdir, 0 },
	{ "write-32M", "MB/s", do_write_big, 0 },
	{ "read-32M", "MB/s", do_read_big, 8 },
	{ "reread-32M", "MB/s", do_reread_big, 0 },
	{ "mmap-32M", "MB/s", do_map, 0 },
	{ "spawn", "processes/s", do_spawn, 0 },
	{ "compute", "M steps/s", do_compute, 0 },
};

static void prepare(void)
{
	must(!mkdir("tree", 0755), "tree");
	for (unsigned i = 0; i < TREE; i++)
		write_file(numbered("tree/f", i), 1, 1024);
	for (unsigned i = 0; i < 8; i++)
		write_file(numbered("cold", i), BIG_BLOCKS, BLOCK);
	write_file("ren-0", 1, 1);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	struct timespec begun;

	if (argc > 2 && !strcmp(argv[2], "clock")) { /* home's, in a job too */
		clock_gettime(CLOCK_REALTIME, &begun);
		printf("%.9f\n", (double)begun.tv_sec + (double)begun.tv_nsec / 1e9);
		return 0;
	}
	if (argc > 2) { /* made before the job that is measured */
		prepare();
		return 0;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		double from = now(), took = 0, amount = 0;
		unsigned n = 0;

		do {
			amount += kinds[i].run(n++);
			took = now() - from;
		} while (took < seconds && n != kinds[i].limit);
		printf("%s %.3f %s\n", kinds[i].name, amount / took, kinds[i].unit);
		fflush(stdout);
	}
	return 0;
}
