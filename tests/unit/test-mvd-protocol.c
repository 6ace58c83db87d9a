/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's lines: what is taken, what is refused, and with which words. */
#include "vmm-agent/mvd-protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define UUID "6f6f0000-1111-2222-3333-44445555aaaa"

static struct request request;
static struct err err;

static int parse(const char *line)
{
	memset(&err, 0, sizeof(err));
	return request_parse(&request, line, strlen(line), &err);
}

static void refused(const char *line, const char *why)
{
	if (parse(line) == 0)
		fail_msg("taken: %s", line);
	if (!strstr(err.text, why))
		fail_msg("%s: \"%s\" does not say \"%s\"", line, err.text, why);
}

static void takes_each_operation(void **state)
{
	static const struct {
		const char *line;
		enum request_op op;
	} lines[] = {
		{ "{\"op\":\"hello\",\"version\":1}", REQUEST_HELLO },
		{ "{\"op\":\"attach\",\"uuid\":\"" UUID "\"}", REQUEST_ATTACH },
		{ "{\"op\":\"started\",\"uuid\":\"" UUID "\"}", REQUEST_STARTED },
		{ "{\"op\":\"boot-failed\",\"uuid\":\"" UUID "\"}",
		  REQUEST_BOOT_FAILED },
		{ "{\"op\":\"stopping\",\"uuid\":\"" UUID "\"}", REQUEST_STOPPING },
		{ "{\"op\":\"running\",\"uuid\":\"" UUID "\"}", REQUEST_RUNNING },
		{ "{\"op\":\"jobs\"}", REQUEST_JOBS },
		{ "{\"op\":\"info\",\"job\":\"1\"}", REQUEST_INFO },
		{ "{\"op\":\"suspend\",\"job\":\"1\"}", REQUEST_SUSPEND },
		{ "{\"op\":\"resume\",\"job\":\"1\"}", REQUEST_RESUME },
		{ "{\"op\":\"kill\",\"job\":\"1\",\"signal\":15}", REQUEST_KILL },
		{ "{\"op\":\"cluster\",\"action\":\"status\"}",
		  REQUEST_CLUSTER },
		{ "{\"op\":\"nodes\"}", REQUEST_NODES },
		{ "{\"op\":\"doctor\"}", REQUEST_DOCTOR },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (parse(lines[i].line) < 0)
			fail_msg("%s: %s", lines[i].line, err.text);
		assert_int_equal(request.op, lines[i].op);
		assert_non_null(strstr(lines[i].line, request_name(request.op)));
	}
}

static void takes_all_fields_of_run(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"op\":\"run\",\"uuid\":\"6F6F0000-1111-2222-"
			       "3333-44445555AAAA\",\"name\":\"make\",\"command\":"
			       "\"make -j4\",\"memory\":512,\"cpus\":3,\"pin\":true,"
			       "\"home\":true,\"nowait\":true,\"near\":\"other\",\"unknown\":{\"x\":[]}}"), 0);
	assert_int_equal(request.op, REQUEST_RUN);
	assert_string_equal(request.uuid, UUID);
	assert_string_equal(request.name, "make");
	assert_string_equal(request.command, "make -j4");
	assert_int_equal(request.memory, 512);
	assert_int_equal(request.cpus, 3);
	assert_true(request.pin);
	assert_true(request.home);
	assert_true(request.nowait);
	assert_string_equal(request.near, "other");
}

static void takes_all_fields_of_cluster(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"op\":\"cluster\",\"action\":\"join\","
			       "\"host\":\"a:1\",\"token\":\"mv1-x\",\"node\":"
			       "\"b\",\"name\":\"c\",\"address\":\"d\",\"port\":"
			       "7480}"), 0);
	assert_string_equal(request.cluster.action, "join");
	assert_string_equal(request.cluster.host, "a:1");
	assert_string_equal(request.cluster.token, "mv1-x");
	assert_string_equal(request.cluster.node, "b");
	assert_string_equal(request.cluster.name, "c");
	assert_string_equal(request.cluster.address, "d");
	assert_int_equal(request.cluster.port, 7480);
	refused("{\"op\":\"cluster\"}", "\"action\" is missing");
	refused("{\"op\":\"cluster\",\"action\":\"a name that is too long\"}",
		"longer than");
}

/* A field of another operation is an unknown field. */
static void ignores_fields_of_other_operations(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"op\":\"jobs\",\"signal\":\"no\",\"uuid\":7}"),
			 0);
	assert_int_equal(request.signal, 0);
	assert_string_equal(request.uuid, "");
}

