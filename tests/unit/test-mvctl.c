/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mvctl prints, for people and for programs. */
#include "vmm-agent/mvctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* What a printer writes about a JSON text. To be freed. */
static char *printed(void (*print)(FILE *out, struct json_object *value),
		     const char *json)
{
	struct json_object *value = json_tokener_parse(json);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(value);
	print(out, value);
	fclose(out);
	json_object_put(value);
	return text;
}

static void aligns_jobs(void **state)
{
	char json[512], *text;

	(void)state;
	snprintf(json, sizeof(json),
		 "[{\"pid\":7,\"user\":\"ann\",\"name\":\"m\xc3\xa4ke\",\"state\":"
		 "\"running\",\"since\":%lld,\"host\":\"a\",\"moves\":0,"
		 "\"command\":\"make all\"},{\"pid\":12345,\"user\":\"root\","
		 "\"name\":\"sort\",\"state\":\"suspended\",\"since\":%lld,"
		 "\"host\":\"a\",\"moves\":12,\"command\":\"sort x\"}]",
		 (long long)time(NULL) - 7205, (long long)time(NULL) + 100);
	text = printed(print_jobs, json);
	assert_string_equal(text,
		"  PID  USER  NAME  STATE        AGE  HOST  MOVES  COMMAND\n"
		"    7  ann   m\xc3\xa4ke  running    2h00m  a         0  make all\n"
		"12345  root  sort  suspended     0s  a        12  sort x\n");
	free(text);
	text = printed(print_jobs, "[]");
	assert_int_equal(strncmp(text, "PID ", 4), 0);
	free(text);
}

/* A user's command line must not steer the terminal of who lists it. */
static void cleans_what_others_wrote(void **state)
{
	char *text = printed(print_jobs, "[{\"pid\":1,\"command\":\"a\\u001b[2J"
			     "\\u0007\\u009bx\\nb\"}]");
	char clean[8];

	(void)state;
	assert_non_null(strstr(text, "a?[2J??x?b\n"));
	assert_null(strchr(text, 0x1b));
	free(text);
	text = printed(print_job, "{\"command\":\"\\u001b]0;x\\u0007\"}");
	assert_non_null(strstr(text, "?]0;x?"));
	free(text);
	/* Cut between characters. */
	assert_string_equal(print_clean(clean, 4, "ab\xc3\xa4" "c"), "ab");
	assert_string_equal(print_clean(clean, 5, "ab\xc3\xa4" "c"),
			    "ab\xc3\xa4");
}

static void prints_checks(void **state)
{
	char *text = printed(print_checks,
		"[{\"check\":\"kvm\",\"ok\":false,\"text\":\"no\",\"hint\":\"do\"},"
		"{\"check\":\"qemu\",\"ok\":true,\"text\":\"yes\",\"hint\":\"\"}]");

	(void)state;
	assert_string_equal(text, "BAD  kvm      no\n"
				  "              -> do\n"
				  "ok   qemu     yes\n");
	free(text);
}

static char *info(const char *field, double value)
{
	char json[80];

	snprintf(json, sizeof(json), "{\"%s\":%.17g}", field, value);
	return printed(print_job, json);
}

static void assert_info(const char *field, double value, const char *line)
{
	char *text = info(field, value);

	assert_string_equal(text, line);
	free(text);
}

static void tells_a_job_in_peoples_units(void **state)
{
	char *text;

	(void)state;
	assert_info("memory", 512, "memory      512 MiB\n");
	assert_info("memory", 6144, "memory      6.0 GiB\n");
	assert_info("resident", 0, "resident    0 B\n");
	assert_info("dirty_rate", 17825792, "dirty_rate  17 MiB/s\n");
	assert_info("dirty_rate", 999, "dirty_rate  999 B/s\n");
	assert_info("hot", 12, "hot         12 MiB\n");
	assert_info("traffic", 1048576, "traffic     1.0 MiB/s\n");
	assert_info("cpu_ms", 420, "cpu_time    0.42 s\n");
	assert_info("cpu_ms", 7265000, "cpu_time    2h01m\n");
	assert_info("cpu_use", 0.9973421, "cpu_use     1.00 CPUs\n");
	assert_info("pid", 1234567, "pid         1234567\n");
	/* What is no number, and what would not fit a date. */
	text = printed(print_job, "{\"memory\":\"much\",\"since\":null,\"pin\":true,"
				  "\"stays\":\"\"}");
	assert_string_equal(text, "memory      much\npin         yes\n");
	free(text);
	/* What cannot be is printed as it came. */
	assert_info("since", 1e18, "since       1e+18\n");
}

static void tells_dates_as_ls_does(void **state)
{
	time_t now = time(NULL);
	char *text;

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	text = info("since", 86400);
	assert_int_equal(strncmp(text, "since       Jan  2  1970 (", 26), 0);
	free(text);
	text = info("since", (double)now - 7205);
	assert_non_null(strchr(text, ':'));
	assert_non_null(strstr(text, " (2h00m)\n"));
	free(text);
}

static void tells_how_nodes_are(void **state)
{
	char *text = printed(print_nodes,
		"[{\"name\":\"a\",\"state\":\"up\",\"scheduler\":{\"state\":\"open\"}},"
		"{\"name\":\"b\",\"state\":\"up\",\"scheduler\":{\"state\":\"open\",\"in_use\":true}},"
		"{\"name\":\"c\",\"state\":\"up\",\"scheduler\":{\"state\":\"blocked\",\"in_use\":true}},"
		"{\"name\":\"d\",\"state\":\"dead\"}]");

	(void)state;
	assert_non_null(strstr(text, "\na     up "));
	assert_non_null(strstr(text, "\nb     in-use "));
	assert_non_null(strstr(text, "\nc     blocked "));
	assert_non_null(strstr(text, "\nd     dead "));
	free(text);
}

static void survives_missing_fields(void **state)
{
	char *text = printed(print_nodes, "[{},{\"name\":7,\"cpus\":\"x\"}]");

	(void)state;
	assert_non_null(strstr(text, "NODE"));
	free(text);
	text = printed(print_checks, "[{}]");
	assert_non_null(strstr(text, "BAD"));
	free(text);
}

static void prints_json(void **state)
{
	char *text = printed(print_json, "[{\"a\":1}]");
	struct json_object *again = json_tokener_parse(text);

	(void)state;
	assert_true(json_object_is_type(again, json_type_array));
	json_object_put(again);
	free(text);
	text = printed(print_json, "[]");
	assert_string_equal(text, "[]\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aligns_jobs),
		cmocka_unit_test(cleans_what_others_wrote),
		cmocka_unit_test(prints_checks),
		cmocka_unit_test(tells_a_job_in_peoples_units),
		cmocka_unit_test(tells_dates_as_ls_does),
		cmocka_unit_test(tells_how_nodes_are),
		cmocka_unit_test(survives_missing_fields),
		cmocka_unit_test(prints_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
