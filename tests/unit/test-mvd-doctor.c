/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mvctl doctor advises when another node does not answer: by the words of its trouble. */
#include "vmm-agent/mvd-doctor-cluster.c"

#include "vmm-agent/mvd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct mvd mvd;

static const char *advice_for(const char *trouble, enum reach reach)
{
	static struct checkup checkup = { .mvd = &mvd };
	struct patient patient = { .checkup = &checkup, .name = (char *)"beta",
				   .trouble = (char *)trouble, .reach = reach };

	return advice(&patient);
}

static void knows_what_is_wrong(void **state)
{
	/* As net/peer-greet.c and net/peer-conn.c say it. */
	static const struct {
		const char *trouble, *advice;
	} cases[] = {
		{ "it speaks another version of the protocol (upgrade all nodes to one release)",
		  "install the same version" },
		{ "it belongs to another cluster", "another cluster since" },
		{ "its clock is an hour behind", "set the clocks" },
		{ "its certificate has expired", "set the clocks" },
		{ "its certificate was revoked", "let it join again" },
		{ "something else", "see the log" },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < G_N_ELEMENTS(cases); i++)
		assert_non_null(strstr(advice_for(cases[i].trouble, REACH_OPEN),
				       cases[i].advice));
}

static void looks_at_the_way_first(void **state)
{
	(void)state;
	assert_non_null(strstr(advice_for("version", REACH_REFUSED), "nothing serves that port"));
	assert_non_null(strstr(advice_for("clock", REACH_SILENT), "firewall"));
	assert_non_null(strstr(advice_for("clock", REACH_NO_ROUTE), "no way"));
	assert_non_null(strstr(advice_for("clock", REACH_NO_NAME), "DNS"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_is_wrong),
		cmocka_unit_test(looks_at_the_way_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
