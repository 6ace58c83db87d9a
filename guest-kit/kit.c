/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kit's main loop: one thread, one poll, five kinds of descriptors (the
 * link's transport, /dev/fuse, the job's streams, its terminal, its init).
 */
#include "guest-kit/kit.h"

#include "net/bytes.h"
#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* A clock less wrong than this is left alone; more is set or slewed. */
#define CLOCK_TOLERANCE_NS 20000000ll

enum { ON_LINK, ON_FUSE, ON_INIT, ON_OUT, ON_ERR, ON_TTY_OUT,
       ON_IN, ON_TTY_IN, ON_COUNT };

struct kit {
	struct boot_options boot;
	struct link *link;
	struct pump *pump;
	struct control_reader reader;
	bool greeted; /* READY was sent */

	struct control_start start;
	bool started, mounted, ended, said_end;
	struct control_exit exit;
	int init_fd;
	pid_t init_pid;
	struct relay *relay;
	struct stream_out out, err, tty_out;
	struct stream_in in, tty_in;
	int tty_master, tty_slave;
	pid_t first;      /* the job's first process, as the kit sees it */
};

/* ---- sending ------------------------------------------------------------ */

static void send_message(struct kit *kit, struct control_writer *w)
{
	struct err err;

	if (control_end(w, &err) ||
	    link_send(kit->link, CHANNEL_CONTROL, w->bytes, w->len))
		kit_die("monovisor-kit: cannot send a control message");
	control_writer_free(w);
}

static void send_number(struct kit *kit, enum control_kind kind, uint32_t value)
{
	struct control_writer w = { 0 };

	control_begin(&w, kind);
	control_put_u32(&w, value);
	send_message(kit, &w);
}

static void send_plain(struct kit *kit, enum control_kind kind)
{
	struct control_writer w = { 0 };

	control_begin(&w, kind);
	send_message(kit, &w);
}

static void send_failed(struct kit *kit, uint32_t num, uint32_t exec,
			const char *what)
{
	struct control_writer w = { 0 };

	control_begin(&w, CONTROL_FAILED);
	control_put_u32(&w, num);
	control_put_u32(&w, exec);
	control_put_string(&w, what);
	send_message(kit, &w);
}

static void send_note(struct kit *kit, const char *text)
{
	struct control_writer w = { 0 };

	control_begin(&w, CONTROL_NOTE);
	control_put_string(&w, text);
	send_message(kit, &w);
}

static void send_ready(struct kit *kit)
{
	struct control_writer w = { 0 };
	struct utsname uts;
	struct sysinfo info;

	uname(&uts);
	sysinfo(&info);
	control_begin(&w, CONTROL_READY);
	control_put_string(&w, uts.release);
	control_put_u64(&w, (uint64_t)info.totalram * info.mem_unit);
	send_message(kit, &w);
}

/* ---- the clock ------------------------------------------------------------- */

/*
 * Follow home's clock: forwards at once, backwards only by running slower, so
 * that no program sees time go back. Before the job starts any step is right.
 */
static void follow_clock(uint64_t home_ns, bool may_step_back)
{
	struct timespec ts;
	int64_t ahead;

	clock_gettime(CLOCK_REALTIME, &ts);
	ahead = ((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec) - (int64_t)home_ns;
	if (ahead < CLOCK_TOLERANCE_NS && ahead > -CLOCK_TOLERANCE_NS &&
	    !may_step_back)
		return;
	if (ahead > 0 && !may_step_back) {
		struct timex slew = { .modes = ADJ_OFFSET_SINGLESHOT,
				      .offset = (long)(-ahead / 1000) };

		adjtimex(&slew);
		return;
	}
	ts.tv_sec = (time_t)(home_ns / 1000000000);
	ts.tv_nsec = (long)(home_ns % 1000000000);
	clock_settime(CLOCK_REALTIME, &ts);
}

/* ---- starting the job ------------------------------------------------------ */

static int make_pipe(int *kit_end, int *job_end, bool kit_reads, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, errno, "cannot make a pipe");
	*kit_end = fds[kit_reads ? 0 : 1];
	*job_end = fds[kit_reads ? 1 : 0];
	fcntl(*kit_end, F_SETFL, fcntl(*kit_end, F_GETFL) | O_NONBLOCK);
	return 0;
}

