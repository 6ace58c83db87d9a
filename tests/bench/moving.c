/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that is moved, for tests/bench/bench-migrate.py:
 *
 *	moving idle|compute|dirtyN|dirtymax MIB [FILE]
 *
 * It holds so much memory, filled with what does not compress, and idles, computes,
 * or writes to N MiB of its pages a second, or to as many as it can. A thread calls
 * stat() for FILE. On a terminal it answers a line feed with a line of figures, "q"
 * by ending, and any other key with that key.
 *
 * What it looks for is the longest time between two turns of each loop. A guest
 * that is stopped does not see its own monotonic clock go on, so each turn of the
 * file's loop also asks for home's time: it has the file's time set to the present
 * of home, and reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS 5000000ll
#define PAGE 4096u
#define PAGES_PER_MIB (1048576u / PAGE)
#define PAGES_AT_ONCE 256u
#define STEPS_AT_ONCE 20000u

enum { BY_MONOTONIC, BY_REALTIME, BY_HOME, CLOCKS };

static const char *const clock_names[] = { "monotonic", "realtime", "home" };

/* The longest time a loop needed for a turn, by each clock, in ns. */
struct loop {
	const char *name;
	_Atomic int64_t longest[CLOCKS];
	int64_t last[CLOCKS];
	_Atomic unsigned turns;
};

static struct loop work_loop = { .name = "work" };
static struct loop stat_loop = { .name = "stat" };
static const char *file;
static uint64_t *memory;
static size_t pages;
static unsigned rate; /* MiB/s, 0: none */
static bool computes, full_speed;
static volatile uint64_t sink;

static int64_t ns_of(const struct timespec *ts)
{
	return ts->tv_sec * 1000000000ll + ts->tv_nsec;
}

static int64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ns_of(&ts);
}

static void rest(void)
{
	struct timespec ts = { .tv_nsec = PAUSE_NS };

	nanosleep(&ts, NULL);
}

/* A turn has ended; so much of it was a pause. */
static void note(struct loop *loop, const int64_t *at, int64_t pause)
{
	for (int i = 0; i < CLOCKS; i++) {
		int64_t took = at[i] - loop->last[i] - pause;

		if (at[i] && loop->last[i] && took > loop->longest[i])
			loop->longest[i] = took;
		loop->last[i] = at[i];
	}
	loop->turns++;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

static void fill(void)
{
	uint64_t state = 88172645463325252ull;

	for (size_t i = 0; i < pages * PAGE / sizeof(*memory); i++)
		memory[i] = next_random(&state);
}

static void dirty(size_t count)
{
	static uint64_t state = 1;
	static size_t at;

	for (; count > 0; count--) {
		memory[at * PAGE / sizeof(*memory)] = next_random(&state);
		at = (at + 1) % pages;
	}
}

static void compute(void)
{
	static uint64_t state = 1;

	for (unsigned i = 0; i < STEPS_AT_ONCE; i++)
		next_random(&state);
	sink = state;
}

/* One turn of the work; returns how long it paused. */
static int64_t work_once(int64_t *due)
{
	static int64_t since;
	int64_t at = now(CLOCK_MONOTONIC);

	if (computes) {
		compute();
		return 0;
	}
	if (full_speed) {
		dirty(PAGES_AT_ONCE);
		return 0;
	}
	rest();
	if (rate) {
		/* What was missed while the guest was stopped is not made up
		 * for at once. */
		int64_t ns = since && at - since < 10 * PAUSE_NS ? at - since : PAUSE_NS;

		*due += ns * rate * PAGES_PER_MIB;
		dirty((size_t)(*due / 1000000000));
		*due %= 1000000000;
		since = at;
	}
	return PAUSE_NS;
}

static void *work(void *unused)
{
	int64_t at[CLOCKS] = { 0 }, due = 0;

	for (;;) {
		int64_t pause = work_once(&due);

		at[BY_MONOTONIC] = now(CLOCK_MONOTONIC);
		at[BY_REALTIME] = now(CLOCK_REALTIME);
		note(&work_loop, at, pause);
	}
	return unused;
}

/* Both calls go home: one changes the file, the other may not be answered from
 * what the guest remembers. */
static void *call_stat(void *unused)
{
	const struct timespec present[] = { { .tv_nsec = UTIME_OMIT },
					    { .tv_nsec = UTIME_NOW } };
	int64_t at[CLOCKS] = { 0 };
	struct statx st;

	for (;;) {
		rest();
		if (utimensat(AT_FDCWD, file, present, 0) < 0 ||
		    statx(AT_FDCWD, file, AT_STATX_FORCE_SYNC, STATX_MTIME, &st) < 0) {
			fprintf(stderr, "moving: %s: %s\r\n", file, strerror(errno));
			_exit(1);
		}
		at[BY_MONOTONIC] = now(CLOCK_MONOTONIC);
		at[BY_HOME] = st.stx_mtime.tv_sec * 1000000000ll +
			      st.stx_mtime.tv_nsec;
		note(&stat_loop, at, PAUSE_NS);
	}
	return unused;
}

static void start(void *(*run)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, NULL) == 0)
		return;
	fprintf(stderr, "moving: cannot start a thread\n");
	exit(1);
}

static long resident_kib(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[200];
	long kib = 0;

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return kib;
}

static void report_loop(struct loop *loop)
{
	printf("\"%s\": {\"turns\": %u", loop->name,
	       atomic_exchange(&loop->turns, 0));
	for (int i = 0; i < CLOCKS; i++)
		printf(", \"%s_ms\": %.3f", clock_names[i],
		       (double)atomic_exchange(&loop->longest[i], 0) / 1e6);
	printf("}, ");
}

/* Since the last report. */
static void report(void)
{
	printf("{");
	report_loop(&work_loop);
	report_loop(&stat_loop);
	printf("\"resident_kib\": %ld}\n", resident_kib());
	fflush(stdout);
}

/* Keys come as they are typed, and are not echoed by the terminal. */
static void set_terminal(void)
{
	struct termios termios;

	if (tcgetattr(0, &termios) < 0)
		return;
	termios.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	termios.c_iflag &= ~(tcflag_t)(ICRNL | INLCR);
	tcsetattr(0, TCSANOW, &termios);
}

static void serve(void)
{
	char key;

	set_terminal();
	printf("ready\n");
	fflush(stdout);
	while (read(0, &key, 1) == 1 && key != 'q') {
		if (key == '\n')
			report();
		else if (write(1, &key, 1) != 1)
			break;
	}
}

static int parse(char **argv)
{
	char *end;

	pages = strtoul(argv[2], &end, 10) * PAGES_PER_MIB;
	if (*end || !pages || pages > 1u << 24)
		return -1;
	computes = strcmp(argv[1], "compute") == 0;
	full_speed = strcmp(argv[1], "dirtymax") == 0;
	if (computes || full_speed || strcmp(argv[1], "idle") == 0)
		return 0;
	if (sscanf(argv[1], "dirty%u", &rate) != 1 || !rate || rate > 100000)
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3 || argc > 4 || parse(argv) < 0) {
		fprintf(stderr, "usage: moving idle|compute|dirtyN|dirtymax MIB [FILE]\n");
		return 2;
	}
	file = argv[3];
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		fprintf(stderr, "moving: %s MiB: %s\n", argv[2], strerror(errno));
		return 1;
	}
	fill();
	start(work);
	if (!file) {
		pause();
		return 0;
	}
	start(call_stat);
	serve();
	return 0;
}
