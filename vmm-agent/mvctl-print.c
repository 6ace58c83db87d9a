/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvctl.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define CELL 256
#define MAX_COLUMNS 14
#define NO_LIMIT 100000
#define HALF_A_YEAR_S (31556952 / 2)

/* One column of a table: what it shows and how. */
struct column {
	const char *title;
	void (*format)(char *cell, size_t size, struct json_object *row,
		       const char *field);
	const char *field;
	bool right; /* aligned, as numbers are */
};

char *print_clean(char *to, size_t size, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t used = 0;

	while (*at && used + 1 < size) {
		/* C1 control characters are two bytes in UTF-8. */
		if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
			to[used++] = '?';
			at += 2;
			continue;
		}
		to[used++] = *at < 0x20 || *at == 0x7f ? '?' : (char)*at;
		at++;
	}
	/* Not half a character at the end. */
	if (*at && (*at & 0xc0) == 0x80)
		while (used > 0 && ((unsigned char)to[--used] & 0xc0) == 0x80)
			;
	to[used] = '\0';
	return to;
}

static void format_text(char *cell, size_t size, struct json_object *row,
			const char *field)
{
	print_clean(cell, size, agent_string(row, field));
}

static void format_number(char *cell, size_t size, struct json_object *row,
			  const char *field)
{
	snprintf(cell, size, "%lld", agent_number(row, field));
}

static void say_seconds(char *cell, size_t size, long long age)
{
	if (age < 0)
		age = 0;
	if (age < 60)
		snprintf(cell, size, "%llds", age);
	else if (age < 3600)
		snprintf(cell, size, "%lldm%02llds", age / 60, age % 60);
	else if (age < 86400)
		snprintf(cell, size, "%lldh%02lldm", age / 3600,
			 age / 60 % 60);
	else
		snprintf(cell, size, "%lldd%02lldh", age / 86400,
			 age / 3600 % 24);
}

static void format_age(char *cell, size_t size, struct json_object *row,
		       const char *field)
{
	say_seconds(cell, size, (long long)time(NULL) - agent_number(row, field));
}

/* With the time for which it has been out of reach. */
static void format_state(char *cell, size_t size, struct json_object *row,
			 const char *field)
{
	char state[32], age[32];

	format_text(state, sizeof(state), row, field);
	if (agent_number(row, "lost_since")) {
		format_age(age, sizeof(age), row, "lost_since");
		snprintf(cell, size, "%s %s", state, age);
	} else {
		snprintf(cell, size, "%s", state);
	}
}

/* How many characters, not bytes, a cell takes on the screen. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static size_t screen_width(FILE *out)
{
	struct winsize size;
	int fd = fileno(out);

	if (isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 &&
	    size.ws_col > 0)
		return size.ws_col;
	return NO_LIMIT;
}

/* Cut a cell to `max` characters. */
static void cut(char *cell, size_t max)
{
	size_t n = 0;
	char *at;

	for (at = cell; *at; at++) {
		if (((unsigned char)*at & 0xc0) != 0x80 && n++ == max) {
			*at = '\0';
			return;
		}
	}
}

static void print_cell(FILE *out, const char *text, size_t wide, bool right,
		       bool last)
{
	size_t pad = wide > width(text) ? wide - width(text) : 0;

	if (right)
		fprintf(out, "%*s%s", (int)pad, "", text);
	else if (last)
		fputs(text, out);
	else
		fprintf(out, "%s%*s", text, (int)pad, "");
	fputs(last ? "\n" : "  ", out);
}

static void measure(size_t *wide, const struct column *columns, size_t n,
		    struct json_object *rows)
{
	char cell[CELL];
	size_t c, r;

	for (c = 0; c < n; c++)
		wide[c] = width(columns[c].title);
	for (r = 0; r < json_object_array_length(rows); r++)
		for (c = 0; c < n; c++) {
			columns[c].format(cell, sizeof(cell),
					  json_object_array_get_idx(rows, r),
					  columns[c].field);
			if (width(cell) > wide[c])
				wide[c] = width(cell);
		}
}

static void print_table(FILE *out, const struct column *columns, size_t n,
			struct json_object *rows)
{
	size_t wide[MAX_COLUMNS], left = screen_width(out), c, r;
	char cell[CELL];

	measure(wide, columns, n, rows);
	for (c = 0; c + 1 < n; c++)
		left = left > wide[c] + 2 ? left - wide[c] - 2 : 0;
	for (c = 0; c < n; c++)
		print_cell(out, columns[c].title, wide[c], columns[c].right,
			   c + 1 == n);
	for (r = 0; r < json_object_array_length(rows); r++)
		for (c = 0; c < n; c++) {
			columns[c].format(cell, sizeof(cell),
					  json_object_array_get_idx(rows, r),
					  columns[c].field);
			if (c + 1 == n)
				cut(cell, left);
			print_cell(out, cell, wide[c], columns[c].right,
				   c + 1 == n);
		}
}

