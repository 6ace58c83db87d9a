/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What deputy and kit say to each other, and the link's other channels. */
#include "vmm-agent/mvrun-deputy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- to the kit ------------------------------------------------------------------ */

static void send_message(struct deputy *d, struct control_writer *w)
{
	struct err err = { 0 };

	if (control_end(w, &err))
		deputy_fail(d, "%s", err.text);
	else if (link_send(d->link, CHANNEL_CONTROL, w->bytes, w->len))
		say_verbose("a control message was dropped: the kit does not read");
	control_writer_free(w);
}

void deputy_send_signal(struct deputy *d, int sig, enum signal_target target)
{
	struct control_writer w = { 0 };

	if ((d->state != DEPUTY_STARTS && d->state != DEPUTY_RUNS) || d->start_bytes)
		return;
	control_begin(&w, CONTROL_SIGNAL);
	control_put_u32(&w, (uint32_t)sig);
	control_put_u32(&w, target);
	send_message(d, &w);
}

void deputy_send_winsize(struct deputy *d)
{
	struct control_writer w = { 0 };
	struct winsize_order size;

	if (d->state == DEPUTY_WAITS || d->start_bytes || !d->tty_open ||
	    !tty_size(&size))
		return;
	control_begin(&w, CONTROL_WINSIZE);
	control_put_u16(&w, size.rows);
	control_put_u16(&w, size.columns);
	control_put_u16(&w, size.x_pixels);
	control_put_u16(&w, size.y_pixels);
	send_message(d, &w);
}

void deputy_send_clock(struct deputy *d)
{
	struct control_writer w = { 0 };

	/* Behind a stalled link it would be old before it arrives. */
	if (link_pending(d->link, CHANNEL_CONTROL))
		return;
	control_begin(&w, CONTROL_CLOCK);
	control_put_u64(&w, order_clock_ns());
	send_message(d, &w);
}

void deputy_send_trim(struct deputy *d)
{
	struct control_writer w = { 0 };

	if (link_state(d->link) != LINK_UP || link_pending(d->link, CHANNEL_CONTROL))
		return;
	control_begin(&w, CONTROL_TRIM);
	send_message(d, &w);
}

void deputy_send_closed(struct deputy *d, unsigned channel)
{
	struct control_writer w = { 0 };

	control_begin(&w, CONTROL_STREAM_CLOSED);
	control_put_u32(&w, channel);
	send_message(d, &w);
}

/*
 * The start order may be larger than the control channel's window: what does
 * not fit waits here. Nothing else is sent until it is out; signals wait in the
 * signalfd, which the loop does not read meanwhile.
 */
static void send_start(struct deputy *d)
{
	struct control_writer w = { 0 };
	struct err err = { 0 };

	d->start->order.clock_ns = order_clock_ns();
	if (control_put_start(&w, &d->start->order, &err)) {
		deputy_fail(d, "cannot describe the program: %s", err.text);
		control_writer_free(&w);
		return;
	}
	d->start_bytes = w.bytes;
	d->start_len = w.len;
	d->state = DEPUTY_STARTS;
	deputy_send_rest(d);
}

void deputy_send_rest(struct deputy *d)
{
	size_t room = link_room(d->link, CHANNEL_CONTROL);
	size_t rest = d->start_len - d->start_sent;

	if (!d->start_bytes)
		return;
	if (rest > room)
		rest = room;
	if (rest && !link_send(d->link, CHANNEL_CONTROL,
			       d->start_bytes + d->start_sent, rest))
		d->start_sent += rest;
	if (d->start_sent < d->start_len)
		return;
	free(d->start_bytes);
	d->start_bytes = NULL;
}

/* ---- from the kit ----------------------------------------------------------------- */

static void hear_ready(struct deputy *d, struct control_body *b)
{
	char *release = control_get_string(b);

	say_verbose("the kit answers: Linux %s, %llu MiB", release ? release : "?",
		    (unsigned long long)control_get_u64(b) >> 20);
	free(release);
	if (d->state == DEPUTY_WAITS)
		send_start(d);
}

static void hear_started(struct deputy *d)
{
	say_verbose("the program runs");
	if (d->state == DEPUTY_STARTS)
		d->state = DEPUTY_RUNS;
	deputy_agent_tell(d, "started");
}

