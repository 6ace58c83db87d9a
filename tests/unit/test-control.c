/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest-kit/control.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>

static char *argv_example[] = { "prog", "", "two words", "\xff\x01", NULL };
static char *envp_example[] = { "A=1", "EMPTY=", NULL };
static uint32_t groups_example[] = { 0, 4, 1000, UINT32_MAX - 1 };
static uint8_t termios_example[sizeof(struct termios)];

static struct control_start example(void)
{
	struct control_start s = {
		.pid = 4711, .uid = 1000, .gid = 100, .umask = 022, .nice = -5,
		.clock_ns = 1763727600123456789ull, .ngroups = 4,
		.groups = groups_example,
		.stdio = { STDIO_FILE, STDIO_STREAM, STDIO_SAME },
		.stdin_flags = 0, .stdin_offset = 1ull << 40,
		.winsize = { 24, 80, 0, 1 }, .ignored_signals = 1,
		.blocked_signals = 1ull << 63, .hostname = "node", .cwd = "/",
		.program = "/bin/prog", .stdin_path = "/tmp/x", .tty_path = "",
		.argv = argv_example, .envp = envp_example,
		.termios_size = sizeof(termios_example),
		.termios = termios_example,
	};

	for (size_t i = 0; i < sizeof(termios_example); i++)
		termios_example[i] = (uint8_t)i;
	for (unsigned i = 0; i < CONTROL_RLIMITS; i++) {
		s.rlimit_cur[i] = i;
		s.rlimit_max[i] = CONTROL_NO_LIMIT;
	}
	return s;
}

static void assert_strings(char **got, char **expected)
{
	while (*expected)
		assert_string_equal(*got++, *expected++);
	assert_null(*got);
}

static void a_start_order_survives_the_wire(void **state)
{
	struct control_start s = example(), got;
	struct control_writer w = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(control_put_start(&w, &s, &err), 0);
	assert_int_equal(control_get_start(&got, w.bytes + CONTROL_HEADER_SIZE,
					   w.len - CONTROL_HEADER_SIZE, &err), 0);
	assert_int_equal(got.pid, 4711);
	assert_int_equal(got.nice, -5);
	assert_true(got.clock_ns == s.clock_ns);
	assert_memory_equal(got.rlimit_cur, s.rlimit_cur, sizeof(s.rlimit_cur));
	assert_memory_equal(got.rlimit_max, s.rlimit_max, sizeof(s.rlimit_max));
	assert_int_equal(got.ngroups, 4);
	assert_memory_equal(got.groups, groups_example, sizeof(groups_example));
	assert_memory_equal(got.stdio, s.stdio, sizeof(s.stdio));
	assert_true(got.stdin_offset == s.stdin_offset);
	assert_int_equal(got.winsize.columns, 80);
	assert_true(got.blocked_signals == s.blocked_signals);
	assert_string_equal(got.hostname, "node");
	assert_string_equal(got.stdin_path, "/tmp/x");
	assert_memory_equal(got.termios, termios_example, sizeof(termios_example));
	assert_strings(got.argv, argv_example);
	assert_strings(got.envp, envp_example);
	control_start_free(&got);
	control_writer_free(&w);
}

/* Every prefix and every single changed byte: refused or decoded, no more. */
static void a_damaged_start_order_is_harmless(void **state)
{
	struct control_start s = example(), got;
	struct control_writer w = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(control_put_start(&w, &s, &err), 0);
	for (size_t len = 0; len < w.len - CONTROL_HEADER_SIZE; len++) {
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, w.bytes + CONTROL_HEADER_SIZE, len);
		assert_int_equal(control_get_start(&got, copy, len, &err), -1);
		free(copy);
	}
	for (size_t i = CONTROL_HEADER_SIZE; i < w.len; i++) {
		uint8_t saved = w.bytes[i];

		w.bytes[i] ^= 0xff;
		if (!control_get_start(&got, w.bytes + CONTROL_HEADER_SIZE,
				       w.len - CONTROL_HEADER_SIZE, &err))
			control_start_free(&got);
		w.bytes[i] = saved;
	}
	control_writer_free(&w);
}

/* The worst case of the decoder's arena: nothing but empty strings. */
static void many_empty_strings_fit(void **state)
{
	struct control_start s = example(), got;
	struct control_writer w = { 0 };
	char *many[5001];
	struct err err;

	(void)state;
	for (int i = 0; i < 5000; i++)
		many[i] = (char *)"";
	many[5000] = NULL;
	s.argv = s.envp = many;
	assert_int_equal(control_put_start(&w, &s, &err), 0);
	assert_int_equal(control_get_start(&got, w.bytes + CONTROL_HEADER_SIZE,
					   w.len - CONTROL_HEADER_SIZE, &err), 0);
	assert_string_equal(got.envp[4999], "");
	assert_null(got.envp[5000]);
	control_start_free(&got);
	control_writer_free(&w);
}

