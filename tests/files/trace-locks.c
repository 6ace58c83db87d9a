/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenarios: POSIX and flock locks among processes of a job. */
#include "tests/files/trace.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static int file;

static long lock(int fd, int how, int type, off_t start, off_t len)
{
	struct flock range = {
		.l_type = (short)type, .l_whence = SEEK_SET,
		.l_start = start, .l_len = len,
	};

	return fcntl(fd, how, &range);
}

static void say_conflict(int fd, int type, off_t start, off_t len)
{
	struct flock range = {
		.l_type = (short)type, .l_whence = SEEK_SET,
		.l_start = start, .l_len = len,
	};

	CALL(fcntl(fd, F_GETLK, &range));
	say("conflict %d at %ld+%ld by parent %d\n", range.l_type,
	    range.l_type == F_UNLCK ? 0 : range.l_start,
	    range.l_type == F_UNLCK ? 0 : range.l_len,
	    range.l_type != F_UNLCK && range.l_pid == getppid());
}

static void posix_child(void)
{
	int fd = open("f", O_RDWR);

	CALL(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	CALL(lock(fd, F_SETLK, F_RDLCK, 0, 10));
	CALL(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	CALL(lock(fd, F_SETLK, F_RDLCK, 100, 0));
	CALL(lock(fd, F_SETLK, F_WRLCK, 100, 0));
	say_conflict(fd, F_WRLCK, 0, 0);
	say_conflict(fd, F_WRLCK, 50, 10);
	say_conflict(fd, F_RDLCK, 100, 10);
}

static void posix(void)
{
	int fd;

	put("f", "x");
	file = OPEN(open("f", O_RDWR));
	CALL(lock(file, F_SETLK, F_WRLCK, 0, 10));
	CALL(lock(file, F_SETLK, F_RDLCK, 100, 0));
	in_child(posix_child);
	CALL(lock(file, F_SETLK, F_RDLCK, 0, 5));
	in_child(posix_child);
	CALL(lock(file, F_SETLK, F_UNLCK, 0, 0));
	in_child(posix_child);
	CALL(lock(file, F_SETLK, F_WRLCK, 0, 10));
	/* Any close of the file by this process drops its locks. */
	fd = OPEN(open("f", O_WRONLY));
	CALL(close(fd));
	in_child(posix_child);
	fd = OPEN(open("f", O_RDONLY));
	CALL(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	CALL(lock(fd, F_SETLK, F_RDLCK, 0, 10));
	in_child(posix_child);
	CALL(close(fd));
	in_child(posix_child);
	CALL(lock(file, F_SETLK, F_WRLCK, -1, 10));
	close(file);
}

static void on_alarm(int signo)
{
	(void)signo;
}

static void waiting_child(void)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	int fd = open("f", O_RDWR);

	sigaction(SIGALRM, &action, NULL);
	alarm(1);
	CALL(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
	alarm(1);
	CALL(flock(fd, LOCK_EX));
	alarm(0);
}

static void interrupted(void)
{
	put("f", "x");
	file = OPEN(open("f", O_RDWR));
	CALL(lock(file, F_SETLK, F_WRLCK, 0, 1));
	CALL(flock(file, LOCK_EX));
	in_child(waiting_child);
	close(file);
}

/* A process that waits gets the lock when the other lets it go. */
static void handed_over(void)
{
	int status = -1, ready[2], fd;
	char byte;
	pid_t pid;

	put("f", "x");
	file = OPEN(open("f", O_RDWR));
	CALL(lock(file, F_SETLK, F_WRLCK, 0, 0));
	CALL(flock(file, LOCK_SH));
	CALL(pipe(ready));
	pid = fork();
	if (pid == 0) {
		alarm(20);
		fd = open("f", O_RDWR);
		if (write(ready[1], "", 1) != 1)
			_exit(2);
		_exit(lock(fd, F_SETLKW, F_WRLCK, 5, 5) ||
		      flock(fd, LOCK_EX));
	}
	CALL(read(ready[0], &byte, 1));
	usleep(100000);
	CALL(waitpid(pid, &status, WNOHANG));
	CALL(lock(file, F_SETLK, F_UNLCK, 0, 0));
	usleep(50000);
	CALL(flock(file, LOCK_UN));
	waitpid(pid, &status, 0);
	CALL(status);
	close(file);
}

static void flock_child(void)
{
	int fd = open("f", O_RDONLY);

	CALL(flock(fd, LOCK_SH | LOCK_NB));
	CALL(flock(fd, LOCK_EX | LOCK_NB));
	/* The parent's open file: its lock is shared. */
	CALL(flock(file, LOCK_EX | LOCK_NB));
}

static void whole_file(void)
{
	int copy, other;

	put("f", "x");
	file = OPEN(open("f", O_RDONLY));
	CALL(flock(file, LOCK_EX));
	in_child(flock_child);
	CALL(flock(file, LOCK_SH));
	in_child(flock_child);
	copy = dup(file);
	other = OPEN(open("f", O_RDWR));
	CALL(flock(copy, LOCK_EX | LOCK_NB));
	CALL(flock(other, LOCK_SH | LOCK_NB));
	CALL(close(file));
	CALL(flock(other, LOCK_SH | LOCK_NB));
	CALL(close(copy));
	CALL(flock(other, LOCK_EX | LOCK_NB));
	CALL(flock(other, LOCK_UN));
	/* The two kinds do not see each other. */
	file = OPEN(open("f", O_RDWR));
	CALL(flock(file, LOCK_EX | LOCK_NB));
	CALL(lock(other, F_SETLK, F_WRLCK, 0, 0));
	close(file);
	close(other);
}

const struct scenario lock_scenarios[] = {
	{ "posix", posix },
	{ "interrupted", interrupted },
	{ "handed_over", handed_over },
	{ "whole_file", whole_file },
	{ NULL, NULL },
};