static bool wants_tty(const struct control_start *start)
{
	return start->stdio[0] == STDIO_TTY || start->stdio[1] == STDIO_TTY ||
	       start->stdio[2] == STDIO_TTY;
}

static int open_output(struct kit *kit, int i, struct stream_out *out,
		       unsigned channel, int *job_end, struct err *err)
{
	if (kit->start.stdio[i] != STDIO_STREAM)
		return 0;
	out->channel = channel;
	return make_pipe(&out->fd, job_end, true, err);
}

static int open_terminal(struct kit *kit, int *number, struct err *err)
{
	*number = -1;
	if (!wants_tty(&kit->start))
		return 0;
	kit->tty_master = tty_open(&kit->start, &kit->tty_slave, number, err);
	if (kit->tty_master < 0 ||
	    stream_in_open(&kit->tty_in, kit->tty_master, CHANNEL_TTY))
		return err_prefix(err, "terminal");
	kit->tty_in.keep = true;
	kit->tty_out = (struct stream_out){ .fd = kit->tty_master,
					    .channel = CHANNEL_TTY };
	return 0;
}

static int open_stdio(struct kit *kit, struct init_job *job, struct err *err)
{
	int kit_end = -1;

	job->stdio[0] = job->stdio[1] = job->stdio[2] = -1;
	if (open_terminal(kit, &job->tty_number, err))
		return -1;
	if (kit->start.stdio[0] == STDIO_STREAM &&
	    (make_pipe(&kit_end, &job->stdio[0], false, err) ||
	     stream_in_open(&kit->in, kit_end, CHANNEL_STDIN)))
		return -1;
	if (open_output(kit, 1, &kit->out, CHANNEL_STDOUT, &job->stdio[1], err) ||
	    open_output(kit, 2, &kit->err, CHANNEL_STDERR, &job->stdio[2], err))
		return -1;
	for (int i = 0; i < 3; i++)
		if (kit->start.stdio[i] == STDIO_TTY)
			job->stdio[i] = dup(kit->tty_slave);
	if (kit->start.stdio[2] == STDIO_SAME) {
		job->stdio[2] = job->stdio[1] < 0 ? -1 : dup(job->stdio[1]);
		kit->start.stdio[2] = kit->start.stdio[1];
	}
	return 0;
}

