/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/control.h"

#include "net/bytes.h"

#include <stdlib.h>
#include <string.h>

const struct link_channel job_channels[CHANNEL_COUNT] = {
	[CHANNEL_CONTROL] = { "control", 256 << 10 },
	[CHANNEL_STDIN] = { "stdin", 256 << 10 },
	[CHANNEL_STDOUT] = { "stdout", 256 << 10 },
	[CHANNEL_STDERR] = { "stderr", 64 << 10 },
	[CHANNEL_TTY] = { "tty", 64 << 10 },
	[CHANNEL_FUSE] = { "fuse", 4 << 20 },
};

/* ---- reassembly ------------------------------------------------------- */

static int grow(struct control_reader *r, size_t need)
{
	size_t size = r->size ? r->size : 4096;
	uint8_t *bigger;

	while (size < need)
		size *= 2;
	if (size == r->size)
		return 0;
	bigger = realloc(r->buffer, size);
	if (!bigger)
		return -1;
	r->buffer = bigger;
	r->size = size;
	return 0;
}

/* Length of the message at the buffer's start, 0 when its header is not there
 * yet, -1 when it cannot be a header. */
static ssize_t message_length(const struct control_reader *r, struct err *err)
{
	uint32_t body;

	if (r->used < CONTROL_HEADER_SIZE)
		return 0;
	body = get_le32(r->buffer);
	if (body > CONTROL_MAX_BODY)
		return err_set(err, 0, "control message of %u bytes is too long",
			       body);
	if (get_le16(r->buffer + 6))
		return err_set(err, 0, "control message with a bad header");
	return CONTROL_HEADER_SIZE + (ssize_t)body;
}

int control_read(struct control_reader *r, const void *bytes, size_t len,
		 int (*message)(void *ctx, unsigned kind, const uint8_t *body,
				size_t len, struct err *err),
		 void *ctx, struct err *err)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t whole = message_length(r, err);
		size_t want, take;

		if (whole < 0)
			return -1;
		want = (whole ? (size_t)whole : CONTROL_HEADER_SIZE) - r->used;
		take = want < len ? want : len;
		if (grow(r, r->used + take))
			return err_set(err, 0, "out of memory");
		memcpy(r->buffer + r->used, at, take);
		r->used += take;
		at += take;
		len -= take;
		whole = message_length(r, err);
		if (whole < 0)
			return -1;
		if (!whole || r->used < (size_t)whole)
			continue;
		r->used = 0;
		if (message(ctx, get_le16(r->buffer + 4),
			    r->buffer + CONTROL_HEADER_SIZE,
			    (size_t)whole - CONTROL_HEADER_SIZE, err))
			return -1;
	}
	return 0;
}

void control_reader_free(struct control_reader *r)
{
	free(r->buffer);
	*r = (struct control_reader){ 0 };
}

/* ---- writing ---------------------------------------------------------- */

static uint8_t *reserve(struct control_writer *w, size_t len)
{
	size_t size = w->size ? w->size : 256;
	uint8_t *at;

	if (w->failed || len > CONTROL_MAX_BODY ||
	    w->len + len > CONTROL_MAX_BODY + CONTROL_HEADER_SIZE) {
		w->failed = true;
		return NULL;
	}
	while (size < w->len + len)
		size *= 2;
	if (size != w->size) {
		uint8_t *bigger = realloc(w->bytes, size);

		if (!bigger) {
			w->failed = true;
			return NULL;
		}
		w->bytes = bigger;
		w->size = size;
	}
	at = w->bytes + w->len;
	w->len += len;
	return at;
}

static void put_bytes(struct control_writer *w, const void *bytes, size_t len)
{
	uint8_t *at = reserve(w, len);

	if (at && len)
		memcpy(at, bytes, len);
}

void control_begin(struct control_writer *w, enum control_kind kind)
{
	w->len = 0;
	w->failed = false;
	control_put_u32(w, 0);
	control_put_u16(w, (uint16_t)kind);
	control_put_u16(w, 0);
}

void control_put_u16(struct control_writer *w, uint16_t value)
{
	uint8_t *at = reserve(w, 2);

	if (at)
		put_le16(at, value);
}

void control_put_u32(struct control_writer *w, uint32_t value)
{
	uint8_t *at = reserve(w, 4);

	if (at)
		put_le32(at, value);
}

void control_put_u64(struct control_writer *w, uint64_t value)
{
	uint8_t *at = reserve(w, 8);

	if (at)
		put_le64(at, value);
}

void control_put_string(struct control_writer *w, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len > CONTROL_MAX_BODY) {
		w->failed = true;
		return;
	}
	control_put_u32(w, (uint32_t)len);
	put_bytes(w, text, len);
}

int control_end(struct control_writer *w, struct err *err)
{
	if (w->failed)
		return err_set(err, 0,
			       "a control message is too long (at most %u bytes) or memory is short",
			       CONTROL_MAX_BODY);
	put_le32(w->bytes, (uint32_t)(w->len - CONTROL_HEADER_SIZE));
	return 0;
}

