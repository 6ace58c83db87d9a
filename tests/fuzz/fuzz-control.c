/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control channel: reassembly in pieces, then every decoder. */
#include "guest-kit/control.c"

#include "tests/fuzz/standalone.h"

static int decode(void *ctx, unsigned kind, const uint8_t *body, size_t len,
		  struct err *err)
{
	struct control_body b = { body, body + len, false };
	struct control_start start;
	struct control_exit ended;

	(void)ctx;
	if (kind == CONTROL_EXIT)
		return control_get_exit(&ended, body, len, err);
	if (!control_get_start(&start, body, len, err)) {
		if (!start.argv[0] || !start.hostname || !start.envp)
			abort();
		control_start_free(&start);
	}
	control_get_u16(&b);
	control_get_u64(&b);
	free(control_get_string(&b));
	return control_done(&b) && control_get_u32(&b) ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_reader reader = { 0 };
	size_t step = size ? data[0] % 64 + 1u : 1;
	struct err err;

	for (size_t at = 0; at < size; at += step)
		if (control_read(&reader, data + at,
				 size - at < step ? size - at : step, decode,
				 NULL, &err))
			break;
	control_reader_free(&reader);
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	char *argv[] = { "program", "argument", NULL }, *envp[] = { "A=b", NULL };
	uint32_t groups[] = { 1, 2, 3 };
	struct control_start start = {
		.pid = 1 + n, .ngroups = n % 4, .groups = groups, .hostname = "h",
		.cwd = "/", .program = "/bin/true", .argv = argv, .envp = envp,
	};
	struct control_exit ended = { .status = n };
	struct control_writer w = { 0 };
	size_t len = 0;

	if (n % 3 == 0 ? control_put_exit(&w, &ended, NULL) :
			 control_put_start(&w, &start, NULL))
		abort();
	if (w.len <= size) {
		len = w.len;
		memcpy(out, w.bytes, len);
	}
	control_writer_free(&w);
	return len;
}