static pid_t clone_init(void)
{
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNS,
		.exit_signal = SIGCHLD,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int spawn_init(struct kit *kit, struct init_job *job, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_set(err, errno, "cannot make a socket pair");
	job->report_fd = pair[1];
	kit->init_pid = clone_init();
	if (kit->init_pid < 0)
		return err_set(err, errno, "cannot start the job's init");
	if (!kit->init_pid) {
		close(pair[0]);
		init_main(job);
	}
	close(pair[1]);
	kit->init_fd = pair[0];
	for (int i = 0; i < 3; i++)
		if (job->stdio[i] >= 0)
			close(job->stdio[i]);
	return 0;
}

static int start_job(struct kit *kit, struct err *err)
{
	struct init_job job = { .start = &kit->start };

	sethostname(kit->start.hostname, strlen(kit->start.hostname));
	follow_clock(kit->start.clock_ns, true);
	job.fuse_fd = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (job.fuse_fd < 0)
		return err_set(err, errno, "cannot open /dev/fuse in the guest");
	kit->relay = relay_new(job.fuse_fd, kit->link, CHANNEL_FUSE, err);
	if (!kit->relay || open_stdio(kit, &job, err))
		return -1;
	return spawn_init(kit, &job, err);
}

static void order_start(struct kit *kit, const uint8_t *body, size_t len)
{
	struct err err = { 0 };

	if (kit->started) {
		kit_say("monovisor-kit: a second start order was ignored");
		return;
	}
	kit->started = true;
	if (control_get_start(&kit->start, body, len, &err) ||
	    start_job(kit, &err))
		send_failed(kit, (uint32_t)err.num, 0, err.text);
}

/* ---- orders ------------------------------------------------------------------ */

static void order_signal(struct kit *kit, uint32_t sig, uint32_t target)
{
	struct report r = { .kind = REPORT_SIGNAL, .a = sig, .b = target };

	if (target == SIGNAL_FOREGROUND && kit->tty_master >= 0)
		ioctl(kit->tty_master, TIOCSIG, sig);
	else if (kit->init_fd >= 0)
		send(kit->init_fd, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Not by the kit itself: it takes its time. */
static void order_trim(struct kit *kit)
{
	struct report r = { .kind = REPORT_TRIM };

	if (kit->init_fd >= 0)
		send(kit->init_fd, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void order_winsize(struct kit *kit, struct control_body *b)
{
	struct winsize_order size;

	size.rows = control_get_u16(b);
	size.columns = control_get_u16(b);
	size.x_pixels = control_get_u16(b);
	size.y_pixels = control_get_u16(b);
	tty_set_size(kit->tty_master, &size);
}

static void order_closed(struct kit *kit, uint32_t channel)
{
	if (channel == CHANNEL_STDOUT)
		stream_out_end(&kit->out, kit->link);
	else if (channel == CHANNEL_STDERR)
		stream_out_end(&kit->err, kit->link);
}

static int on_control(void *ctx, unsigned kind, const uint8_t *body, size_t len,
		      struct err *err)
{
	struct control_body b = { body, body + len, false };
	struct kit *kit = ctx;
	uint32_t first;

	(void)err;
	switch (kind) {
	case CONTROL_START:
		order_start(kit, body, len);
		break;
	case CONTROL_SIGNAL:
		first = control_get_u32(&b);
		order_signal(kit, first, control_get_u32(&b));
		break;
	case CONTROL_WINSIZE:
		order_winsize(kit, &b);
		break;
	case CONTROL_CLOCK:
		follow_clock(control_get_u64(&b), !kit->started);
		break;
	case CONTROL_TRIM:
		order_trim(kit);
		break;
	case CONTROL_STREAM_CLOSED:
		order_closed(kit, control_get_u32(&b));
		break;
	default: /* a newer home: what we do not know we need not do */
		break;
	}
	return 0;
}

/* ---- the link's events ------------------------------------------------------ */

static void tty_input(struct kit *kit, const void *data, size_t len)
{
	int sig = kit->tty_master < 0 ? 0 : tty_signal_of(kit->tty_master, data, len);
	pid_t foreground = 0;

	/* Home's terminal is raw: tell home what it would have sent to the rest
	 * of the pipeline, unless the job has given the terminal to a group of
	 * its own making. */
	if (sig && !ioctl(kit->tty_master, TIOCGPGRP, &foreground) &&
	    foreground == kit->first)
		send_number(kit, CONTROL_TTY_SIGNAL, (uint32_t)sig);
	stream_in_receive(&kit->tty_in, data, len, kit->link);
}

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct kit *kit = ctx;
	struct err err = { 0 };

	switch (channel) {
	case CHANNEL_CONTROL:
		link_consume(kit->link, channel, len);
		if (control_read(&kit->reader, data, len, on_control, kit, &err))
			kit_die("monovisor-kit: %s", err.text);
		break;
	case CHANNEL_FUSE:
		if (!kit->relay)
			link_consume(kit->link, channel, len);
		else if (relay_receive(kit->relay, data, len, &err))
			kit_die("monovisor-kit: %s", err.text);
		break;
	case CHANNEL_STDIN:
		stream_in_receive(&kit->in, data, len, kit->link);
		break;
	case CHANNEL_TTY:
		tty_input(kit, data, len);
		break;
	default:
		link_consume(kit->link, channel, len);
	}
}

static void on_fin(void *ctx, unsigned channel)
{
	struct kit *kit = ctx;

	if (channel == CHANNEL_STDIN)
		kit->in.fin = true;
}

static void on_up(void *ctx, uint64_t epoch)
{
	struct kit *kit = ctx;

	(void)epoch;
	if (!kit->greeted)
		send_ready(kit);
	kit->greeted = true;
}

/* ---- the job's end ------------------------------------------------------------ */

static void close_terminal(struct kit *kit)
{
	if (kit->tty_slave >= 0)
		close(kit->tty_slave);
	kit->tty_slave = -1;
}

static void job_ended(struct kit *kit, const struct control_exit *exit)
{
	kit->ended = true;
	kit->exit = *exit;
	stream_in_close(&kit->in, kit->link);
	kit->exit.stdin_used = kit->in.written;
	close_terminal(kit);
}

/* Home ends mvrun when it has the exit and the end of each output stream. */
static void say_end(struct kit *kit)
{
	struct control_writer w = { 0 };
	struct err err;

	if (!kit->ended || kit->said_end)
		return;
	kit->said_end = true;
	if (control_put_exit(&w, &kit->exit, &err))
		kit_die("monovisor-kit: %s", err.text);
	send_message(kit, &w);
}

/* The only child of the job's init when it reports its start. */
static pid_t first_child(pid_t init)
{
	char path[64];
	int pid = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init, init);
	file = fopen(path, "re");
	if (file && fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid;
}

static void on_report(struct kit *kit, const struct report *r)
{
	switch (r->kind) {
	case REPORT_MOUNTED:
		kit->mounted = true;
		break;
	case REPORT_STARTED:
		kit->first = first_child(kit->init_pid);
		send_plain(kit, CONTROL_STARTED);
		break;
	case REPORT_FAILED:
		send_failed(kit, r->a, r->b, r->text);
		break;
	case REPORT_STOPPED:
		send_number(kit, CONTROL_STOPPED, r->a);
		break;
	case REPORT_CONTINUED:
		send_plain(kit, CONTROL_CONTINUED);
		break;
	case REPORT_TTY_WANTED:
		send_plain(kit, CONTROL_TTY_WANTED);
		break;
	case REPORT_NOTE:
		send_note(kit, r->text);
		break;
	case REPORT_EXIT:
		job_ended(kit, &r->exit);
		break;
	}
}

static void run_init(struct kit *kit)
{
	struct report r;
	ssize_t n;

	while ((n = recv(kit->init_fd, &r, sizeof(r), MSG_DONTWAIT)) == sizeof(r)) {
		r.text[sizeof(r.text) - 1] = 0;
		on_report(kit, &r);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close(kit->init_fd);
	kit->init_fd = -1;
	waitpid(kit->init_pid, NULL, 0);
}

/* ---- the loop ------------------------------------------------------------------ */

static void set_poll(struct pollfd *p, int fd, short events)
{
	p->fd = events ? fd : -1;
	p->events = events;
	p->revents = 0;
}

static void fill_poll(struct kit *kit, struct pollfd *p, int64_t now)
{
	set_poll(&p[ON_LINK], pump_fd(kit->pump), pump_events(kit->pump, now));
	if (kit->relay && kit->mounted)
		set_poll(&p[ON_FUSE], relay_fd(kit->relay), relay_events(kit->relay));
	else
		set_poll(&p[ON_FUSE], -1, 0);
	set_poll(&p[ON_INIT], kit->init_fd, POLLIN);
	set_poll(&p[ON_OUT], kit->out.fd, stream_out_events(&kit->out, kit->link));
	set_poll(&p[ON_ERR], kit->err.fd, stream_out_events(&kit->err, kit->link));
	set_poll(&p[ON_TTY_OUT], kit->tty_out.fd,
		 stream_out_events(&kit->tty_out, kit->link));
	set_poll(&p[ON_IN], kit->in.fd, kit->in.used ? POLLOUT : 0);
	set_poll(&p[ON_TTY_IN], kit->tty_in.fd, kit->tty_in.used ? POLLOUT : 0);
	/* An idle stdin is still watched for its reader's end (POLLERR). */
	if (kit->in.fd >= 0)
		p[ON_IN].fd = kit->in.fd;
}

static void run_stdin(struct kit *kit, short revents)
{
	bool was_open = kit->in.fd >= 0;

	if (revents & POLLERR && was_open)
		stream_in_close(&kit->in, kit->link);
	else if (stream_in_run(&kit->in, kit->link) == 0)
		return;
	if (was_open && !kit->ended)
		send_number(kit, CONTROL_STREAM_CLOSED, CHANNEL_STDIN);
}

static void run_streams(struct kit *kit, const struct pollfd *p)
{
	if (p[ON_OUT].revents)
		stream_out_run(&kit->out, kit->link);
	if (p[ON_ERR].revents)
		stream_out_run(&kit->err, kit->link);
	if (p[ON_TTY_OUT].revents)
		stream_out_run(&kit->tty_out, kit->link);
	if (kit->in.fd >= 0)
		run_stdin(kit, p[ON_IN].revents);
	stream_in_run(&kit->tty_in, kit->link);
	if (kit->tty_out.fd < 0)
		kit->tty_in.fd = kit->tty_master = -1;
}

static void run_relay(struct kit *kit)
{
	struct err err = { 0 };

	/* 1: the file system was unmounted with the job's namespace. */
	switch (relay_run(kit->relay, &err)) {
	case 0:
		return;
	case -1:
		kit_die("monovisor-kit: %s", err.text);
	}
	relay_free(kit->relay);
	kit->relay = NULL;
}

static int loop_timeout(struct kit *kit, int64_t now)
{
	int64_t deadline = link_deadline(kit->link);

	if (pump_fd(kit->pump) < 0)
		return REDIAL_MS;
	if (deadline < 0)
		return -1;
	return deadline <= now ? 0 : (int)(deadline - now);
}

static void run_link(struct kit *kit, short revents)
{
	struct err err;

	if (pump_fd(kit->pump) < 0) {
		transport_attach(&kit->boot, kit->pump, &err); /* again: home is not there yet */
		return;
	}
	if (pump_run(kit->pump, revents, now_ms()) < 0)
		kit_say("monovisor-kit: link lost: %s", link_reason(kit->link));
}

static void kit_loop(struct kit *kit)
{
	struct pollfd p[ON_COUNT];

	for (;;) {
		int64_t now = now_ms();

		fill_poll(kit, p, now);
		if (poll(p, ON_COUNT, loop_timeout(kit, now)) < 0)
			continue;
		run_link(kit, p[ON_LINK].revents);
		if (kit->relay && p[ON_FUSE].revents)
			run_relay(kit);
		run_streams(kit, p);
		if (kit->init_fd >= 0 && p[ON_INIT].revents)
			run_init(kit);
		say_end(kit);
		/* What this round queued goes out without another turn. */
		if (pump_fd(kit->pump) >= 0)
			run_link(kit, 0);
	}
}

/* The kit serves the guest's own page reclaim: it must never wait for it. */
static void protect_self(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "-1000", 5) != 5)
		kit_say("monovisor-kit: not exempt from the OOM killer");
	if (fd >= 0)
		close(fd);
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		kit_say("monovisor-kit: mlockall: %s", strerror(errno));
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	setpriority(PRIO_PROCESS, 0, -20);
	signal(SIGPIPE, SIG_IGN);
}

int main(void)
{
	static const struct link_events events = {
		.data = on_data, .fin = on_fin, .up = on_up,
	};
	static struct kit kit = {
		.init_fd = -1, .tty_master = -1, .tty_slave = -1,
		.out.fd = -1, .err.fd = -1, .tty_out.fd = -1,
		.in.fd = -1, .in.rest = -1, .tty_in.fd = -1, .tty_in.rest = -1,
	};
	struct link_config config = {
		.side = LINK_GUEST, .nchannels = CHANNEL_COUNT,
		.channels = job_channels,
	};

	if (getpid() != 1) {
		fputs("kit: this is the first process of a guest, not a command\n",
		      stderr);
		return 1;
	}
	boot_system();
	boot_options(&kit.boot);
	protect_self();
	memcpy(config.id, kit.boot.id, sizeof(config.id));
	kit.link = link_new(&config, &events, &kit);
	kit.pump = kit.link ? pump_new(kit.link) : NULL;
	if (!kit.pump)
		kit_die("monovisor-kit: out of memory");
	transport_attach_first(&kit.boot, kit.pump);
	kit_say("monovisor-kit: waiting");
	kit_loop(&kit);
}