static void an_order_beyond_the_limit_is_refused(void **state)
{
	struct control_start s = example();
	struct control_writer w = { 0 };
	char *huge = malloc(CONTROL_MAX_BODY + 1);
	char *list[] = { huge, NULL };
	struct err err = { 0 };

	(void)state;
	memset(huge, 'x', CONTROL_MAX_BODY);
	huge[CONTROL_MAX_BODY] = 0;
	s.argv = list;
	assert_int_equal(control_put_start(&w, &s, &err), -1);
	assert_non_null(strstr(err.text, "too long"));
	control_writer_free(&w);
	free(huge);
}

struct seen {
	unsigned count, kinds[8];
	size_t lens[8];
};

static int note(void *ctx, unsigned kind, const uint8_t *body, size_t len,
		struct err *err)
{
	struct seen *seen = ctx;

	(void)body;
	(void)err;
	seen->kinds[seen->count] = kind;
	seen->lens[seen->count++] = len;
	return 0;
}

static void three_messages(struct control_writer *all)
{
	static const enum control_kind kinds[] = { CONTROL_STARTED, CONTROL_NOTE,
						   CONTROL_CLOCK };

	for (int i = 0; i < 3; i++) {
		struct control_writer w = { 0 };

		control_begin(&w, kinds[i]);
		if (kinds[i] == CONTROL_NOTE)
			control_put_string(&w, "text");
		if (kinds[i] == CONTROL_CLOCK)
			control_put_u64(&w, 1);
		assert_int_equal(control_end(&w, NULL), 0);
		all->bytes = realloc(all->bytes, all->len + w.len);
		memcpy(all->bytes + all->len, w.bytes, w.len);
		all->len += w.len;
		control_writer_free(&w);
	}
}

static void messages_are_assembled_from_any_pieces(void **state)
{
	struct control_writer all = { 0 };

	(void)state;
	three_messages(&all);
	for (size_t piece = 1; piece <= all.len; piece++) {
		struct control_reader reader = { 0 };
		struct seen seen = { 0 };
		struct err err;

		for (size_t at = 0; at < all.len; at += piece)
			assert_int_equal(control_read(&reader, all.bytes + at,
				at + piece > all.len ? all.len - at : piece,
				note, &seen, &err), 0);
		assert_int_equal(seen.count, 3);
		assert_int_equal(seen.kinds[0], CONTROL_STARTED);
		assert_int_equal(seen.lens[0], 0);
		assert_int_equal(seen.kinds[1], CONTROL_NOTE);
		assert_int_equal(seen.lens[1], 8);
		assert_int_equal(seen.kinds[2], CONTROL_CLOCK);
		control_reader_free(&reader);
	}
	free(all.bytes);
}

static void impossible_headers_end_the_conversation(void **state)
{
	static const uint8_t too_long[8] = { 1, 0, 0x40, 0, 1, 0, 0, 0 };
	static const uint8_t reserved[8] = { 0, 0, 0, 0, 1, 0, 1, 0 };
	struct control_reader reader = { 0 };
	struct seen seen = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(control_read(&reader, too_long, 8, note, &seen, &err), -1);
	control_reader_free(&reader);
	assert_int_equal(control_read(&reader, reserved, 8, note, &seen, &err), -1);
	control_reader_free(&reader);
	assert_int_equal(seen.count, 0);
}

static void a_string_with_a_nul_is_refused(void **state)
{
	static const uint8_t bytes[] = { 3, 0, 0, 0, 'a', 0, 'b' };
	struct control_body body = { bytes, bytes + sizeof(bytes), false };

	(void)state;
	assert_null(control_get_string(&body));
	assert_false(control_done(&body));
}

static void an_exit_survives_the_wire(void **state)
{
	struct control_exit e = { 0x8b, 1, 2, 3, 4, 5, 6 }, got;
	struct control_writer w = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(control_put_exit(&w, &e, &err), 0);
	assert_int_equal(control_get_exit(&got, w.bytes + CONTROL_HEADER_SIZE,
					  w.len - CONTROL_HEADER_SIZE, &err), 0);
	assert_memory_equal(&got, &e, sizeof(e));
	assert_int_equal(control_get_exit(&got, w.bytes + CONTROL_HEADER_SIZE,
					  w.len - CONTROL_HEADER_SIZE - 1, &err), -1);
	control_writer_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_order_survives_the_wire),
		cmocka_unit_test(a_damaged_start_order_is_harmless),
		cmocka_unit_test(many_empty_strings_fit),
		cmocka_unit_test(an_order_beyond_the_limit_is_refused),
		cmocka_unit_test(messages_are_assembled_from_any_pieces),
		cmocka_unit_test(impossible_headers_end_the_conversation),
		cmocka_unit_test(a_string_with_a_nul_is_refused),
		cmocka_unit_test(an_exit_survives_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