void control_writer_free(struct control_writer *w)
{
	free(w->bytes);
	*w = (struct control_writer){ 0 };
}

/* ---- reading a body ---------------------------------------------------- */

static const uint8_t *take(struct control_body *b, size_t len)
{
	const uint8_t *at = b->at;

	if (b->failed || (size_t)(b->end - b->at) < len) {
		b->failed = true;
		return NULL;
	}
	b->at += len;
	return at;
}

uint16_t control_get_u16(struct control_body *b)
{
	const uint8_t *at = take(b, 2);

	return at ? get_le16(at) : 0;
}

uint32_t control_get_u32(struct control_body *b)
{
	const uint8_t *at = take(b, 4);

	return at ? get_le32(at) : 0;
}

uint64_t control_get_u64(struct control_body *b)
{
	const uint8_t *at = take(b, 8);

	return at ? get_le64(at) : 0;
}

/* The bytes of a string, not terminated; NULL when it is not one. */
static const uint8_t *take_string(struct control_body *b, size_t *len)
{
	const uint8_t *at;

	*len = control_get_u32(b);
	at = take(b, *len);
	if (at && memchr(at, 0, *len)) {
		b->failed = true;
		return NULL;
	}
	return at;
}

char *control_get_string(struct control_body *b)
{
	size_t len;
	const uint8_t *at = take_string(b, &len);
	char *text = at ? strndup((const char *)at, len) : NULL;

	if (!text)
		b->failed = true;
	return text;
}

bool control_done(const struct control_body *b)
{
	return !b->failed && b->at == b->end;
}

/* ---- the start order --------------------------------------------------- */

static uint32_t count_strings(char *const *list)
{
	uint32_t n = 0;

	while (list[n])
		n++;
	return n;
}

static void put_strings(struct control_writer *w, char *const *list)
{
	control_put_u32(w, count_strings(list));
	for (; *list; list++)
		control_put_string(w, *list);
}

int control_put_start(struct control_writer *w, const struct control_start *s,
		      struct err *err)
{
	control_begin(w, CONTROL_START);
	control_put_u32(w, s->pid);
	control_put_u32(w, s->uid);
	control_put_u32(w, s->gid);
	control_put_u32(w, s->umask);
	control_put_u32(w, (uint32_t)s->nice);
	control_put_u64(w, s->clock_ns);
	for (unsigned i = 0; i < CONTROL_RLIMITS; i++) {
		control_put_u64(w, s->rlimit_cur[i]);
		control_put_u64(w, s->rlimit_max[i]);
	}
	control_put_u32(w, s->ngroups);
	for (uint32_t i = 0; i < s->ngroups; i++)
		control_put_u32(w, s->groups[i]);
	for (unsigned i = 0; i < 3; i++)
		control_put_u32(w, s->stdio[i]);
	control_put_u32(w, s->stdin_flags);
	control_put_u64(w, s->stdin_offset);
	control_put_u16(w, s->winsize.rows);
	control_put_u16(w, s->winsize.columns);
	control_put_u16(w, s->winsize.x_pixels);
	control_put_u16(w, s->winsize.y_pixels);
	control_put_u64(w, s->ignored_signals);
	control_put_u64(w, s->blocked_signals);
	control_put_string(w, s->hostname);
	control_put_string(w, s->cwd);
	control_put_string(w, s->program);
	control_put_string(w, s->stdin_path);
	control_put_string(w, s->tty_path);
	control_put_u32(w, s->termios_size);
	put_bytes(w, s->termios, s->termios_size);
	put_strings(w, s->argv);
	put_strings(w, s->envp);
	return control_end(w, err);
}

/*
 * Decoding puts everything that has no fixed size into one block: the pointer
 * arrays first, the terminated strings behind them. The body bounds its size:
 * each string costs four bytes of length on the wire, so a body cannot claim
 * more pointers than a constant times its own length.
 */
struct arena {
	uint8_t *block;
	size_t used, size;
};

static void *arena_take(struct arena *a, struct control_body *b, size_t len)
{
	void *at = a->block + a->used;

	len = (len + 7) & ~(size_t)7;
	if (b->failed || a->size - a->used < len) {
		b->failed = true;
		return NULL;
	}
	a->used += len;
	return at;
}

static char *arena_string(struct arena *a, struct control_body *b)
{
	size_t len;
	const uint8_t *from = take_string(b, &len);
	char *to = from ? arena_take(a, b, len + 1) : NULL;

	if (!to)
		return NULL;
	memcpy(to, from, len);
	to[len] = 0;
	return to;
}