/* Where a job's home is its host, nobody needs to be told. */
static bool says_something(struct json_object *job, const char *field)
{
	const char *text = agent_string(job, field);

	return *text && (strcmp(field, "home") != 0 ||
			 strcmp(text, agent_string(job, "host")) != 0);
}

static bool any_has(struct json_object *rows, const char *field)
{
	size_t i;

	for (i = 0; i < json_object_array_length(rows); i++)
		if (says_something(json_object_array_get_idx(rows, i), field))
			return true;
	return false;
}

/* Home and the columns about moves are not for those who have one node. */
static bool is_optional(const struct column *column)
{
	return strcmp(column->field, "home") == 0 ||
	       strcmp(column->field, "from") == 0 ||
	       strcmp(column->field, "stays") == 0 ||
	       strcmp(column->field, "group") == 0 ||
	       strcmp(column->field, "why") == 0;
}

void print_jobs(FILE *out, struct json_object *jobs)
{
	static const struct column columns[] = {
		{ "PID", format_number, "pid", true },
		{ "USER", format_text, "user", false },
		{ "NAME", format_text, "name", false },
		{ "STATE", format_state, "state", false },
		{ "AGE", format_age, "since", true },
		{ "HOME", format_text, "home", false },
		{ "HOST", format_text, "host", false },
		{ "FROM", format_text, "from", false },
		{ "MOVES", format_number, "moves", true },
		{ "GROUP", format_text, "group", false },
		{ "CANNOT MOVE", format_text, "stays", false },
		{ "WHY", format_text, "why", false },
		{ "COMMAND", format_text, "command", false },
	};
	struct column shown[MAX_COLUMNS];
	size_t i, n = 0;

	for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (!is_optional(&columns[i]) ||
		    any_has(jobs, columns[i].field))
			shown[n++] = columns[i];
	print_table(out, shown, n, jobs);
}

/* A node that is up, and takes no jobs or not all. */
static void format_node_state(char *cell, size_t size, struct json_object *row,
			      const char *field)
{
	struct json_object *scheduler;
	const char *state = agent_string(row, field), *takes = "";

	if (json_object_object_get_ex(row, "scheduler", &scheduler))
		takes = agent_string(scheduler, "state");
	if (strcmp(state, "up") == 0 && *takes && strcmp(takes, "open") != 0)
		state = takes;
	else if (strcmp(state, "up") == 0 && *takes && agent_number(scheduler, "in_use"))
		state = "in-use";
	print_clean(cell, size, state);
}

void print_nodes(FILE *out, struct json_object *nodes)
{
	static const struct column columns[] = {
		{ "NODE", format_text, "name", false },
		{ "STATE", format_node_state, "state", false },
		{ "CPUS", format_number, "cpus", true },
		{ "MEMORY", format_number, "memory", true },
		{ "FREE", format_number, "free", true },
		{ "JOBS", format_number, "jobs", true },
		{ "AWAY", format_number, "away", true },
		{ "ACCEL", format_text, "accel", false },
		{ "REASON", format_text, "accel_reason", false },
	};

	print_table(out, columns, sizeof(columns) / sizeof(columns[0]), nodes);
}

/* "yes", or why not. */
static void format_answers(char *cell, size_t size, struct json_object *row,
			   const char *field)
{
	(void)field;
	if (agent_number(row, "self"))
		snprintf(cell, size, "this node");
	else if (agent_number(row, "reachable"))
		snprintf(cell, size, "yes");
	else
		print_clean(cell, size, agent_string(row, "trouble"));
}

static void format_clock(char *cell, size_t size, struct json_object *row,
			 const char *field)
{
	long long tenths = agent_number(row, field) / 100;

	snprintf(cell, size, "%+.1fs", (double)tenths / 10);
}

void print_cluster(FILE *out, struct json_object *answer)
{
	static const struct column columns[] = {
		{ "NODE", format_text, "name", false },
		{ "ADDRESS", format_text, "address", false },
		{ "PORT", format_number, "port", true },
		{ "CLOCK", format_clock, "clock_ahead_ms", true },
		{ "LIVENESS", format_text, "liveness", false },
		{ "ANSWERS", format_answers, "trouble", false },
	};
	struct json_object *members;
	char text[CELL];

	if (!json_object_object_get_ex(answer, "members", &members) ||
	    !json_object_is_type(members, json_type_array))
		return;
	print_table(out, columns, sizeof(columns) / sizeof(columns[0]),
		    members);
	fprintf(out, "roster %lld; %s, which has the cluster's key, admits and "
		"removes nodes\n", agent_number(answer, "roster"),
		print_clean(text, sizeof(text),
			    agent_string(answer, "authority")));
}

/* The fingerprint's beginning, which the nodes' titles have, too. */
static void format_cluster(char *cell, size_t size, struct json_object *row,
			   const char *field)
{
	snprintf(cell, size, "%.16s", agent_string(row, field));
	if (agent_number(row, "ours"))
		snprintf(cell, size, "this node's");
}

