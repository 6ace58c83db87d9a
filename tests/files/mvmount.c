/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kit's relay and the deputy's file service on one machine, without a VM:
 * mounts HOME at MOUNTPOINT. Two processes, a real link between them; the one
 * that mounts is the kit, its child the deputy, which may be another user.
 *
 * Prints "ready" when mounted. SIGTERM unmounts and ends both; so does the
 * death of either. SIGUSR1 to the deputy (its PID is printed) prints counters.
 */
#include "guest-kit/control.h"
#include "guest-kit/relay.h"
#include "net/cleanup.h"
#include "net/pump.h"
#include "tests/files/layers.h"
#include "vmm-agent/fuse-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_FAULTS 32

struct options {
	const char *home, *mountpoint;
	uid_t uid;
	gid_t gid;
	rlim_t descriptors;
	const char *hidden[8], *faults[MAX_FAULTS];
	unsigned nhidden, nfaults;
	double timeout;
	bool private;
};

static volatile sig_atomic_t ending, asked;

static void on_signal(int signo)
{
	if (signo == SIGUSR1)
		asked = 1;
	else
		ending = 1;
}

static void fail(const struct err *err)
{
	fprintf(stderr, "mvmount: %s\n", err->text);
	exit(1);
}

static void fail_errno(const char *what)
{
	struct err err;

	err_set(&err, errno, "%s", what);
	fail(&err);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* One side of the link: what both processes have. */
struct side {
	struct link *link;
	struct pump *pump;
	struct relay *relay;       /* kit */
	struct fuse_channel *files; /* deputy */
	struct err err;
	bool failed;
};

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct side *side = ctx;
	int r;

	(void)channel;
	if (side->relay)
		r = relay_receive(side->relay, data, len, &side->err);
	else
		r = fuse_channel_receive(side->files, data, len, &side->err);
	if (r < 0)
		side->failed = true;
}

static const struct link_events events = { .data = on_data };

static void open_side(struct side *side, enum link_side which, int fd)
{
	const struct link_config config = {
		.side = which,
		.id = "mvmount",
		.nchannels = CHANNEL_COUNT,
		.channels = job_channels,
	};

	fcntl(fd, F_SETFL, O_NONBLOCK);
	side->link = link_new(&config, &events, side);
	side->pump = side->link ? pump_new(side->link) : NULL;
	if (!side->pump)
		fail_errno("cannot make a link");
	pump_attach(side->pump, transport_get(TRANSPORT_UNIX), fd, now_ms());
}

static void close_side(struct side *side)
{
	relay_free(side->relay);
	fuse_channel_free(side->files);
	pump_free(side->pump);
	link_free(side->link);
}

static int wait_ms(struct side *side)
{
	int64_t deadline = link_deadline(side->link), now = now_ms();

	if (deadline < 0)
		return 1000;
	return deadline <= now ? 0 : (int)(deadline - now);
}

/* Returns false when the other side has gone. */
static bool turn(struct side *side, struct pollfd polled[2])
{
	polled[0].fd = pump_fd(side->pump);
	polled[0].events = pump_events(side->pump, now_ms());
	polled[0].revents = polled[1].revents = 0;
	if (poll(polled, 2, wait_ms(side)) < 0 && errno != EINTR)
		fail_errno("poll");
	return pump_run(side->pump, polled[0].revents, now_ms()) == 0;
}

/* --- the deputy ------------------------------------------------------------- */

static void print_counters(struct side *side)
{
	struct files_stats s;

	asked = 0;
	files_stats(fuse_channel_files(side->files), &s);
	printf("requests %lu inodes %lu descriptors %lu handles %lu waiting %lu\n",
	       s.requests, s.inodes, s.descriptors, s.handles, s.waiting_locks);
	fflush(stdout);
}

static void become(const struct options *o)
{
	struct rlimit limit = { o->descriptors, o->descriptors };

	if (o->descriptors && setrlimit(RLIMIT_NOFILE, &limit) < 0)
		fail_errno("setrlimit");
	if (o->uid == 0)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
	    setresuid(o->uid, o->uid, o->uid) < 0)
		fail_errno("cannot become the user");
}

static void start_service(struct side *side, const struct options *o)
{
	const struct files_config config = {
		.root = o->home,
		.hidden = o->hidden,
		.attr_timeout = o->timeout,
		.entry_timeout = o->timeout,
	};
	struct err err;
	unsigned i;

	side->files = fuse_channel_new(side->link, CHANNEL_FUSE, &config, &err);
	if (!side->files)
		fail(&err);
	for (i = 0; i < o->nfaults; i++)
		if (layers_add(fuse_channel_files(side->files), o->faults[i],
			       &err) < 0)
			fail(&err);
}

