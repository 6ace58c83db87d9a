/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A job and home's own processes on the same files: what one does, the other
 * must see. Two directories are given that are the same one, once at home and
 * once through the mount.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Longer than the guest trusts what it knows of names and attributes. */
#define TIMEOUT_MS 1300

static int home, job; /* the two directories */
static int waiters = 100;

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int must_open(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags, 0644);

	if (fd < 0)
		fail_msg("cannot open %s: %s", name, strerror(errno));
	return fd;
}

static void must_write(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void put(int dir, const char *name, const char *text)
{
	int fd = must_open(dir, name, O_WRONLY | O_CREAT | O_TRUNC);

	must_write(fd, text);
	close(fd);
}

static void expect_text(int dir, const char *name, const char *text)
{
	int fd = must_open(dir, name, O_RDONLY);
	char buf[256] = "";

	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	close(fd);
	assert_string_equal(buf, text);
}

/* --- locks ------------------------------------------------------------------ */

static int posix_lock(int fd, int how, int type)
{
	struct flock range = { .l_type = (short)type, .l_whence = SEEK_SET,
			       .l_start = 10, .l_len = 5 };

	return fcntl(fd, how, &range) < 0 ? errno : 0;
}

static int flock_lock(int fd, int op)
{
	return flock(fd, op) < 0 ? errno : 0;
}

/* What another process gets when it tries on a descriptor of its own. */
static int other_tries(int dir, int (*try)(int fd))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(20);
		_exit(try(must_open(dir, "lock", O_RDWR)));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int try_write_lock(int fd)
{
	return posix_lock(fd, F_SETLK, F_WRLCK);
}

static int try_read_lock(int fd)
{
	return posix_lock(fd, F_SETLK, F_RDLCK);
}

static int try_exclusive(int fd)
{
	return flock_lock(fd, LOCK_EX | LOCK_NB);
}

static int get_conflict(int fd)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	assert_int_equal(fcntl(fd, F_GETLK, &range), 0);
	if (range.l_type == F_UNLCK)
		return 0;
	return range.l_start == 10 && range.l_len == 5 ? 1 + range.l_type : 99;
}

static void lock_both_ways(int holder_dir, int other_dir)
{
	int fd;

	put(home, "lock", "x");
	fd = must_open(holder_dir, "lock", O_RDWR);
	assert_int_equal(posix_lock(fd, F_SETLK, F_WRLCK), 0);
	assert_int_equal(other_tries(other_dir, try_write_lock), EAGAIN);
	assert_int_equal(other_tries(other_dir, try_read_lock), EAGAIN);
	assert_int_equal(other_tries(other_dir, get_conflict), 1 + F_WRLCK);
	assert_int_equal(posix_lock(fd, F_SETLK, F_RDLCK), 0);
	assert_int_equal(other_tries(other_dir, try_read_lock), 0);
	assert_int_equal(other_tries(other_dir, try_write_lock), EAGAIN);
	close(fd);
	assert_int_equal(other_tries(other_dir, try_write_lock), 0);
	fd = must_open(holder_dir, "lock", O_RDONLY);
	assert_int_equal(flock_lock(fd, LOCK_SH), 0);
	assert_int_equal(other_tries(other_dir, try_exclusive), EAGAIN);
	assert_int_equal(flock_lock(fd, LOCK_UN), 0);
	assert_int_equal(other_tries(other_dir, try_exclusive), 0);
	close(fd);
}

static void locks_of_job_exclude_home(void **state)
{
	(void)state;
	lock_both_ways(job, home);
}

static void locks_of_home_exclude_job(void **state)
{
	(void)state;
	lock_both_ways(home, job);
}

static pid_t start(int dir, int (*action)(int fd))
{
	pid_t pid = fork();

	if (pid == 0) {
		alarm(20);
		_exit(action(must_open(dir, "lock", O_RDWR)));
	}
	return pid;
}

static int wait_posix(int fd)
{
	return posix_lock(fd, F_SETLKW, F_WRLCK);
}

static int wait_flock(int fd)
{
	return flock_lock(fd, LOCK_EX);
}

static void expect_running(pid_t pid)
{
	sleep_ms(150);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
}

static int end_of(pid_t pid, int limit_ms)
{
	int64_t until = now_ms() + limit_ms;
	int status = -1;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		assert_true(now_ms() < until);
		sleep_ms(1);
	}
	return status;
}

