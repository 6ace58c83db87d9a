/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-measure.h"

#include <ctype.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_RATE_TOTAL (UINT64_C(1) << 62)
#define MAX_MBITS 10000000

/* Control groups */

static bool has_word(const char *list, const char *word)
{
	g_auto(GStrv) words = g_strsplit(list, ",", -1);

	return g_strv_contains((const char *const *)words, word);
}

/* The group of a controller ("": of the unified hierarchy) by /proc/self/cgroup. */
static char *group_of(const char *cgroup, const char *controller)
{
	g_auto(GStrv) lines = g_strsplit(cgroup, "\n", -1);
	unsigned i;

	for (i = 0; lines[i]; i++) {
		g_auto(GStrv) parts = g_strsplit(lines[i], ":", 3);
		bool unified = g_strv_length(parts) == 3 && !*parts[1];

		if (g_strv_length(parts) != 3 || parts[2][0] != '/')
			continue;
		if (*controller ? !unified && has_word(parts[1], controller) : unified)
			return g_strdup(parts[2]);
	}
	return NULL;
}

/* A line of mountinfo: which part of the hierarchy is mounted where. */
static bool mount_of(const char *line, const char *controller, char **root, char **at)
{
	g_auto(GStrv) halves = g_strsplit(line, " - ", 2);
	g_auto(GStrv) left = NULL, right = NULL;

	if (g_strv_length(halves) != 2)
		return false;
	left = g_strsplit(halves[0], " ", 6);
	right = g_strsplit(halves[1], " ", 3);
	if (g_strv_length(left) < 6 || g_strv_length(right) != 3 ||
	    strcmp(right[0], *controller ? "cgroup" : "cgroup2") != 0 ||
	    (*controller && !has_word(right[2], controller)))
		return false;
	*root = g_strcompress(left[3]);
	*at = g_strcompress(left[4]);
	return true;
}

/* The part of the group's path below what is mounted; NULL: it is not below. */
static const char *below(const char *group, const char *root)
{
	size_t len = strlen(root);

	if (strcmp(root, "/") == 0)
		return group;
	if (strncmp(group, root, len) != 0 || (group[len] && group[len] != '/'))
		return NULL;
	return group + len;
}

static char *directory(const char *cgroup, const char *mountinfo, const char *controller,
		       char **top)
{
	g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
	g_autofree char *group = group_of(cgroup, controller);
	char *found = NULL;
	unsigned i;

	if (!group || strstr(group, "/.."))
		return NULL;
	/* A later mount covers an earlier one. */
	for (i = 0; lines[i]; i++) {
		g_autofree char *root = NULL, *at = NULL;
		const char *rest;

		if (!mount_of(lines[i], controller, &root, &at))
			continue;
		rest = below(group, root);
		if (!rest)
			continue;
		g_free(found);
		found = g_strconcat(at, strcmp(rest, "/") == 0 ? "" : rest, NULL);
		if (top) {
			g_free(*top);
			*top = g_steal_pointer(&at);
		}
	}
	return found;
}

char *measure_cgroup(const char *cgroup, const char *mountinfo, const char *controller,
		     bool *v2, char **top)
{
	g_autofree char *v1 = group_of(cgroup, controller);

	if (top)
		*top = NULL;
	*v2 = false;
	if (v1)
		return directory(cgroup, mountinfo, controller, top);
	*v2 = true;
	return directory(cgroup, mountinfo, "", top);
}

/* Numbers */

/* A number without a sign; `text` goes on behind it and blanks. */
static bool take(const char **text, uint64_t *value)
{
	const char *at = *text;
	char *end;

	while (*at == ' ' || *at == '\t')
		at++;
	if (!isdigit((unsigned char)*at))
		return false;
	*value = g_ascii_strtoull(at, &end, 10);
	*text = end;
	return true;
}

uint64_t measure_number(const char *text)
{
	uint64_t value;

	return take(&text, &value) ? value : MEASURE_UNKNOWN;
}

static double share(uint64_t quota, uint64_t period)
{
	if (quota == MEASURE_UNKNOWN || period == MEASURE_UNKNOWN || quota == 0 ||
	    period == 0)
		return 0;
	return (double)quota / (double)period;
}

double measure_cpu_max(const char *text)
{
	uint64_t quota, period;

	return take(&text, &quota) && take(&text, &period) ? share(quota, period) : 0;
}

double measure_cfs_quota(const char *quota, const char *period)
{
	return share(measure_number(quota), measure_number(period));
}