void print_discovered(FILE *out, struct json_object *nodes)
{
	static const struct column columns[] = {
		{ "NODE", format_text, "node", false },
		{ "ADDRESS", format_text, "address", false },
		{ "PORT", format_number, "port", true },
		{ "ADMITS", format_text, "admits", false },
		{ "CLUSTER", format_cluster, "cluster", false },
	};

	print_table(out, columns, sizeof(columns) / sizeof(columns[0]), nodes);
}

/* One job, each fact in the unit that people think in */

static void say_bytes(char *text, size_t size, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned unit = 0;

	while (bytes >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, size, bytes < 10 && unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void say_mib(char *text, size_t size, double value)
{
	say_bytes(text, size, value * 1048576);
}

static void say_rate(char *text, size_t size, double value)
{
	say_bytes(text, size, value);
	strncat(text, "/s", size - strlen(text) - 1);
}

static void say_cpus(char *text, size_t size, double value)
{
	snprintf(text, size, "%.2f CPUs", value);
}

/* As `time` has it: 0.42 s, 1m05s, 2h00m. */
static void say_ms(char *text, size_t size, double value)
{
	if (value < 60000)
		snprintf(text, size, "%.2f s", value / 1000);
	else
		say_seconds(text, size, (long long)(value / 1000));
}

/* The time of day, or the year where it is more than half a year off: as ls does; and for how
 * long. */
static void say_date(char *text, size_t size, double value)
{
	long long age = (long long)time(NULL) - (long long)value;
	bool near = age > -60 && age < HALF_A_YEAR_S;
	time_t when = (time_t)value;
	char date[32] = "?", ago[32];
	struct tm tm;

	if (localtime_r(&when, &tm))
		strftime(date, sizeof(date), near ? "%b %e %H:%M" : "%b %e  %Y", &tm);
	say_seconds(ago, sizeof(ago), age);
	snprintf(text, size, "%s (%s)", date, ago);
}

static const struct fact {
	const char *field, *title;
	void (*say)(char *text, size_t size, double value);
} facts[] = {
	{ "since", "since", say_date },
	{ "lost_since", "lost_since", say_date },
	{ "memory", "memory", say_mib },
	{ "resident", "resident", say_mib },
	{ "dirty_rate", "dirty_rate", say_rate },
	{ "hot", "hot", say_mib },
	{ "traffic", "traffic", say_rate },
	{ "cpu_ms", "cpu_time", say_ms },
	{ "cpu_use", "cpu_use", say_cpus },
};

/* NULL: it is printed as it came, as is a number that no unit would make sense of. */
static const struct fact *fact_of(const char *field, struct json_object *value)
{
	double number = json_object_get_double(value);
	size_t i;

	if ((!json_object_is_type(value, json_type_int) &&
	     !json_object_is_type(value, json_type_double)) ||
	    !(number >= 0 && number < 1e15))
		return NULL;
	for (i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (strcmp(facts[i].field, field) == 0)
			return &facts[i];
	return NULL;
}

static void print_fact(FILE *out, const char *field, struct json_object *value)
{
	const struct fact *fact = fact_of(field, value);
	char text[4200], title[64];

	if (fact)
		fact->say(text, sizeof(text), json_object_get_double(value));
	else if (json_object_is_type(value, json_type_boolean))
		snprintf(text, sizeof(text), "%s",
			 json_object_get_boolean(value) ? "yes" : "no");
	else
		print_clean(text, sizeof(text), json_object_get_string(value));
	fprintf(out, "%-11s %s\n", print_clean(title, sizeof(title), fact ? fact->title : field),
		text);
}

void print_job(FILE *out, struct json_object *job)
{
	json_object_object_foreach(job, key, value) {
		if (!value || (json_object_is_type(value, json_type_string) &&
			       json_object_get_string_len(value) == 0))
			continue;
		print_fact(out, key, value);
	}
}

void print_checks(FILE *out, struct json_object *checks)
{
	char text[1024];
	size_t i;

	for (i = 0; i < json_object_array_length(checks); i++) {
		struct json_object *check =
			json_object_array_get_idx(checks, i);

		fprintf(out, "%-4s %-8s %s\n",
			agent_number(check, "ok") ? "ok" : "BAD",
			agent_string(check, "check"),
			print_clean(text, sizeof(text),
				    agent_string(check, "text")));
		if (!agent_number(check, "ok") && *agent_string(check, "hint"))
			fprintf(out, "%13s -> %s\n", "",
				print_clean(text, sizeof(text),
					    agent_string(check, "hint")));
	}
}

void print_json(FILE *out, struct json_object *value)
{
	bool empty = json_object_is_type(value, json_type_array) &&
		     json_object_array_length(value) == 0;

	/* json-c would put the two brackets on two lines. */
	fprintf(out, "%s\n", empty ? "[]" : json_object_to_json_string_ext(value,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
		JSON_C_TO_STRING_NOSLASHESCAPE));
}
