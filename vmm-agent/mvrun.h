/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvrun, the deputy: the home side of a job, one ordinary process.
 *
 * One thread runs a poll loop over the link's transport, the agent's socket, a
 * signalfd, the standard streams and the terminal. The file service brings its
 * own worker threads and hands its replies back through an eventfd. All signals
 * that can be caught are blocked and read from the signalfd; what is fatal about
 * them happens in the job, and mvrun then ends as the job did.
 */
#ifndef MV_AGENT_MVRUN_H
#define MV_AGENT_MVRUN_H

#include "guest-kit/control.h"
#include "net/err.h"
#include "net/pump.h"
#include "vmm-agent/agent-client.h"
#include "vmm-agent/fuse-channel.h"

#include <signal.h>
#include <stdbool.h>
#include <termios.h>

#define EXIT_OWN_FAILURE 125
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127

struct mvrun_options {
	bool home, pin, verbose;
	unsigned memory, cpus; /* MiB, number; 0: the agent's default */
	const char *name, *on; /* the nodes to run at, NULL: any */
	const char *near, *group, *kind; /* another job; a name; "cpu-bound", "io-bound" */
	char not_on[512]; /* nodes, separated by commas */
	bool best, nowait;
	unsigned home_patience; /* s without home; 0: for ever */
	char **argv; /* the program and its arguments */
};

/* ---- mvrun-order.c: what mvrun is, gathered for the start order ----------- */

/* What signals and streams were like before mvrun changed anything. */
struct mvrun_start {
	struct control_start order;
	struct termios termios;
	int tty_fd; /* the terminal for the job's input, -1: none */
	sigset_t signal_mask;
	char hostname[256], tty_path[64], stdin_path[4096];
	char *cwd, *program;
};

/*
 * Find the program as execvp(3) would. Returns 0 and a path to be freed, or
 * EXIT_NOT_FOUND or EXIT_CANNOT_EXECUTE with the error set.
 */
int order_find_program(const char *name, char **path, struct err *err);

/* Everything of the order but the clock; must run before the signal mask, the
 * descriptors or the limits are changed. */
int order_gather(struct mvrun_start *start, char **argv, struct err *err);
void order_free(struct mvrun_start *start);
uint64_t order_clock_ns(void);

/* ---- mvrun-tty.c: home's terminal ------------------------------------------- */

/* Remembers the settings to be restored; -1: there is no terminal. */
void tty_init(int fd, const struct termios *settings);
/* Raw mode. False when mvrun is not in the terminal's foreground. */
bool tty_raw(void);
/* Back to the settings of before; safe at any time, also from a signal handler. */
void tty_restore(void);
bool tty_is_raw(void);
bool tty_foreground(void);
bool tty_size(struct winsize_order *size);

/* ---- mvrun-stdio.c: from and to the standard descriptors ------------------- */

/* Bytes that came on a channel for a descriptor. */
struct sink {
	int fd; /* -1: none */
	unsigned channel;
	uint8_t *buffer; /* of the channel's window */
	size_t start, used;
	bool fin;    /* no more comes */
	bool broken; /* the descriptor's reader is gone: bytes are dropped */
	/* A terminal that still adds the CR of each line: the guest's terminal
	 * added one before. */
	bool drop_cr;
};

int sink_open(struct sink *sink, int fd, unsigned channel);
void sink_receive(struct sink *sink, const void *data, size_t len,
		  struct link *link);
bool sink_wants_write(const struct sink *sink);
/* Write what can be written without waiting. Returns 0, or the errno with which
 * the descriptor failed for the first time. */
int sink_run(struct sink *sink, struct link *link);
/* Everything that came has been written and nothing more will come. */
bool sink_done(const struct sink *sink);

/* Read from a descriptor that is readable into a channel. Returns the number of
 * bytes, 0 at the end (then FIN was sent), -1 when nothing can be done now. */
ssize_t source_run(int fd, unsigned channel, struct link *link);

/* ---- mvrun-say.c: messages on standard error -------------------------------- */

void say_init(bool verbose);
/* "mvrun: TEXT", one line, readable also while the terminal is raw. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with the time since the start, only with -v. */
void say_verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t say_now_ms(void);

/* ---- mvrun-deputy.c: the loop ------------------------------------------------- */

/* Runs the job; returns mvrun's exit status, or -N to die by signal N. */
int deputy_run(const struct mvrun_options *options, struct mvrun_start *start);

#endif