static void hear_failed(struct deputy *d, struct control_body *b)
{
	uint32_t num = control_get_u32(b);
	uint32_t exec = control_get_u32(b);
	char *what = control_get_string(b);
	const char *why = num < 4096 ? strerror((int)num) : "unknown error";

	if (exec)
		say("cannot execute '%s': %s", what ? what : "?", why);
	else
		say("cannot start the job: %s: %s", what ? what : "?", why);
	free(what);
	if (!exec)
		deputy_finish(d, EXIT_OWN_FAILURE);
	else
		deputy_finish(d, num == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}

/* What the job did not read is given back, for whoever reads next. */
static void give_back_stdin(struct deputy *d)
{
	uint64_t used = d->exit.stdin_used;

	if (d->start->order.stdio[0] == STDIO_FILE)
		lseek(0, (off_t)d->exit.stdin_offset, SEEK_SET);
	else if (d->start->order.stdio[0] == STDIO_STREAM && used < d->stdin_read)
		lseek(0, -(off_t)(d->stdin_read - used), SEEK_CUR);
}

/* The kernel chooses whom it kills: it need not be the program itself. */
static void say_memory(const struct deputy *d, int status)
{
	uint32_t kills = d->exit.oom_kills;

	if (kills && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		say("the guest ran out of memory (%u MiB) and its kernel killed the program; give it more with -m MIB",
		    d->memory);
	else if (kills)
		say("the guest ran out of memory (%u MiB) and its kernel killed %u of the job's processes; give it more with -m MIB",
		    d->memory, kills);
}

static void hear_exit(struct deputy *d, const uint8_t *body, size_t len)
{
	struct err err = { 0 };
	int status;

	if (control_get_exit(&d->exit, body, len, &err))
		return deputy_fail(d, "the kit: %s", err.text);
	status = (int)d->exit.status;
	say_memory(d, status);
	d->state = DEPUTY_ENDS;
	d->result = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
	give_back_stdin(d);
	say_verbose("the program has ended: user %.3f s, system %.3f s, %llu KiB",
		    (double)d->exit.user_us / 1e6, (double)d->exit.system_us / 1e6,
		    (unsigned long long)d->exit.max_rss_kib);
}

static void hear_tty_signal(struct deputy *d, uint32_t sig)
{
	if (tty_is_raw() && d->state == DEPUTY_RUNS)
		deputy_signal_pipeline((int)sig);
}

static void hear_tty_wanted(struct deputy *d)
{
	d->tty_wanted = true;
	deputy_take_terminal(d);
}

static void hear_closed(struct deputy *d, uint32_t channel)
{
	int null;

	if (channel != CHANNEL_STDIN || !d->stdin_open)
		return;
	d->stdin_open = false;
	/* What is left of a file is for whoever reads next. */
	if (lseek(0, 0, SEEK_CUR) >= 0)
		return;
	/* Whoever writes to our stdin should see that its reader is gone. */
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0 && dup2(null, 0) == 0)
		close(null);
}

static void hear_stopped(struct deputy *d, uint32_t sig)
{
	if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
		deputy_stop_self(d, (int)sig);
}

static int on_control(void *ctx, unsigned kind, const uint8_t *body, size_t len,
		      struct err *err)
{
	struct control_body b = { body, body + len, false };
	struct deputy *d = ctx;
	char *note;

	switch (kind) {
	case CONTROL_READY:
		hear_ready(d, &b);
		break;
	case CONTROL_STARTED:
		hear_started(d);
		break;
	case CONTROL_FAILED:
		hear_failed(d, &b);
		break;
	case CONTROL_STOPPED:
		hear_stopped(d, control_get_u32(&b));
		break;
	case CONTROL_CONTINUED:
		break;
	case CONTROL_TTY_SIGNAL:
		hear_tty_signal(d, control_get_u32(&b));
		break;
	case CONTROL_TTY_WANTED:
		hear_tty_wanted(d);
		break;
	case CONTROL_STREAM_CLOSED:
		hear_closed(d, control_get_u32(&b));
		break;
	case CONTROL_EXIT:
		hear_exit(d, body, len);
		break;
	case CONTROL_NOTE:
		note = control_get_string(&b);
		say("%s", note ? note : "?");
		free(note);
		break;
	default:
		return err_set(err, 0, "unknown control message %u", kind);
	}
	return b.failed ? err_set(err, 0, "malformed control message %u", kind) : 0;
}

/* ---- the link's events --------------------------------------------------------------- */

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct deputy *d = ctx;
	struct err err = { 0 };

	if (d->state == DEPUTY_DONE)
		return;
	switch (channel) {
	case CHANNEL_CONTROL:
		link_consume(d->link, channel, len);
		if (control_read(&d->reader, data, len, on_control, d, &err))
			deputy_fail(d, "the kit broke the protocol: %s", err.text);
		break;
	case CHANNEL_FUSE:
		if (fuse_channel_receive(d->files, data, len, &err))
			deputy_fail(d, "the guest broke the protocol: %s", err.text);
		break;
	case CHANNEL_STDOUT:
		sink_receive(&d->out, data, len, d->link);
		break;
	case CHANNEL_STDERR:
		sink_receive(&d->err, data, len, d->link);
		break;
	case CHANNEL_TTY:
		sink_receive(&d->tty, data, len, d->link);
		break;
	default:
		link_consume(d->link, channel, len);
	}
}

static void on_fin(void *ctx, unsigned channel)
{
	struct deputy *d = ctx;

	if (channel == CHANNEL_STDOUT)
		d->out.fin = true;
	else if (channel == CHANNEL_STDERR)
		d->err.fin = true;
	else if (channel == CHANNEL_TTY)
		d->tty.fin = true;
}

static void on_up(void *ctx, uint64_t epoch)
{
	struct deputy *d = ctx;

	say_verbose("link up, epoch %llu", (unsigned long long)epoch);
	d->up_once = true;
	d->mute_limit = d->mute_ms = 0;
	silence_linked(&d->silence);
	d->boot_deadline = 0;
	d->given_up = false;
	d->linked = d->incarnation;
	if (d->incarnation)
		deputy_agent_tell(d, "up");
	if (d->state == DEPUTY_RUNS)
		deputy_send_clock(d);
}

const struct link_events deputy_link_events = {
	.data = on_data,
	.fin = on_fin,
	.up = on_up,
};