static void job_waits_for_home(void **state)
{
	int fd;
	pid_t pid;

	(void)state;
	put(home, "lock", "x");
	fd = must_open(home, "lock", O_RDWR);
	assert_int_equal(posix_lock(fd, F_SETLK, F_WRLCK), 0);
	pid = start(job, wait_posix);
	expect_running(pid);
	assert_int_equal(posix_lock(fd, F_SETLK, F_UNLCK), 0);
	assert_int_equal(end_of(pid, 3000), 0);
	assert_int_equal(flock_lock(fd, LOCK_EX), 0);
	pid = start(job, wait_flock);
	expect_running(pid);
	assert_int_equal(flock_lock(fd, LOCK_UN), 0);
	assert_int_equal(end_of(pid, 3000), 0);
	close(fd);
}

/* Many that wait hold up nobody: not each other, not other requests. */
static void waiting_blocks_nobody(void **state)
{
	pid_t pids[100] = { 0 };
	int fd, i;

	(void)state;
	put(home, "lock", "x");
	fd = must_open(home, "lock", O_RDWR);
	assert_int_equal(posix_lock(fd, F_SETLK, F_WRLCK), 0);
	for (i = 0; i < waiters; i++)
		pids[i] = start(job, wait_posix);
	sleep_ms(200);
	put(job, "meanwhile", "works");
	expect_text(job, "meanwhile", "works");
	close(fd);
	for (i = 0; i < waiters; i++)
		assert_int_equal(end_of(pids[i], 15000), 0);
}

static void killed_process_lets_go(void **state)
{
	int fd;
	pid_t pid;

	(void)state;
	put(home, "lock", "x");
	fd = must_open(home, "lock", O_RDWR);
	assert_int_equal(posix_lock(fd, F_SETLK, F_WRLCK), 0);
	pid = start(job, wait_posix);
	expect_running(pid);
	kill(pid, SIGKILL);
	assert_int_equal(end_of(pid, 3000), SIGKILL);
	close(fd);
	/* Nothing of it is left that would take the lock now. */
	sleep_ms(100);
	assert_int_equal(other_tries(home, try_write_lock), 0);
}

static int hold_and_sleep(int fd)
{
	/* It waits: who asks whether it holds them yet has a lock for a moment, too. */
	if (wait_posix(fd) || wait_flock(fd))
		return 1;
	pause();
	return 0;
}

static void killed_holder_lets_go(void **state)
{
	int64_t until;
	pid_t pid;

	(void)state;
	put(home, "lock", "x");
	pid = start(job, hold_and_sleep);
	until = now_ms() + 5000;
	while (other_tries(home, try_exclusive) == 0) {
		assert_true(now_ms() < until);
		sleep_ms(5);
	}
	kill(pid, SIGKILL);
	assert_int_equal(end_of(pid, 3000), SIGKILL);
	assert_int_equal(other_tries(home, try_write_lock), 0);
	until = now_ms() + 1000;
	while (other_tries(home, try_exclusive)) {
		assert_true(now_ms() < until);
		sleep_ms(5);
	}
}

/* In the order of the job's calls, though close() waits for no answer. */
static void close_releases_at_once(void **state)
{
	int i, fd, other;

	(void)state;
	put(job, "lock", "x");
	for (i = 0; i < 200; i++) {
		fd = must_open(job, "lock", O_RDONLY);
		assert_int_equal(flock_lock(fd, LOCK_EX | LOCK_NB), 0);
		assert_int_equal(posix_lock(fd, F_SETLK, F_RDLCK), 0);
		close(fd);
		other = must_open(job, "lock", O_RDWR);
		assert_int_equal(flock_lock(other, LOCK_EX | LOCK_NB), 0);
		close(other);
		assert_int_equal(other_tries(job, try_write_lock), 0);
	}
}

#define COUNTS 100

static void count_up(int fd)
{
	char text[16] = "";

	assert_int_equal(posix_lock(fd, F_SETLKW, F_WRLCK), 0);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) >= 0);
	snprintf(text, sizeof(text), "%08d", atoi(text) + 1);
	assert_int_equal(pwrite(fd, text, 8, 0), 8);
	assert_int_equal(posix_lock(fd, F_SETLK, F_UNLCK), 0);
}

/* Pauses for longer than a tick of home's clock, which dates changes. */
static int count_many(int fd)
{
	int i;

	for (i = 0; i < COUNTS; i++) {
		count_up(fd);
		sleep_ms(6);
	}
	return 0;
}

/* Under a lock, what is read is what the last holder wrote. */
static void lock_holders_see_the_last_write(void **state)
{
	pid_t pids[4];
	int i;

	(void)state;
	put(home, "lock", "00000000");
	for (i = 0; i < 4; i++)
		pids[i] = start(i % 2 ? home : job, count_many);
	for (i = 0; i < 4; i++)
		assert_int_equal(end_of(pids[i], 30000), 0);
	expect_text(home, "lock", "00000400");
}

/* --- contents ------------------------------------------------------------------ */