static char **arena_strings(struct arena *a, struct control_body *b)
{
	uint32_t n = control_get_u32(b);
	char **list;

	if (n > CONTROL_MAX_STRINGS || (size_t)(b->end - b->at) / 4 < n)
		b->failed = true;
	list = arena_take(a, b, ((size_t)n + 1) * sizeof(*list));
	if (!list)
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		list[i] = arena_string(a, b);
	list[n] = NULL;
	return list;
}

static void get_groups(struct control_start *s, struct arena *a,
		       struct control_body *b)
{
	s->ngroups = control_get_u32(b);
	if (s->ngroups > CONTROL_MAX_GROUPS ||
	    (size_t)(b->end - b->at) / 4 < s->ngroups)
		b->failed = true;
	s->groups = arena_take(a, b, (size_t)s->ngroups * sizeof(*s->groups));
	for (uint32_t i = 0; s->groups && i < s->ngroups; i++)
		s->groups[i] = control_get_u32(b);
}

static void get_numbers(struct control_start *s, struct arena *a,
			struct control_body *b)
{
	s->pid = control_get_u32(b);
	s->uid = control_get_u32(b);
	s->gid = control_get_u32(b);
	s->umask = control_get_u32(b);
	s->nice = (int32_t)control_get_u32(b);
	s->clock_ns = control_get_u64(b);
	for (unsigned i = 0; i < CONTROL_RLIMITS; i++) {
		s->rlimit_cur[i] = control_get_u64(b);
		s->rlimit_max[i] = control_get_u64(b);
	}
	get_groups(s, a, b);
	for (unsigned i = 0; i < 3; i++) {
		s->stdio[i] = control_get_u32(b);
		if (s->stdio[i] > STDIO_SAME)
			b->failed = true;
	}
	s->stdin_flags = control_get_u32(b);
	s->stdin_offset = control_get_u64(b);
	s->winsize.rows = control_get_u16(b);
	s->winsize.columns = control_get_u16(b);
	s->winsize.x_pixels = control_get_u16(b);
	s->winsize.y_pixels = control_get_u16(b);
	s->ignored_signals = control_get_u64(b);
	s->blocked_signals = control_get_u64(b);
}

static void get_strings(struct control_start *s, struct arena *a,
			struct control_body *b)
{
	s->hostname = arena_string(a, b);
	s->cwd = arena_string(a, b);
	s->program = arena_string(a, b);
	s->stdin_path = arena_string(a, b);
	s->tty_path = arena_string(a, b);
	s->termios_size = control_get_u32(b);
	if (s->termios_size > 256)
		b->failed = true;
	s->termios = take(b, s->termios_size);
	if (s->termios) {
		void *copy = arena_take(a, b, s->termios_size);

		if (copy)
			s->termios = memcpy(copy, s->termios, s->termios_size);
	}
	s->argv = arena_strings(a, b);
	s->envp = arena_strings(a, b);
}

int control_get_start(struct control_start *s, const uint8_t *body, size_t len,
		      struct err *err)
{
	struct control_body b = { body, body + len, false };
	/* 4 wire bytes become at most a pointer and a padded empty string. */
	struct arena a = { .size = len * 4 + 256 };

	*s = (struct control_start){ 0 };
	if (len > CONTROL_MAX_BODY)
		return err_set(err, 0, "start order of %zu bytes is too long", len);
	a.block = malloc(a.size);
	if (!a.block)
		return err_set(err, 0, "out of memory for the start order");
	s->block = a.block;
	get_numbers(s, &a, &b);
	get_strings(s, &a, &b);
	if (!control_done(&b) || !s->argv[0] || s->pid == 0 ||
	    s->pid > INT32_MAX) {
		control_start_free(s);
		return err_set(err, 0, "malformed start order");
	}
	return 0;
}

void control_start_free(struct control_start *s)
{
	free(s->block);
	*s = (struct control_start){ 0 };
}

/* ---- the end ------------------------------------------------------------ */

int control_put_exit(struct control_writer *w, const struct control_exit *e,
		     struct err *err)
{
	control_begin(w, CONTROL_EXIT);
	control_put_u32(w, e->status);
	control_put_u32(w, e->oom_kills);
	control_put_u64(w, e->stdin_used);
	control_put_u64(w, e->stdin_offset);
	control_put_u64(w, e->user_us);
	control_put_u64(w, e->system_us);
	control_put_u64(w, e->max_rss_kib);
	return control_end(w, err);
}

int control_get_exit(struct control_exit *e, const uint8_t *body, size_t len,
		     struct err *err)
{
	struct control_body b = { body, body + len, false };

	e->status = control_get_u32(&b);
	e->oom_kills = control_get_u32(&b);
	e->stdin_used = control_get_u64(&b);
	e->stdin_offset = control_get_u64(&b);
	e->user_us = control_get_u64(&b);
	e->system_us = control_get_u64(&b);
	e->max_rss_kib = control_get_u64(&b);
	if (!control_done(&b))
		return err_set(err, 0, "malformed exit message");
	return 0;
}
