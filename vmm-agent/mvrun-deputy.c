/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvrun-deputy.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLOCK_PERIOD_MS 10000
#define MAX_POLL_MS 60000

enum { ON_LINK, ON_AGENT, ON_SIGNAL, ON_FAULT, ON_FILES, ON_STDIN, ON_TTY, ON_OUT, ON_ERR,
       ON_TTY_OUT, ON_COUNT };

void deputy_finish(struct deputy *d, int result)
{
	d->result = result;
	d->state = DEPUTY_DONE;
}

void deputy_fail(struct deputy *d, const char *fmt, ...)
{
	char text[800];
	va_list ap;

	if (d->state == DEPUTY_DONE)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tty_restore();
	say("%s", text);
	deputy_finish(d, EXIT_OWN_FAILURE);
}

/* ---- beginning ------------------------------------------------------------------- */

static int make_uuid(struct deputy *d, struct err *err)
{
	uint8_t *id = d->id;

	if (getrandom(id, LINK_ID_SIZE, 0) != LINK_ID_SIZE)
		return err_set(err, errno, "cannot get random bytes");
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* RFC 9562: version 4, */
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80); /* its variant */
	snprintf(d->uuid, sizeof(d->uuid),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8],
		 id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
	return 0;
}

static int open_link(struct deputy *d, struct err *err)
{
	struct link_config config = {
		.side = LINK_HOME,
		.nchannels = CHANNEL_COUNT,
		.channels = job_channels,
	};

	memcpy(config.id, d->id, sizeof(config.id));
	d->link = link_new(&config, &deputy_link_events, d);
	d->pump = d->link ? pump_new(d->link) : NULL;
	return d->pump ? 0 : err_set(err, ENOMEM, "cannot make the link");
}

static int open_files(struct deputy *d, struct err *err)
{
	static const char *const own[] = { "proc", "sys", "dev", NULL };
	struct files_config config = {
		.root = "/",
		.attr_timeout = -1,
		.entry_timeout = -1,
		.hidden = own,
	};

	d->files = fuse_channel_new(d->link, CHANNEL_FUSE, &config, err);
	return d->files ? 0 : -1;
}

/* The descriptor of the terminal to which the job's output goes. */
static int tty_output(const struct control_start *order)
{
	for (int i = 1; i < 3; i++)
		if (order->stdio[i] == STDIO_TTY)
			return i;
	return 0;
}

static int open_stdio(struct deputy *d, struct err *err)
{
	const struct control_start *order = &d->start->order;
	int failed = 0;

	d->out.fd = d->err.fd = d->tty.fd = -1;
	if (order->stdio[1] == STDIO_STREAM)
		failed |= sink_open(&d->out, 1, CHANNEL_STDOUT);
	if (order->stdio[2] == STDIO_STREAM)
		failed |= sink_open(&d->err, 2, CHANNEL_STDERR);
	if (order->stdio[0] == STDIO_TTY || order->stdio[1] == STDIO_TTY ||
	    order->stdio[2] == STDIO_TTY) {
		failed |= sink_open(&d->tty, tty_output(order), CHANNEL_TTY);
		d->tty_open = d->start->tty_fd >= 0;
		d->tty.drop_cr = (d->start->termios.c_oflag & (OPOST | ONLCR)) ==
				 (OPOST | ONLCR);
	}
	d->stdin_open = order->stdio[0] == STDIO_STREAM;
	return failed ? err_set(err, ENOMEM, "cannot set up the streams") : 0;
}

static int deputy_open(struct deputy *d, struct err *err)
{
	if (make_uuid(d, err) || open_link(d, err) || open_stdio(d, err))
		return -1;
	d->signal_fd = deputy_signals_open(&d->fault_fd, err);
	/* The job's mask is applied in the guest; here modes come out as asked. */
	umask(0);
	if (d->signal_fd < 0 || open_files(d, err))
		return -1;
	return deputy_agent_begin(d, err);
}

static void deputy_close(struct deputy *d)
{
	tty_restore();
	if (d->files)
		fuse_channel_free(d->files);
	pump_free(d->pump);
	link_free(d->link);
	agent_free(d->agent);
	control_reader_free(&d->reader);
	free(d->start_bytes);
	free(d->out.buffer);
	free(d->err.buffer);
	free(d->tty.buffer);
}

/* ---- the loop ---------------------------------------------------------------------- */

static void set_poll(struct pollfd *p, int fd, short events)
{
	*p = (struct pollfd){ .fd = events ? fd : -1, .events = events };
}

static short source_events(const struct deputy *d, bool open, unsigned channel)
{
	bool running = d->state == DEPUTY_STARTS || d->state == DEPUTY_RUNS;

	return open && running && link_room(d->link, channel) ? POLLIN : 0;
}

