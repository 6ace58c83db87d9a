/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The roster's text, as whoever has the authority's key might write it. */
#include "net/roster.c"

#include "tests/fuzz/standalone.h"

#include <stdlib.h>

#define FP "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What the rest takes for granted. */
static void check(const struct roster *roster)
{
	g_autofree char *text = roster_text(roster, NULL);
	unsigned i;

	if (roster->serial < 1 || roster->count > ROSTER_MAX_MEMBERS || !text)
		abort();
	for (i = 0; i < roster->count; i++)
		if (!member_ok(&roster->members[i]) ||
		    roster_find(roster, roster->members[i].name) !=
		    &roster->members[i])
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct roster *roster = roster_parse((const char *)data, size, &err);

	if (roster)
		check(roster);
	else if (!err.text[0])
		abort();
	roster_free(roster);
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	static const char *const texts[] = {
		"{\"version\":1,\"serial\":3,\"authority\":\"a\",\"members\":[]}",
		"{\"version\":1,\"serial\":7,\"authority\":\"node1\",\"members\":["
		"{\"name\":\"node1\",\"address\":\"10.0.0.1\",\"port\":7480,"
		"\"fingerprint\":\"" FP "\"},{\"name\":\"n2\",\"address\":\"::1\","
		"\"port\":1,\"fingerprint\":\"1" "123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef\"}]}",
	};

	return fuzz_text(texts[n % G_N_ELEMENTS(texts)], out, size);
}
