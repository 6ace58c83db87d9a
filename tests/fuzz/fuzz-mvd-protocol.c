/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's line to the agent. */
#include "vmm-agent/mvd-protocol.c"

#include "tests/fuzz/standalone.h"

#include <stdlib.h>

/* What the rest of the agent takes for granted about a request. */
static void check(const struct request *request)
{
	char again[UUID_TEXT_SIZE];

	if (request->op >= REQUEST_COUNT ||
	    !memchr(request->name, '\0', sizeof(request->name)) ||
	    !memchr(request->command, '\0', sizeof(request->command)) ||
	    !memchr(request->cluster.host, '\0',
		    sizeof(request->cluster.host)) ||
	    !memchr(request->cluster.token, '\0',
		    sizeof(request->cluster.token)) ||
	    !memchr(request->job, '\0', sizeof(request->job)))
		abort();
	if ((OWNER_OPS & (1u << request->op)) &&
	    !uuid_normalize(again, request->uuid))
		abort();
	if ((JOB_OPS & (1u << request->op)) && !request->job[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct request request;

	if (request_parse(&request, (const char *)data, size, &err) == 0)
		check(&request);
	else if (!err.text[0])
		abort();
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	static const char *const lines[] = {
		"{\"op\":\"hello\",\"version\":1,\"program\":\"mvrun\"}",
		"{\"op\":\"run\",\"uuid\":\"6F6f0000-1111-2222-3333-44445555aaaa\","
		"\"name\":\"m\\u00e4ke\",\"command\":\"make -j4 \\\"x\\\"\",\"memory\":"
		"512,\"cpus\":2,\"pin\":false,\"home\":true}",
		"{\"op\":\"attach\",\"uuid\":\"6f6f0000-1111-2222-3333-44445555aaaa\"}",
		"{\"op\":\"jobs\",\"all\":true}",
		"{\"op\":\"cluster\",\"action\":\"join\",\"host\":\"h\",\"token\":\"t\"}",
		"{\"op\":\"cluster\",\"action\":\"init\",\"name\":\"n\",\"port\":7480}",
		"{\"op\":\"kill\",\"job\":\"4711\",\"signal\":9}",
		"{\"op\":\"doctor\",\"more\":[{\"a\":[1,2.5e3,null]}]}",
	};

	return fuzz_text(lines[n % (sizeof(lines) / sizeof(lines[0]))], out, size);
}