static int deputy(const struct options *o, int fd)
{
	struct pollfd polled[2] = { { 0 } };
	struct side side = { 0 };

	prctl(PR_SET_NAME, "mvmount-deputy");
	become(o);
	open_side(&side, LINK_HOME, fd);
	start_service(&side, o);
	polled[1].fd = fuse_channel_fd(side.files);
	polled[1].events = POLLIN;
	while (!ending && !side.failed && turn(&side, polled)) {
		fuse_channel_flush(side.files);
		if (pump_run(side.pump, 0, now_ms()) < 0)
			break;
		if (asked)
			print_counters(&side);
	}
	close_side(&side);
	if (side.failed)
		fail(&side.err);
	return 0;
}

/* --- the kit ------------------------------------------------------------------- */

/* A private mount is for its user alone; root itself is refused there. */
static int mount_fuse(const struct options *o)
{
	const char *checks = o->uid ? "" : ",default_permissions";
	const char *others = o->private ? "" : ",allow_other";
	uid_t uid = o->private ? o->uid : 0;
	gid_t gid = o->private ? o->gid : 0;
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		fail_errno("cannot open /dev/fuse");
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u%s%s", fd, uid, gid,
		 others, checks);
	if (mount("mvmount", o->mountpoint, "fuse", MS_NODEV | MS_NOSUID,
		  options) < 0)
		fail_errno("cannot mount");
	return fd;
}

static void kit(const struct options *o, int socket_fd, int fuse_fd)
{
	struct pollfd polled[2] = { { 0 } };
	struct side side = { 0 };
	int r = 0;

	open_side(&side, LINK_GUEST, socket_fd);
	side.relay = relay_new(fuse_fd, side.link, CHANNEL_FUSE, &side.err);
	if (!side.relay)
		fail(&side.err);
	polled[1].fd = relay_fd(side.relay);
	printf("ready\n");
	fflush(stdout);
	while (!ending && !side.failed && r == 0) {
		polled[1].events = relay_events(side.relay);
		if (!turn(&side, polled))
			break;
		r = relay_run(side.relay, &side.err);
		if (pump_run(side.pump, 0, now_ms()) < 0)
			break;
	}
	umount2(o->mountpoint, MNT_DETACH);
	close_side(&side);
	if (r < 0 || side.failed)
		fail(&side.err);
}

/* --- command line ---------------------------------------------------------------- */

static void usage(void)
{
	fprintf(stderr, "usage: mvmount [-u UID:GID] [-n DESCRIPTORS]"
			" [-t TIMEOUT] [-p] [-H NAME]... [-f FAULT]..."
			" HOME MOUNTPOINT\n");
	exit(2);
}

static void parse_option(struct options *o, int option)
{
	switch (option) {
	case 'u':
		if (sscanf(optarg, "%u:%u", &o->uid, &o->gid) != 2)
			usage();
		break;
	case 'n':
		o->descriptors = strtoul(optarg, NULL, 10);
		break;
	case 't':
		o->timeout = strtod(optarg, NULL);
		break;
	case 'p':
		o->private = true;
		break;
	case 'H':
		if (o->nhidden < 7)
			o->hidden[o->nhidden++] = optarg;
		break;
	case 'f':
		if (o->nfaults < MAX_FAULTS)
			o->faults[o->nfaults++] = optarg;
		break;
	default:
		usage();
	}
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct options o = { .timeout = -1 };
	int fds[2], fuse_fd, option;
	pid_t child;

	while ((option = getopt(argc, argv, "u:n:t:pH:f:")) != -1)
		parse_option(&o, option);
	if (argc - optind != 2)
		usage();
	o.home = argv[optind];
	o.mountpoint = argv[optind + 1];
	catch_signals();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		fail_errno("socketpair");
	child = fork();
	if (child < 0)
		fail_errno("fork");
	if (child == 0) {
		close(fds[0]);
		return deputy(&o, fds[1]);
	}
	close(fds[1]);
	fuse_fd = mount_fuse(&o);
	printf("deputy %d\n", child);
	kit(&o, fds[0], fuse_fd);
	kill(child, SIGTERM);
	if (waitpid(child, &option, 0) < 0 || option != 0)
		return 1;
	return 0;
}
