/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What kit and deputy say to each other beside the streams: the channels of a
 * job's link and the messages of its control channel.
 *
 * A control message is a fixed header {u32 length of the body, u16 kind, u16
 * zero}, little endian, and a body whose layout is the kind's. Strings travel as
 * u32 length and bytes without a NUL inside. Everything is checked when it is
 * decoded; a message that is not well-formed ends the job.
 */
#ifndef MV_KIT_CONTROL_H
#define MV_KIT_CONTROL_H

#include "net/err.h"
#include "net/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Channels of a job's link; numbers are part of the wire format. */
enum job_channel {
	CHANNEL_CONTROL,
	CHANNEL_STDIN,  /* home to guest, when stdin is a stream */
	CHANNEL_STDOUT, /* guest to home */
	CHANNEL_STDERR, /* guest to home */
	CHANNEL_TTY,    /* both ways: the terminal */
	CHANNEL_FUSE,   /* requests to home, replies to the guest */
	CHANNEL_COUNT
};
extern const struct link_channel job_channels[CHANNEL_COUNT];

#define CONTROL_MAX_BODY (4u << 20) /* arguments and environment */
#define CONTROL_HEADER_SIZE 8

enum control_kind {
	/* home to kit */
	CONTROL_START = 1,    /* struct control_start */
	CONTROL_SIGNAL = 2,   /* u32 signal, u32 enum signal_target */
	CONTROL_WINSIZE = 3,  /* u16 rows, columns, x pixels, y pixels */
	CONTROL_CLOCK = 4,    /* u64 ns since the epoch at home */
	CONTROL_TRIM = 5,     /* empty: a move begins, forget what can be read again */
	/* both ways: u32 channel; who read from this stream is gone */
	CONTROL_STREAM_CLOSED = 8,
	/* kit to home */
	CONTROL_READY = 16,   /* string kernel release, u64 memory in bytes */
	CONTROL_STARTED = 17, /* empty: the program runs */
	CONTROL_FAILED = 18,  /* u32 errno, u32 exec failed, string: what failed */
	CONTROL_STOPPED = 19, /* u32 signal: the first process stopped */
	CONTROL_CONTINUED = 20,
	CONTROL_TTY_SIGNAL = 21, /* u32 signal the guest's terminal generated */
	CONTROL_EXIT = 22,    /* struct control_exit */
	CONTROL_NOTE = 23,    /* string: a warning for the user */
	CONTROL_TTY_WANTED = 24, /* empty: somebody reads from the terminal */
};

/* Whom a signal is for. */
enum signal_target {
	SIGNAL_PROCESS, /* the job's first process */
	SIGNAL_GROUP,   /* its process group */
	SIGNAL_FOREGROUND, /* the foreground group of the guest's terminal */
};

/* What one of the three standard descriptors is at home. */
enum stdio_kind {
	STDIO_CLOSED,
	STDIO_STREAM, /* a pipe in the guest, a channel of the link */
	STDIO_TTY,    /* the guest's terminal */
	STDIO_NULL,   /* /dev/null */
	STDIO_FILE,   /* stdin only: a regular file, opened through FUSE */
	STDIO_SAME,   /* stderr only: the same open file as stdout */
};

#define CONTROL_RLIMITS 16 /* RLIM_NLIMITS on Linux */
#define CONTROL_NO_LIMIT UINT64_MAX
#define CONTROL_MAX_GROUPS 65536
#define CONTROL_MAX_STRINGS 262144

struct winsize_order {
	uint16_t rows, columns, x_pixels, y_pixels;
};

/* The start order. Pointers are borrowed when encoding; after decoding they
 * point into one block, see control_start_free(). */
struct control_start {
	uint32_t pid, uid, gid, umask;
	int32_t nice;
	uint64_t clock_ns;
	uint64_t rlimit_cur[CONTROL_RLIMITS], rlimit_max[CONTROL_RLIMITS];
	uint32_t ngroups;
	uint32_t *groups;
	uint32_t stdio[3]; /* enum stdio_kind */
	uint32_t stdin_flags;  /* STDIO_FILE: open flags */
	uint64_t stdin_offset;
	struct winsize_order winsize;
	uint64_t ignored_signals; /* bit N-1: signal N is ignored at the start */
	uint64_t blocked_signals;
	const char *hostname, *cwd;
	const char *program;    /* path to execute */
	const char *stdin_path; /* STDIO_FILE */
	const char *tty_path;   /* home's name of the terminal, "" for unknown */
	char **argv, **envp;    /* NULL-terminated */
	/* The terminal's settings at home, struct termios bytes; 0: none. */
	uint32_t termios_size;
	const uint8_t *termios;
	void *block; /* owns all of the above after decoding */
};

struct control_exit {
	uint32_t status;       /* as wait(2) gives it */
	uint32_t oom_kills;    /* processes the guest killed for want of memory */
	uint64_t stdin_used;   /* STDIO_STREAM: bytes the job read */
	uint64_t stdin_offset; /* STDIO_FILE: offset at the end */
	uint64_t user_us, system_us, max_rss_kib;
};

/* Reassembles control messages from the channel's bytes. Zero to begin. */
struct control_reader {
	uint8_t *buffer;
	size_t used, size;
};

/*
 * Feed bytes; calls `message` for each complete one. Returns 0, or -1 on a
 * header that cannot be (too long, non-zero reserved field) or when `message`
 * returned non-zero. Memory is bounded by CONTROL_MAX_BODY and grows only with
 * bytes received.
 */
int control_read(struct control_reader *reader, const void *bytes, size_t len,
		 int (*message)(void *ctx, unsigned kind, const uint8_t *body,
				size_t len, struct err *err),
		 void *ctx, struct err *err);
void control_reader_free(struct control_reader *reader);

/* A growing message under construction; check `failed` once, at the end. */
struct control_writer {
	uint8_t *bytes;
	size_t len, size;
	bool failed;
};
void control_begin(struct control_writer *w, enum control_kind kind);
void control_put_u16(struct control_writer *w, uint16_t value);
void control_put_u32(struct control_writer *w, uint32_t value);
void control_put_u64(struct control_writer *w, uint64_t value);
void control_put_string(struct control_writer *w, const char *text);
/* Fills the length in. Returns 0 or -1 (out of memory, too long). */
int control_end(struct control_writer *w, struct err *err);
void control_writer_free(struct control_writer *w);

/* A body being decoded; every getter returns 0 after the first failure. */
struct control_body {
	const uint8_t *at, *end;
	bool failed;
};
uint16_t control_get_u16(struct control_body *b);
uint32_t control_get_u32(struct control_body *b);
uint64_t control_get_u64(struct control_body *b);
/* A string without NUL inside; copied, to be freed; NULL on failure. */
char *control_get_string(struct control_body *b);
/* True when nothing failed and the body is used up. */
bool control_done(const struct control_body *b);

int control_put_start(struct control_writer *w, const struct control_start *s,
		      struct err *err);
int control_get_start(struct control_start *s, const uint8_t *body, size_t len,
		      struct err *err);
void control_start_free(struct control_start *s);

int control_put_exit(struct control_writer *w, const struct control_exit *e,
		     struct err *err);
int control_get_exit(struct control_exit *e, const uint8_t *body, size_t len,
		     struct err *err);

#endif