static void writes_are_at_home_at_once(void **state)
{
	char text[32];
	int fd, i;

	(void)state;
	fd = must_open(job, "data", O_WRONLY | O_CREAT | O_TRUNC);
	for (i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "line %d\n", i);
		assert_int_equal(pwrite(fd, text, strlen(text), 0),
				 strlen(text));
		expect_text(home, "data", text);
	}
	close(fd);
}

static void home_changes_are_seen(void **state)
{
	int fd;
	char buf[16] = "";

	(void)state;
	put(home, "seen", "before");
	expect_text(job, "seen", "before");
	fd = must_open(job, "seen", O_RDONLY);
	sleep_ms(TIMEOUT_MS);
	put(home, "seen", "after!");
	sleep_ms(TIMEOUT_MS);
	expect_text(job, "seen", "after!");
	assert_int_equal(pread(fd, buf, 6, 0), 6);
	assert_string_equal(buf, "after!");
	close(fd);
}

/* Same size, same modification time: ctime tells. */
static void unchanged_times_do_not_deceive(void **state)
{
	struct timespec times[2];
	struct stat st;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		put(home, "times", "first");
		assert_int_equal(fstatat(home, "times", &st, 0), 0);
		expect_text(job, "times", "first");
		put(home, "times", "other");
		times[0] = st.st_atim;
		times[1] = st.st_mtim;
		assert_int_equal(utimensat(home, "times", times, 0), 0);
		expect_text(job, "times", "other");
	}
}

static bool has_text(int dir, const char *name, const char *text)
{
	int fd = must_open(dir, name, O_RDONLY);
	char buf[32] = "";

	assert_true(read(fd, buf, sizeof(buf) - 1) > 0);
	close(fd);
	return !strcmp(buf, text);
}

/*
 * For a time the guest may still have the old file; that the name leads to some
 * file all the time, and soon to the new one, it must see.
 */
static void replaced_files_are_new_files(void **state)
{
	int64_t until;
	char text[32];
	int i;

	(void)state;
	put(home, "name", "old");
	for (i = 0; i < 4; i++) {
		snprintf(text, sizeof(text), "new %d", i);
		put(home, "new", text);
		assert_int_equal(renameat(home, "new", home, "name"), 0);
		until = now_ms() + 5000;
		while (!has_text(job, "name", text)) {
			assert_true(now_ms() < until);
			sleep_ms(10);
		}
	}
}

static void renamed_at_home(void **state)
{
	char buf[8] = "";
	int fd, dir;

	(void)state;
	mkdirat(home, "dir", 0755);
	put(home, "dir/f", "abc");
	fd = must_open(job, "dir/f", O_RDWR);
	dir = must_open(job, "dir", O_RDONLY | O_DIRECTORY);
	assert_int_equal(renameat(home, "dir", home, "moved"), 0);
	sleep_ms(TIMEOUT_MS);
	assert_int_equal(faccessat(job, "dir/f", F_OK, 0), -1);
	assert_int_equal(errno, ENOENT);
	expect_text(job, "moved/f", "abc");
	expect_text(dir, "f", "abc");
	assert_int_equal(pread(fd, buf, 3, 0), 3);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(unlinkat(home, "moved/f", 0), 0);
	assert_int_equal(pread(fd, buf, 3, 0), 3);
	put(dir, "g", "still here");
	expect_text(home, "moved/g", "still here");
	close(fd);
	close(dir);
}

#define APPENDS 300

static void *append_lines(void *arg)
{
	int fd = must_open(*(int *)arg, "log", O_WRONLY | O_APPEND);
	int i;

	for (i = 0; i < APPENDS; i++)
		must_write(fd, "0123456789abcdef\n");
	close(fd);
	return NULL;
}

static void appends_are_never_lost(void **state)
{
	pthread_t threads[4];
	struct stat st;
	int i;

	(void)state;
	put(home, "log", "");
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, append_lines,
			       i % 2 ? &home : &job);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(fstatat(home, "log", &st, 0), 0);
	assert_int_equal(st.st_size, 4 * APPENDS * 17);
}

static void mapped_pages_reach_home(void **state)
{
	int fd = must_open(job, "map", O_RDWR | O_CREAT | O_TRUNC);
	char *map;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	strcpy(map, "through a mapping");
	assert_int_equal(msync(map, 4096, MS_SYNC), 0);
	expect_text(home, "map", "through a mapping");
	munmap(map, 4096);
	close(fd);
}

/* --- many at once --------------------------------------------------------------- */

static atomic_bool over;
static atomic_int failures, last_error;

static void note(int r, const char *what)
{
	if (r >= 0)
		return;
	atomic_store(&last_error, errno);
	if (atomic_fetch_add(&failures, 1) < 5)
		print_error("%s: %s\n", what, strerror(errno));
}