static void refuses_what_is_no_object(void **state)
{
	static const char *const lines[] = {
		"", " ", "null", "[]", "\"op\"", "1", "{", "}", "{\"op\":\"jobs\"",
		"{\"op\":\"jobs\"} x", "{\"op\":\"jobs\"}{}", "{'op':'jobs'}",
		"{\"op\":\"jobs\",}", "{op:\"jobs\"}",
		"{\"op\":\"jobs\",\"x\":\"\xff\"}",
		"{\"op\":\"jobs\"}/* comment */",
		"[[[[[[[[[[]]]]]]]]]]", "{\"a\":[[[[[[[[]]]]]]]]}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		refused(lines[i], "not a JSON object");
	assert_int_equal(request_parse(&request, "{}\0", 3, &err), -1);
}

static void refuses_unknown_operations(void **state)
{
	(void)state;
	refused("{}", "no \"op\"");
	refused("{\"op\":7}", "no \"op\"");
	refused("{\"op\":\"Jobs\"}", "unknown");
	refused("{\"op\":\"\"}", "unknown");
	refused("{\"op\":\"jobs\\u0000\"}", "unknown");
}

static void refuses_wrong_fields(void **state)
{
	(void)state;
	refused("{\"op\":\"hello\"}", "\"version\" is missing");
	refused("{\"op\":\"hello\",\"version\":\"1\"}", "not a number");
	refused("{\"op\":\"hello\",\"version\":1.5}", "not a number");
	refused("{\"op\":\"hello\",\"version\":-1}", "out of range");
	refused("{\"op\":\"hello\",\"version\":4294967296}", "out of range");
	refused("{\"op\":\"hello\",\"version\":99999999999999999999}",
		"out of range");
	refused("{\"op\":\"jobs\",\"all\":1}", "neither true nor false");
	refused("{\"op\":\"run\",\"uuid\":\"" UUID "\"}",
		"\"command\" is missing");
	refused("{\"op\":\"run\",\"uuid\":\"" UUID "\",\"command\":[]}",
		"not a string");
	refused("{\"op\":\"run\",\"uuid\":\"" UUID "\",\"command\":\"a\\u0000b\"}",
		"NUL inside");
	refused("{\"op\":\"kill\",\"job\":\"1\"}", "\"signal\" is missing");
	refused("{\"op\":\"info\",\"job\":\"\"}", "empty");
}

static void refuses_what_is_no_uuid(void **state)
{
	static const char *const uuids[] = {
		"", "x", "6f6f0000-1111-2222-3333-44445555aaa",
		"6f6f0000-1111-2222-3333-44445555aaaaa",
		"6f6f0000+1111-2222-3333-44445555aaaa",
		"6f6f000-01111-2222-3333-44445555aaaa",
		"6f6f0000-1111-2222-3333-44445555aaag",
		"../../../../../../../etc/passwd/////",
	};
	char line[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(uuids) / sizeof(uuids[0]); i++) {
		snprintf(line, sizeof(line),
			 "{\"op\":\"attach\",\"uuid\":\"%s\"}", uuids[i]);
		refused(line, "not a UUID");
	}
}

static void refuses_long_job_names(void **state)
{
	char line[256];

	(void)state;
	snprintf(line, sizeof(line), "{\"op\":\"info\",\"job\":\"%0*d\"}",
		 REQUEST_JOB_MAX + 1, 0);
	refused(line, "longer than");
	snprintf(line, sizeof(line), "{\"op\":\"info\",\"job\":\"%0*d\"}",
		 REQUEST_JOB_MAX, 0);
	assert_int_equal(parse(line), 0);
}

/* A command may be longer than we keep; it is cut between two characters. */
static void cuts_long_commands(void **state)
{
	static char line[3 * REQUEST_COMMAND_MAX];
	size_t at, i;

	(void)state;
	at = (size_t)sprintf(line, "{\"op\":\"run\",\"uuid\":\"" UUID
			     "\",\"command\":\"x");
	for (i = 0; i < REQUEST_COMMAND_MAX; i++)
		at += (size_t)sprintf(line + at, "\xc3\xa4");
	sprintf(line + at, "\"}");
	assert_int_equal(parse(line), 0);
	assert_int_equal(strlen(request.command), REQUEST_COMMAND_MAX - 1);
	assert_int_equal((unsigned char)
			 request.command[REQUEST_COMMAND_MAX - 2], 0xa4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_each_operation),
		cmocka_unit_test(takes_all_fields_of_run),
		cmocka_unit_test(takes_all_fields_of_cluster),
		cmocka_unit_test(ignores_fields_of_other_operations),
		cmocka_unit_test(refuses_what_is_no_object),
		cmocka_unit_test(refuses_unknown_operations),
		cmocka_unit_test(refuses_wrong_fields),
		cmocka_unit_test(refuses_what_is_no_uuid),
		cmocka_unit_test(refuses_long_job_names),
		cmocka_unit_test(cuts_long_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
