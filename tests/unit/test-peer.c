/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two agents of a cluster in one process, over loopback. */
#include "tests/unit/peer-pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void asks_and_answers(void **state)
{
	struct node *a = &nodes[0], *b = &nodes[1];
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	peer_ask(a->peers, "two", body_new("echo", "hello"), 5000, on_reply,
		 &heard);
	assert_false(heard.done); /* never from inside */
	LOOP_UNTIL(heard.done);
	assert_null(heard.error);
	assert_string_equal(heard.text, "hello");
	assert_string_equal(b->last_from, "one");
	heard_clear(&heard);

	peer_ask(b->peers, "one", body_new("refuse", "not today"), 5000,
		 on_reply, &heard);
	LOOP_UNTIL(heard.done);
	assert_true(heard.refused);
	assert_string_equal(heard.error, "not today");
	heard_clear(&heard);
	pair_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_and_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
