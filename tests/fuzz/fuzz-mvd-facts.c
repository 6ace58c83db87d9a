/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's metadata, which anybody with access to libvirt may have edited, and
 * a guest's console. */
#include "vmm-agent/mvd-facts.c"

#include "tests/fuzz/standalone.h"
#include "vmm-agent/mvd-console.h"

#include <stdlib.h>

static void feed_console(const char *text)
{
	char *line = console_last_line(text), *judged = NULL;

	console_judge(text, &judged);
	g_free(judged);
	g_free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = g_strndup((const char *)data, size), *again;
	struct job_facts facts;
	struct err err = { 0 };

	feed_console(text);
	if (job_facts_from_xml(&facts, text, &err) == 0) {
		/* What was accepted can be written and read again. */
		again = job_facts_to_xml(&facts);
		job_facts_clear(&facts);
		if (job_facts_from_xml(&facts, again, &err) < 0)
			abort();
		job_facts_clear(&facts);
		g_free(again);
	} else if (!err.text[0]) {
		abort();
	}
	g_free(text);
	return 0;
}

static char *example_facts(unsigned n)
{
	char command[] = "make -j4 <&>", empty[] = "";
	struct job_facts facts = {
		.uuid = "6f6f0000-1111-2222-3333-44445555aaaa",
		.agent = empty, .name = command, .user = empty,
		.command = command, .home = empty, .pid = 1 + (pid_t)n,
		.memory = 1, .cpus = 1 + n % 4096, .accel = ACCEL_TCG,
	};

	return job_facts_to_xml(&facts);
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	char *text = n % 2 ? example_facts(n) :
		g_strdup("monovisor-kit: waiting\r\n[ 1.0] Out of memory\n"
			 "[ 2.0] Kernel panic - not syncing: Attempted to kill "
			 "init! exitcode=0x00000009\n");
	size_t len = strlen(text);

	if (len > size)
		len = size;
	memcpy(out, text, len);
	g_free(text);
	return len;
}
