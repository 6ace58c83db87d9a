/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/files/trace.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static FILE *record;
static const char *native_dir, *mounted_dir;

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(record, fmt, ap);
	va_end(ap);
}

long say_result(const char *call, long result, int error)
{
	say("%s = %ld%s%s\n", call, result, result == -1 ? " " : "",
	    result == -1 ? strerrorname_np(error) : "");
	return result;
}

static void say_stat(const char *what, int r, const struct stat *st)
{
	if (r < 0) {
		say("%s: %s\n", what, strerrorname_np(errno));
		return;
	}
	say("%s: mode %o links %lu owner %u:%u size %ld device %lx\n", what,
	    st->st_mode, S_ISDIR(st->st_mode) ? 0 : (unsigned long)st->st_nlink,
	    st->st_uid, st->st_gid, S_ISDIR(st->st_mode) ? 0 : st->st_size,
	    (unsigned long)st->st_rdev);
}

void say_path(const char *path)
{
	struct stat st;
	int r = lstat(path, &st);

	say_stat(strlen(path) < 64 ? path : "(long)", r, &st);
}

void say_fd(int fd)
{
	struct stat st;

	say_stat("fd", fstat(fd, &st), &st);
}

void say_contents(const char *path)
{
	uint64_t sum = 14695981039346656037u, total = 0;
	int fd = open(path, O_RDONLY);
	uint8_t buf[65536];
	ssize_t n = 0, i;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0) {
		for (i = 0; i < n; i++)
			sum = (sum ^ buf[i]) * 1099511628211u;
		total += (uint64_t)n;
	}
	say("%s: %lu bytes, sum %lx%s\n", path, total, sum,
	    fd < 0 || n < 0 ? strerrorname_np(errno) : "");
	if (fd >= 0)
		close(fd);
}

void say_names(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort), i;

	say("%s has %d:", path, n);
	for (i = 0; i < n; i++) {
		say(" %s/%d", entries[i]->d_name, entries[i]->d_type);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	say("\n");
}

void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		say("put %s: %s\n", path, strerrorname_np(errno));
	if (fd >= 0)
		close(fd);
}

void fill_pattern(uint8_t *bytes, size_t len, unsigned seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

void in_child(void (*run)(void))
{
	int status;
	pid_t pid;

	fflush(record);
	pid = fork();
	if (pid == 0) {
		alarm(20);
		run();
		fflush(record);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		status = -1;
	say("child: %x\n", status);
}

/* --- running both --------------------------------------------------------- */

/* The record is a file, so that children can write to it too. */
static char *run_in(const char *dir, const struct scenario *s)
{
	char *text;
	long len;

	record = tmpfile();
	assert_non_null(record);
	setvbuf(record, NULL, _IONBF, 0);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir(s->name, 0777), 0);
	assert_int_equal(chdir(s->name), 0);
	umask(022);
	s->run();
	assert_int_equal(chdir("/"), 0);
	len = ftell(record);
	text = calloc(1, (size_t)len + 1);
	rewind(record);
	assert_int_equal(fread(text, 1, (size_t)len, record), (size_t)len);
	fclose(record);
	return text;
}

/* A scenario whose calls all fail alike proves nothing. */
static void check_substance(const char *text)
{
	assert_true(strlen(text) > 40);
	assert_non_null(strstr(text, "= 0\n"));
}

static void show_difference(const char *a, const char *b)
{
	size_t line = 0, i;

	for (i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '\n')
			line = i + 1;
	print_error("native:  %.*s\n", (int)strcspn(a + line, "\n"), a + line);
	print_error("mounted: %.*s\n", (int)strcspn(b + line, "\n"), b + line);
}

static void compare(void **state)
{
	const struct scenario *s = *state;
	char *native = run_in(native_dir, s), *mounted = run_in(mounted_dir, s);

	check_substance(native);
	if (strcmp(native, mounted)) {
		show_difference(native, mounted);
		fail_msg("%s differs", s->name);
	}
	free(native);
	free(mounted);
}

static size_t add(struct CMUnitTest *tests, size_t n, const char *only,
		  const struct scenario *scenarios)
{
	for (; scenarios->name; scenarios++)
		if (!only || !strcmp(only, scenarios->name))
			tests[n++] = (struct CMUnitTest){
				.name = scenarios->name,
				.test_func = compare,
				.initial_state = (void *)scenarios,
			};
	return n;
}

/* usage: test-files NATIVE-DIRECTORY MOUNTED-DIRECTORY [SCENARIO] */
int main(int argc, char **argv)
{
	struct CMUnitTest tests[128];
	const char *only = argc > 3 ? argv[3] : NULL;
	size_t n = 0;

	if (argc < 3)
		return 2;
	native_dir = argv[1];
	mounted_dir = argv[2];
	n = add(tests, n, only, name_scenarios);
	n = add(tests, n, only, data_scenarios);
	n = add(tests, n, only, attr_scenarios);
	n = add(tests, n, only, lock_scenarios);
	return _cmocka_run_group_tests("files", tests, n, NULL, NULL);
}
