/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kit: PID 1 of a job's guest.
 *
 * Two processes share the work. The kit itself owns the link and relays: it is
 * one thread with one poll loop and stays in the initramfs, so it never touches
 * the file system whose requests it carries. The job's init (kit-init.c) is PID
 * 1 of the job's PID namespace and lives in the job's mount namespace: it mounts
 * home's root, starts the program, reaps, passes signals on and reports. They
 * talk by `struct report` over a socket pair.
 */
#ifndef MV_KIT_KIT_H
#define MV_KIT_KIT_H

#include "guest-kit/control.h"
#include "guest-kit/relay.h"
#include "net/pump.h"

#include <stdbool.h>
#include <sys/types.h>

/* ---- kit-boot.c: the guest's own system ------------------------------- */

struct boot_options {
	uint8_t id[LINK_ID_SIZE];
	const struct transport *transport;
	char address[128]; /* of the transport */
};

/* Print one line on the console. */
void kit_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Say why and end the guest; the console log is what the agent reads. */
void kit_die(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* Mount /proc, /sys, /dev, load modules, bring up lo, set kernel limits. */
void boot_system(void);
/* Parse mv.id= and mv.transport= of a kernel command line. */
int boot_parse(const char *cmdline, struct boot_options *options,
	       struct err *err);
void boot_options(struct boot_options *options);
int64_t now_ms(void);

/* ---- kit-link.c: the link's transport ------------------------------------ */

#define REDIAL_MS 100

/* Open the transport that the command line names. */
int transport_attach(const struct boot_options *boot, struct pump *pump,
		     struct err *err);
/* The same at the beginning, when its device may take a while to appear. */
void transport_attach_first(const struct boot_options *boot, struct pump *pump);

/* ---- kit-init.c: the job's init ----------------------------------------- */

enum report_kind {
	/* kit to init */
	REPORT_SIGNAL, /* a: signal, b: enum signal_target */
	REPORT_TRIM,   /* forget clean pages */
	/* init to kit */
	REPORT_MOUNTED, /* /dev/fuse can be read from now on */
	REPORT_STARTED,
	REPORT_FAILED,  /* a: errno, b: 1 when exec failed, text: what */
	REPORT_STOPPED, /* a: signal */
	REPORT_CONTINUED,
	REPORT_TTY_WANTED,
	REPORT_NOTE, /* text, for the user */
	REPORT_EXIT, /* exit */
};

struct report {
	uint32_t kind, a, b;
	struct control_exit exit;
	char text[256];
};

/* What the job's init needs; descriptors are its own after the clone. */
struct init_job {
	const struct control_start *start;
	int report_fd;  /* SEQPACKET, to the kit */
	int fuse_fd;    /* to be mounted */
	int stdio[3];   /* -1: closed, or opened by the init itself */
	int tty_number; /* of /dev/pts, -1: none */
};

/* Runs in the new namespaces; does not return. */
void init_main(const struct init_job *job) __attribute__((noreturn));

/* ---- kit-guard.c: an end to a guest that runs out of memory slowly ------- */

struct guard {
	int pressure; /* poll it for POLLPRI; -1: this kernel has none */
	int meminfo, sysrq;
	int64_t since, last; /* ms; since 0: not short of memory */
};

/* Before the job's first file is opened. A kernel without what it takes is
 * told of on the console; the guard does nothing then. */
void guard_open(struct guard *guard);
void guard_close(struct guard *guard);
void guard_run(struct guard *guard, short revents);
/* Whether next to nothing can be had, by the text of /proc/meminfo. */
bool guard_is_little(const char *meminfo);
/* One window of stalls ended; true when it is time for the OOM killer. */
bool guard_stalled(struct guard *guard, int64_t now, bool little);

/* ---- kit-stream.c: standard streams and the terminal -------------------- */

/* From the job to home: a descriptor drained into a channel. */
struct stream_out {
	int fd; /* -1: ended */
	unsigned channel;
};

/* From home to the job: what the descriptor did not take yet. */
struct stream_in {
	int fd;   /* -1: none or ended */
	int rest; /* after the end: a reader's end of the pipe, -1: none */
	unsigned channel;
	uint8_t *buffer; /* of the channel's window */
	size_t start, used;
	uint64_t written; /* bytes the descriptor took; once closed, its reader */
	bool fin;         /* nothing more comes */
	bool keep;        /* the descriptor is somebody else's (the tty) */
};

short stream_out_events(const struct stream_out *s, const struct link *link);
void stream_out_run(struct stream_out *s, struct link *link);
/* Close; sends FIN. */
void stream_out_end(struct stream_out *s, struct link *link);

int stream_in_open(struct stream_in *s, int fd, unsigned channel);
void stream_in_receive(struct stream_in *s, const void *data, size_t len,
		       struct link *link);
/* Write what the descriptor takes. Returns -1 when its reader is gone. */
int stream_in_run(struct stream_in *s, struct link *link);
void stream_in_close(struct stream_in *s, struct link *link);
/* How much of what the pipe took its reader took from it. */
uint64_t stream_in_taken(const struct stream_in *s);

/*
 * A terminal for the job, numbered as at home where it can be. Returns the
 * master, fills the slave and its number.
 */
int tty_open(const struct control_start *start, int *slave, int *number,
	     struct err *err);
/* The signal that the guest's terminal makes of these input bytes, 0: none. */
int tty_signal_of(int master, const uint8_t *bytes, size_t len);
/*
 * Whether somebody reads from this terminal now, or waits for input from it
 * among other things (kit-ttywatch.c).
 */
bool tty_is_wanted(int tty, int number);
void tty_set_size(int master, const struct winsize_order *size);

#endif
