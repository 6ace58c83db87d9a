/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The deputy's state, shared by the files mvrun-deputy*.c. */
#ifndef MV_AGENT_MVRUN_DEPUTY_H
#define MV_AGENT_MVRUN_DEPUTY_H

#include "vmm-agent/mvrun.h"
#include "vmm-agent/mvrun-silence.h"

enum deputy_state {
	DEPUTY_WAITS,   /* for a microVM and its kit */
	DEPUTY_STARTS,  /* the start order is on its way */
	DEPUTY_RUNS,    /* the program runs */
	DEPUTY_ENDS,    /* its exit is known, output may still come */
	DEPUTY_DONE,    /* `result` is final */
};

struct deputy {
	const struct mvrun_options *options;
	struct mvrun_start *start;
	enum deputy_state state;
	int result; /* exit status, or -signal */

	char uuid[37];
	uint8_t id[LINK_ID_SIZE];
	struct link *link;
	struct pump *pump;
	struct control_reader reader;
	struct fuse_channel *files;
	int signal_fd, fault_fd;

	struct sink out, err, tty;
	bool stdin_open, tty_open, tty_wanted;
	uint64_t stdin_read;

	struct agent *agent;
	int64_t agent_again; /* when to try to reach the agent again */
	int64_t agent_limit; /* when to give a job up that has no microVM yet */
	bool may_ask_again;  /* the agent was restarted before it made one */
	bool attach_asked;
	int64_t attach_again;
	unsigned memory, boot_limit_s;
	int64_t boot_deadline; /* 0: the kit has answered once */
	bool up_once;
	int64_t mute_limit; /* 0, or when to exchange a transport without an answer */
	int64_t mute_ms;    /* how long the next one has for it */
	int64_t clock_due;
	bool suspended; /* as the agent told last */
	struct silence silence;
	char host[80];  /* the node that the newest transport leads to */
	long long incarnation; /* of the job's copy there */
	long long linked;      /* the highest that the link has been up with */
	bool given_up; /* told to end while the job could not be reached */

	uint8_t *start_bytes; /* the start order until all of it is sent */
	size_t start_len, start_sent;
	struct control_exit exit;
};

/* The job cannot go on: say why and end with our own failure's status. */
void deputy_fail(struct deputy *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void deputy_finish(struct deputy *d, int result);

/* ---- mvrun-deputy-agent.c ------------------------------------------------------ */

/* Connect and ask for a microVM. */
int deputy_agent_begin(struct deputy *d, struct err *err);
/* Take what the agent says. */
void deputy_agent_read(struct deputy *d);
/* Reconnect, ask for a transport, give up a boot: whatever is due. */
void deputy_agent_tick(struct deputy *d, int64_t now);
int64_t deputy_agent_deadline(const struct deputy *d);
/* Tell the agent, if it is there; a lost agent is found by its own descriptor. */
void deputy_agent_tell(struct deputy *d, const char *op);

/* ---- mvrun-deputy-control.c ------------------------------------------------------ */

extern const struct link_events deputy_link_events;
void deputy_send_signal(struct deputy *d, int sig, enum signal_target target);
void deputy_send_winsize(struct deputy *d);
void deputy_send_clock(struct deputy *d);
/* The guest is about to move: what it can read again it need not carry. */
void deputy_send_trim(struct deputy *d);
/* Go on sending the start order. */
void deputy_send_rest(struct deputy *d);
void deputy_send_closed(struct deputy *d, unsigned channel);

/* ---- mvrun-deputy-signal.c -------------------------------------------------------- */

/* Both descriptors are to be polled; the second is for signals that are usually
 * faults. Returns the first, or -1. */
int deputy_signals_open(int *sent_faults, struct err *err);
void deputy_signals_read(struct deputy *d);
/* The job's first process stopped: so does mvrun, until it is continued. */
void deputy_stop_self(struct deputy *d, int sig);
/* The guest's terminal made this signal: the rest of the pipeline gets it too. */
void deputy_signal_pipeline(int sig);
/* Make the terminal ours as far as the job wants it and we are in front. */
void deputy_take_terminal(struct deputy *d);

#endif