/* What follows "NAME" at the beginning of a line. */
static const char *line_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	while (text) {
		if (strncmp(text, name, len) == 0)
			return text + len;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

uint64_t measure_key(const char *text, const char *name)
{
	g_autofree char *key = g_strconcat(name, " ", NULL);
	const char *at = line_of(text, key);
	uint64_t value;

	return at && take(&at, &value) ? value : MEASURE_UNKNOWN;
}

double measure_pressure(const char *text)
{
	const char *at = line_of(text, "full avg10=");
	double percent = at ? g_ascii_strtod(at, NULL) : 0;

	return percent > 0 ? (percent < 100 ? percent / 100 : 1) : 0;
}

/* Processes */

bool measure_stat(const char *text, uint64_t *busy, unsigned *running)
{
	/* user nice system idle iowait irq softirq steal */
	const char *at = line_of(text, "cpu ");
	uint64_t runnable = measure_key(text, "procs_running"), field;
	unsigned i;

	*busy = 0;
	for (i = 0; at && i < 8; i++) {
		if (!take(&at, &field))
			return false;
		if (i != 3 && i != 4)
			*busy += field;
	}
	*running = runnable > UINT32_MAX ? 0 : (unsigned)runnable;
	return at && runnable <= UINT32_MAX;
}

bool measure_schedstat(const char *text, uint64_t *run, uint64_t *wait)
{
	return take(&text, run) && take(&text, wait);
}

bool measure_is_vcpu(const char *comm)
{
	unsigned number;
	char accel[4];

	return sscanf(comm, "CPU %u/%3[A-Z]", &number, accel) == 2;
}

uint64_t measure_resident(const char *text)
{
	uint64_t size, resident;

	return take(&text, &size) && take(&text, &resident) &&
	       resident < (UINT64_C(1) << 44) ? resident : 0;
}

const char *measure_option(const char *cmdline, unsigned long len, const char *option)
{
	const char *end = cmdline + len, *at = cmdline;
	bool next = false;

	/* The last word has an end only if the text has one. */
	while (at < end && memchr(at, '\0', (size_t)(end - at))) {
		if (next)
			return at;
		next = strcmp(at, option) == 0;
		at += strlen(at) + 1;
	}
	return NULL;
}

uint64_t measure_io(const char *text)
{
	uint64_t in = measure_key(text, "rchar:"), out = measure_key(text, "wchar:");

	/* What comes in at one side goes out at the other: one of the two has seen nearly all of it. */
	return in >= MAX_RATE_TOTAL || out >= MAX_RATE_TOTAL ? 0 : MAX(in, out);
}

uint64_t measure_net(const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	uint64_t sum = 0, field;
	unsigned i, column;

	for (i = 0; lines[i]; i++) {
		const char *at = strchr(lines[i], ':');

		if (!at || strncmp(g_strchug(lines[i]), "lo:", 3) == 0)
			continue;
		at = strchr(lines[i], ':') + 1;
		for (column = 0; column < 9 && take(&at, &field); column++)
			if ((column == 0 || column == 8) && field < MAX_RATE_TOTAL / 4096)
				sum += field;
	}
	return sum;
}

double measure_net_capacity(const char *dir)
{
	GDir *interfaces = g_dir_open(dir, 0, NULL);
	const char *name;
	uint64_t best = 0;

	while (interfaces && (name = g_dir_read_name(interfaces))) {
		g_autofree char *device = g_build_filename(dir, name, "device", NULL);
		g_autofree char *path = g_build_filename(dir, name, "speed", NULL);
		g_autofree char *text = NULL;
		uint64_t speed;

		/* Reading it fails where there is no carrier, or no such thing as a speed. */
		if (!g_file_test(device, G_FILE_TEST_EXISTS) ||
		    !g_file_get_contents(path, &text, NULL, NULL))
			continue;
		speed = measure_number(text);
		if (speed <= MAX_MBITS)
			best = MAX(best, speed);
	}
	if (interfaces)
		g_dir_close(interfaces);
	return (double)best * 125000;
}

/* Speed */

#define SPEED_RUNS 7
#define SPEED_STEPS 1500000
#define SPEED_WORDS 4096
/* CPU seconds that one run takes on the reference: a server's core of about 2020. */
#define SPEED_REFERENCE 0.0060

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Integer arithmetic, branches and loads from a table that fits the first cache. */
static uint64_t work(uint64_t *table)
{
	uint64_t x = 88172645463325252u, sum = 0;
	unsigned i;

	for (i = 0; i < SPEED_STEPS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += table[x % SPEED_WORDS];
		if (x & 1)
			table[i % SPEED_WORDS] += x;
	}
	return sum;
}

double measure_speed(void)
{
	g_autofree uint64_t *table = g_new0(uint64_t, SPEED_WORDS);
	volatile uint64_t result;
	double best = 0;
	unsigned i;

	for (i = 0; i < SPEED_RUNS; i++) {
		double since = cpu_seconds(), taken;

		result = work(table);
		(void)result;
		taken = cpu_seconds() - since;
		/* The fastest run was disturbed least. */
		if (taken > 0 && (best == 0 || taken < best))
			best = taken;
	}
	return best > 0 ? SPEED_REFERENCE / best : 1;
}