static void *rename_around(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; !atomic_load(&over); i++) {
		note(renameat(job, i % 2 ? "race/b" : "race/a", job,
			      i % 2 ? "race/a" : "race/b"),
		     "rename");
		note(renameat(job, i % 2 ? "race/e" : "race/d", job,
			      i % 2 ? "race/d" : "race/e"),
		     "rename of a directory");
	}
	return NULL;
}

static void *use_descriptors(void *arg)
{
	int file = must_open(job, "race/still", O_PATH);
	int dir = *(int *)arg;
	struct stat st;

	while (!atomic_load(&over)) {
		note(fstat(file, &st), "fstat");
		note(fstatat(dir, "inside", &st, 0), "stat in a directory");
		note(faccessat(dir, "inside", R_OK, 0), "access");
		close(must_open(dir, "inside", O_RDONLY));
	}
	close(file);
	return NULL;
}

/* An open directory and an open file never lose their way. */
static void renames_confuse_nobody(void **state)
{
	pthread_t renamer, users[3];
	int i, dir;

	(void)state;
	mkdirat(job, "race", 0755);
	mkdirat(job, "race/d", 0755);
	put(job, "race/a", "x");
	put(job, "race/still", "x");
	put(job, "race/d/inside", "x");
	dir = must_open(job, "race/d", O_PATH);
	atomic_store(&over, false);
	atomic_store(&failures, 0);
	pthread_create(&renamer, NULL, rename_around, NULL);
	for (i = 0; i < 3; i++)
		pthread_create(&users[i], NULL, use_descriptors, &dir);
	sleep_ms(3000);
	atomic_store(&over, true);
	pthread_join(renamer, NULL);
	for (i = 0; i < 3; i++)
		pthread_join(users[i], NULL);
	close(dir);
	assert_int_equal(atomic_load(&failures), 0);
}

static void *make_and_remove(void *arg)
{
	intptr_t me = (intptr_t)arg;
	char a[64], b[64];
	struct stat st;
	int i, fd;

	for (i = 0; i < 150; i++) {
		snprintf(a, sizeof(a), "many/%ld-%d", (long)me, i);
		snprintf(b, sizeof(b), "many/%ld-%d-moved", (long)me, i);
		fd = openat(job, a, O_CREAT | O_EXCL | O_RDWR, 0644);
		note(fd, "create");
		note((int)write(fd, a, strlen(a)), "write");
		note(renameat(job, a, job, b), "rename");
		note(fstat(fd, &st), "fstat");
		note(linkat(job, b, job, a, 0), "link");
		note(unlinkat(job, b, 0), "unlink");
		note(fstatat(job, a, &st, 0), "stat");
		if (st.st_size != (off_t)strlen(a))
			note(-1, "size");
		note(unlinkat(job, a, 0), "unlink");
		note(ftruncate(fd, 1), "truncate unlinked");
		close(fd);
	}
	return NULL;
}

static void many_threads(void **state)
{
	pthread_t threads[16];
	intptr_t i;

	(void)state;
	mkdirat(job, "many", 0755);
	atomic_store(&failures, 0);
	for (i = 0; i < 16; i++)
		pthread_create(&threads[i], NULL, make_and_remove, (void *)i);
	for (i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&failures), 0);
	assert_int_equal(unlinkat(home, "many", AT_REMOVEDIR), 0);
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		perror(path);
	return fd;
}

/*
 * usage: test-home DIRECTORY-AT-HOME THE-SAME-IN-THE-MOUNT [WAITERS]
 * WAITERS, at most 100, is how many processes wait for a lock at a time.
 */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locks_of_job_exclude_home),
		cmocka_unit_test(locks_of_home_exclude_job),
		cmocka_unit_test(job_waits_for_home),
		cmocka_unit_test(waiting_blocks_nobody),
		cmocka_unit_test(killed_process_lets_go),
		cmocka_unit_test(killed_holder_lets_go),
		cmocka_unit_test(close_releases_at_once),
		cmocka_unit_test(lock_holders_see_the_last_write),
		cmocka_unit_test(writes_are_at_home_at_once),
		cmocka_unit_test(home_changes_are_seen),
		cmocka_unit_test(unchanged_times_do_not_deceive),
		cmocka_unit_test(replaced_files_are_new_files),
		cmocka_unit_test(renamed_at_home),
		cmocka_unit_test(appends_are_never_lost),
		cmocka_unit_test(mapped_pages_reach_home),
		cmocka_unit_test(renames_confuse_nobody),
		cmocka_unit_test(many_threads),
	};

	if (argc < 3)
		return 2;
	if (argc > 3)
		waiters = atoi(argv[3]);
	home = open_dir(argv[1]);
	job = open_dir(argv[2]);
	if (home < 0 || job < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