static void fill_poll(struct deputy *d, struct pollfd *p, int64_t now)
{
	set_poll(&p[ON_LINK], pump_fd(d->pump), pump_events(d->pump, now));
	set_poll(&p[ON_AGENT], d->agent ? agent_fd(d->agent) : -1, POLLIN);
	set_poll(&p[ON_SIGNAL], d->signal_fd, d->start_bytes ? 0 : POLLIN);
	set_poll(&p[ON_FAULT], d->fault_fd, d->start_bytes ? 0 : POLLIN);
	set_poll(&p[ON_FILES], fuse_channel_fd(d->files), POLLIN);
	set_poll(&p[ON_STDIN], 0, source_events(d, d->stdin_open, CHANNEL_STDIN));
	set_poll(&p[ON_TTY], d->start->tty_fd,
		 source_events(d, d->tty_open && tty_is_raw(), CHANNEL_TTY));
	set_poll(&p[ON_OUT], d->out.fd, sink_wants_write(&d->out) ? POLLOUT : 0);
	set_poll(&p[ON_ERR], d->err.fd, sink_wants_write(&d->err) ? POLLOUT : 0);
	set_poll(&p[ON_TTY_OUT], d->tty.fd, sink_wants_write(&d->tty) ? POLLOUT : 0);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int poll_timeout(struct deputy *d, int64_t now)
{
	int64_t deadline = earlier(link_deadline(d->link), deputy_agent_deadline(d));

	deadline = earlier(deadline, d->clock_due);
	deadline = earlier(deadline, silence_deadline(&d->silence));
	if (deadline < 0 || deadline > now + MAX_POLL_MS)
		return MAX_POLL_MS;
	return deadline <= now ? 0 : (int)(deadline - now);
}

static void run_sink(struct deputy *d, struct sink *sink, const char *name)
{
	int num = sink_run(sink, d->link);

	if (!num)
		return;
	if (num != EPIPE && num != EIO)
		say("cannot write the job's %s: %s", name, strerror(num));
	if (d->state < DEPUTY_ENDS)
		deputy_send_closed(d, sink->channel);
}

static void run_sources(struct deputy *d, const struct pollfd *p)
{
	ssize_t n;

	/* This round may have brought the job's end, and its input is given back. */
	if (d->state >= DEPUTY_ENDS)
		return;
	if (p[ON_STDIN].revents && d->stdin_open) {
		n = source_run(0, CHANNEL_STDIN, d->link);
		d->stdin_open = n != 0;
		if (n > 0)
			d->stdin_read += (uint64_t)n;
	}
	/* A terminal that ends (a hang-up) takes no more part. */
	if (p[ON_TTY].revents && tty_is_raw() &&
	    source_run(d->start->tty_fd, CHANNEL_TTY, d->link) == 0)
		d->tty_open = false;
}

static void run_link(struct deputy *d, short revents)
{
	if (pump_fd(d->pump) < 0)
		return;
	if (pump_run(d->pump, revents, say_now_ms()) == 0)
		return;
	if (link_incompatible(d->link)) {
		/* A copy that was left behind by a move is another than the one
		 * that was linked here last; a first one has no excuse. */
		if (!d->up_once || d->incarnation <= d->linked)
			return deputy_fail(d, "the guest's kit: %s",
					   link_reason(d->link));
		say_verbose("refused a copy of the job: %s", link_reason(d->link));
		return deputy_agent_tell(d, "stale");
	}
	say_verbose("transport lost: %s", link_reason(d->link));
	/* Before the first answer a new transport is worth asking for as well. */
	d->up_once = true;
}

static void check_end(struct deputy *d)
{
	if (d->state == DEPUTY_ENDS && sink_done(&d->out) && sink_done(&d->err) &&
	    sink_done(&d->tty))
		deputy_finish(d, d->result);
}

/* Of a suspension the agent has told, and of a job that is saved it has told one as well. */
static void mind_silence(struct deputy *d, int64_t now)
{
	bool excused = d->state == DEPUTY_WAITS || d->suspended;
	const char *at = *d->host ? " at " : "";
	struct link_stats stats;

	link_stats(d->link, &stats);
	switch (silence_look(&d->silence, stats.frames_received, excused, now)) {
	case SILENCE_BEGINS:
		say("the job%s%s has not answered for %d s; mvrun waits for it (see \"mvctl why %ld\")",
		    at, d->host, SILENCE_MS / 1000, (long)getpid());
		break;
	case SILENCE_ENDS:
		say("the job%s%s answers again", at, d->host);
		break;
	case SILENCE_NO_NEWS:
		break;
	}
}

static void run_timers(struct deputy *d)
{
	int64_t now = say_now_ms();

	deputy_agent_tick(d, now);
	mind_silence(d, now);
	if (now < d->clock_due)
		return;
	d->clock_due = now + CLOCK_PERIOD_MS;
	if (d->state == DEPUTY_RUNS && link_state(d->link) == LINK_UP)
		deputy_send_clock(d);
}

static void deputy_loop(struct deputy *d)
{
	struct pollfd p[ON_COUNT];

	while (d->state != DEPUTY_DONE) {
		int64_t now = say_now_ms();

		fill_poll(d, p, now);
		if (poll(p, ON_COUNT, poll_timeout(d, now)) < 0)
			continue;
		if (p[ON_SIGNAL].revents || p[ON_FAULT].revents)
			deputy_signals_read(d);
		run_link(d, p[ON_LINK].revents);
		fuse_channel_flush(d->files);
		deputy_send_rest(d);
		run_sources(d, p);
		run_sink(d, &d->out, "standard output");
		run_sink(d, &d->err, "standard error");
		run_sink(d, &d->tty, "terminal output");
		/* What this round queued goes out without another turn. */
		run_link(d, 0);
		if (p[ON_AGENT].revents && d->state != DEPUTY_DONE)
			deputy_agent_read(d);
		run_timers(d);
		check_end(d);
	}
}

int deputy_run(const struct mvrun_options *options, struct mvrun_start *start)
{
	struct deputy d = { .options = options, .start = start };
	struct err err = { 0 };

	d.clock_due = say_now_ms() + CLOCK_PERIOD_MS;
	if (deputy_open(&d, &err))
		deputy_fail(&d, "%s", err.text);
	else
		deputy_loop(&d);
	deputy_close(&d);
	return d.result;
}
